"""A contact sheet: for each tail class the real images, the accepted drawings and the rejected ones."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

from PIL import Image, ImageDraw, ImageFont

from ltgc_cli.report.rows import Row

Colour = tuple[int, int, int]

_TILE, _GAP, _LABEL, _TITLE = 56, 4, 150, 30
_INK, _PAPER, _FAINT = (30, 30, 30), (250, 250, 248), (120, 120, 120)
_ACCEPTED, _REJECTED = (60, 140, 80), (190, 60, 50)


def contact_sheet(
    rows: Sequence[Row], read: Callable[[str], bytes], columns: tuple[int, int, int] = (6, 12, 5)
) -> bytes:
    """Returns a PNG: a line per class, its real images, accepted drawings and rejected drawings side by side.

    columns -- how many of each kind are shown at most; an image that cannot be opened leaves its place empty
    """
    widths = [count * (_TILE + _GAP) for count in columns]
    starts = [_LABEL, _LABEL + widths[0] + 2 * _GAP, _LABEL + widths[0] + widths[1] + 4 * _GAP]
    sheet = Image.new("RGB", (starts[2] + widths[2] + _GAP, _TITLE + len(rows) * (_TILE + 2 * _GAP)), _PAPER)
    pen = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(15), ImageFont.load_default(11)
    for start, title, colour in zip(
        starts, ("real", "drawn, accepted", "drawn, rejected"), (_INK, _ACCEPTED, _REJECTED), strict=True
    ):
        pen.text((start, 8), title, fill=colour, font=large)
    for number, row in enumerate(rows):
        top = _TITLE + number * (_TILE + 2 * _GAP)
        pen.text((2 * _GAP, top + 12), _cut(row.name, 18), fill=_INK, font=large)
        pen.text((2 * _GAP, top + 32), _cut(row.caption, 26), fill=_FAINT, font=small)
        kinds: list[tuple[Sequence[str], Colour | None]] = [
            (row.real, None),
            (row.accepted, _ACCEPTED),
            (row.rejected, _REJECTED),
        ]
        for start, count, (images, edge) in zip(starts, columns, kinds, strict=True):
            for place, sha256 in enumerate(images[:count]):
                _paste(sheet, read(sha256), (start + place * (_TILE + _GAP), top), edge)
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


def _paste(sheet: Image.Image, data: bytes, place: tuple[int, int], colour: Colour | None) -> None:
    try:
        tile = Image.open(io.BytesIO(data)).convert("RGB")
    except (OSError, ValueError):
        return
    tile.thumbnail((_TILE, _TILE))
    if max(tile.size) < _TILE:  # small pictures are shown large, pixel by pixel
        zoom = _TILE / max(tile.size)
        tile = tile.resize((round(tile.width * zoom), round(tile.height * zoom)), Image.Resampling.NEAREST)
    left, top = place[0] + (_TILE - tile.width) // 2, place[1] + (_TILE - tile.height) // 2
    sheet.paste(tile, (left, top))
    if colour:
        box = (left - 2, top - 2, left + tile.width + 1, top + tile.height + 1)
        ImageDraw.Draw(sheet).rectangle(box, outline=colour, width=2)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
