"""Measure what iterative evaluation is worth where the image model is good, and where it is often wrong (Table 4).

    python benchmarks/judge_table.py                                # five seeds, the test set, both models
    python benchmarks/judge_table.py --split val --seeds 10 11 12   # what settings are chosen on
    python benchmarks/judge_table.py --no-training                  # what each way to judge lets through and loses

The second model is the embedded one confused: for 40% of the seeds it draws another digit (`confused.py`). Beside
accuracies it prints what share of the wrong images each way to judge lets through and what share of the right ones it
rejects, and how many of the images that are trained on are right, by an independent reader of handwriting.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from confused import DIGITS, SPEC, Reader, install

from ltgc_cli import console, records
from ltgc_cli.config import Config
from ltgc_cli.learn.datasets import Split
from ltgc_cli.pipeline import chain
from ltgc_cli.records import Image, Metric, Rejected
from ltgc_cli.store import Store

MODELS = {"embedded": "right 96 times in 100", SPEC: "another digit for 40% of the seeds"}
WAYS: dict[str, dict[str, Any]] = {
    "no evaluation": {"mode": "score"},
    "exclusion": {"mode": "exclude"},
    "full": {},
    "exclusion, --scale margin": {"mode": "exclude", "scale": "margin"},
    "full, --scale margin": {"scale": "margin"},
}
"""The rows of the table, by what is set of filter."""


class Judged(NamedTuple):
    """What became of the images that a way to judge saw, in counts."""

    wrong: int  # of the first images of the descriptions
    wrong_passed: int
    right: int
    right_lost: int
    kept: int  # in the end, images of later rounds included
    kept_right: int

    def shares(self) -> tuple[float, float, float, float]:
        """Returns in percent: wrong ones that pass, right ones that are lost, right of those kept, kept of all."""
        first = self.wrong + self.right
        pairs = [(self.wrong_passed, self.wrong), (self.right_lost, self.right), (self.kept_right, self.kept)]
        passed, lost, right, kept = (100 * part / max(1, whole) for part, whole in [*pairs, (self.kept, first)])
        return passed, lost, right, kept


def judged(path: Path, reader: Reader) -> Judged:
    """Returns what became of the generated images in filter's artifact, by what the reader sees in them."""
    with path.open(encoding="utf-8") as lines:
        rows = [row for row in records.read(lines, str(path)) if isinstance(row, Image | Rejected) and row.history]
    seen = reader.read([sha256 for row in rows for sha256 in (row.sha256, row.history[0].sha256)])
    found = dict.fromkeys(Judged._fields, 0)
    for row in rows:
        digit, passed = DIGITS.index(row.class_), isinstance(row, Image)
        first = "right" if seen[row.history[0].sha256] == digit else "wrong"
        at_once = passed and len(row.history) == 1
        found[first] += 1
        found["right_lost"] += first == "right" and not at_once
        found["wrong_passed"] += first == "wrong" and at_once
        found["kept"] += passed
        found["kept_right"] += passed and seen[row.sha256] == digit
    return Judged(**found)


def artifact(steps: Sequence[Config], given: Path | None = None) -> Path:
    """Returns the artifact of the last of several stages."""
    found = chain.run_all(steps, given).artifact
    assert found
    return found


def accuracies(path: Path, method: str) -> dict[str, float]:
    """Returns what eval wrote of a method, in percent by group."""
    with path.open(encoding="utf-8") as lines:
        rows = [row for row in records.read(lines, str(path)) if isinstance(row, Metric) and row.method == method]
    return {row.group: row.value for row in rows if row.name == "accuracy" and row.value is not None}


def summary(values: Sequence[float]) -> str:
    """Returns mean ± sample standard deviation."""
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values) if len(values) > 1 else 0.0:.1f}"


def stages(of: int, k: int, folder: Path, *commands: str, **values: Any) -> list[Config]:
    """Returns the settings of stages on the data of a seed, whatever variables say."""
    known = {"data": f"digits-lt:{of}:100", "k": k, "cache_dir": folder, **values}
    return chain.configured(commands, known, environment={})


def one_seed(seed: int, args: argparse.Namespace, split: Split, reader: Reader) -> Mapping[tuple[str, str], Any]:
    """Returns by model and way what became of the images, and the accuracies by method where it is trained."""
    found = {}
    for model in args.models:
        *until_render, _ = stages(seed, args.k, args.cache_dir, *chain.GENERATING, t2i=model)
        rendered = artifact(until_render)
        for way, values in WAYS.items():
            filtered = artifact(stages(seed, args.k, args.cache_dir, "filter", t2i=model, **values), rendered)
            measured: dict[str, float] = {}
            if args.training:
                steps = stages(seed, args.k, args.cache_dir, "mix-train", "eval", name=way, seed=seed, split=split)
                measured = accuracies(artifact(steps, filtered), way)
            found[model, way] = judged(filtered, reader), measured
            print(f"seed {seed}, {model}, {way}: {found[model, way]}", file=sys.stderr, flush=True)
    return found


def markdown(model: str, seeds: Sequence[Mapping[tuple[str, str], Any]]) -> str:
    """Returns the table of a model as Markdown: a line a way, mean ± standard deviation over the seeds."""
    columns = ["wrong that pass, %", "right that are lost, %", "right of those kept, %", "kept of all, %"]
    groups = [group for group in ("few", "all") if all(found[model, way][1] for found in seeds for way in WAYS)]
    lines = [f"| {model}: {MODELS[model]} | {' | '.join([*groups, *columns])} |"]
    lines.append("| --- |" + " --- |" * (len(groups) + len(columns)))
    for way in WAYS:
        own = [found[model, way] for found in seeds]
        cells = [summary([measured[group] for _, measured in own]) for group in groups]
        cells += [summary(values) for values in zip(*(one.shares() for one, _ in own), strict=True)]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(lines)


def gains(model: str, seeds: Sequence[Mapping[tuple[str, str], Any]]) -> str:
    """Returns what each way gains over none, and the full ones over exclusion alone, paired within the seed."""
    said = []
    pairs = [(way, "no evaluation") for way in WAYS if way != "no evaluation"]
    pairs += [(way, way.replace("full", "exclusion")) for way in WAYS if way.startswith("full")]
    for way, other in pairs:
        both = [(found[model, way][1], found[model, other][1]) for found in seeds]
        values = (summary([mine[group] - theirs[group] for mine, theirs in both]) for group in ("few", "all"))
        said.append(f"{way} over {other}: {' few, '.join(values)} all")
    return "\n".join(said)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--split", choices=["test", "val"], default="test")
    parser.add_argument("--training", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--models", choices=list(MODELS), nargs="+", default=list(MODELS))
    parser.add_argument("-k", type=int, default=60)
    parser.add_argument("--cache-dir", type=Path, default=Path(".ltgc-benchmark"))
    args = parser.parse_args()
    console.configure(quiet=True)
    install()
    reader = Reader(Store(args.cache_dir).get_object)
    seeds = [one_seed(seed, args, args.split, reader) for seed in args.seeds]
    print(f"{args.split} set, seeds {', '.join(map(str, args.seeds))}, K_y = {args.k}\n")
    for model in args.models:
        print(markdown(model, seeds), end="\n\n")
        if args.training:
            print(gains(model, seeds), end="\n\n")


if __name__ == "__main__":
    main()
