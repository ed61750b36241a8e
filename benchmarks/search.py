"""Search for the best way to train with generated images, on validation sets alone; every trial is kept.

    python benchmarks/search.py                        # all trials on seeds 10 to 15, as far as they are not kept yet
    python benchmarks/search.py --only "adapted: prior and head of their own" --seeds 10 11
    python benchmarks/search.py --table                # what is kept, as Markdown

A trial is a recipe (recipes.py) measured on the validation set of digits-lt:SEED:100. The strongest recipe on real
images alone is the baseline; gains are within a seed. Test sets are of the seeds 0 to 4, and are not looked at here.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import digits_table
import recipes
from recipes import STREAMS, Recipe, Setup

from ltgc_cli import console
from ltgc_cli.pipeline import chain
from ltgc_cli.pipeline.recipes import REAL_ALONE, STRONGEST

KEPT = Path(__file__).parent / "search" / "trials.jsonl"
SEEDS = range(10, 16)
_SHOWN = ("few", "at most 5", "all")


def _adapted(**settings: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Returns the stages of images by an adapted model, with what each is told besides its defaults."""
    return {command: settings.get(command, {}) for command in chain.ADAPTING}


STREAMS |= {
    "adapted on all classes": _adapted(adapt={"from_classes": 1}),
    "adapted on classes of 20 images": _adapted(adapt={"from_classes": 20}),
    "adapted, 600 steps": _adapted(adapt={"steps": 600}),
    "adapted, strength 0.6": _adapted(render={"lora_scale": 0.6}, filter={"lora_scale": 0.6}),
    "adapted, guidance 1": _adapted(render={"guidance": 1.0}, filter={"guidance": 1.0}),
    "adapted, not judged": _adapted(filter={"mode": "score"}),
    "adapted, threshold 30": _adapted(filter={"threshold": 30.0}),
}

_FALLING = {**STRONGEST, "syn_prob": "0.5:0"}
_PRIOR = {**_FALLING, "syn_prior": True}
_OWN = {**_PRIOR, "syn_head": True}
_WAYS: dict[str, dict[str, Any]] = {
    "LTGC": {},
    "15% generated": {**STRONGEST, "syn_prob": 0.15},
    "share falling": _FALLING,
    "prior of their own": _PRIOR,
    "prior and head of their own": _OWN,
    "prior and head of their own, share 0.8 to 0": {**_OWN, "syn_prob": "0.8:0"},
}
"""Ways to train, each tried on several streams."""
_FEW_WAYS = {name: way for name, way in _WAYS.items() if name == "LTGC" or name.startswith("prior")}
_TRIED = {name: _FEW_WAYS for name in STREAMS if name.startswith(("adapted, ", "adapted on"))}
_TRIED |= {"plain": _WAYS, "adapted": _WAYS}
_MORE: dict[str, Mapping[str, Any]] = {
    "LTGC, harmonised": {"harmonise": True},
    "15% generated, harmonised": {**STRONGEST, "syn_prob": 0.15, "harmonise": True},
    "prior and head of their own, harmonised": {**_OWN, "harmonise": True},
    "prior and head of their own, share 0.5 to 0.2": {**_OWN, "syn_prob": "0.5:0.2"},
    "prior and head of their own, share 0.5": {**_OWN, "syn_prob": 0.5},
    "prior and head of their own, moving average": {**_OWN, "ema": 0.98},
}
"""Ways that are tried on the adapted stream alone."""

TRIALS: dict[str, Recipe] = {
    **recipes.REAL,
    f"{REAL_ALONE}, moving average": Recipe({**STRONGEST, "ema": 0.98}),
    f"{REAL_ALONE}, another training seed": Recipe(STRONGEST, run=1),
    f"{REAL_ALONE}, averaged with another training seed": Recipe(
        STRONGEST, average=f"{REAL_ALONE}, another training seed"
    ),
    **{f"{stream}: {way}": Recipe(own, stream) for stream, ways in _TRIED.items() for way, own in ways.items()},
    **{f"adapted: {way}": Recipe(own, "adapted") for way, own in _MORE.items()},
    "plain: LTGC, harmonised": Recipe({"harmonise": True}, "plain"),
    "adapted: prior and head of their own, another training seed": Recipe(_OWN, "adapted", run=1),
    "adapted: prior and head of their own, averaged with real images alone": Recipe(_OWN, "adapted", REAL_ALONE),
    "adapted: prior and head of their own, averaged with another training seed": Recipe(
        _OWN, "adapted", "adapted: prior and head of their own, another training seed"
    ),
}

