"""Generated images as other programs read them: ImageFolder, a list file, Hugging Face's metadata.jsonl.

Labels cannot shift: a folder is named by its label, padded so that names sort as labels do, and there is one for every
label from 0 to the largest; a line has its label written in it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, get_args

from ltgc_cli import console, records
from ltgc_cli.errors import InputError
from ltgc_cli.files import new_folder
from ltgc_cli.learn.datasets.class_table import COLUMNS
from ltgc_cli.ports import ImageFormat
from ltgc_cli.records import Class, Image, Record
from ltgc_cli.settings import Export
from ltgc_cli.store import Store

WIDTH = 4  # digits of a folder's name, so that exports of one data set agree; more where a label needs more
_MOST_FOLDERS = 100_000
_SUFFIXES = get_args(ImageFormat)


class Exported(NamedTuple):
    """What was written."""

    images: int
    classes: int
    repeated: int  # images whose bytes were there already, in the same class


def export(given: Iterable[Record], store: Store, settings: Export) -> Exported:
    """Writes the generated images of a stream to a new folder, which appears when it is complete.

    Raises InputError where the folder is there already or cannot be made, a class has no label, or no image is there.
    """
    out, format = settings.out, settings.format
    if out is None:
        raise InputError("export needs --out")
    with new_folder(out) as folder:
        classes, images, repeated = _read(given)
        largest = max(classes)
        if format == "imagefolder" and largest > _MOST_FOLDERS:
            raise InputError(f"labels go up to {largest:,}: too many for a folder each; use --format list or metadata")
        width = max(WIDTH, len(str(largest)))
        named = _named(images, width, folders=format == "imagefolder")
        with console.progress("export", len(named)) as progress:
            for name, image in named.items():
                data = store.get_object(image.sha256)  # first: it refuses a name that is no hash
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
                progress.advance()
        if format == "imagefolder":
            for label in range(largest + 1):
                (folder / f"{label:0{width}}").mkdir(exist_ok=True)
        else:
            file, line = _LISTS[format]
            text = "".join(f"{line(name, image)}\n" for name, image in named.items())
            (folder / file).write_text(text, encoding="utf-8")
        _write_classes(folder / "classes.csv", classes)
    return Exported(len(images), len({image.label for image in images}), repeated)


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


def _named(images: Iterable[Image], width: int, *, folders: bool) -> dict[str, Image]:
    """Returns each image by its file, relative to the folder: in a folder of its label, or all in one.

    There the same bytes made for another label get a name of their own.
    """
    owners: dict[str, int] = {}
    named = {}
    for image in images:
        label = f"{image.label:0{width}}"
        is_first = owners.setdefault(image.sha256, image.label) == image.label
        name = image.sha256 if folders or is_first else f"{image.sha256}-{label}"
        named[f"{label if folders else 'images'}/{name}.{image.format}"] = image
    return named


def _metadata(name: str, image: Image) -> str:
    row = {"file_name": name, "label": image.label, "class": image.class_, "text": image.text}
    return json.dumps(row | {"score": image.score, "id": image.id}, ensure_ascii=False)


# The file that names the images, and its lines.
_LISTS: dict[str, tuple[str, Callable[[str, Image], str]]] = {
    "list": ("list.txt", lambda name, image: f"{name} {image.label}"),
    "metadata": ("metadata.jsonl", _metadata),
}


def _write_classes(path: Path, classes: dict[int, Class]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for label, cls in sorted(classes.items()):
            count = "" if cls.count is None else cls.count
            rows.writerow((label, cls.class_, cls.sense, ";".join(cls.synonyms), count))
