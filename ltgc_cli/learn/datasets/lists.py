"""Lists of images: `relative/path label` on each line, as ImageNet-LT, Places-LT and iNaturalist 2018 are published,
CSV with a header row and JSONL manifests. These two have path, label, and class and split if wanted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ltgc_cli import image_formats
from ltgc_cli.errors import InputError
from ltgc_cli.learn.datasets import columns
from ltgc_cli.learn.datasets.class_table import is_label
from ltgc_cli.learn.datasets.columns import Columns
from ltgc_cli.learn.datasets.files import csv_rows, jsonl_rows, numbered, read_text
from ltgc_cli.learn.datasets.listing import ListedImage, Listing, format_of, split_of
from ltgc_cli.learn.datasets.types import Source

Rows = Sequence[tuple[int, dict[str, Any]]]  # each with its number
_IMAGE = re.compile(rf".*({'|'.join(map(re.escape, sorted(image_formats.SUFFIXES)))})", re.IGNORECASE | re.DOTALL)
# img/1.jpg 17; img/1.jpg,17; "img/1 2.jpg" house cat
_LISTED = re.compile(rf"[\"']?(?P<path>{_IMAGE.pattern})[\"']?(?:\s*[,;]\s*|\s+)(?P<label>\S.*)", re.IGNORECASE)


def _text(file: Path, _: Source) -> Listing:
    """Returns the images of a list. Raises InputError, with the line, for what is no path and label."""
    found, places = [], []
    for number, line in numbered(read_text(file)):
        if line.startswith("#") and not _LISTED.fullmatch(line):
            continue
        path, label = _path_and_label(line)
        if not path or (" " in label and not re.search(r"[^\W\d_]", label)):
            told = "a line is: relative/path.jpg 17, or: relative/path.jpg house cat"
            raise InputError(f"{file}:{number}: {line[:80]!r} is no path and label; {told}")
        found.append((path, label, number))
        places.append(f"{file}:{number}")
    if not found:
        return Listing(file, [], {})
    values = {"label": [label for _, label, _ in found]}
    labels = columns.labels(Columns(str(file), places, values), Source(str(file)))
    rows = zip(found, labels.of_rows, strict=True)
    return Listing(file, [ListedImage(path, label, number) for (path, _, number), label in rows], {})


def _path_and_label(line: str) -> tuple[str, str]:
    """Returns the path and the label of a line, empty where it has none. A name follows a suffix or a tab alone."""
    if match := _LISTED.fullmatch(line.strip()):
        return match["path"], match["label"].strip("\"'")
    path, tab, label = line.strip().partition("\t")
    if tab and "\t" not in label and not _IMAGE.fullmatch(label):
        return path, label
    # The label is the last field, so that a path may have spaces in it.
    path, label = ("", *line.rsplit(None, 1))[-2:]
    return (path, label) if is_label(label) else ("", "")


def read_csv(file: Path, source: Source) -> Listing:
    """Returns the images of a CSV file. Raises InputError where its first row names no columns, or unclear ones."""
    names, rows = csv_rows(file)
    if not names or any(_IMAGE.fullmatch(name) for name in names):
        raise InputError(f"{file}:1: the first row names the columns: path,label and, if wanted, class,split")
    return read_table(file, names, list(rows), source)


def read_jsonl(file: Path, source: Source) -> Listing:
    """Returns the images of a JSONL manifest. Raises InputError for a line that is no object, or unclear keys."""
    rows = list(jsonl_rows(file))
    return read_table(file, keys(rows), rows, source)


def keys(rows: Rows) -> list[str]:
    """Returns the keys of all rows, in order."""
    return list(dict.fromkeys(name for _, row in rows for name in row))


def read_table(file: Path, names: Sequence[str], rows: Rows, source: Source, *, lines: bool = True) -> Listing:
    """Returns the rows of a table: by the columns' names, else by what tells images from the rest, their suffixes.

    lines -- whether a row's number is that of its line
    """
    if not rows:
        return Listing(file, [], {})
    where = str(file)
    may = [name for name in names if columns.bare(name) in columns.PATHS and _are_paths(name, rows)]
    may = may or [name for name in names if all(_IMAGE.fullmatch(str(row.get(name))) for _, row in rows)]
    path = columns.image_column(where, names, may, source, ("path",))
    rest = [name for name in names if name != path]
    chosen = columns.label_columns(where, rest, source)
    places = [f"{file}:{number}" if lines else f"{file}: entry {number}" for number, _ in rows]

    def table(names: Iterable[str]) -> Columns:
        return Columns(where, places, {name: [row.get(name) for _, row in rows] for name in names})

    labels = columns.labels(table(chosen), source)
    split = columns.split_column(table(columns.may_be_splits(name for name in rest if name not in chosen)))
    found: list[ListedImage] = []
    for (number, row), label, place in zip(rows, labels.of_rows, places, strict=True):
        if not isinstance(row.get(path), str) or not row[path].strip():
            raise InputError(f"{place}: no path of an image")
        word = row.get(split) if split else None
        listed = ListedImage(row[path], label, number if lines else 0, split_of(place, str(word)) if word else None)
        if found and (listed.split is None) != (found[0].split is None):
            raise InputError(f"{place}: some rows name their split, and some do not")
        found.append(listed)
    return Listing(file, found, labels.names)


def _are_paths(name: str, rows: Rows) -> bool:
    """Returns whether a column that is called as one of paths has texts in it, and not a number or an object."""
    return any(isinstance(row.get(name), str) for _, row in rows[:100])


FORMATS = (
    format_of((".txt",), _text),
    format_of((".csv", ".tsv"), read_csv, columns=True),
    format_of((".jsonl",), read_jsonl, columns=True),
)
