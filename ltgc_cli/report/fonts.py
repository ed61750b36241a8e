"""Text on pictures: each letter in a font that has it, of those that matplotlib ships and those of the system."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from unicodedata import combining, normalize

from PIL import ImageFont
from PIL.ImageDraw import ImageDraw


def fonts_for(texts: Iterable[str]) -> tuple[list[str], str]:
    """Returns the files of fonts that have the letters of some texts between them, and the letters that none has.

    The system's are looked through only for what the shipped one lacks.
    """
    missing = {letter for text in texts for letter in normalize("NFC", text) if not letter.isspace()}
    chosen = [shipped()]
    missing -= _letters(shipped())
    for path in system_fonts() if missing else ():
        if found := missing & _letters(path):
            chosen.append(path)
            missing -= found
    return chosen, "".join(sorted(missing))


def shipped() -> str:
    """Returns the file of DejaVu Sans, which has Latin, Greek, Cyrillic and more."""
    import matplotlib

    return str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"))


def system_fonts() -> list[str]:
    """Returns the files of the fonts that are installed; of one family the regular one comes first."""
    from matplotlib.font_manager import findSystemFonts

    return sorted(findSystemFonts(), key=lambda path: ("regular" not in path.lower(), path))


def write(
    pen: ImageDraw, left: int, baseline: int, text: str, size: int, fonts: Sequence[str], fill: tuple[int, int, int]
) -> None:
    """Writes a text, each letter in the first of the fonts that has it."""
    at = float(left)
    for font, part in _parts(text, size, fonts):
        pen.text((at, baseline), part, fill=fill, font=font, anchor="ls")
        at += font.getlength(part)


def fitted(text: str, width: int, size: int, fonts: Sequence[str]) -> str:
    """Returns a text, cut to so many pixels."""
    text, end = normalize("NFC", text), ""
    while text and sum(font.getlength(part) for font, part in _parts(text + end, size, fonts)) > width:
        text, end = text[:-1], "…"
    return text + end


def _parts(text: str, size: int, fonts: Sequence[str]) -> list[tuple[ImageFont.FreeTypeFont, str]]:
    """Returns a text in parts, each with its font; a mark over a letter stays with the letter."""
    last = fonts[0]
    owners = []
    for letter in text:
        if not combining(letter):
            last = next((path for path in fonts if letter in _letters(path)), fonts[0])
        owners.append((last, letter))
    parts = groupby(owners, key=lambda owner: owner[0])
    return [(_font(path, size), "".join(letter for _, letter in letters)) for path, letters in parts]


@cache
def _letters(path: str) -> frozenset[str]:
    """Returns what a font has; nothing where it cannot be drawn with, as pictures of emoji cannot."""
    from matplotlib.ft2font import FT2Font

    try:
        _font(path, 15)
        return frozenset(map(chr, FT2Font(path).get_charmap()))
    except (OSError, RuntimeError, ValueError):
        return frozenset()


@cache
def _font(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)
