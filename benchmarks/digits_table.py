"""The demonstration's tables over several seeds: means and spread, on the test set or the validation set.

    python benchmarks/digits_table.py                   # five seeds, the test set
    python benchmarks/digits_table.py --split val       # what settings are chosen on

A seed decides which digit gets how many training images, which images those are, and the training's own draws.
Everything comes through the commands' own stages and store, so a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from ltgc_cli import console, records
from ltgc_cli.cli import demo
from ltgc_cli.cli.view import GROUPS
from ltgc_cli.learn.settings import Settings
from ltgc_cli.records import Metric
from ltgc_cli.stages.settings import Judging

ZERO_SHOT, FINE_TUNE, ADJUSTED, LTGC = "zero-shot CLIP", "fine-tuning", "fine-tuning + logit adjustment", "LTGC"
TABLES: dict[str, list[str]] = {
    "Main table": [ZERO_SHOT, FINE_TUNE, ADJUSTED, LTGC, "LTGC + logit adjustment"],
    "Table 4: iterative evaluation": ["without", "detection and exclusion", "full (LTGC)"],
    "Table 5: mixing": ["without BalanceMix", "balanced sampling", "mixup", "BalanceMix (LTGC)"],
}
SAME_AS = {"full (LTGC)": LTGC, "BalanceMix (LTGC)": LTGC}

Accuracies = dict[str, dict[str, float]]
"""Percent, by method and group."""


def one_seed(seed: int, k: int, split: str, folder: Path) -> Accuracies:
    """Returns the accuracies of every method for one seed."""
    data = f"digits-lt:{seed}"
    plain, adjusted = Settings(seed=seed), Settings(seed=seed, loss="la")
    *drawing, judging = demo.generating(data, k, Judging())
    drawn = demo.walked(drawing, folder)
    judged = demo.walked([judging], folder, drawn)
    steps = [
        demo.trained(data, plain, FINE_TUNE, generated=False),
        demo.trained(data, adjusted, ADJUSTED, generated=False),
        demo.trained(data, plain, LTGC),
        demo.trained(data, adjusted, "LTGC + logit adjustment"),
        demo.trained(data, Settings(seed=seed, mix="none"), "without BalanceMix"),
        demo.trained(data, Settings(seed=seed, mix="none", sampler="balanced"), "balanced sampling"),
        demo.trained(data, Settings(seed=seed, mix="mixup"), "mixup"),
        demo.evaluated(data, split),
    ]
    found = accuracies(demo.walked(steps, folder, judged))
    for mode, name in (("score", "without"), ("exclude", "detection and exclusion")):
        lenient = demo.generating(data, k, Judging(mode=mode))[-1]
        steps = [lenient, demo.trained(data, plain, name), demo.evaluated(data, split)]
        found |= accuracies(demo.walked(steps, folder, drawn))
    return found


def accuracies(artifact: Path) -> Accuracies:
    """Returns what eval wrote, by method and group."""
    found: Accuracies = {}
    with artifact.open(encoding="utf-8") as lines:
        for row in records.read(lines, str(artifact)):
            if isinstance(row, Metric) and row.name == "accuracy" and row.group in GROUPS and row.value is not None:
                found.setdefault(row.method, {})[row.group] = row.value
    return found


def summary(values: Sequence[float]) -> str:
    """Returns mean ± sample standard deviation."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.1f} ± {spread:.1f}"


def markdown(title: str, methods: Sequence[str], seeds: Sequence[Accuracies]) -> str:
    """Returns a table as Markdown: a line a method, mean ± standard deviation over the seeds."""
    lines = [f"| {title} | {' | '.join(GROUPS)} |", "| --- |" + " --- |" * len(GROUPS)]
    for method in methods:
        cells = [summary([found[SAME_AS.get(method, method)][group] for found in seeds]) for group in GROUPS]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--split", choices=["test", "val"], default="test")
    parser.add_argument("-k", type=int, default=60)
    parser.add_argument("--cache-dir", type=Path, default=Path(".ltgc-benchmark"))
    args = parser.parse_args()
    console.configure(quiet=True)
    found = []
    for seed in args.seeds:
        found.append(one_seed(seed, args.k, args.split, args.cache_dir))
        print(
            f"seed {seed}: " + ", ".join(f"{m} {v['few']:.1f}/{v['all']:.1f}" for m, v in found[-1].items()),
            file=sys.stderr,
        )
    print(f"accuracy in %, {args.split} set, seeds {', '.join(map(str, args.seeds))}, K_y = {args.k}\n")
    for title, methods in TABLES.items():
        print(markdown(title, methods, found), end="\n\n")


if __name__ == "__main__":
    main()
