"""The whole of `ltgc mix-train`, in CPU seconds, beside a script with a bare loop on the same photos, model and steps.

    python benchmarks/fixed_costs.py                             # 400 photos of 500x375, the embedded CLIP, 20 steps
    python benchmarks/fixed_costs.py --png --photos 1000

With few steps what is left is what a command costs before and after them: imports, looking at the files, decoding,
writing. Both are new processes, the command with an empty store; the script imports open_clip, decodes each photo once,
trains LoRA with torch's AdamW and saves the weights. They take turns.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from photos import crops

BATCH = 32


def loop(folder: Path, steps: int) -> None:
    """The script: what one writes by hand."""
    import torch
    from PIL import Image
    from train_step import Bare, random_head

    from ltgc_cli.providers.clip.open_clip import EMBEDDED
    from ltgc_cli.providers.torch_setup import mend_torchvision
    from ltgc_cli.settings import Training

    torch.set_num_threads(1)
    mend_torchvision()
    import open_clip

    clip, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{EMBEDDED}")
    files = sorted((folder / "train").rglob("*.jpg")) or sorted((folder / "train").rglob("*.png"))
    names = sorted({file.parent.name for file in files})
    images = torch.stack([preprocess(Image.open(file).convert("RGB")) for file in files])
    labels = torch.tensor([names.index(file.parent.name) for file in files])
    settings = Training(rank=4)
    model = Bare(clip.visual, random_head(clip.visual, len(names), settings.scale), settings)
    adamw = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], fused=True)
    for _ in range(steps):
        rows = torch.randint(0, len(files), (BATCH,))
        torch.nn.functional.cross_entropy(model(images[rows]), labels[rows]).backward()
        adamw.step()
        adamw.zero_grad()
    torch.save(model.state_dict(), folder / "weights.pt")


def cpu_seconds(command: Sequence[str], store: Path) -> float:
    """Returns what a command takes, and all that it starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "LTGC_CACHE_DIR": str(store)}
    subprocess.run([sys.executable, *command], env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=400)
    parser.add_argument("--size", type=int, nargs=2, default=(500, 375), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--png", action="store_true", help="PNGs in place of JPEGs")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--loop", type=Path, help=argparse.SUPPRESS)  # the script itself, as a process of its own
    args = parser.parse_args()
    if args.loop:
        loop(args.loop, args.steps)
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        crops(root / "photos" / "train", args.photos, *args.size, suffix=".png" if args.png else ".jpg")
        train = ["-m", "ltgc_cli", "mix-train", "--data", str(root / "photos"), "--no-generated", "-o"]
        flags = ["--steps", str(args.steps), "--batch", str(BATCH), "--rank", "4"]
        script = [__file__, "--loop", str(root / "photos"), "--steps", str(args.steps)]
        ours, bare = [], []
        for turn in range(args.turns):
            bare.append(cpu_seconds(script, root / "none"))
            ours.append(cpu_seconds([*train, str(root / f"{turn}.jsonl"), *flags], root / f"store-{turn}"))
        one, other = statistics.median(ours), statistics.median(bare)
        print(f"{args.photos} photos, {args.steps} steps: mix-train {one:.1f} s of CPU, a bare script {other:.1f} s")
        print(f"bare / mix-train: {other / one:.2f}")


if __name__ == "__main__":
    main()
