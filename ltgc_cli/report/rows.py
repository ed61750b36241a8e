"""What the pictures and pages of a report are made from; loads nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ltgc_cli import records
from ltgc_cli.records import Image, Record, Rejected


class Row(NamedTuple):
    """One class on the sheet: its name, a line below it, and the sha256 of its images."""

    name: str
    caption: str
    real: Sequence[str]
    accepted: Sequence[str]
    rejected: Sequence[str]


def sheet_rows(rows: Iterable[Record]) -> list[Row]:
    """Returns the tail classes of a stream as lines of a contact sheet, the rarest class first."""
    found = []
    for group in sorted(records.by_class(rows), key=lambda group: group.cls.count or 0):
        if not group.cls.tail:
            continue
        images = [row for row in group.rows if isinstance(row, Image)]
        accepted = [row.sha256 for row in images if row.origin == "generated"]
        rejected = [row.sha256 for row in group.rows if isinstance(row, Rejected) and row.of == "image"]
        # Drawings that a refinement replaced were rejected too.
        replaced = [step.sha256 for row in images for step in row.history[:-1]]
        caption = f"{group.cls.count} real, {len(accepted)} drawn" if group.cls.count else f"{len(accepted)} drawn"
        real = [row.sha256 for row in images if row.origin == "original"]
        found.append(Row(group.cls.class_, caption, real, accepted, [*rejected, *replaced]))
    return found
