"""Class tables: the one that `--classes` names (label, name, synonyms, sense), and one data set under another's.

It wins over the names in the data. A label is written in it, and never inferred from a place in a listing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ltgc_cli.errors import InputError
from ltgc_cli.learn.datasets import names
from ltgc_cli.learn.datasets.files import csv_rows, jsonl_rows, numbered, read_text
from ltgc_cli.learn.datasets.types import ClassInfo, Dataset, Sample
from ltgc_cli.text import nearest

COLUMNS = ("label", "name", "sense", "synonyms", "count")  # as `ltgc export` writes it; `count` is for people
Rows = Iterator[tuple[int | str, dict[str, Any]]]  # each with its place in the file


def load(file: Path) -> tuple[ClassInfo, ...]:
    """Returns the classes of a table by label, with count 0.

    file -- .csv with a header row, .jsonl, .json (iNaturalist's categories), or lines of text: `label name`

    Raises InputError, with file and line, for a label that is none or is there twice, or a class without a name.
    """
    read = _READERS.get(file.suffix.lower(), _text)
    classes: dict[int, ClassInfo] = {}
    for place, row in read(file):
        info = _class(f"{file}:{place}", row)
        if other := classes.get(info.label):
            raise InputError(f"{file}:{place}: label {info.label} is there twice; it is {other.name!r} already")
        classes[info.label] = info
    if not classes:
        raise InputError(f"{file}: no class in it; a row has a label and a name")
    return tuple(info for _, info in sorted(classes.items()))


def label_of(where: str, value: object) -> int:
    """Returns a label, given as a number or in digits. Raises InputError, with its place, for anything else."""
    text = str(value).strip()
    if isinstance(value, bool) or not is_label(text):
        raise InputError(f"{where}: {text[:80]!r} is no label; labels are whole numbers from 0")
    return int(text)


def is_label(text: str) -> bool:
    """Returns whether a text is a label: up to nine digits, for a tensor holds no number of any length."""
    return text.isascii() and text.isdigit() and len(text) <= 9


def name_of(where: str, value: object) -> str:
    """Returns a class's name. Raises InputError, with its place, for what is no text in one line."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise InputError(f"{where}: {value!r} is no class name; a name is some words in one line")
    return value.strip()


def _class(where: str, row: dict[str, Any]) -> ClassInfo:
    row = {"name": row.get("class"), **row}  # lists of images call it class
    missing = [column for column in ("label", "name") if row.get(column) in (None, "")]
    if missing:
        raise InputError(f"{where}: no {' and no '.join(missing)}; a class has a label and a name")
    sense = row.get("sense") or ""
    synonyms = row.get("synonyms") or ()
    if isinstance(synonyms, str):
        synonyms = re.split("[;|]", synonyms)
    elif not isinstance(synonyms, list | tuple):
        raise InputError(f"{where}: synonyms are a list, or a text with ; between them")
    return ClassInfo(
        label=label_of(where, row["label"]),
        name=name_of(where, row["name"]),
        sense=name_of(where, sense) if sense else "",
        synonyms=tuple(name_of(where, synonym) for synonym in synonyms if synonym and str(synonym).strip()),
    )


def _csv(file: Path) -> Rows:
    return csv_rows(file, ("name", "class"), "label,name,synonyms,sense")


def _json(file: Path) -> Rows:
    """Returns the categories of a COCO-like file, or of iNaturalist's categories.json, a list of them."""
    try:
        data = msgspec.json.decode(read_text(file))
    except (msgspec.DecodeError, RecursionError) as error:
        raise InputError(f"{file}: not JSON ({error})") from None
    categories = data.get("categories") if isinstance(data, dict) else data
    if not isinstance(categories, list) or not all(isinstance(row, dict) for row in categories):
        raise InputError(f"{file}: no list of categories in it, each with an id and a name")
    for number, row in enumerate(categories, start=1):
        yield f" category {number}", {**row, "label": row.get("id", row.get("label"))}


def _text(file: Path) -> Rows:
    for number, line in numbered(read_text(file)):
        label, name = (*line.split(None, 1), "")[:2]
        yield number, {"label": label, "name": name}


_READERS: dict[str, Callable[[Path], Rows]] = {".csv": _csv, ".jsonl": jsonl_rows, ".json": _json}


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
        (other := known.get(info.label))
        and names.written(other) == names.written(info)
        and len({info.sense, other.sense, ""}) < 3
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
    meant = counterparts(dataset.classes, classes)
    for info in dataset.classes:
        if info.label not in meant:
            unnamed = all(other.name == str(other.label) for other in classes)
            hint = " (it has labels only; it was made without --classes)"
            hint = hint if unnamed else nearest(info.name, labels, quoted=True)
            raise InputError(f"{dataset.spec}: the class table has no class {names.written(info)!r}{hint}")
    return meant


def counterparts(own: Sequence[ClassInfo], classes: Sequence[ClassInfo]) -> dict[int, int]:
    """Returns the label in a class table of each class that is there too, by its label.

    A class is looked for as its data spells it, by its name, and by WordNet's id: among the names of the table first,
    as an older checkpoint's `golden_retriever`, then among what only one class of it is called besides.
    """
    named = {info.name: info.label for info in classes}
    called: dict[str, set[int]] = {}
    for info in classes:
        for name in (names.readable(info.name), *info.synonyms):
            called.setdefault(name, set()).add(info.label)
    others = {name: labels.pop() for name, labels in called.items() if len(labels) == 1}
    found = {}
    for info in own:
        spellings = names.spellings(info)
        label = next((table[name] for table in (named, others) for name in spellings if name in table), None)
        if label is not None:
            found[info.label] = label
    return found
