"""Files as data sets read them: text with its line numbers, image bytes, hashes. Every error names the file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from ltgc_cli.errors import InputError
from ltgc_cli.learn.datasets.types import Dataset, Item


def read_text(file: Path) -> str:
    """Returns a text file's contents. Raises InputError where it cannot be read or is not UTF-8, with the line."""
    try:
        data = file.read_bytes()
        return data.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{file}:{line}: not UTF-8") from None


def numbered(text: str) -> Iterator[tuple[int, str]]:
    """Returns the lines that are not blank, each with its number from 1."""
    for number, line in enumerate(text.split("\n"), start=1):  # splitlines() would cut names at rarer separators too
        if line.strip():
            yield number, line.rstrip("\r")


def read_image(dataset: Dataset, item: Item) -> bytes:
    """Returns an image file's bytes. Raises InputError that names the file, and the line of the list that names it."""
    assert item.path is not None
    try:
        return Path(item.path).read_bytes()
    except OSError as error:
        raise InputError(f"{place(dataset, item)}{item.path}: {error.strerror}") from None


def place(dataset: Dataset, item: Item) -> str:
    """Returns where a list names an image, to stand before a message: `list.txt:17: `."""
    return f"{dataset.file}:{item.line}: " if dataset.file and item.line else ""


def sha256(lines: Sequence[str]) -> str:
    """Returns the sha256 (hex) of some texts, in order. File names may hold newlines but never a NUL."""
    return hashlib.sha256("\0".join(lines).encode()).hexdigest()
