"""What must hold of data before it is trained on: whole images, one name a class, no test image among the training's.

An image is known by the hash of its file: the first 16 bytes of its sha256. The same image encoded anew is another.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ltgc_cli.engine import in_order
from ltgc_cli.errors import InputError
from ltgc_cli.learn import datasets
from ltgc_cli.learn.datasets import ClassInfo, Dataset, Item
from ltgc_cli.learn.datasets.files import listed_at

THREADS = 8
SHOWN = 10  # problems of one kind that are spelled out; the rest are counted
HASH = 16  # bytes of a hash


class Checked(NamedTuple):
    """The content hash of an image; empty where the file is no image, or is not there, and then the problem."""

    hash: bytes
    problem: str = ""


def check_images(
    dataset: Dataset, items: Sequence[Item], advance: Callable[[], object] = lambda: None
) -> list[Checked]:
    """Returns of each of some images of a split, in order, what its file is.

    advance -- called after each image
    """
    found = []
    for checked in in_order(lambda item: _checked(dataset, item), items, THREADS):
        found.append(checked)
        advance()
    return found


def content_hash(data: bytes) -> bytes:
    """Returns what tells one image file from another."""
    return hashlib.sha256(data).digest()[:HASH]


def check_table(classes: Sequence[ClassInfo]) -> list[str]:
    """Returns what is wrong with a class table: classes of one name that no sense separates."""
    labels: dict[str, list[ClassInfo]] = {}
    for info in classes:
        name = unicodedata.normalize("NFC", info.name).casefold()  # macOS writes é as two characters
        labels.setdefault(" ".join(name.split()), []).append(info)
    return [
        f"labels {' and '.join(str(info.label) for info in same)} are called {same[0].name!r}; give each a name of "
        "its own in a class table (--classes), such as 'crane (bird)', or a sense there or with describe --senses"
        for same in labels.values()
        if len({info.sense.casefold() for info in same if info.sense}) < len(same) > 1
    ]


def two_labels(hashes: Sequence[bytes], items: Sequence[Item]) -> list[str]:
    """Returns the training images that are there twice, under two labels."""
    first: dict[bytes, Item] = {}
    return [
        f"{item.name} (label {item.label}) and {before.name} (label {before.label})"
        for hash, item in zip(hashes, items, strict=True)
        if (before := first.setdefault(hash, item)).label != item.label
    ]


def duplicates(hashes: Sequence[bytes], items: Sequence[Item], elsewhere: Mapping[bytes, str]) -> dict[int, str]:
    """Returns the training images that are not to be trained on, by their place, with the reason of each.

    Those that are validation or test images too: these sets stay what they are. Those that are there under two labels,
    every copy, for nobody knows which is right. And of copies under one label all but the first.
    elsewhere -- the names of images of other splits, by their hash
    """
    labels: dict[bytes, set[int]] = {}
    for hash, item in zip(hashes, items, strict=True):
        labels.setdefault(hash, set()).add(item.label)
    first: dict[bytes, str] = {}
    found = {}
    for place, (hash, item) in enumerate(zip(hashes, items, strict=True)):
        if not hash:
            continue
        if hash in elsewhere:
            found[place] = f"{item.name} is the {elsewhere[hash]}"
        elif len(labels[hash]) > 1:
            found[place] = f"{item.name} is there under the labels {', '.join(map(str, sorted(labels[hash])))}"
        elif hash in first:
            found[place] = f"{item.name} is {first[hash]} again"
        first.setdefault(hash, item.name)
    return found


def counts_by_shot(classes: Sequence[ClassInfo], generated: Counter[int]) -> list[tuple[str, int, int, int]]:
    """Returns for many, medium, few and all: the classes, their training images, the images generated for them.

    >>> counts_by_shot([ClassInfo(label=0, name="cat", count=120), ClassInfo(label=1, name="eel")], Counter({1: 7}))
    [('many', 1, 120, 0), ('medium', 0, 0, 0), ('few', 1, 0, 7), ('all', 2, 120, 7)]
    """
    rows = []
    for group in ("many", "medium", "few", "all"):
        members = [info for info in classes if group in ("all", datasets.shot(info.count))]
        rows.append((group, len(members), sum(c.count for c in members), sum(generated[c.label] for c in members)))
    return rows


def some(problems: Sequence[str]) -> list[str]:
    """Returns the first problems, and how many more there are."""
    more = len(problems) - SHOWN
    return [*problems[:SHOWN], *([f"and {more:,} more like that"] if more > 0 else [])]


def _checked(dataset: Dataset, item: Item) -> Checked:
    where = listed_at(dataset, item)
    try:
        data = datasets.image_bytes(dataset, item)
    except InputError as error:
        return Checked(b"", str(error))
    fault = _fault(data, f"{where}{item.path if where else item.name}")
    return Checked(b"" if fault else content_hash(data), fault)


def _fault(data: bytes, name: str) -> str:
    """Returns why bytes are no whole image, empty where they are one."""
    try:
        datasets.pixels(data, name, least=64)  # a JPEG is read to its end and yet costs an eighth
    except InputError as error:
        return str(error)
    return ""
