"""Measure the demonstration over several seeds: means and spread, on the test set or the validation set.

    python benchmarks/digits_table.py                                       # five seeds, the test set
    python benchmarks/digits_table.py --split val --seeds 10 11 12 13       # what settings are chosen on
    python benchmarks/digits_table.py --split val --seeds 10 11 12 13 --variants     # LTGC with other settings

The grid: real images alone or with generated ones, by cross-entropy or logit adjustment, sampled by instance or
balanced, mixed or not; then what each way of training gains by the generated images, seed by seed.

A seed decides which digit gets how many training images, which images those are, and the training's own draws.
Everything goes through the commands' own stages and store, so a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ltgc_cli import console, records
from ltgc_cli.config import Config
from ltgc_cli.learn.datasets import Split
from ltgc_cli.learn.metrics import GROUPS
from ltgc_cli.pipeline import chain
from ltgc_cli.records import Metric
from ltgc_cli.settings import LossName, Mix, Sampler

ZERO_SHOT = "zero-shot CLIP"
LOSSES: dict[LossName, str] = {"ce": "cross-entropy", "la": "logit adjustment"}
SAMPLERS: tuple[Sampler, ...] = ("instance", "balanced")
MIXES: dict[Mix, str] = {"none": "no mixing", "balancemix": "BalanceMix", "cutmix": "CutMix, half of the images"}


class Way(NamedTuple):
    """A way to train: with generated images or without."""

    generated: bool
    loss: LossName
    sampler: Sampler
    mix: Mix

    @property
    def name(self) -> str:
        images = "real + generated" if self.generated else "real"
        return f"{images}, {LOSSES[self.loss]}, {self.sampler}, {MIXES[self.mix]}"

    def settings(self, seed: int) -> dict[str, Any]:
        """Returns its settings. CutMix's were chosen on validation sets: half of the images, 15% of them generated."""
        plain = {"seed": seed, "loss": self.loss, "sampler": self.sampler, "mix": self.mix, "generated": self.generated}
        if self.mix != "cutmix":
            return plain
        return plain | {"mix_prob": 0.5, "syn_prob": 0.15 if self.generated else None}


GRID = [
    Way(generated, loss, sampler, mix)
    for loss in LOSSES
    for sampler in SAMPLERS
    for mix in MIXES
    for generated in (False, True)
]
FINE_TUNE = Way(False, "ce", "instance", "none")
LTGC = Way(True, "ce", "balanced", "balancemix")
CUTMIX = Way(True, "la", "instance", "cutmix")
MIXUP = "real + generated, mixup"
WITHOUT, EXCLUDED = "LTGC without iterative evaluation", "LTGC with detection and exclusion"
TABLES: dict[str, list[str]] = {
    "The main rows": [
        ZERO_SHOT,
        FINE_TUNE.name,
        FINE_TUNE._replace(loss="la").name,
        CUTMIX._replace(generated=False).name,
        LTGC.name,
        CUTMIX.name,
    ],
    "Iterative evaluation (the paper's Table 4)": [WITHOUT, EXCLUDED, LTGC.name],
    "Mixing (the paper's Table 5)": [
        Way(True, "ce", "instance", "none").name,
        Way(True, "ce", "balanced", "none").name,
        MIXUP,
        LTGC.name,
    ],
}

VARIANTS: dict[str, dict[str, Any]] = {
    "LTGC": {},
    "--head-init descriptions": {"head_init": "descriptions"},
    "--head-init means": {"head_init": "means"},
    "--mix-prob 0.5": {"mix_prob": 0.5},
    "--ema 0.99": {"ema": 0.99},
}
"""LTGC with one setting changed each."""

Accuracies = dict[str, dict[str, float]]
"""Percent, by method and group."""


