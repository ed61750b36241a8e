"""Which images a report has room for, and how sharp they are."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence

from ltgc_cli.report.content import ClassContent, Content, JudgedImage
from ltgc_cli.report.thumbnails import SEEN, SHARP, mean_length

_IMAGE = 700
"""Bytes of an image's description, score and markup."""
_CLASS = 1500
_MOST = 4096
"""Images of one class: above it none is left out because of --size alone."""
_ROOM_FOR_ROUNDS = 9
"""Images of a class from which on the rounds of generated images get a third of them."""


def fitted(content: Content, read: Callable[[str], bytes], room: float) -> tuple[Content, int]:
    """Returns the content with as many images of each class as there is room for, and their size in pixels.

    read -- an image's bytes by its sha256
    room -- about how many bytes the page may have
    """
    shas = shown_images(content)
    sizes = {pixels: mean_length(shas, read, pixels) for pixels in (SHARP, SEEN)}
    for pixels, length in sizes.items():
        if _bytes(content, length) <= room:
            return content, pixels
    fits = bisect_right(range(1, _MOST), room, key=lambda most: _bytes(cut(content, most), sizes[SEEN]))
    return cut(content, max(fits, 1)), SEEN  # one of each class is there in any case


def _bytes(content: Content, length: float) -> float:
    return sum(_CLASS + image_count(cls) * (_IMAGE + length) for cls in content.shown)


def shown_images(content: Content) -> list[str]:
    """Returns the sha256 of the images that the page shows, each once, in its order."""
    return list(dict.fromkeys(sha256 for cls in content.shown for sha256 in _images(cls)))


def image_count(cls: ClassContent) -> int:
    """Returns how many images are shown of a class, earlier rounds counted too."""
    return sum(1 for _ in _images(cls))


def _images(cls: ClassContent) -> Iterator[str]:
    for original in cls.originals:
        yield original.sha256
    for image in (*cls.generated, *cls.plain):
        yield image.sha256
        for step in image.steps:
            yield step.sha256


def cut(content: Content, most: int) -> Content:
    """Returns the content with at most about so many images of each class shown: a fair choice of each kind.

    Of the generated images those stay that are spread evenly over the accepted, and over the rejected; their rounds
    are a third of the room.
    """
    return content._replace(shown=tuple(_cut(cls, most) for cls in content.shown))


def _cut(cls: ClassContent, most: int) -> ClassContent:
    if image_count(cls) <= most:
        return cls
    accepted = [image for image in cls.generated if image.accepted]
    rejected = [image for image in cls.generated if not image.accepted]
    has_rounds = any(image.steps for image in cls.generated) and most >= _ROOM_FOR_ROUNDS
    sizes = [len(cls.originals), len(accepted), len(rejected), len(cls.plain)]
    shares = _shares(sizes, most - has_rounds * most // 3)
    room = most - sum(shares)
    generated = []
    for image in (*_spread(accepted, shares[1]), *_spread(rejected, shares[2])):
        fits = len(image.steps) <= room
        room -= len(image.steps) if fits else 0
        generated.append(image if fits else image._replace(steps=()))
    return cls._replace(
        originals=cls.originals[: shares[0]],
        generated=tuple(generated),
        plain=cls.plain[: shares[3]],
        left_out=sum(sizes) - sum(shares),
    )


def _shares(sizes: Sequence[int], most: int) -> list[int]:
    """Returns how many of each kind there is room for, given out one at a time in turn.

    >>> _shares([2, 50, 3, 0], 9)
    [2, 4, 3, 0]
    """
    shares = [0] * len(sizes)
    while sum(shares) < min(most, sum(sizes)):
        for kind, size in enumerate(sizes):
            if shares[kind] < size and sum(shares) < most:
                shares[kind] += 1
    return shares


def _spread(images: Sequence[JudgedImage], many: int) -> list[JudgedImage]:
    """Returns so many of the images, evenly spread.

    >>> _spread("abcdefgh", 3)
    ['a', 'c', 'f']
    """
    return [images[number * len(images) // many] for number in range(many)]
