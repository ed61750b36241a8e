"""Measure ways to train on digits-lt over several seeds: means, spread, and gains within a seed with their intervals.

    python benchmarks/digits_table.py                                       # five seeds, the test set
    python benchmarks/digits_table.py --jobs 2                              # two seeds at once, one thread each
    python benchmarks/digits_table.py --split val --seeds 10 11 12 13       # what settings are chosen on
    python benchmarks/digits_table.py --table paper                         # the paper's Tables 4 and 5
    python benchmarks/digits_table.py --table grid                          # losses, samplers and mixes
    python benchmarks/digits_table.py --table variants --split val --seeds 10 11 12 13     # LTGC, one setting changed

The ways to train are those of recipes.py. Everything goes through the commands' own stages and store, so a run that
was stopped goes on where it was. --imbalance 27.5 is the cut of the first version.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import recipes
from recipes import BASELINE, RECIPES, ZERO_SHOT, Accuracies, Recipe, Setup

from ltgc_cli import console
from ltgc_cli.errors import LtgcError
from ltgc_cli.records import GROUPS
from ltgc_cli.settings import LossName, Mix, Sampler

_LOSSES: dict[LossName, str] = {"ce": "cross-entropy", "la": "logit adjustment"}
_SAMPLERS: tuple[Sampler, ...] = ("instance", "balanced")
_MIXES: dict[Mix, str] = {"none": "no mixing", "balancemix": "BalanceMix", "cutmix": "CutMix, half of the images"}


def _way(loss: LossName, sampler: Sampler, mix: Mix, *, generated: bool) -> Recipe:
    settings = {"loss": loss, "sampler": sampler, "mix": mix}
    if mix == "cutmix":  # chosen on validation sets: half of the images, 15% of them generated
        settings |= {"mix_prob": 0.5, "syn_prob": 0.15 if generated else None}
    return Recipe(settings, "plain" if generated else "")


_WITH = "real + generated, "
GRID = {
    f"{_WITH if generated else ''}{_LOSSES[loss]}, {sampler}, {_MIXES[mix]}": _way(
        loss, sampler, mix, generated=generated
    )
    for loss in _LOSSES
    for sampler in _SAMPLERS
    for mix in _MIXES
    for generated in (False, True)
}
TABLE_4 = {
    "without iterative evaluation": Recipe({}, "not judged"),
    "detection and exclusion": Recipe({}, "excluded"),
    "LTGC": RECIPES["LTGC"],
}
TABLE_5 = {
    "without BalanceMix": Recipe({"mix": "none"}, "plain"),
    "balanced sampling": Recipe({"mix": "none", "sampler": "balanced"}, "plain"),
    "mixup": Recipe({"mix": "mixup"}, "plain"),
    "LTGC": RECIPES["LTGC"],
}
VARIANTS = {
    "LTGC": RECIPES["LTGC"],
    "--head-init descriptions": Recipe({"head_init": "descriptions"}, "plain"),
    "--head-init means": Recipe({"head_init": "means"}, "plain"),
    "--mix-prob 0.5": Recipe({"mix_prob": 0.5}, "plain"),
    "--ema 0.99": Recipe({"ema": 0.99}, "plain"),
}
TABLES = {"main": RECIPES, "paper": TABLE_4 | TABLE_5, "grid": GRID, "variants": VARIANTS}

Measured = Sequence[Mapping[str, Accuracies]]
"""Percent by method and group of classes, a mapping for each seed."""


def one_seed(setup: Setup, ways: Mapping[str, Recipe]) -> dict[str, Accuracies]:
    """Returns the accuracies of recipes, and of CLIP untrained, on the data of one seed."""
    console.configure(quiet=True)
    found = {ZERO_SHOT: recipes.zero_shot(setup)} if ways is RECIPES else {}
    for name in ways:
        found[name] = recipes.measure(name, setup, ways)
        few, whole = found[name]["few"], found[name]["all"]
        print(f"seed {setup.seed}, {name}: few {few:.1f}, all {whole:.1f}", file=sys.stderr, flush=True)
    return found


def _one_seed_of(setup: Setup, table: str) -> dict[str, Accuracies]:
    return one_seed(setup, TABLES[table])


def every_seed(setups: Sequence[Setup], table: str, jobs: int) -> list[dict[str, Accuracies]]:
    """Returns the accuracies of a table's recipes for each seed; several jobs are processes of one thread each."""
    if jobs == 1:
        return [_one_seed_of(setup, table) for setup in setups]
    os.environ["OMP_NUM_THREADS"] = "1"  # busy pools of threads slow each other down
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(_one_seed_of, setups, [table] * len(setups)))


