"""A contact sheet: for each tail class the real images, the accepted generated images and the rejected ones."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from PIL import Image as PIL
from PIL import ImageDraw, ImageFont, ImageOps

from ltgc_cli import records
from ltgc_cli.records import Record, Rejected
from ltgc_cli.report.format import shortened

Colour = tuple[int, int, int]

_TILE, _GAP, _LABEL, _TITLE = 56, 4, 150, 30
_MOST = (6, 12, 5)  # real, accepted and rejected images of a class that are shown
_INK, _PAPER, _FAINT = (30, 30, 30), (250, 250, 248), (120, 120, 120)
_ACCEPTED, _REJECTED = (60, 140, 80), (190, 60, 50)


class SheetRow(NamedTuple):
    """One class on the sheet: its name, a line below it, and the sha256 of its images."""

    name: str
    caption: str
    real: Sequence[str]
    accepted: Sequence[str]
    rejected: Sequence[str]


def sheet_rows(rows: Iterable[Record]) -> list[SheetRow]:
    """Returns the tail classes of a stream as rows of a contact sheet, the rarest class first."""
    found = []
    for group in sorted(records.by_class(rows), key=lambda group: group.cls.count or 0):
        if not group.cls.tail:
            continue
        accepted = [row.sha256 for row in group.generated]
        rejected = [row.sha256 for row in group.rows if isinstance(row, Rejected) and row.of == "image"]
        # Images that a refinement replaced were rejected too.
        replaced = [step.sha256 for row in group.generated for step in row.history[:-1]]
        caption = f"{f'{group.cls.count} real, ' if group.cls.count else ''}{len(accepted)} generated"
        originals = [row.sha256 for row in group.originals]
        found.append(SheetRow(group.cls.class_, caption, originals, accepted, [*rejected, *replaced]))
    return found


def contact_sheet(rows: Iterable[Record], read: Callable[[str], bytes]) -> bytes:
    """Returns a PNG: a row per tail class, its real, accepted and rejected images side by side.

    read -- an image's bytes by its sha256; one that cannot be opened leaves its place empty
    """
    lines = sheet_rows(rows)
    widths = [count * (_TILE + _GAP) for count in _MOST]
    starts = [_LABEL, _LABEL + widths[0] + 2 * _GAP, _LABEL + widths[0] + widths[1] + 4 * _GAP]
    sheet = PIL.new("RGB", (starts[2] + widths[2] + _GAP, _TITLE + len(lines) * (_TILE + 2 * _GAP)), _PAPER)
    pen = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(15), ImageFont.load_default(11)
    titles = {"real": _INK, "generated, accepted": _ACCEPTED, "generated, rejected": _REJECTED}
    for start, (title, colour) in zip(starts, titles.items(), strict=True):
        pen.text((start, 8), title, fill=colour, font=large)
    for number, row in enumerate(lines):
        top = _TITLE + number * (_TILE + 2 * _GAP)
        pen.text((2 * _GAP, top + 12), shortened(row.name, 18), fill=_INK, font=large)
        pen.text((2 * _GAP, top + 32), shortened(row.caption, 26), fill=_FAINT, font=small)
        kinds = ((row.real, None), (row.accepted, _ACCEPTED), (row.rejected, _REJECTED))
        for start, count, (images, edge) in zip(starts, _MOST, kinds, strict=True):
            for column, sha256 in enumerate(images[:count]):
                _paste(sheet, read(sha256), (start + column * (_TILE + _GAP), top), edge)
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


def _paste(sheet: PIL.Image, data: bytes, corner: tuple[int, int], edge: Colour | None) -> None:
    try:
        image = PIL.open(io.BytesIO(data)).convert("RGB")
    except (OSError, ValueError):
        return
    # Small images are shown large, pixel by pixel.
    resampling = PIL.Resampling.NEAREST if max(image.size) < _TILE else PIL.Resampling.BICUBIC
    tile = ImageOps.contain(image, (_TILE, _TILE), resampling)
    tile = ImageOps.expand(tile, 2, edge) if edge else tile
    sheet.paste(tile, (corner[0] + (_TILE - tile.width) // 2, corner[1] + (_TILE - tile.height) // 2))
