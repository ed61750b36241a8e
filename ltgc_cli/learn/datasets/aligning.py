"""One data set under another's class table, and samples by their class indices in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from ltgc_cli.errors import InputError
from ltgc_cli.learn.datasets.types import ClassInfo, Dataset, Sample
from ltgc_cli.text import nearest


def align(dataset: Dataset, classes: Sequence[ClassInfo]) -> Dataset:
    """Returns the data set under another class table: labels by class name, images otherwise as they were.

    Where the data has no names (`named` is False) its labels are the table's.
    Raises InputError for a class that the table does not have, or a name that it has twice.
    """
    labels = _by_label(dataset, classes) if not dataset.named else _by_name(dataset, classes)
    items = tuple(
        item if labels[item.label] == item.label else msgspec.structs.replace(item, label=labels[item.label])
        for item in dataset.items
    )
    named = dataset.named or any(info.name != str(info.label) for info in classes)
    return msgspec.structs.replace(dataset, classes=tuple(classes), items=items, named=named)


def class_indices(samples: Sequence[Sample], classes: Sequence[ClassInfo]) -> list[int]:
    """Returns the index of each sample's class in the class table. Raises InputError for a label it does not have."""
    indices = {info.label: index for index, info in enumerate(classes)}
    for sample in samples:
        if sample.label not in indices:
            raise InputError(f"{sample.name}: the class table has no label {sample.label}")
    return [indices[sample.label] for sample in samples]


def _agree(own: Sequence[ClassInfo], classes: Sequence[ClassInfo]) -> bool:
    """Returns whether all own labels mean there what they mean here: one name, and no two different senses."""
    known = {info.label: info for info in classes}
    return all(
        (other := known.get(info.label)) and other.name == info.name and len({info.sense, other.sense, ""}) < 3
        for info in own
    )


def _by_label(dataset: Dataset, classes: Sequence[ClassInfo]) -> dict[int, int]:
    known = {info.label for info in classes}
    for info in dataset.classes:
        if info.label not in known:
            there = f"labels {min(known, default=0)} to {max(known, default=0)}"
            where = dataset.file or dataset.spec
            raise InputError(f"{where}: the class table has no label {info.label} ({there})")
    return {label: label for label in known}


def _by_name(dataset: Dataset, classes: Sequence[ClassInfo]) -> dict[int, int]:
    if _agree(dataset.classes, classes):  # also where two classes have one name, and each a sense of its own
        return {info.label: info.label for info in dataset.classes}
    labels = {info.name: info.label for info in classes}
    if len(labels) < len(classes):
        (twice, _), *_ = Counter(info.name for info in classes).most_common(1)
        raise InputError(f"the class table has the name {twice!r} twice; names must differ to match folders with it")
    for info in dataset.classes:
        if info.name not in labels:
            unnamed = all(other.name == str(other.label) for other in classes)
            hint = " (it has labels only; it was made without --classes)"
            hint = hint if unnamed else nearest(info.name, labels, quoted=True)
            raise InputError(f"{dataset.spec}: the class table has no class {info.name!r}{hint}")
    return {info.label: labels[info.name] for info in dataset.classes}
