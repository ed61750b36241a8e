"""Files as data sets read them: lines and rows with their numbers, image bytes, hashes. Every error names the file."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ltgc_cli.errors import InputError
from ltgc_cli.files import named_errors, read_regular, sha256_file
from ltgc_cli.learn.datasets.types import Dataset, Item


def read_text(file: Path) -> str:
    """Returns a text file's contents. Raises InputError where it cannot be read or is not UTF-8, with the line."""
    with named_errors(file):
        data = file.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{file}:{line}: not UTF-8") from None


def numbered(text: str) -> Iterator[tuple[int, str]]:
    """Returns the lines that are not blank, each with its number from 1."""
    for number, line in enumerate(text.split("\n"), start=1):  # splitlines() would cut names at rarer separators too
        if line.strip():
            yield number, line.rstrip("\r")


def csv_rows(file: Path, either: Sequence[str], header: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Returns a CSV file's rows by the names of its columns, in lower case, each with the number of its line.

    either -- columns of which one must be there, beside the label; header -- an example of a first row that will do
    Raises InputError, with the line, for what is no CSV, and where columns are missing.
    """
    rows = csv.DictReader(io.StringIO(read_text(file), newline=""))
    rows.fieldnames = [column.strip().lower() for column in rows.fieldnames or ()]
    if "label" not in rows.fieldnames or not set(either) & set(rows.fieldnames):
        raise InputError(f"{file}:1: the first row names the columns: {header}")
    try:
        for row in rows:
            yield rows.line_num, row
    except csv.Error as error:
        raise InputError(f"{file}:{rows.line_num}: {error}") from None


def jsonl_rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Returns a file's JSON objects, each with the number of its line. Raises InputError for a line that is none."""
    decoder = msgspec.json.Decoder(dict[str, Any])
    for number, line in numbered(read_text(file)):
        try:
            yield number, decoder.decode(line)
        except (msgspec.DecodeError, RecursionError) as error:
            raise InputError(f"{file}:{number}: not a JSON object ({error})") from None


def read_image(dataset: Dataset, item: Item) -> bytes:
    """Returns an image file's bytes. Raises InputError that names the file, and the line of the list that names it."""
    assert item.path is not None
    with named_errors(f"{listed_at(dataset, item)}{item.path}"):
        return read_regular(Path(item.path))


def listed_at(dataset: Dataset, item: Item) -> str:
    """Returns where a list names an image, to stand before a message: `list.txt:17: `."""
    return f"{dataset.file}:{item.line}: " if dataset.file and item.line else ""


def stamped(path: Path, root: Path) -> str:
    """Returns a file's name below a folder, its size and its time: what a fingerprint looks at."""
    with named_errors(path):
        stat = path.stat()
    return f"{path.relative_to(root).as_posix()}\t{stat.st_size}\t{stat.st_mtime_ns}"


def sha256(lines: Sequence[str], classes: Path | None = None) -> str:
    """Returns the sha256 (hex) of some texts and of a class table. File names may hold newlines but never a NUL."""
    return hashlib.sha256("\0".join([*lines, *([sha256_file(classes)] if classes else [])]).encode()).hexdigest()
