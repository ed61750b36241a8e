"""Images a second: `ltgc render` (stage, store, files and all) against a bare diffusers loop over the same pipeline.

    python benchmarks/drawing.py                                        # the embedded model
    python benchmarks/drawing.py --model stabilityai/sd-turbo --batch 8
    python benchmarks/drawing.py --arch sdxl --steps 4 --images 16 --batch 4   # random weights: no download, for a GPU
    python benchmarks/drawing.py --arch sdxl --tiny                     # the same code on a CPU, in seconds

Both draw the same prompts with the same seeds in the same batches; the bare loop keeps its pictures in memory and
writes nothing (--save lets it write PNGs). They take turns, after one batch each that is not counted, on one thread.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ltgc_cli import store
from ltgc_cli.ports import GeneratedImage, ImageRequest
from ltgc_cli.providers import torch_setup
from ltgc_cli.providers.opened import GenerateOptions
from ltgc_cli.providers.quiet import quiet
from ltgc_cli.providers.t2i import diffusers as t2i
from ltgc_cli.providers.t2i.pipelines import LoadedPipeline
from ltgc_cli.records import Class, Description, Group
from ltgc_cli.settings import Style
from ltgc_cli.stages.render import image_request, render

CLASS = Class(label=0, class_="seven", tail=True)
VIEWS = ("slanted to the left", "with thin strokes", "with a bar through it", "written by a hurried hand")


def descriptions(count: int) -> list[Description]:
    """Returns texts that differ, as a class has them."""
    texts = [f"A photo of the class seven, {VIEWS[n % len(VIEWS)]}, number {n}." for n in range(count)]
    return [
        Description(label=0, class_="seven", id=f"{n:016x}", text=t, origin="extended") for n, t in enumerate(texts)
    ]


def ours(rows: Sequence[Description], style: Style, batch: int, generate: Any, folder: Path) -> float:
    """Returns the seconds that render takes with an empty store. The port is the one that the command opens."""
    kept = store.Store(folder)
    painting = store.cached_batch(generate(kept.put_object), kept, GeneratedImage)
    start = time.perf_counter()
    for lines in render([Group(CLASS, [*rows])], generate=painting, model="benchmark", style=style, batch=batch):
        assert len(lines) == 2 * len(rows), lines
    return time.perf_counter() - start


def bare(requests: Sequence[ImageRequest], loaded: LoadedPipeline, batch: int, save: Path | None) -> float:
    """Returns the seconds that the plain loop takes, as diffusers' documentation has it."""
    import torch

    _, settings = t2i.ready(loaded, requests[0])
    start = time.perf_counter()
    for first in range(0, len(requests), batch):
        part = requests[first : first + batch]
        images = loaded.pipeline(
            prompt=[request.text for request in part],
            generator=[torch.Generator("cpu").manual_seed(request.seed) for request in part],
            **settings,
        ).images
        for number, image in enumerate(images if save else ()):
            image.save(save / f"{first + number}.png")
    return time.perf_counter() - start


def in_turns(rounds: int, *runs: Callable[[int], float]) -> list[list[float]]:
    """Returns the seconds of each run, by round; each round begins with another of them."""
    seconds: list[list[float]] = [[] for _ in runs]
    for number in range(rounds):
        for turn in range(len(runs)):
            which = (number + turn) % len(runs)
            seconds[which].append(runs[which](number))
    return seconds


