"""Generated images as other programs read them: ImageFolder, a list file, Hugging Face's metadata.jsonl.

Labels cannot shift: a folder is called by its label, padded so that names sort as labels do, and there is one for every
label from 0 to the largest; a line has its label written in it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, get_args

from ltgc_cli import console, records
from ltgc_cli.errors import InputError
from ltgc_cli.files import new_folder
from ltgc_cli.learn.datasets.class_table import COLUMNS
from ltgc_cli.ports import ImageFormat
from ltgc_cli.records import Class, Image, Record
from ltgc_cli.store import Store

WIDTH = 4
"""Digits of a folder's name, so that exports of one data set agree; more where a label needs more."""

_MOST_FOLDERS = 100_000

_SUFFIXES = get_args(ImageFormat)


class Done(NamedTuple):
    """What was written."""

    images: int
    classes: int
    repeated: int
    """Images whose bytes were there already, in the same class."""


class _Copy(NamedTuple):
    """An image and the file that it becomes, relative to the folder."""

    image: Image
    name: str


def write_out(given: Iterable[Record], store: Store, out: Path, format: str) -> Done:
    """Writes the generated images of a stream to a new folder, which appears when it is complete.

    format -- imagefolder, list or metadata
    Raises InputError where the folder is there already or holds no place, a class has no label, or nothing is drawn.
    """
    with new_folder(out) as folder:
        classes, images, repeated = _read(given)
        name, finish = _FORMATS[format]
        if format == "imagefolder" and max(classes) > _MOST_FOLDERS:
            raise InputError(
                f"labels go up to {max(classes):,}: a folder for each would be too many; --format list or metadata"
            )
        width = max(WIDTH, len(str(max(classes))))
        owners: dict[str, int] = {}
        copies = [_Copy(image, name(image, owners, width)) for image in images]
        with console.progress("export", len(copies)) as progress:
            for copy in copies:
                data = store.get_object(copy.image.sha256)  # first: it refuses a name that is no hash
                path = folder / copy.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
                progress.advance()
        finish(folder, copies, max(classes), width)
        _write_classes(folder / "classes.csv", classes)
    return Done(len(copies), len({image.label for image in images}), repeated)


def _read(given: Iterable[Record]) -> tuple[dict[int, Class], list[Image], int]:
    """Returns the classes by label, the generated images, and how many were there twice in their class."""
    classes: dict[int, Class] = {}
    images: dict[tuple[int, str], Image] = {}
    total = 0
    for group in records.by_class(given):
        if group.cls.label >= 0:
            classes[group.cls.label] = group.cls
        for row in group.rows:
            if isinstance(row, Image) and row.origin == "generated":
                if row.label < 0 or row.format not in _SUFFIXES:
                    wrong = "no label" if row.label < 0 else f"the format {row.format!r}"
                    raise InputError(f"the image {row.id} has {wrong}; export needs a label and {', '.join(_SUFFIXES)}")
                images.setdefault((row.label, row.sha256), row)
                total += 1
    if not images:
        raise InputError("export found no generated image in its input; pipe filter (or render) into it")
    return classes, list(images.values()), total - len(images)


def _folder_name(image: Image, _: dict[str, int], width: int) -> str:
    return f"{image.label:0{width}}/{image.sha256}.{image.format}"


def _flat_name(image: Image, owners: dict[str, int], width: int) -> str:
    """Returns a name in one folder. The same bytes drawn for another label get a name of their own."""
    owner = owners.setdefault(image.sha256, image.label)
    of_label = "" if owner == image.label else f"-{image.label:0{width}}"
    return f"images/{image.sha256}{of_label}.{image.format}"


def _finish_folders(folder: Path, copies: list[_Copy], largest: int, width: int) -> None:
    for label in range(largest + 1):
        (folder / f"{label:0{width}}").mkdir(exist_ok=True)


def _finish_list(folder: Path, copies: list[_Copy], largest: int, width: int) -> None:
    lines = "".join(f"{copy.name} {copy.image.label}\n" for copy in copies)
    (folder / "list.txt").write_text(lines, encoding="utf-8")


def _finish_metadata(folder: Path, copies: list[_Copy], largest: int, width: int) -> None:
    lines = "".join(json.dumps(_metadata(copy), ensure_ascii=False) + "\n" for copy in copies)
    (folder / "metadata.jsonl").write_text(lines, encoding="utf-8")


def _metadata(copy: _Copy) -> dict[str, Any]:
    image = copy.image
    return {
        "file_name": copy.name,
        "label": image.label,
        "class": image.class_,
        "text": image.text,
        "score": image.score,
        "id": image.id,
    }


_FORMATS: dict[str, tuple[Callable[[Image, dict[str, int], int], str], Callable[[Path, list[_Copy], int, int], None]]]
_FORMATS = {
    "imagefolder": (_folder_name, _finish_folders),
    "list": (_flat_name, _finish_list),
    "metadata": (_flat_name, _finish_metadata),
}


def _write_classes(path: Path, classes: dict[int, Class]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for label, cls in sorted(classes.items()):
            count = "" if cls.count is None else cls.count
            rows.writerow((label, cls.class_, cls.sense, ";".join(cls.synonyms), count))
