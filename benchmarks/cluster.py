"""Images a second of `ltgc render`, whole commands: in one process, and by one and two of Ray's workers.

    python benchmarks/cluster.py                       # blank images: what the workers' way itself costs
    python benchmarks/cluster.py --t2i embedded        # the embedded diffusion: computing is most of it

The commands take turns, each with a store of its own. What is left when a command over two images is taken off is the
time for the others: starting Python, Ray and the models is the same for any number, and is printed apart. Seconds are
of the clock; CPU seconds are the command's own, for the workers are Ray's children: what one machine must give to all.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WAYS = {"local": (), "1 worker": ("ray", "--workers", "1"), "2 workers": ("ray", "--workers", "2")}


def ran(folder: Path, *arguments: str) -> tuple[float, float]:
    """Returns the seconds, and the CPU seconds of its own, that a command took with a new store."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=folder) as store:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "LTGC_CACHE_DIR": store}
        command = [sys.executable, "-m", "ltgc_cli", *arguments]
        subprocess.run(command, env=environment, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--t2i", default="blank")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--size", type=int, default=256, help="pixels a side of blank images")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    size = ["--width", str(args.size), "--height", str(args.size)] if args.t2i == "blank" else []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, count in (("few", 2), ("all", args.images)):
            ran(folder, "extend", "--class", "seven", "-n", str(count), "-o", f"{name}.jsonl", "-q")
        found: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for turn in range(args.turns):
            for way in sorted(WAYS, reverse=bool(turn % 2)):
                for name in ("few", "all"):
                    flags = ["--t2i", args.t2i, *size, "--batch", str(args.batch), "-q"]
                    engine = ["--engine", *WAYS[way]] if WAYS[way] else []
                    found.setdefault((way, name), []).append(
                        ran(folder, "render", "-i", f"{name}.jsonl", *flags, *engine)
                    )
    images = args.images - 2
    rates = {}
    for way in WAYS:
        start, whole = (
            [statistics.median(column) for column in zip(*found[way, name], strict=True)] for name in ("few", "all")
        )
        rates[way] = images / (whole[0] - start[0])
        print(
            f"{way:10} {rates[way]:8.1f} images/s, {rates[way] / rates['local']:.2f} of local; "
            f"{1000 * (whole[1] - start[1]) / images:.1f} ms of CPU an image; "
            f"start {start[0]:.1f} s, {start[1]:.1f} s of CPU"
        )


if __name__ == "__main__":
    main()