def random_pipeline(arch: str, tiny: bool, device: str, folder: Path) -> Path:
    """Returns the folder, with a pipeline of the architecture in it: its real sizes, or toy ones; random weights."""
    import diffusers
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    large = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
    bigger = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20}
    if tiny:
        large = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
        bigger = large | {"hidden_size": 48}
    vae = {
        "block_out_channels": (32, 64) if tiny else (128, 256, 512, 512), "latent_channels": 4,
        "layers_per_block": 1 if tiny else 2, "sample_size": 32 if tiny else 1024 if arch == "sdxl" else 512,
        "down_block_types": ("DownEncoderBlock2D",) * (2 if tiny else 4),
        "up_block_types": ("UpDecoderBlock2D",) * (2 if tiny else 4),
    }  # fmt: skip
    names = {"bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 49407}
    clip = CLIPTextConfig(vocab_size=49408, projection_dim=large["hidden_size"], **large, **names)
    unet: dict[str, Any] = {
        "block_out_channels": (32, 64, 64, 64) if tiny else (320, 640, 1280, 1280),
        "sample_size": 16 if tiny else 64, "cross_attention_dim": large["hidden_size"], "attention_head_dim": 8,
    }  # fmt: skip
    with torch.device(device):
        if arch == "sd":
            pipeline = diffusers.StableDiffusionPipeline(
                unet=diffusers.UNet2DConditionModel(**unet), vae=diffusers.AutoencoderKL(**vae),
                text_encoder=CLIPTextModel(clip), tokenizer=tokenizer(), scheduler=diffusers.DDIMScheduler(),
                safety_checker=None, feature_extractor=None, requires_safety_checker=False,
            )  # fmt: skip
        else:
            second = CLIPTextConfig(
                vocab_size=49408, projection_dim=bigger["hidden_size"], hidden_act="gelu", **bigger, **names
            )
            unet |= {
                "block_out_channels": (32, 64, 64) if tiny else (320, 640, 1280), "sample_size": 16 if tiny else 128,
                "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
                "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
                "cross_attention_dim": large["hidden_size"] + bigger["hidden_size"],
                "attention_head_dim": (2, 4, 4) if tiny else (5, 10, 20), "use_linear_projection": True,
                "transformer_layers_per_block": (1, 1, 2) if tiny else (1, 2, 10), "addition_embed_type": "text_time",
                "addition_time_embed_dim": 256,
                "projection_class_embeddings_input_dim": bigger["hidden_size"] + 6 * 256,
            }  # fmt: skip
            pipeline = diffusers.StableDiffusionXLPipeline(
                unet=diffusers.UNet2DConditionModel(**unet), vae=diffusers.AutoencoderKL(**vae),
                text_encoder=CLIPTextModel(clip), text_encoder_2=CLIPTextModelWithProjection(second),
                tokenizer=tokenizer(), tokenizer_2=tokenizer(), scheduler=diffusers.EulerDiscreteScheduler(),
            )  # fmt: skip
    pipeline.to(torch.float32 if device == "cpu" else torch.bfloat16).save_pretrained(folder)
    return folder


def tokenizer() -> Any:
    """Returns CLIP's tokenizer, whose vocabulary open_clip brings along."""
    from open_clip.tokenizer import SimpleTokenizer
    from transformers import CLIPTokenizer

    theirs = SimpleTokenizer()
    words = dict(list(theirs.encoder.items())[:-2]) | {"<|startoftext|>": 49406, "<|endoftext|>": 49407}
    return CLIPTokenizer(vocab=words, merges=list(theirs.bpe_ranks), model_max_length=77)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded", help="embedded, an id of the hub, or a folder")
    parser.add_argument("--arch", choices=["sd", "sdxl"], help="random weights in this architecture instead")
    parser.add_argument("--tiny", action="store_true", help="with --arch: toy sizes")
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--size", type=int)
    parser.add_argument("--device", help="cuda, mps or cpu; the best one here")
    parser.add_argument("--format", choices=["png", "webp"], default="png")
    parser.add_argument("--save", action="store_true", help="the bare loop writes its pictures, as PNG")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()

    torch_setup.mend_torchvision()
    import torch

    torch.set_num_threads(args.threads)
    device = args.device or torch_setup.device()
    style = Style(width=args.size, height=args.size, steps=args.steps, format=args.format)
    rows = descriptions(args.images)
    requests = [image_request(row.text, row.id, 0, CLASS, "benchmark", style) for row in rows]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spec = args.model
        if args.arch:
            with quiet():
                spec = str(random_pipeline(args.arch, args.tiny, device, folder / "model"))
        loaded = t2i.load(spec, device=device)
        torch.set_num_threads(args.threads)
        t2i.load = lambda spec, **_: loaded  # one pipeline for both, loaded before the clock starts

        def generate(keep: Callable[[bytes], str]) -> Any:
            return t2i.generate_port(spec, GenerateOptions(keep=keep, batch=args.batch, device=device))

        saved = folder / "bare"
        saved.mkdir()
        bare(requests[: args.batch], loaded, args.batch, None)
        ours(rows[: args.batch], style, args.batch, generate, folder / "warm-up")
        seconds = in_turns(
            args.rounds,
            lambda number: ours(rows, style, args.batch, generate, folder / f"store-{number}"),
            lambda number: bare(requests, loaded, args.batch, saved if args.save else None),
        )
    rates = [[args.images / run for run in runs] for runs in seconds]
    for what, rate in zip(("ltgc render", "bare diffusers loop"), rates, strict=True):
        print(f"{what}: {statistics.median(rate):.2f} images/s ({min(rate):.2f} to {max(rate):.2f})")
    print(
        f"ratio: {statistics.median(a / b for a, b in zip(*rates, strict=True)):.3f} (medians of {args.rounds} rounds)"
    )


if __name__ == "__main__":
    main()
