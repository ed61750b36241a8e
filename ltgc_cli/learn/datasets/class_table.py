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

    file -- .csv with a header row, .jsonl, .json (iNaturalist's categories), or lines of text: `label name`, or a
    name alone; names alone are numbered from 0 as they stand

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


def check(file: Path, classes: Sequence[ClassInfo]) -> None:
    """Raises InputError, with the place, for what ltgc writes in no class table: a label or name that is none, a label
    that is there twice, a count below 0.
    """
    known: dict[int, ClassInfo] = {}
    for number, info in enumerate(classes, start=1):
        place = f"{file}: class {number}"
        if other := known.get(label_of(place, info.label)):
            raise InputError(f"{place}: label {info.label} is there twice; it is {other.name!r} already")
        known[info.label] = info
        if not info.name.strip() or info.count < 0:
            raise InputError(f"{place}: its name is empty, or its count is below 0")
    if not classes:
        raise InputError(f"{file}: no class in it")


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
    """Returns the rows of a table: without a column of labels, names are numbered as they stand."""
    columns, rows = csv_rows(file)
    named = {column: column.lower() for column in columns}
    there = set(named.values())
    label = next((column for column in ("label", "id") if column in there), "")
    # A column that is not known may well be the labels' under another name: they are not counted up then.
    if not there & {"name", "class"} or not (label or there <= {*COLUMNS, "class"}):
        raise InputError(f"{file}:1: the first row names the columns: label,name,synonyms,sense; or name alone")
    for number, (line, row) in enumerate(rows):
        found = {named[column]: value for column, value in row.items()}
        yield line, {**found, "label": found.get(label) if label else number}


def _json(file: Path) -> Rows:
    """Returns the categories of a COCO-like file, or of iNaturalist's categories.json, a list of them.

    Names alone are read too: a list of them, {"0": "tench"}, {"tench": 0}, and ImageNet's
    {"0": ["n01440764", "tench"]}; and the id2label of a Hugging Face model.
    """
    try:
        data = msgspec.json.decode(read_text(file))
    except (msgspec.DecodeError, RecursionError) as error:
        raise InputError(f"{file}: not JSON ({error})") from None
    if isinstance(data, dict):
        data = data.get("categories", data.get("id2label", data))
    rows = _pairs(data) if isinstance(data, dict) else _numbered(data) if isinstance(data, list) else []
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{file}: no list of categories in it, each with an id and a name, and no names by label")
    for number, row in enumerate(rows, start=1):
        yield f" category {number}", {**row, "label": row.get("id", row.get("label"))}


def _numbered(data: list[Any]) -> list[Any]:
    """Returns a list of names as rows; any other list as it is."""
    bare = all(isinstance(name, str) for name in data)
    return [{"label": label, "name": name} for label, name in enumerate(data)] if bare else data


def _pairs(data: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns what a dict says of names and labels, whichever of them is the key. Nothing where it says neither."""
    if all(map(is_label, data)):
        told = {label: [name] if isinstance(name, str) else name for label, name in data.items()}
        if all(isinstance(names, list) and names for names in told.values()):
            # ImageNet's have the id of the class before its name.
            return [{"label": label, "name": names[-1], "synonyms": names[:-1]} for label, names in told.items()]
    elif all(isinstance(label, int) for label in data.values()):
        return [{"label": label, "name": name} for name, label in data.items()]
    return []


_LINES = [
    re.compile(text)
    for text in (
        r"(?P<label>\d{1,9})(?:\s*[:,;]\s*|\s+)(?P<name>\S.*)",  # 0 tench; 0: tench; 0,tench
        r"(?P<synonyms>n\d{8})\s+(?P<label>\d{1,9})\s+(?P<name>\S.*)",  # ImageNet's map_clsloc.txt
        r"(?P<synonyms>n\d{8})\s+(?P<name>\S.*)",  # ImageNet's synset_words.txt
        r"(?P<name>\S(?:.*\S)?)\s+(?P<label>\d{1,9})",  # Places' categories_places365.txt
    )
]
"""The lines of class tables in text, of which all lines have one shape; a file of none of them has names alone."""


def _text(file: Path) -> Rows:
    lines = [(number, line.strip()) for number, line in numbered(read_text(file))]
    for shape in _LINES:
        found = [shape.fullmatch(line) for _, line in lines]
        rows = [match.groupdict() for match in found if match]
        if len(rows) == len(lines) and (shape is not _LINES[-1] or _counted(rows)):
            break
    else:
        beginning: list[tuple[int, str]] = []
        rest: list[tuple[int, str]] = []
        for number, line in lines:
            (beginning if _LINES[0].match(line) or is_label(line) else rest).append((number, line))
        if beginning:  # a line without a label among lines that have one is a slip, and so is a label without a name
            number, line = (rest if 0 < len(rest) < len(beginning) else beginning)[0]
            raise InputError(f"{file}:{number}: {line[:80]!r}: a line is `label name`; or all lines are names")
        rows = [{"name": line} for _, line in lines]
    for count, ((number, _), row) in enumerate(zip(lines, rows, strict=True)):
        name, synonyms = row["name"], [row["synonyms"]] if "synonyms" in row else []
        if synonyms:  # n01440764 tench, Tinca tinca
            name, *others = name.split(", ")
            synonyms += others
        yield number, {"label": count, **row, "name": name, "synonyms": synonyms}


def _counted(rows: list[dict[str, Any]]) -> bool:
    """Returns whether numbers behind names are labels: all from 0, or from 1, on. `Boeing 747` is a name."""
    labels = sorted(int(row["label"]) for row in rows)
    return labels in (list(range(len(rows))), list(range(1, len(rows) + 1)))


_READERS: dict[str, Callable[[Path], Rows]] = {".csv": _csv, ".tsv": _csv, ".jsonl": jsonl_rows, ".json": _json}


def align(dataset: Dataset, classes: Sequence[ClassInfo]) -> Dataset:
    """Returns the data set under another class table: labels by class name, images otherwise as they were.

    Where the data has no names (`named` is False) its labels are the table's.
    Raises InputError as `labels_under`.
    """
    labels = labels_under(dataset, classes)
    items = tuple(
        item if labels[item.label] == item.label else msgspec.structs.replace(item, label=labels[item.label])
        for item in dataset.items
    )
    named = dataset.named or any(info.name != str(info.label) for info in classes)
    return msgspec.structs.replace(dataset, classes=tuple(classes), items=items, named=named)


def labels_under(dataset: Dataset, classes: Sequence[ClassInfo]) -> dict[int, int]:
    """Returns what each label of a data set is under another class table; no image is looked at.

    Raises InputError for a class that the table does not have, or a name that it has twice.
    """
    return _by_label(dataset, classes) if not dataset.named else _by_name(dataset, classes)


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