def summary(values: Sequence[float]) -> str:
    """Returns mean ± sample standard deviation."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.1f} ± {spread:.1f}"


class PairedGain(NamedTuple):
    """What one method gains over another on the same data, in points."""

    mean: float
    within: float  # half the 95% interval of the mean; infinite for one seed
    positive: int  # of how many seeds it is above 0
    seeds: int

    def __str__(self) -> str:
        low, high = self.mean - self.within, self.mean + self.within
        interval = f" [{low:+.1f}, {high:+.1f}]" if math.isfinite(self.within) else ""
        return f"{self.mean:+.1f}{interval}, {self.positive} of {self.seeds}"


def paired_gain(ours: Sequence[float], theirs: Sequence[float]) -> PairedGain:
    """Returns the gain within a seed, [seeds] each, with Student's t interval of its mean over seeds.

    >>> print(paired_gain([90.0, 84.0, 91.0], [88.0, 80.0, 91.0]))
    +2.0 [-3.0, +7.0], 2 of 3
    """
    from scipy.special import stdtrit

    gains = [one - other for one, other in zip(ours, theirs, strict=True)]
    seeds = len(gains)
    error = statistics.stdev(gains) / math.sqrt(seeds) if seeds > 1 else math.inf
    within = error * float(stdtrit(seeds - 1, 0.975)) if seeds > 1 else math.inf
    return PairedGain(statistics.mean(gains), within, sum(gain > 0 for gain in gains), seeds)


def columns(seeds: Measured) -> list[str]:
    """Returns the groups of classes that every method has on the data of every seed."""
    return [group for group in GROUPS if all(group in found for seed in seeds for found in seed.values())]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def markdown(title: str, methods: Iterable[str], seeds: Measured) -> str:
    """Returns a table as Markdown: a line a method, mean ± standard deviation over the seeds."""
    shown = columns(seeds)
    lines = [_row([title, *shown]), _row(["---"] * (1 + len(shown)))]
    for method in methods:
        lines.append(_row([method, *(summary([found[method][group] for found in seeds]) for group in shown)]))
    return "\n".join(lines)


def strongest(methods: Iterable[str], group: str, seeds: Measured) -> str:
    """Returns the method with the highest mean over the seeds in a group of classes; the first of several."""
    return max(methods, key=lambda method: statistics.mean(found[method][group] for found in seeds))


def gains(over: Mapping[str, str], methods: Iterable[str], seeds: Measured) -> str:
    """Returns the paired gains of methods as Markdown.

    over -- what they are compared with, by group of classes
    """
    names = list(dict.fromkeys(over.values()))
    heads = [group if len(names) == 1 else f"{group}, over {over[group]}" for group in over]
    title = f"gain over {names[0]}" if len(names) == 1 else "gain over the strongest on real images alone"
    lines = [_row([title, *heads]), _row(["---"] * (1 + len(over)))]
    for method in methods:
        if method in names:
            continue
        cells = [
            str(paired_gain([found[method][group] for found in seeds], [found[other][group] for found in seeds]))
            for group, other in over.items()
        ]
        lines.append(_row([method, *cells]))
    return "\n".join(lines)


def main_tables(seeds: Measured) -> str:
    """Returns the main rows, and what each gains within a seed."""
    shown = [group for group in columns(seeds) if group in ("few", "at most 5", "all")]
    real = [name for name in RECIPES if recipes.is_real(name)]
    generated = [name for name in RECIPES if name not in real]
    best = {group: strongest(real, group, seeds) for group in shown}
    return "\n\n".join(
        [
            markdown("accuracy, %", [ZERO_SHOT, *RECIPES], seeds),
            "Gain in points within a seed: its mean [95% interval], and in how many seeds it is above 0:",
            gains(dict.fromkeys(shown, BASELINE), RECIPES, seeds),
            gains(best, generated, seeds),
        ]
    )


def grid(seeds: Measured) -> str:
    """Returns the grid as Markdown: a line a way, without generated images, with them, and what they gain a seed."""
    heads = [f"{group}, {what}" for group in ("few", "all") for what in ("real", "real + generated", "gained")]
    lines = [_row(["loss, sampler, mix", *heads]), _row(["---"] * (1 + len(heads)))]
    for real in GRID:
        if real.startswith(_WITH):
            continue
        cells = []
        for group in ("few", "all"):
            without = [found[real][group] for found in seeds]
            both = [found[_WITH + real][group] for found in seeds]
            cells += [summary(without), summary(both), str(paired_gain(both, without))]
        lines.append(_row([real, *cells]))
    return "\n".join(lines)


def shown(table: str, seeds: Measured) -> str:
    """Returns the tables of one kind as Markdown."""
    if table == "main":
        return main_tables(seeds)
    if table == "grid":
        return grid(seeds)
    if table == "variants":
        return markdown("LTGC with one setting changed", VARIANTS, seeds)
    titled = {"Iterative evaluation (the paper's Table 4)": TABLE_4, "Mixing (the paper's Table 5)": TABLE_5}
    return "\n\n".join(markdown(title, methods, seeds) for title, methods in titled.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", choices=list(TABLES), default="main")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--split", choices=["test", "val"], default="test")
    parser.add_argument("--imbalance", type=float, default=100.0, help="largest class over smallest [100]")
    parser.add_argument("-k", type=int, default=60, help="generated images a tail class [60]")
    parser.add_argument("--jobs", type=int, default=1, help="seeds at once, in processes of one thread each [1]")
    parser.add_argument("--cache-dir", type=Path, default=Path(".ltgc-benchmark"))
    args = parser.parse_args()
    setups = [Setup(seed, args.cache_dir, args.split, args.imbalance, args.k) for seed in args.seeds]
    try:
        seeds = every_seed(setups, args.table, args.jobs)
    except LtgcError as error:
        sys.exit(f"error: {error}")
    how = "" if args.split == "test" else ", means over classes"
    numbers = ", ".join(map(str, args.seeds))
    print(f"digits-lt, imbalance {args.imbalance:g}, {args.split} set{how}, seeds {numbers}, K_y = {args.k}\n")
    print(shown(args.table, seeds))


if __name__ == "__main__":
    main()
