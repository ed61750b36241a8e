"""Images scored a second by ltgc's port, and by a bare open_clip loop over the same files and model.

    python benchmarks/scoring.py                        # ViT-B/32, random weights, one thread
    python benchmarks/scoring.py --tiny --images 2048   # a model so small that reading the images is all there is
    python benchmarks/scoring.py --device cuda --threads 8 --images 4096 --size 512

The weights are random: how long a model takes does not depend on what it knows. Both decode every file, resize and
normalise it, and take the cosine with one text; the loop does one batch after the other, the port reads ahead. They
take turns, so that both see the same machine, and what is printed is the median of the turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ltgc_cli.ports import Match
from ltgc_cli.providers.clip import judge, open_clip
from ltgc_cli.providers.opened import ClipOptions
from ltgc_cli.providers.torch_setup import mend_torchvision

TEXT = "A photo of a crane with a red cap."
TINY = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


def random_model(folder: Path, config: dict[str, object]) -> str:
    """Returns the spec of a model with random weights, written to the folder."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    folder.mkdir()
    save_file(open_clip.CLIP(**config).state_dict(), folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    return f"local-dir:{folder}"


def random_images(folder: Path, count: int, size: int) -> list[Path]:
    """Returns PNG files of smooth colours with some noise: as large as photos are, not as noise is."""
    import numpy
    from PIL import Image

    rng = numpy.random.default_rng(0)
    folder.mkdir()
    for number in range(count):
        smooth = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=numpy.uint8)).resize((size, size))
        noisy = numpy.asarray(smooth, dtype=numpy.int16) + rng.integers(-4, 5, (size, size, 3))
        pixels = noisy.clip(0, 255).astype(numpy.uint8)
        Image.fromarray(pixels).save(folder / f"{number:06}.png")
    return sorted(folder.iterdir())


def bare(spec: str, files: Sequence[Path], batch: int, device: str) -> Callable[[], list[float]]:
    """Returns a loop as open_clip's README has it: decode, preprocess, encode, normalise, multiply."""
    import open_clip
    import torch
    from PIL import Image

    model, preprocess = open_clip.create_model_from_pretrained(spec, device=device)
    model.eval()
    tokens = open_clip.get_tokenizer(spec)([TEXT]).to(device)

    def loop() -> list[float]:
        scores: list[float] = []
        with torch.no_grad():
            text = model.encode_text(tokens, normalize=True)
            for start in range(0, len(files), batch):
                images = [preprocess(Image.open(file).convert("RGB")) for file in files[start : start + batch]]
                seen = model.encode_image(torch.stack(images).to(device), normalize=True)
                scores += (seen @ text.T)[:, 0].tolist()
        return scores

    return loop


def ours(spec: str, files: Sequence[Path], batch: int, device: str) -> Callable[[], list[float]]:
    """Returns the score port's answers, by a port that has a model and remembers no image."""
    folder, names = files[0].parent, [file.name for file in files]

    def objects(name: str) -> bytes:
        return (folder / name).read_bytes()

    loaded = open_clip.load(spec, device)
    judge.load = lambda spec, device="cpu": loaded  # loading is not what is measured

    def port() -> list[float]:
        score = judge.open_score(spec, ClipOptions(objects=objects, device=device, batch=batch)).port
        return [float(value) for value in score([Match(model="", image=name, text=TEXT) for name in names])]

    return port


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="ViT-B-32", help="a model that open_clip has a configuration of")
    parser.add_argument("--tiny", action="store_true", help="a very small model instead")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--size", type=int, default=256, help="pixels a side")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1, help="threads that torch computes with")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    mend_torchvision()
    import open_clip as library
    import torch

    torch.set_num_threads(args.threads)
    config = TINY if args.tiny else library.get_model_config(args.arch)
    with tempfile.TemporaryDirectory() as place:
        spec = random_model(Path(place) / "model", config)
        files = random_images(Path(place) / "images", args.images, args.size)
        ways = {make.__name__: make(spec, files, args.batch, args.device) for make in (bare, ours)}
        found = {name: way() for name, way in ways.items()}  # and both are warm
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        cpu: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(args.turns):
            for name in sorted(ways, reverse=bool(turn % 2)):
                start, used = time.perf_counter(), time.process_time()
                ways[name]()
                seconds[name].append(time.perf_counter() - start)
                cpu[name].append(time.process_time() - used)
    rates = {name: args.images / statistics.median(each) for name, each in seconds.items()}
    each = {name: 1000 * statistics.median(used) / args.images for name, used in cpu.items()}
    difference = max(abs(a - b) for a, b in zip(*found.values(), strict=True))
    model = "a tiny model" if args.tiny else args.arch
    print(
        f"{model} on {args.device}, {args.threads} thread(s), {args.images} images of {args.size}x{args.size}, "
        f"batches of {args.batch}: bare loop {rates['bare']:.1f} images/s, ltgc {rates['ours']:.1f} images/s, "
        f"ratio {rates['ours'] / rates['bare']:.2f} (CPU time an image: {each['bare']:.1f} and {each['ours']:.1f} ms); "
        f"the scores differ by {difference:.0e} at most"
    )


if __name__ == "__main__":
    main()
