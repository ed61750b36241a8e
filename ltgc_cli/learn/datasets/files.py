"""Files as data sets read them: lines and rows with their numbers, image bytes, hashes. Every error names the file."""

from __future__ import annotations

import codecs
import csv
import errno
import hashlib
import io
import os
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import FileIO
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from ltgc_cli import image_formats
from ltgc_cli.errors import InputError
from ltgc_cli.files import named_errors, read_regular, regular, sha256_file
from ltgc_cli.learn.datasets import tree
from ltgc_cli.learn.datasets.types import Dataset, Item

_LEVELS = 3  # above a root where images are looked for that are not below it
_ENTRIES = 1000  # of a root that are looked at
_SEPARATORS = (",", ";", "\t", "|")


def read_text(file: Path) -> str:
    """Returns a text file's contents. Raises InputError where it cannot be read or is not UTF-8, with the line.

    A pipe and a device are no files: what is read here is read twice, once for its hash.

    UTF-16 is read too where its first two bytes say so, as Excel and Notepad write it.
    """
    with named_errors(file):
        data = read_regular(file)
    try:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return data.decode("utf-16")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{file}:{line}: not UTF-8; save it as UTF-8") from None


def numbered(text: str) -> Iterator[tuple[int, str]]:
    """Returns the lines that are not blank, each with its number from 1."""
    for number, line in enumerate(text.split("\n"), start=1):  # splitlines() would cut names at rarer separators too
        if line.strip():
            yield number, line.rstrip("\r")


def csv_rows(file: Path) -> tuple[list[str], Iterator[tuple[int, dict[str, Any]]]]:
    """Returns a CSV file's columns, and its rows by them, each with the number of its line. Blank lines are no rows.

    Cells end at commas, semicolons, tabs or bars: whichever the first row has most of.
    Raises InputError, with the line, for what is no CSV, for two columns of one name, and a row with more cells.
    """
    text = read_text(file)
    if told := re.match(r"sep=(.)\r?\n", text, re.IGNORECASE):  # Excel's
        text = text[told.end() :]
    head = text.partition("\n")[0]
    separator = told[1] if told else max(_SEPARATORS, key=head.count)
    csv.field_size_limit(2**31 - 1)  # the default of 131,072 letters refuses whole texts in a cell
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    skipped = 1 if told else 0
    try:
        columns = [column.strip() for column in next(rows, ())]
    except csv.Error as error:
        raise InputError(f"{file}:1: {error}") from None
    if twice := [name for name, count in Counter(columns).items() if name and count > 1]:
        raise InputError(f"{file}:1: two columns are called {twice[0]!r}; give each a name of its own")

    def numbered() -> Iterator[tuple[int, dict[str, Any]]]:
        try:
            for row in filter(None, rows):
                line = rows.line_num + skipped
                if len(row) > len(columns):
                    cells = f"{len(row)} cells where the first row has {len(columns)}"
                    raise InputError(f"{file}:{line}: {cells}; a cell with {separator!r} in it stands in quotes")
                # No cell is made up for a short row: of many columns and many rows that would be very many.
                yield line, dict(zip(columns, row, strict=False))
        except csv.Error as error:
            raise InputError(f"{file}:{rows.line_num + skipped}: {error}") from None

    return columns, numbered()


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
    with _opened(dataset, item) as file:
        return file.readall()


def read_file(path: Path) -> bytes:
    """Returns the bytes of an image that a person named. Raises OSError as `image_file`."""
    with image_file(path, "") as file:
        return file.readall()


def check_image(dataset: Dataset, item: Item) -> None:
    """Raises InputError as `read_image` does, of a file that is opened and not read."""
    with _opened(dataset, item):
        pass


@contextmanager
def _opened(dataset: Dataset, item: Item) -> Iterator[FileIO]:
    assert item.path is not None
    with named_errors(f"{listed_at(dataset, item)}{item.path}"), image_file(item.path, dataset.bounds) as file:
        yield file


@contextmanager
def image_file(path: str | Path, bounds: str) -> Iterator[FileIO]:
    """The file of an image to read. Raises OSError where it is none, is too long for one, or lies out of bounds."""
    try:
        if not tree.within(path, bounds):
            raise OSError(errno.EPERM, f"it lies outside of {bounds}; --follow-links reads it all the same")
        with regular(Path(path)) as file:
            if os.fstat(file.fileno()).st_size > image_formats.most_bytes():
                most = f"{image_formats.most_bytes() >> 20:,} MB are the most that are read of an image"
                raise OSError(errno.EINVAL, f"{most}; save it smaller, or raise --max-pixels")
            yield file
    except ValueError:  # a NUL in it, or half a character of UTF-16
        raise OSError(errno.EINVAL, "no name that a file can have") from None


def check_found(dataset: Dataset) -> None:
    """Raises InputError where not one image of a list is there, and names the --root that would do where it is near."""
    if not dataset.file:
        return
    outside = []
    for item in dataset.items:
        if os.path.exists(item.path or ""):
            if tree.within(item.path or "", dataset.bounds):
                return
            outside.append(item)
    if outside:
        raise InputError(
            f"{dataset.file}: {len(outside):,} of {len(dataset.items):,} images lie outside of {dataset.bounds}, such "
            f"as {outside[0].path}; name the folder that holds them with --root, or add --follow-links"
        )
    first = dataset.items[0]
    assert first.path
    root = first.path.removesuffix(first.name)
    if re.match("[a-z0-9]+://", first.name):
        raise InputError(f"{dataset.file}: {first.name} is no path; download the images, and write the paths of these")
    count = f"{len(dataset.items):,} of {len(dataset.items):,} images are missing"
    if not root:
        raise InputError(
            f"{dataset.file}: {count}, such as {first.path}; write paths from a folder on, and name it with --root"
        )
    raise InputError(
        f"{dataset.file}: {count} under {root.rstrip(os.sep) or root}, such as {first.name}; {_near(root, first.name)}"
    )


def _near(root: str, name: str) -> str:
    """Returns what to do about a path that is not there: the root that would do, one level up or down, if one would."""
    above = list(Path(root).parents)[:_LEVELS]
    try:
        with os.scandir(root) as entries:
            below = sorted(Path(entry.path) for entry in islice(entries, _ENTRIES) if entry.is_dir())
    except OSError:
        below = []
    would = next((folder for folder in (*above, *below) if (folder / name).exists()), None)
    if would:
        return f"--root {shlex.quote(str(would))} has them"
    head, _, rest = name.partition("/")
    if rest and Path(root, rest).exists():
        return f"they are there without {head}/ before them: take that out of the list"
    return "where do their paths start? --root DIR"


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
