"""How many photos a second training's loader alone gives, by a thread and by processes, and what each costs.

    python benchmarks/loader.py                  # 500x375 and 1600x1200, a thread, one process and two
    python benchmarks/loader.py --processes 0 4 8 15 --images 4096

What trains waits where this gives fewer than it takes: two images a row of a batch, for each is a mix of two. The bare
loop decodes and resizes with Pillow alone, one image after the other. They take turns, so that all see one machine.
CPU time tells what a core gives, whoever else is at it; images a second, what this machine gave.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from photos import crops

from ltgc_cli.learn import images, loading
from ltgc_cli.learn.datasets import Sample
from ltgc_cli.learn.loading import Readers
from ltgc_cli.providers.torch_setup import mend_torchvision

SIZES = ((500, 375), (1600, 1200))  # ImageNet's, and a small camera's
BARE = "bare Pillow: decode and resize"


def bare(files: Sequence[Path], preprocess: Any) -> None:
    from PIL import Image

    for file in files:
        preprocess(Image.open(file).convert("RGB"))


def ours(files: Sequence[Path], frame: images.Frame, batch: int, by: Readers) -> None:
    samples = [Sample(0, file.read_bytes, file.name) for file in files]
    parts = [samples[start : start + batch] for start in range(0, len(samples), batch)]
    for frames in loading.ahead(partial(images.decode_all, frame=frame), parts, depth=4, by=by):
        assert frames.dtype == torch.uint8


def cpu() -> float:
    """Returns the CPU seconds of this process and of those that it started and that ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def measured(ways: dict[str, Callable[[], None]], turns: int, count: int) -> dict[str, tuple[float, float]]:
    """Returns the CPU milliseconds an image and the images a second of each way, medians of the turns."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            start, used = time.perf_counter(), cpu()
            way()
            found[name].append((1000 * (cpu() - used) / count, count / (time.perf_counter() - start)))
    medians = {name: [statistics.median(column) for column in zip(*each, strict=True)] for name, each in found.items()}
    return {name: (ms, rate) for name, (ms, rate) in medians.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--side", type=int, default=224, help="the model's input")
    parser.add_argument("--processes", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--turns", type=int, default=5)
    args = parser.parse_args()
    mend_torchvision()
    from open_clip.transform import image_transform

    torch.set_num_threads(1)
    colours = {"mean": (0.48, 0.46, 0.41), "std": (0.27, 0.26, 0.28)}
    preprocess = image_transform(args.side, is_train=False, **colours)
    frame = images.frame(preprocess)
    print("| photos | loader | CPU ms an image | images/s a core | bare loop's CPU / this | images/s here |")
    print("| --- | --- | --- | --- | --- | --- |")
    for width, height in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            files = crops(Path(folder), args.images, width, height)
            ways: dict[str, Callable[[], None]] = {BARE: partial(bare, files, preprocess)}
            for count in args.processes:
                name = f"ltgc, {count} process(es)" if count else "ltgc, a thread"
                ways[name] = partial(ours, files, frame, args.batch, Readers(count))
            found = measured(ways, args.turns, args.images)
            for name, (ms, rate) in found.items():
                share = found[BARE][0] / ms
                print(
                    f"| {width}x{height} | {name} | {ms:.2f} | {1000 / ms:.0f} | {share:.2f} | {rate:.0f} |", flush=True
                )


if __name__ == "__main__":
    main()
