"""Estimate what the questions of the paper's three benchmarks cost, by model: offline, nothing is asked.

    python benchmarks/costs.py                                   # Markdown, three minutes
    python benchmarks/costs.py --json costs.jsonl                # and the figures behind it
    python benchmarks/costs.py --models gpt-4o mistral/mistral-small-latest

It is the tool's own --dry-run (the plans of describe, extend, reflect, render and filter, one after the other) over a
few placeholder classes, times the number of classes that each stands for. An estimate grows in proportion to the
classes, because no question is about more than one of them (tests/test_costs.py checks that).

Classes and images are published: table "Statistics of long-tailed datasets" of AlphaNet (github.com/jayanthkoushik/
alphanet, paper/tables). A class with exactly 100 images counts as medium there, and is no tail class by --tail 100:
ImageNet-LT has six of them, 2% of its tail images.
Assumed: every class of a shot has the mean number of images (against counts spread over the shot that changed no stage
by more than 3%), and class names are as long as those below. Prices are those of the list that ships with litellm. What
a model that reasons thinks aloud is not in any figure.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ltgc_cli import usage
from ltgc_cli.pipeline import chain
from ltgc_cli.providers import prices
from ltgc_cli.records import Class, Image, Record, identify
from ltgc_cli.usage import UsageSum

STAGES = ("describe", "extend", "reflect", "filter")
IN_BATCHES = ("describe", "extend")
"""What --batch asks through a batch API."""
WITH_BATCHES = ("azure", "openai", "vertex_ai", "mistral")
"""Providers whose batch APIs --batch can use."""
MODELS = (
    "openai/gpt-4o",
    "openai/gpt-4.1-mini",
    "openai/gpt-4o-mini",
    "anthropic/claude-sonnet-4-5",
    "anthropic/claude-haiku-4-5",
    "vertex_ai/gemini-2.5-flash",
    "vertex_ai/gemini-2.5-flash-lite",
)
ROUNDS = 3
JUDGING = {"scale": "paper", "threshold": 0.8}
IMAGE_SIZE = 512
"""The default of describe's --image-size."""


class Shot(NamedTuple):
    """The classes of a shot, and their training images all together."""

    classes: int
    images: int


class Benchmark(NamedTuple):
    """A data set with the paper's K_y and its tail classes by shot; `names` are typical ones of it."""

    name: str
    k: int
    few: Shot
    medium: Shot
    names: tuple[str, ...]

    @property
    def classes(self) -> int:
        return self.few.classes + self.medium.classes

    @property
    def images(self) -> int:
        return self.few.images + self.medium.images

    @property
    def generated(self) -> int:
        """Generated images, when all pass at once."""
        return self.classes * self.k


BENCHMARKS = (
    Benchmark(
        "ImageNet-LT", 300, Shot(136, 1_643), Shot(479, 25_510), ("goldfinch", "mountain bike", "espresso maker")
    ),
    Benchmark("Places-LT", 800, Shot(71, 804), Shot(163, 8_934), ("airplane cabin", "kasbah", "hospital room")),
    Benchmark(
        "iNaturalist 2018",
        100,
        Shot(3_224, 46_112),
        Shot(4_076, 133_061),
        ("Trogon rufus", "Asclepias tuberosa", "Papilio glaucus"),
    ),
)


class Row(NamedTuple):
    """What one stage of one benchmark costs with one model."""

    benchmark: str
    model: str
    stage: str
    questions: int
    prompt_tokens: int
    completion_tokens: int
    dollars: float | None
    in_batch: float | None
    """US dollars through a batch API; None where there is none."""


def costs(benchmark: Benchmark, model: str) -> list[Row]:
    """Returns a row for each stage. Dollars are None where litellm's list does not know the model."""
    whole = {stage: UsageSum() for stage in STAGES}
    for shot in (benchmark.few, benchmark.medium):
        each = round(shot.images / shot.classes)
        asked = dry_run(benchmark.names, each, benchmark.k, model)
        # How many questions each of the dry run's stands for; by default one for each class.
        factors = {
            "describe": shot.images / asked["describe"].new,
            # One template a class, and two texts for each image that never passes. Some placeholders are alike, and
            # asked about once.
            "filter": shot.classes * (1 + (ROUNDS - 1) * benchmark.k) / asked["filter"].new,
        }
        for stage, one in asked.items():
            factor = factors.get(stage, shot.classes / len(benchmark.names))
            whole[stage] = usage.total([whole[stage], _times(one, factor)])
    return [_row(benchmark, model, stage, whole[stage]) for stage in STAGES]


def dry_run(names: Sequence[str], images: int, k: int, model: str) -> dict[str, UsageSum]:
    """Returns what each stage would ask for classes of so many images, by stage."""
    with tempfile.TemporaryDirectory() as folder:
        values = {"lmm": model, "llm": model, "k": k, "image_size": IMAGE_SIZE, "cache_dir": folder, **JUDGING}
        configs = chain.configured(chain.GENERATING, values, environment={})
        return {
            config.command: usage.total(
                one for (purpose, _), one in session.sums.items() if purpose not in ("generate", "score")
            )
            for config, session in chain.try_out_all(configs, placeholders(names, images))
            if config.command in STAGES
        }


