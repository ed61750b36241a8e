"""Tables for a person, from the records that a stage wrote."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ltgc_cli import console, records
from ltgc_cli.records import Checkpoint, Class, Description, Image, Metric, Record, Rejected, Template

_ROWS = 40
"""Descriptions shown; the artifact has them all."""

GROUPS = ("many", "medium", "few", "all")


def show(artifact: Path, stage: str) -> None:
    """Prints the table that suits a stage's output."""
    with artifact.open(encoding="utf-8") as lines:
        rows = list(records.read(lines, str(artifact)))
    if stage in ("describe", "extend", "reflect"):
        descriptions(rows)
    elif stage in ("render", "filter"):
        drawings(rows)
    elif stage == "mix-train":
        checkpoints(rows)
    else:
        accuracy(rows)


def descriptions(rows: Iterable[Record]) -> None:
    """Prints the descriptions, and how many more there are than fit."""
    found = [row for row in rows if isinstance(row, Description)]
    cells = [(row.class_, row.origin, row.text) for row in found[:_ROWS]]
    console.table("", ("class", "origin", "description"), cells)
    if len(found) > _ROWS:
        console.notice(f"… and {len(found) - _ROWS:,} more")


def drawings(rows: Iterable[Record]) -> None:
    """Prints, per tail class, what was drawn and what became of it."""
    cells = []
    for group in records.by_class(rows):
        if group.cls.tail:
            cells.append(_drawn(group.cls, group.rows))
    columns = ("class", "training images", "descriptions", "images", "redrawn", "rejected", "bar", "mean score")
    console.table("", columns, cells)


def _drawn(cls: Class, rows: Sequence[Record]) -> tuple[str, ...]:
    images = [row for row in rows if isinstance(row, Image) and row.origin == "generated"]
    rejected = [row for row in rows if isinstance(row, Rejected) and row.of == "image"]
    template = next((row for row in rows if isinstance(row, Template)), None)
    scores = [image.score for image in images if image.score is not None]
    return (
        cls.class_,
        str(cls.count if cls.count is not None else ""),
        str(sum(isinstance(row, Description) for row in rows)),
        str(len(images)),
        str(redrawn([*images, *rejected])),
        str(len(rejected)),
        f"{template.bar:.3f}" if template and template.bar is not None else "",
        f"{sum(scores) / len(scores):.3f}" if scores else "",
    )


def redrawn(judged: Iterable[Image | Rejected]) -> int:
    """Returns how many drawings were made over and above the first of each description."""
    return sum(max(0, len(row.history) - 1) for row in judged)


def checkpoints(rows: Iterable[Record]) -> None:
    """Prints what was trained."""
    cells = [
        (row.method, str(row.settings.get("images", "")), row.sha256[:12])
        for row in rows
        if isinstance(row, Checkpoint)
    ]
    console.table("", ("method", "generated images", "checkpoint"), cells)


def accuracy(rows: Iterable[Record]) -> None:
    """Prints accuracy in percent, a method a line, over many / medium / few / all."""
    table: dict[str, dict[str, float | None]] = {}
    for row in rows:
        if isinstance(row, Metric) and row.name == "accuracy" and row.group in GROUPS:
            table.setdefault(row.method, {})[row.group] = row.value
    cells = [(method, *(percent(values.get(group)) for group in GROUPS)) for method, values in table.items()]
    console.table("accuracy, %", ("method", *GROUPS), cells)


def percent(value: float | None) -> str:
    """Returns a percentage with one decimal, or a dash where there is none."""
    return "–" if value is None else f"{value:.1f}"


def totals(rows: Sequence[Record]) -> None:
    """Prints how many descriptions, drawings, rejections and redrawings the whole stream holds."""
    images = [row for row in rows if isinstance(row, Image) and row.origin == "generated"]
    rejected = [row for row in rows if isinstance(row, Rejected) and row.of == "image"]
    texts = [row for row in rows if isinstance(row, Description)]
    cells = [
        ("tail classes", str(sum(isinstance(row, Class) and row.tail for row in rows))),
        ("descriptions of original images", str(sum(row.origin == "described" for row in texts))),
        ("descriptions added by the language model", str(sum(row.origin != "described" for row in texts))),
        ("drawings accepted", str(len(images))),
        ("drawings made again after a refinement", str(redrawn([*images, *rejected]))),
        ("descriptions that no drawing passed for", str(len(rejected))),
    ]
    console.table("", ("", "number"), cells)