Kept = dict[tuple[str, int], dict[str, Any]]
"""What was measured, by trial and seed."""


def kept() -> Kept:
    """Returns the trials that were made as they are defined now; of one made twice the later."""
    if not KEPT.exists():
        return {}
    rows = map(json.loads, KEPT.read_text(encoding="utf-8").splitlines())
    return {(row["trial"], row["seed"]): row for row in rows if row["trial"] in TRIALS and _made_of(row) == row}


def keep(name: str, seed: int, accuracy: Mapping[str, float]) -> None:
    """Adds a trial, with all that it was made from."""
    row = _made_of({"trial": name, "seed": seed})
    row |= {"accuracy": {group: round(value, 2) for group, value in accuracy.items()}}
    KEPT.parent.mkdir(exist_ok=True)
    with KEPT.open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps(row) + "\n")


def _made_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a row with what its trial is made of today."""
    recipe = TRIALS[row["trial"]]
    made = {"training": dict(recipe.training), "run": recipe.run, "average": recipe.average}
    return {**row, **made, "stream": STREAMS.get(recipe.stream, {})}


def one_seed(seed: int, names: Sequence[str], folder: Path) -> None:
    """Makes the trials on the validation set of one seed that are not kept yet."""
    console.configure(quiet=True)
    for name in names:
        if (name, seed) in kept():
            continue
        accuracy = recipes.measure(name, Setup(seed, folder, "val"), TRIALS)
        keep(name, seed, accuracy)
        print(f"seed {seed}, {name}: few {accuracy['few']:.1f}, all {accuracy['all']:.1f}", file=sys.stderr, flush=True)


def table(found: Kept) -> str:
    """Returns what is kept as Markdown: a line a trial, its means, and its gains over the strongest on real images."""
    heads = [*_SHOWN, "gain on few", "gain on all", "seeds"]
    lines = [f"| trial | {' | '.join(heads)} |", "| --- |" + " --- |" * len(heads)]
    base = {seed: row["accuracy"] for (name, seed), row in found.items() if name == REAL_ALONE}
    for name in TRIALS:
        rows = {seed: row["accuracy"] for (trial, seed), row in sorted(found.items()) if trial == name}
        if not rows or not rows.keys() <= base.keys():
            continue
        cells = [digits_table.summary([row[group] for row in rows.values()]) for group in _SHOWN]
        for group in ("few", "all"):
            ours, theirs = zip(*((row[group], base[seed][group]) for seed, row in rows.items()), strict=True)
            cells.append("" if name == REAL_ALONE else str(digits_table.paired_gain(ours, theirs)))
        lines.append(f"| {name} | {' | '.join([*cells, str(len(rows))])} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="10 to 15 [all]")
    parser.add_argument("--only", nargs="+", choices=list(TRIALS), metavar="TRIAL", help="these trials [all]")
    parser.add_argument("--jobs", type=int, default=1, help="seeds at once, in processes of one thread each [1]")
    parser.add_argument("--table", action="store_true", help="show what is kept, and try nothing")
    parser.add_argument("--cache-dir", type=Path, default=Path(".ltgc-benchmark"))
    args = parser.parse_args()
    if min(args.seeds) < min(SEEDS):
        sys.exit("error: the seeds below 10 are those of the test sets; nothing is chosen on their data")
    names, count = args.only or list(TRIALS), len(args.seeds)
    if not args.table:
        os.environ["OMP_NUM_THREADS"] = "1"  # busy pools of threads slow each other down
        with ProcessPoolExecutor(args.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
            list(pool.map(one_seed, args.seeds, [names] * count, [args.cache_dir] * count))
    print(table(kept()))


if __name__ == "__main__":
    main()