def placeholders(names: Sequence[str], images: int) -> Iterable[Record]:
    """Returns tail classes with original images that need not exist: a dry run opens none."""
    for label, name in enumerate(names):
        cls = identify(Class(label=label, class_=name, count=images, tail=True), name)
        yield cls
        for number in range(images):
            image = Image(label=label, class_=name, sha256=f"{label:032x}{number:032x}", origin="original")
            yield identify(image, number)


def _times(one: UsageSum, factor: float) -> UsageSum:
    return UsageSum(
        new=round(one.new * factor),
        prompt_tokens=round(one.prompt_tokens * factor),
        completion_tokens=round(one.completion_tokens * factor),
        dollars=one.dollars * factor,
        unpriced=one.unpriced,
    )


def _row(benchmark: Benchmark, model: str, stage: str, one: UsageSum) -> Row:
    price = prices.find(model)
    half = None
    if price and stage in IN_BATCHES and model.partition("/")[0] in WITH_BATCHES:
        half = prices.dollars(prices.in_batch(price), one.prompt_tokens, one.completion_tokens)
    dollars = None if one.unpriced else one.dollars
    return Row(benchmark.name, model, stage, one.new, one.prompt_tokens, one.completion_tokens, dollars, half)


def summary(rows: Sequence[Row]) -> str:
    """Returns one table: the descriptions alone (describe, extend, reflect), and with filter at the most."""
    shown = [benchmark for benchmark in BENCHMARKS if any(row.benchmark == benchmark.name for row in rows)]
    heads = [f"{benchmark.name}, K_y = {benchmark.k}" for benchmark in shown]
    lines = [f"| US dollars, about | {' | '.join(heads)} |", f"| ---{' | ---' * len(shown)} |"]
    for model in dict.fromkeys(row.model for row in rows):
        cells = [_span([row for row in rows if (row.benchmark, row.model) == (b.name, model)]) for b in shown]
        lines.append(f"| `{model}` | {' | '.join(cells)} |")
    lines.append(f"| generated images | {' | '.join(f'{b.generated:,} to {ROUNDS * b.generated:,}' for b in shown)} |")
    return "\n".join(lines) + "\n"


def _span(rows: Sequence[Row]) -> str:
    known = {row.stage: row.dollars for row in rows if row.dollars is not None}
    if len(known) < len(STAGES):
        return "unknown"
    return f"{_money(sum(known.values()) - known['filter'])} to {_money(sum(known.values()))}"


def markdown(rows: Sequence[Row]) -> str:
    """Returns a table for each benchmark, a model a line."""
    parts = []
    for benchmark in BENCHMARKS:
        mine = [row for row in rows if row.benchmark == benchmark.name]
        if not mine:
            continue
        parts.append(
            f"**{benchmark.name}**, K_y = {benchmark.k}: {benchmark.classes:,} tail classes with {benchmark.images:,} "
            f"images; {benchmark.generated:,} generated images, "
            f"at the most {(ROUNDS - 1) * benchmark.generated:,} more in filter"
        )
        parts.append("")
        parts.append("| model | describe | extend | reflect | filter, at the most | all, at the most |")
        parts.append("| --- | --- | --- | --- | --- | --- |")
        for model in dict.fromkeys(row.model for row in mine):
            stages = {row.stage: row for row in mine if row.model == model}
            known = [row.dollars for row in stages.values() if row.dollars is not None]
            total = _money(sum(known)) if len(known) == len(STAGES) else "unknown"
            cells = [_cell(stages[stage]) for stage in STAGES]
            parts.append(f"| `{model}` | {' | '.join(cells)} | {total} |")
        parts.append("")
    return "\n".join(parts)


def _cell(row: Row) -> str:
    if row.dollars is None:
        return "unknown"
    return _money(row.dollars) + (f" ({_money(row.in_batch)})" if row.in_batch is not None else "")


def _money(dollars: float) -> str:
    """Returns US dollars with two figures that mean something: an estimate has no more.

    >>> [_money(dollars) for dollars in (1143.2, 96.4, 9.97, 4.82, 0.317)]
    ['1,140', '96', '10', '4.8', '0.32']
    """
    if dollars >= 1000:
        return f"{round(dollars, -1):,.0f}"
    return f"{dollars:.0f}" if dollars >= 9.95 else f"{dollars:.1f}" if dollars >= 0.995 else f"{dollars:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=MODELS, help="as litellm names them, the provider first")
    parser.add_argument("--json", type=Path, help="where the figures go, a row a line")
    args = parser.parse_args()
    logging.disable()
    rows = []
    for model in args.models:
        for benchmark in BENCHMARKS:
            print(f"{benchmark.name}, {model}", file=sys.stderr)
            rows += costs(benchmark, model)
    if args.json:
        args.json.write_text("".join(json.dumps(row._asdict()) + "\n" for row in rows), encoding="utf-8")
    print(summary(rows))
    print(markdown(rows), end="")


if __name__ == "__main__":
    main()
