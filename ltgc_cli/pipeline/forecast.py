"""What a data set will cost: describe to filter tried on some of its tail classes, and counted up to all of them.

No image is opened: a dry run asks nothing, and an image that nothing was asked of is known by its name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ltgc_cli.learn.datasets import Dataset
from ltgc_cli.pipeline import chain
from ltgc_cli.pipeline.class_table import class_record
from ltgc_cli.records import Class, Image, Record, identify
from ltgc_cli.usage import UsageSum, total

_SAMPLED = 2000
"""Descriptions of the tail classes that are tried, some classes of each size; the others are taken to be alike."""

COLUMNS = ("", "model", "to ask", "tokens in", "tokens out", "US dollars")
_ASKED = {"describe": "lmm", "sense": "lmm", "generate": "t2i", "score": "clip", "compare": "clip"}


class Forecast(NamedTuple):
    """What one stage asks one model for one purpose."""

    stage: str
    purpose: str
    spec: str
    usage: UsageSum


def forecast(data: Dataset, below: int, values: Mapping[str, Any]) -> list[Forecast]:
    """Returns what describe to filter would ask, filter at the most: as if no generated image ever passed.

    below -- the count below which a class is a tail class
    values -- settings of the stages by name: the models (lmm, llm, t2i, clip), k, price, cache_dir
    """
    configs = chain.configured(chain.GENERATING, {**values, "tail": str(below)}, chain.without_limit())
    tail = sorted((cls for info in data.classes if (cls := class_record(info, below)).tail), key=_size)
    number = sampled(len(tail), values["k"])
    some = [tail[index * len(tail) // number] for index in range(number)]
    if not some:
        return []
    images = sum(map(_size, tail)) / max(sum(map(_size, some)), 1)
    classes = len(tail) / len(some)
    found = []
    for config, session in chain.try_out_all(configs, _rows(data, some)):
        for (purpose, _), one in session.sums.items():
            spec = str(values[_ASKED.get(purpose, "llm")])
            factor = images if config.command == "describe" else classes
            found.append(Forecast(config.command, purpose, spec, _times(one, factor)))
    return found


def table(lines: Sequence[Forecast]) -> list[tuple[str, ...]]:
    """Returns the forecast as a table, the total last."""
    cells = [
        (
            line.stage if line.purpose == line.stage else f"{line.stage}: {line.purpose}",
            line.spec,
            *_cells(line.usage),
        )
        for line in lines
    ]
    return [*cells, ("all", "", *_cells(total(line.usage for line in lines)))]


def sampled(tail: int, k: int) -> int:
    """Returns how many of the tail classes are tried.

    >>> sampled(9, 100), sampled(500, 100), sampled(500, 800)
    (9, 20, 3)
    """
    return min(tail, max(3, _SAMPLED // k))


def together(lines: Sequence[Forecast], *stages: str) -> UsageSum:
    """Returns what some stages cost together."""
    return total(line.usage for line in lines if line.stage in stages)


def _rows(data: Dataset, tail: Sequence[Class]) -> Iterator[Record]:
    items: dict[int, list[str]] = {}
    for item in data.items:
        items.setdefault(item.label, []).append(item.name)
    for cls in tail:
        yield identify(cls, cls.sense, cls.count)
        for name in items.get(cls.label, []):
            sha256 = hashlib.sha256(name.encode()).hexdigest()
            image = Image(label=cls.label, class_=cls.class_, sha256=sha256, origin="original", name=name)
            yield identify(image, name, sha256)


def _size(cls: Class) -> int:
    return cls.count or 0


def _times(usage: UsageSum, factor: float) -> UsageSum:
    whole = {name: round(getattr(usage, name) * factor) for name in UsageSum.__struct_fields__ if name != "dollars"}
    return UsageSum(**whole, dollars=usage.dollars * factor)


def _cells(usage: UsageSum) -> tuple[str, ...]:
    tokens = (usage.prompt_tokens, usage.completion_tokens)
    free = not (usage.dollars or usage.unpriced)
    return (
        f"{usage.new:,}",
        *(f"{count:,}" if count else "" for count in tokens),
        "nothing" if free else usage.priced(),
    )
