"""Lists of images: `relative/path label` on each line, as ImageNet-LT, Places-LT and iNaturalist 2018 are published,
CSV with a header row and JSONL manifests. These two have path, label, and class and split if wanted.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ltgc_cli.errors import InputError
from ltgc_cli.learn.datasets.class_table import is_label, label_of, name_of
from ltgc_cli.learn.datasets.files import csv_rows, jsonl_rows, numbered, read_text
from ltgc_cli.learn.datasets.listing import ListedImage, Listing, format_of, split_of


def _text(file: Path) -> Listing:
    rows = []
    for number, line in numbered(read_text(file)):
        # The label is the last field, so that a path may have spaces in it.
        path, label = ("", *line.rsplit(None, 1))[-2:]
        if not path or not is_label(label):
            raise InputError(f"{file}:{number}: {line[:80]!r} is no path and label; a line is: relative/path.jpg 17")
        rows.append(ListedImage(path, int(label), number))
    return Listing(file, rows, {})


def _table(file: Path, given: Iterable[tuple[int, dict[str, Any]]]) -> Listing:
    """Returns the rows. `file_name`, as Hugging Face's metadata.jsonl has it, stands for `path`."""
    rows: list[ListedImage] = []
    names: dict[int, str] = {}
    for number, row in given:
        where = f"{file}:{number}"
        path = row.get("path") or row.get("file_name")
        if not isinstance(path, str):
            raise InputError(f"{where}: no path of an image")
        label = label_of(where, row.get("label"))
        if row.get("class"):
            name = name_of(where, row["class"])
            if names.setdefault(label, name) != name:
                raise InputError(f"{where}: label {label} is {name!r} here and {names[label]!r} above")
        split = split_of(where, str(row["split"])) if row.get("split") else None
        if rows and (split is None) != (rows[0].split is None):
            raise InputError(f"{where}: some rows name their split, and some do not")
        rows.append(ListedImage(path, label, number, split))
    unnamed = next((row for row in rows if names and row.label not in names), None)
    if unnamed:
        raise InputError(f"{file}:{unnamed.line}: label {unnamed.label} has no class name, as others have")
    return Listing(file, rows, names)


def _csv(file: Path) -> Listing:
    return _table(file, csv_rows(file, ("path", "file_name"), "path,label and, if wanted, class,split"))


def _jsonl(file: Path) -> Listing:
    return _table(file, jsonl_rows(file))


FORMATS = (format_of(".txt", _text), format_of(".csv", _csv), format_of(".jsonl", _jsonl))
