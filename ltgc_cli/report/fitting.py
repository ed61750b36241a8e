"""How many pictures a report has room for, and how sharp they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ltgc_cli.report import story as telling
from ltgc_cli.report.story import Story
from ltgc_cli.report.thumbnails import SEEN, SHARP, mean_length

_PICTURE = 700
"""Bytes of a picture's description, score and markup."""
_CLASS = 1500
_MOST = 4096
"""Pictures of one class: above it none is left out because of --size alone."""


class Fit(NamedTuple):
    """A story cut to its room, and the size of its pictures in pixels."""

    story: Story
    pixels: int


def fitted(story: Story, read: Callable[[str], bytes], room: float) -> Fit:
    """Returns the story with as many pictures of each class as there is room for, as sharp as there is room for.

    read -- an image's bytes by its sha256
    room -- about how many bytes the page may have
    """
    shas = telling.shas(story)
    sizes = {pixels: mean_length(shas, read, pixels) for pixels in (SHARP, SEEN)}
    for pixels, length in sizes.items():
        if _bytes(story, length) <= room:
            return Fit(story, pixels)
    least, most = 1, _MOST  # the largest number that fits is in [least, most); one of each class is there in any case
    while most - least > 1:
        middle = (least + most) // 2
        fits = _bytes(telling.cut(story, middle), sizes[SEEN]) <= room
        least, most = (middle, most) if fits else (least, middle)
    return Fit(telling.cut(story, least), SEEN)


def _bytes(story: Story, length: float) -> float:
    return sum(_CLASS + telling.pictures(cls) * (_PICTURE + length) for cls in story.shown)