class Setup(NamedTuple):
    """The data of one seed, and where everything is kept."""

    seed: int
    k: int
    split: Split
    folder: Path

    def stages(self, *commands: str, **values: Any) -> list[Config]:
        """Returns the settings of stages on this data, whatever variables say."""
        known = {"data": f"digits-lt:{self.seed}", "k": self.k, "cache_dir": self.folder, **values}
        return chain.configured(commands, known, environment={})

    def generating(self, **values: Any) -> list[Config]:
        return self.stages(*chain.GENERATING, **values)

    def training(self, name: str, **settings: Any) -> list[Config]:
        return self.stages("mix-train", name=name, **{"seed": self.seed, **settings})

    def evaluating(self) -> list[Config]:
        return self.stages("eval", split=self.split, zero_shot=True)


def one_seed(setup: Setup) -> Accuracies:
    """Returns the accuracies of every method for one seed."""
    *until_render, filtering = setup.generating()
    rendered = artifact(until_render)
    filtered = artifact([filtering], rendered)
    trained = [one for way in GRID for one in setup.training(way.name, **way.settings(setup.seed))]
    mixup = setup.training(MIXUP, mix="mixup")
    found = accuracies(artifact([*trained, *mixup, *setup.evaluating()], filtered))
    for mode, name in (("score", WITHOUT), ("exclude", EXCLUDED)):
        filtering = setup.generating(mode=mode)[-1]
        steps = [filtering, *setup.training(name, **LTGC.settings(setup.seed)), *setup.evaluating()]
        found |= accuracies(artifact(steps, rendered))
    return found


def variants(setup: Setup) -> Accuracies:
    """Returns the accuracies of LTGC with one setting changed each, for one seed."""
    trained = [one for name, settings in VARIANTS.items() for one in setup.training(name, **settings)]
    return accuracies(artifact([*setup.generating(), *trained, *setup.evaluating()]))


def artifact(steps: Sequence[Config], given: Path | None = None) -> Path:
    """Returns the artifact of the last of several stages."""
    found = chain.run_all(steps, given).artifact
    assert found
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
        cells = [summary([found[method][group] for found in seeds]) for group in GROUPS]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def grid(seeds: Sequence[Accuracies]) -> str:
    """Returns the grid as Markdown: a line a way, without generated images, with them, and what they gain a seed."""
    columns = [f"{group}, {what}" for group in ("few", "all") for what in ("real", "real + generated", "gained")]
    lines = [f"| loss, sampler, mix | {' | '.join(columns)} |", "| --- |" + " --- |" * len(columns)]
    for way in GRID:
        if way.generated:
            continue
        real, both = way.name, way._replace(generated=True).name
        cells = [
            summary(values)
            for group in ("few", "all")
            for values in (
                [found[real][group] for found in seeds],
                [found[both][group] for found in seeds],
                [found[both][group] - found[real][group] for found in seeds],
            )
        ]
        lines.append(f"| {way.name.removeprefix('real, ')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--split", choices=["test", "val"], default="test")
    parser.add_argument("--variants", action="store_true", help="LTGC with other settings, not the grid")
    parser.add_argument("-k", type=int, default=60)
    parser.add_argument("--cache-dir", type=Path, default=Path(".ltgc-benchmark"))
    args = parser.parse_args()
    console.configure(quiet=True)
    seeds = []
    for seed in args.seeds:
        setup = Setup(seed, args.k, args.split, args.cache_dir)
        seeds.append(variants(setup) if args.variants else one_seed(setup))
        print(
            f"seed {seed}: " + ", ".join(f"{m} {v['few']:.1f}/{v['all']:.1f}" for m, v in seeds[-1].items()),
            file=sys.stderr,
        )
    print(f"accuracy in %, {args.split} set, seeds {', '.join(map(str, args.seeds))}, K_y = {args.k}\n")
    if args.variants:
        print(markdown("LTGC with one setting changed", list(VARIANTS), seeds))
        return
    for title, methods in TABLES.items():
        print(markdown(title, methods, seeds), end="\n\n")
    print(grid(seeds))
    gained = [[found[LTGC.name][group] - found[FINE_TUNE.name][group] for found in seeds] for group in ("few", "all")]
    print(f"\nLTGC over fine-tuning, seed by seed: few {summary(gained[0])}, all {summary(gained[1])}")


if __name__ == "__main__":
    main()
