"""Which images a page has room for: all of them, some of each class, or, of thousands of classes, those worth most.

It is reckoned from the numbers of each class, before the images themselves are looked at.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, zip_longest
from typing import NamedTuple, TypeVar

from ltgc_cli.report.content import ClassContent
from ltgc_cli.report.thumbnails import SEEN, SHARP

PIXELS = (SHARP, SEEN)  # how wide images may be, the widest first
_IMAGE, _CLASS = 520, 1500  # bytes of the markup of an image (its score, its rounds) and of a class, without texts
_ROW = 900  # of a class of which no image is shown
_MOST = 4096  # images of one class: above it none is left out because of --size alone
_ROOM_FOR_ROUNDS = 9  # images of a class from which on the rounds of generated images get a third of them
_FEW, _SHEET = 4, 12  # images of a class that say too little of it, and that are shown of some classes instead
_DECODED = 6000  # images that are opened where not every class can show some: a minute's work
_TEXTS = 12  # dropped texts of a class that are listed where its images are cut
_SAMPLE = 5  # images of a class that may be opened to learn how large images are

Shown = TypeVar("Shown")


class ClassSize(NamedTuple):
    """How much there is of a class to show."""

    images: int  # earlier rounds too
    originals: int  # those that stand on the page twice, the second time beside generated ones
    words: float  # characters of an image's description, on average: it stands on the page twice
    texts: int  # characters of what was dropped or failed
    sample: tuple[str, ...]  # sha256 of some of its images


class Fit(NamedTuple):
    """What a page has room for."""

    pixels: int
    most: int | None = None  # images of a class; None: all of them
    sheets: frozenset[int] | None = None  # the labels of the classes whose images are shown; None: all
    listed: frozenset[int] | None = None  # the labels of the classes that are listed; None: all


def size_of(cls: ClassContent) -> ClassSize:
    """Returns how much there is of a class to show."""
    images = cls.images
    texts = sum(len(part) for one in (*cls.rejected_descriptions, *cls.failures) for part in one)
    twice = len(cls.originals) * bool(cls.generated)
    said = [len(one.text) for one in cls.generated]
    words = sum(said) / len(said) if said else 0.0
    return ClassSize(len(images), twice, words, texts, tuple(spread(images, min(_SAMPLE, len(images)))))


def fitted(sizes: Mapping[int, ClassSize], worth: Sequence[int], lengths: Mapping[int, float], room: float) -> Fit:
    """Returns what there is room for.

    worth -- the labels, those first that one wants to look at most
    lengths -- how many characters the address of an image has that is so many PIXELS wide, on average
    room -- about how many bytes the page may have
    """
    for pixels in PIXELS:
        if sum(_bytes(size, lengths[pixels]) for size in sizes.values()) <= room:
            return Fit(pixels)
    length = lengths[SEEN]

    def page(most: int) -> float:
        return sum(_bytes(size, length, most) for size in sizes.values())

    most = bisect_right(range(1, _MOST), room, key=page)
    if most >= _FEW:
        return Fit(SEEN, most)
    return _worthiest(sizes, worth, length, room)


def _worthiest(sizes: Mapping[int, ClassSize], worth: Sequence[int], length: float, room: float) -> Fit:
    """Returns a list of all classes, as far as it goes, with the images of those that are worth most."""
    listed = worth[: int(room // _ROW)]
    left, images = room - _ROW * len(listed), _DECODED
    sheets = []
    for label in listed:
        if not sizes[label].images:
            continue
        left -= _bytes(sizes[label], length, _SHEET) - _ROW
        images -= min(sizes[label].images, _SHEET)
        if left < 0 or images < 0:
            break
        sheets.append(label)
    return Fit(SEEN, _SHEET, frozenset(sheets), None if len(listed) == len(sizes) else frozenset(listed))


def _bytes(size: ClassSize, length: float, most: int | None = None) -> float:
    """Returns about how many bytes a class takes with at most so many images."""
    images, twice, texts = size.images, size.originals, size.texts
    if most is not None and images > most:
        images, twice, texts = most, min(twice, max(1, most // 3)), min(texts, _TEXTS * 150)
    return _CLASS + texts + (images + twice) * (_IMAGE + 2 * size.words + length)


def by_worth(classes: Sequence[ClassContent]) -> list[int]:
    """Returns the labels of the classes, in turn the one with most rejected, that lost most, and the rarest."""
    rejected = [cls for cls in classes if cls.rejection_rate]
    lost = [cls for cls in classes if cls.gain is not None]
    rare = [cls for cls in classes if cls.real is not None]
    orders = (
        sorted(rejected, key=lambda cls: (-(cls.rejection_rate or 0), cls.label)),
        sorted(lost, key=lambda cls: (cls.gain or 0, cls.label)),
        sorted(rare, key=lambda cls: (not cls.tail, cls.real or 0, cls.label)),
    )
    turns: Iterator[ClassContent | None] = chain.from_iterable(zip_longest(*orders))
    return list(dict.fromkeys(cls.label for cls in (*turns, *classes) if cls is not None))


def bare(cls: ClassContent) -> ClassContent:
    """Returns a class of which nothing is read as its line in the list has it: its numbers, and nothing to open."""
    return cls._replace(template="", left_out=cls.original_count + cls.accepted + cls.rejected)


def cut(cls: ClassContent, most: int | None) -> ClassContent:
    """Returns a class with at most about so many of its images, where it is said: a fair choice of each kind.

    Of the generated images those stay that are spread evenly over the accepted, and over the rejected; their rounds
    are a third of the room.
    """
    if most is None or len(cls.images) <= most:
        return cls
    accepted = [image for image in cls.generated if image.accepted]
    rejected = [image for image in cls.generated if not image.accepted]
    has_rounds = any(image.steps for image in cls.generated) and most >= _ROOM_FOR_ROUNDS
    sizes = [len(cls.originals), len(accepted), len(rejected), len(cls.plain)]
    shares = _shares(sizes, most - has_rounds * most // 3)
    room = most - sum(shares)
    generated = []
    for image in (*spread(accepted, shares[1]), *spread(rejected, shares[2])):
        fits = len(image.steps) <= room
        room -= len(image.steps) if fits else 0
        generated.append(image if fits else image._replace(steps=()))
    return _without_texts(cls)._replace(
        originals=cls.originals[: shares[0]],
        generated=tuple(generated),
        plain=cls.plain[: shares[3]],
        left_out=sum(sizes) - sum(shares),
    )


def _without_texts(cls: ClassContent) -> ClassContent:
    """Returns a class with a few of the texts that were dropped, and of its failures."""
    texts, failures = cls.rejected_descriptions, cls.failures
    return cls._replace(
        rejected_descriptions=texts[:_TEXTS],
        failures=failures[:_TEXTS],
        texts_left_out=max(0, len(texts) - _TEXTS) + max(0, len(failures) - _TEXTS),
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


def spread(images: Sequence[Shown], many: int) -> list[Shown]:
    """Returns so many of the images, evenly spread.

    >>> spread("abcdefgh", 3)
    ['a', 'c', 'f']
    """
    return [images[number * len(images) // many] for number in range(many)]
