"""What a data set will cost: describe to filter rehearsed on some of its tail classes, and counted up to all of them.

No image is opened: a rehearsal asks nothing, and an image that nothing was asked of is known by its name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ltgc_cli.learn.datasets import Dataset
from ltgc_cli.pipeline import generate as plans
from ltgc_cli.pipeline.class_table import class_record
from ltgc_cli.pipeline.session import Asking, Limits, Session
from ltgc_cli.pipeline.stage import Plan
from ltgc_cli.prompts import PAPER
from ltgc_cli.records import Class, Image, Record, identify
from ltgc_cli.settings import Judging, Style
from ltgc_cli.usage import UsageSum, total

_SAMPLED = 2000
"""Descriptions of the tail classes that are rehearsed, some classes of each size; the others are taken to be alike."""

COLUMNS = ("", "model", "to ask", "tokens in", "tokens out", "US dollars")


class Models(NamedTuple):
    """The specs of the four models, and what a model costs that no list knows."""

    lmm: str
    llm: str
    t2i: str
    clip: str
    price: str | None = None


class Line(NamedTuple):
    """What one stage asks one model for one purpose."""

    stage: str
    purpose: str
    spec: str
    bill: UsageSum


def forecast(
    data: Dataset, below: int, models: Models, k: int, folder: Path, usual: Callable[[str, str], Any]
) -> list[Line]:
    """Returns what describe to filter would ask, filter at the most: as if no drawing ever passed.

    usual -- the default of a command's flag: usual("extend", "n")
    """
    tail = sorted((cls for info in data.classes if (cls := class_record(info, below)).tail), key=_size)
    number = sampled(len(tail), k)
    some = [tail[place * len(tail) // number] for place in range(number)]
    if not some:
        return []
    images = sum(map(_size, tail)) / max(sum(map(_size, some)), 1)
    classes = len(tail) / len(some)
    rows: Iterator[Record] = iter(_rows(data, some))
    lines = []
    for stage, open_plan in _plans(below, models, k, usual):
        session = Session(folder, limits=Limits(dry_run=True, price=models.price))
        made = list(open_plan(session).run(rows))
        assert session.rehearsal is not None
        for (purpose, _), bill in session.rehearsal.lines.items():
            spec = getattr(models, _ASKED.get(purpose, "llm"))
            lines.append(Line(stage, purpose, spec, _times(bill, images if stage == "describe" else classes)))
        rows = iter(made)
    return lines


_ASKED = {"describe": "lmm", "sense": "lmm", "draw": "t2i", "score": "clip", "compare": "clip"}


def _plans(
    below: int, models: Models, k: int, usual: Callable[[str, str], Any]
) -> list[tuple[str, Callable[[Session], Plan]]]:
    asking = Asking()
    seeing = Asking(image_size=usual("describe", "image_size"))
    drawing = {"batch": usual("render", "batch"), "api_base": None}
    return [
        (
            "describe",
            lambda s: plans.describing(s, data=None, tail=str(below), lmm=models.lmm, prompts=PAPER, asking=seeing),
        ),
        (
            "extend",
            lambda s: plans.extending(
                s, names=[], llm=models.llm, want=usual("extend", "n"), prompts=PAPER, asking=asking
            ),
        ),
        (
            "reflect",
            lambda s: plans.reflecting(
                s,
                llm=models.llm,
                k=k,
                rounds=usual("reflect", "rounds"),
                near=usual("reflect", "near"),
                prompts=PAPER,
                asking=asking,
            ),
        ),
        ("render", lambda s: plans.rendering(s, t2i=models.t2i, style=Style(), **drawing)),
        (
            "filter",
            lambda s: plans.filtering(
                s,
                llm=models.llm,
                t2i=models.t2i,
                clip=models.clip,
                settings=Judging(),
                style=Style(),
                prompts=PAPER,
                asking=asking,
                **drawing,
            ),
        ),
    ]


def table(lines: Sequence[Line]) -> list[tuple[str, ...]]:
    """Returns the forecast as a table, the total last."""
    cells = [
        (
            line.stage if line.purpose == line.stage else f"{line.stage}: {line.purpose}",
            line.spec,
            *_cells(line.bill),
        )
        for line in lines
    ]
    return [*cells, ("all", "", *_cells(total(line.bill for line in lines)))]


def sampled(tail: int, k: int) -> int:
    """Returns how many of the tail classes are rehearsed.

    >>> sampled(9, 100), sampled(500, 100), sampled(500, 800)
    (9, 20, 3)
    """
    return min(tail, max(3, _SAMPLED // k))


def bill(lines: Sequence[Line], *stages: str) -> UsageSum:
    """Returns what some stages cost together."""
    return total(line.bill for line in lines if line.stage in stages)


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


def _times(bill: UsageSum, factor: float) -> UsageSum:
    whole = {name: round(getattr(bill, name) * factor) for name in UsageSum.__struct_fields__ if name != "dollars"}
    return UsageSum(**whole, dollars=bill.dollars * factor)


def _cells(bill: UsageSum) -> tuple[str, ...]:
    tokens = (bill.prompt_tokens, bill.completion_tokens)
    free = not (bill.dollars or bill.unpriced)
    return (f"{bill.new:,}", *(f"{count:,}" if count else "" for count in tokens), "nothing" if free else bill.priced())
