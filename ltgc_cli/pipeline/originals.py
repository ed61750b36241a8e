"""The original images of a data set's tail classes, listed at once, and read and stored when they are asked about.

A large data set is on its way to a model as soon as it is listed: what is copied is copied beside the questions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from ltgc_cli.errors import Refused
from ltgc_cli.learn import datasets
from ltgc_cli.learn.datasets import Dataset, Item, Source
from ltgc_cli.pipeline.class_table import class_record
from ltgc_cli.pipeline.data import open_data
from ltgc_cli.pipeline.shards import Shard, part
from ltgc_cli.records import Class, Group, Image, Record, identify

Keep = Callable[[bytes, Path | None], str]


class Originals(NamedTuple):
    """A data set's classes, and of each tail class its images."""

    dataset: Dataset
    classes: list[Class]
    items: dict[int, list[Item]]  # by label; classes without any are left out

    def total(self) -> int:
        """Returns how many images there are."""
        return sum(map(len, self.items.values()))


def listed(data: Source, below: int, shard: Shard | None = None) -> Originals:
    """Returns the classes of a data set, and the images of those with fewer than `below` that are this run's.

    Raises InputError where one of these is not there, or cannot be read: before anything is paid.
    """
    dataset = open_data(data, "train")
    classes = [class_record(info, below) for info in dataset.classes]
    tail = {cls.label for cls in part(classes, shard) if cls.tail}
    items: dict[int, list[Item]] = {}
    for item in dataset.items:
        if item.label in tail:
            items.setdefault(item.label, []).append(item)
    for own in items.values():
        datasets.check_readable(dataset, own)
    return Originals(dataset, classes, items)


def read(found: Originals, cls: Class, item: Item, keep: Keep) -> Image:
    """Returns the record of an original image, whose bytes are in the store from now on.

    Raises Refused where it can no longer be read (`listed` has opened it, so it went in between), Unreadable where it
    is no image.
    """
    sha256 = datasets.kept_image(found.dataset, item, keep)
    image = Image(label=cls.label, class_=cls.class_, sha256=sha256, origin="original", name=item.name)
    return identify(image, item.name, sha256)


def shown(found: Originals, groups: Sequence[Group], labels: Collection[int], most: int, keep: Keep) -> list[Group]:
    """Returns the groups, those of some labels with their class's first images, at most so many of those that are."""

    def images(cls: Class) -> list[Image]:
        return list(islice(whole(found.items.get(cls.label, []), cls), most))

    def whole(items: Sequence[Item], cls: Class) -> Iterator[Image]:
        for item in items:
            with suppress(Refused):  # describe says so of each
                yield read(found, cls, item, keep)

    return [
        Group(group.cls, [*group.rows, *images(group.cls)]) if group.cls.label in labels else group for group in groups
    ]


def rows(found: Originals, groups: Sequence[Group]) -> Iterator[tuple[Class, Record | Item]]:
    """Returns each class's lines but for images, and then all of its images as the data set lists them."""
    for group in groups:
        yield from ((group.cls, row) for row in group.rows if not isinstance(row, Image))
        yield from ((group.cls, item) for item in found.items.get(group.cls.label, []))
