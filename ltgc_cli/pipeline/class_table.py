"""The class table of a run: the data set's, with what the stream knows of a class. Labels never shift."""

from __future__ import annotations

import msgspec

from ltgc_cli.errors import InputError
from ltgc_cli.learn import datasets
from ltgc_cli.records import Class, identify


def data_classes(data: datasets.Source) -> list[datasets.ClassInfo]:
    """Returns the class table of a data set, with real training counts."""
    return list(datasets.open_data(data, "train").classes)


def agreed(table: list[datasets.ClassInfo], cls: Class) -> list[datasets.ClassInfo]:
    """Returns the data's class table with what the stream knows of a class (its sense).

    Raises InputError where stream and data do not mean the same class by a label: labels never shift.
    """
    if cls.label < 0:
        return table
    ours = next((info for info in table if info.label == cls.label), None)
    if ours is None or ours.name != cls.class_:
        there = f"is {ours.name!r}" if ours else "does not exist"
        raise InputError(
            f"label {cls.label} is {cls.class_!r} in the stream and {there} in --data; "
            "train on the data that the stream was made from"
        )
    if not cls.sense or cls.sense == ours.sense:
        return table
    return [msgspec.structs.replace(info, sense=cls.sense) if info is ours else info for info in table]


def class_info(cls: Class) -> datasets.ClassInfo:
    """Returns a class record as a row of the class table."""
    return datasets.ClassInfo(
        label=cls.label, name=cls.class_, sense=cls.sense, synonyms=cls.synonyms, count=cls.count or 0
    )


def class_record(info: datasets.ClassInfo, below: int) -> Class:
    """Returns a row of the class table as a record; with fewer than `below` training images it is a tail class."""
    cls = Class(
        label=info.label,
        class_=info.name,
        count=info.count,
        shot=datasets.shot(info.count),
        tail=info.count < below,
        sense=info.sense,
        synonyms=info.synonyms,
    )
    return identify(cls, info.sense, info.count, below, *([list(info.synonyms)] if info.synonyms else []))
