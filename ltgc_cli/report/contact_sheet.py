"""A contact sheet: for each tail class the real images, the accepted generated images and the rejected ones.

Where a stream has more looks than these, they stand beside them: generated as the image model does without its adapter,
and the accepted ones harmonised.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from PIL import Image as PIL
from PIL import ImageDraw, ImageOps

from ltgc_cli import records
from ltgc_cli.errors import InputError, Unreadable
from ltgc_cli.providers.images import read as decoded
from ltgc_cli.records import Image, Rejected
from ltgc_cli.report.fonts import fitted, fonts_for, write
from ltgc_cli.text import nearest

Colour = tuple[int, int, int]

_TILE, _GAP, _LABEL, _TITLE = 56, 4, 150, 30
_MOST = (6, 12, 5)  # real, accepted and rejected images of a class that are shown
_UNADAPTED = 6
MOST_CLASSES = 300  # on one sheet: it is 19,000 pixels high then
_INK, _PAPER, _FAINT = (30, 30, 30), (250, 250, 248), (120, 120, 120)
_ACCEPTED, _REJECTED = (60, 140, 80), (190, 60, 50)

Harmonised = Callable[[int, str], bytes]
"""Returns a generated image as training saw it, by its label and sha256."""


class SheetRow(NamedTuple):
    """One class on the sheet: its name, a line below it, and the sha256 of the images that there is room for."""

    name: str
    real_images: int
    tail: bool
    caption: str
    real: Sequence[str]
    accepted: Sequence[str]
    rejected: Sequence[str]
    unadapted: Sequence[str] = ()  # generated without the adapter
    label: int = -1


class _Column(NamedTuple):
    """One kind of images on the sheet."""

    title: str
    colour: Colour
    most: int  # images of a class
    images: Callable[[SheetRow], Sequence[str]]
    edge: Colour | None = None
    harmonised: bool = False


class ContactSheet(NamedTuple):
    """A sheet as a PNG, and what is not on it."""

    png: bytes
    left_out: int  # classes, the most frequent ones
    lacking: str  # letters that no font here has


def chosen(every: Iterable[SheetRow], classes: Sequence[str]) -> list[SheetRow]:
    """Returns the tail classes, or those of these names, the rarest first. Raises InputError for an unknown name."""
    rows = sorted(every, key=lambda row: row.real_images)
    known = {row.name for row in rows}
    if unknown := next((name for name in classes if name not in known), ""):
        raise InputError(f"--class {unknown}: no class of the stream{nearest(unknown, known)}")
    return [row for row in rows if (row.name in classes if classes else row.tail)]


def sheet_row(group: records.Group) -> SheetRow:
    """Returns a class as a row of a sheet."""
    accepted = [row.sha256 for row in group.generated]
    rejected = [row.sha256 for row in group.rows if isinstance(row, Rejected) and row.of == "image"]
    # Images that a refinement replaced were rejected too.
    replaced = [step.sha256 for row in group.generated for step in row.history[:-1]]
    unadapted = [row.sha256 for row in group.rows if isinstance(row, Image) and row.origin == "unadapted"]
    caption = f"{f'{group.cls.count} real, ' if group.cls.count else ''}{len(accepted)} generated"
    originals = [row.sha256 for row in group.originals]
    turned_down = [sha256 for sha256 in (*rejected, *replaced) if sha256]
    real, good, bad = (kind[:most] for kind, most in zip((originals, accepted, turned_down), _MOST, strict=True))
    cls = group.cls
    return SheetRow(cls.class_, cls.count or 0, cls.tail, caption, real, good, bad, unadapted[:_UNADAPTED], cls.label)


def drawn(
    every: Sequence[SheetRow],
    read: Callable[[str], bytes],
    *,
    adapted: bool = False,
    harmonised: Harmonised | None = None,
) -> ContactSheet:
    """Returns a sheet of the classes that were chosen for it.

    adapted -- whether generated images are by an adapted model; harmonised -- shows them as training saw them, too
    """
    lines = every[:MOST_CLASSES]
    columns = _columns(adapted, any(row.unadapted for row in lines), harmonised is not None)
    starts = [_LABEL]
    for column in columns:
        starts.append(starts[-1] + column.most * (_TILE + _GAP) + 2 * _GAP)
    sheet = PIL.new("RGB", (starts[-1] - _GAP, _TITLE + len(lines) * (_TILE + 2 * _GAP)), _PAPER)
    pen = ImageDraw.Draw(sheet)
    fonts, lacking = fonts_for(row.name for row in lines)
    for start, column in zip(starts, columns, strict=False):
        write(pen, start, 21, column.title, 14, fonts, column.colour)
    for number, row in enumerate(lines):
        top = _TITLE + number * (_TILE + 2 * _GAP)
        room = _LABEL - 4 * _GAP
        write(pen, 2 * _GAP, top + 25, fitted(row.name, room, 14, fonts), 14, fonts, _INK)
        write(pen, 2 * _GAP, top + 42, fitted(row.caption, room, 10, fonts), 10, fonts, _FAINT)
        for start, column in zip(starts, columns, strict=False):
            for place, sha256 in enumerate(column.images(row)):
                data = harmonised(row.label, sha256) if harmonised and column.harmonised else read(sha256)
                _paste(sheet, data, (start + place * (_TILE + _GAP), top), column.edge)
    return ContactSheet(_png(sheet), len(every) - len(lines), lacking)


def _columns(adapted: bool, unadapted: bool, harmonised: bool) -> list[_Column]:
    """Returns the kinds of images that the sheet shows, from left to right."""
    real, accepted, rejected = _MOST
    found = [_Column("real", _INK, real, lambda row: row.real)]
    if unadapted:
        found.append(_Column("as it comes", _INK, _UNADAPTED, lambda row: row.unadapted))
    title = f"{'adapted' if adapted else 'generated'}, accepted"
    found.append(_Column(title, _ACCEPTED, accepted, lambda row: row.accepted, _ACCEPTED))
    if harmonised:
        found.append(_Column("harmonised", _ACCEPTED, accepted, lambda row: row.accepted, _ACCEPTED, harmonised=True))
    title = f"{'adapted' if adapted else 'generated'}, rejected"
    return [*found, _Column(title, _REJECTED, rejected, lambda row: row.rejected, _REJECTED)]


def _png(sheet: PIL.Image) -> bytes:
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


def _paste(sheet: PIL.Image, data: bytes, corner: tuple[int, int], edge: Colour | None) -> None:
    try:
        image = decoded(data, least=2 * _TILE)
    except Unreadable:
        return
    # Small images are shown large, pixel by pixel.
    resampling = PIL.Resampling.NEAREST if max(image.size) < _TILE else PIL.Resampling.BICUBIC
    tile = ImageOps.contain(image, (_TILE, _TILE), resampling)
    tile = ImageOps.expand(tile, 2, edge) if edge else tile
    sheet.paste(tile, (corner[0] + (_TILE - tile.width) // 2, corner[1] + (_TILE - tile.height) // 2))
