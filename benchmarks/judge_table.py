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
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from confused import DIGITS, SPEC, Reader, install
from digits_table import paired_gain, summary
from recipes import Accuracies, Setup, measured

from ltgc_cli import console, records
from ltgc_cli.config import Config
from ltgc_cli.pipeline import chain
from ltgc_cli.records import Image, Rejected
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


def one_seed(setup: Setup, args: argparse.Namespace, reader: Reader) -> Mapping[tuple[str, str], Any]:
    """Returns by model and way what became of the images, and the accuracies of LTGC where it is trained."""
    found = {}
    for t2i in args.models:
        model = {"t2i": t2i}
        rendered = artifact([setup.stage(command, model) for command in chain.GENERATING[:-1]])
        for way, values in WAYS.items():
            filtered = artifact([setup.stage("filter", model | values)], rendered)
            accuracies: Accuracies = {}
            if args.training:
                trained = setup.stage("mix-train", {"name": way, "seed": setup.seed})
                accuracies = measured([trained, setup.stage("eval", {"split": setup.split})], way, filtered)
            found[t2i, way] = judged(filtered, reader), accuracies
            print(f"seed {setup.seed}, {t2i}, {way}: {found[t2i, way]}", file=sys.stderr, flush=True)
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
        few, whole = (
            paired_gain(*zip(*((a[group], b[group]) for a, b in both), strict=True)) for group in ("few", "all")
        )
        said.append(f"- {way} over {other}: few {few}; all {whole}")
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
    setups = [Setup(seed, args.cache_dir, args.split, k=args.k) for seed in args.seeds]
    seeds = [one_seed(setup, args, reader) for setup in setups]
    print(f"{args.split} set, seeds {', '.join(map(str, args.seeds))}, K_y = {args.k}\n")
    for model in args.models:
        print(markdown(model, seeds), end="\n\n")
        if args.training:
            print(gains(model, seeds), end="\n\n")


if __name__ == "__main__":
    main()
