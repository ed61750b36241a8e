"""How long the paper's three benchmarks would take, by the number of GPUs and by how fast one of them generates.

    python benchmarks/times.py
    python benchmarks/times.py --rates 2 12 --gpus 1 8 64 --latency 4

Counted, not run: classes and images are those of costs.py; a class is asked once by extend, and by reflect as often as
40 descriptions a question and their checks come to. What one machine's CPU needs for each question and image is what
inaturalist.py measured. Generating is images over images a second; training is left out.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

from costs import BENCHMARKS, Benchmark

AT_ONCE_IN_A_QUESTION = 40
FOUND = 20
"""Descriptions that extend has brought before reflect."""


def questions(benchmark: Benchmark) -> dict[str, int]:
    """Returns how many questions each stage asks where no description is repeated and each image passes at once."""
    missing = math.ceil((benchmark.k - FOUND) / AT_ONCE_IN_A_QUESTION)
    checks = 1 + missing
    return {
        "describe": benchmark.images,
        "extend": benchmark.classes,
        "reflect": benchmark.classes * (missing + checks),
        "filter": benchmark.classes,
    }


def hours(seconds: float) -> str:
    """Returns a span of time as a person says it.

    >>> [hours(seconds) for seconds in (95, 5_400, 100_000, 900_000)]
    ['2 min', '1.5 h', '28 h', '10 d']
    """
    if seconds < 3_600:
        return f"{math.ceil(seconds / 60)} min"
    if seconds < 36_000:
        return f"{seconds / 3_600:.1f} h"
    return f"{seconds / 3_600:.0f} h" if seconds < 4 * 86_400 else f"{seconds / 86_400:.0f} d"


def asking(benchmark: Benchmark, at_once: int, latency: float) -> float:
    """Returns the seconds that all questions take, of which so many are under way at once."""
    return sum(questions(benchmark).values()) * latency / at_once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", nargs="+", type=int, default=(1, 4, 8, 16))
    parser.add_argument("--rates", nargs="+", type=float, default=(0.5, 2, 8), help="images a second of one GPU")
    parser.add_argument("--latency", type=float, default=2.0, help="seconds to an answer")
    parser.add_argument("--at-once", type=int, default=64, help="--concurrency")
    parser.add_argument("--measured", type=Path, help="measured.jsonl of inaturalist.py: the CPU of one machine")
    args = parser.parse_args()
    heads = [f"{one.name}, K_y = {one.k}" for one in BENCHMARKS]
    print(f"| | {' | '.join(heads)} |\n| ---{' | ---' * len(heads)} |")
    print(f"| questions, at the least | {' | '.join(f'{sum(questions(one).values()):,}' for one in BENCHMARKS)} |")
    asked = [hours(asking(one, args.at_once, args.latency)) for one in BENCHMARKS]
    print(f"| asking them, {args.latency:g} s to an answer, {args.at_once} at once | {' | '.join(asked)} |")
    print(f"| images, at the least | {' | '.join(f'{one.generated:,}' for one in BENCHMARKS)} |")
    for rate in args.rates:
        for gpus in args.gpus:
            cells = [hours(one.generated / (rate * gpus)) for one in BENCHMARKS]
            print(f"| {gpus} GPU{'s' * (gpus > 1)} of {rate:g} images a second each | {' | '.join(cells)} |")
    if args.measured:
        rows = [json.loads(line) for line in args.measured.read_text(encoding="utf-8").splitlines()]
        used = {row["stage"]: row["cpu_s"] for row in rows}
        last = BENCHMARKS[-1]
        shares = [sum(used[stage] * _share(stage, one, last) for stage in used) for one in BENCHMARKS]
        print(f"| CPU of one machine, without models | {' | '.join(hours(seconds) for seconds in shares)} |")


def _share(stage: str, one: Benchmark, measured: Benchmark) -> float:
    """Returns how much of what a stage took there it takes here: by its questions, else by its images."""
    there, here = questions(measured), questions(one)
    if stage in ("describe", "extend", "reflect"):
        return here[stage] / there[stage]
    return one.generated / measured.generated


if __name__ == "__main__":
    main()
