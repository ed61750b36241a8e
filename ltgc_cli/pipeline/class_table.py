"""The class table of a run: the data set's, with what the stream knows of a class. Labels never shift."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from ltgc_cli.errors import InputError
from ltgc_cli.learn.datasets import ClassInfo, shot
from ltgc_cli.learn.datasets.names import as_read
from ltgc_cli.records import Class, identify


def agreed(table: Mapping[int, ClassInfo], cls: Class) -> ClassInfo:
    """Returns the row of the data's class table that a class record is, with the sense that the stream knows.

    table -- by label
    Raises InputError where stream and data do not mean the same class by a label: labels never shift.
    """
    ours = table.get(cls.label)
    if ours is None or cls.class_ not in (ours.name, *ours.synonyms):  # a synonym: as an older version wrote it
        there = f"is {ours.name!r}" if ours else "does not exist"
        raise InputError(
            f"label {cls.label} is {cls.class_!r} in the stream and {there} in --data; "
            "train on the data that the stream was made from"
        )
    return msgspec.structs.replace(ours, sense=cls.sense or ours.sense)


def class_info(cls: Class) -> ClassInfo:
    """Returns a class record as a row of the class table."""
    return ClassInfo(label=cls.label, name=cls.class_, sense=cls.sense, synonyms=cls.synonyms, count=cls.count or 0)


def class_record(info: ClassInfo, below: int) -> Class:
    """Returns a row of the class table as a record; with fewer than `below` training images it is a tail class."""
    cls = Class(
        label=info.label,
        class_=info.name,
        count=info.count,
        shot=shot(info.count),
        tail=info.count < below,
        sense=info.sense,
        synonyms=info.synonyms,
    )
    return identify(cls, info.sense, info.count, below, *([list(info.synonyms)] if info.synonyms else []))


def named(names: Sequence[str]) -> Iterator[Class]:
    """Returns classes that have no data, labelled in the order given, under names as people write them."""
    for info in as_read([ClassInfo(label=label, name=name) for label, name in enumerate(names)]):
        yield Class(label=info.label, class_=info.name, synonyms=info.synonyms, tail=True)
