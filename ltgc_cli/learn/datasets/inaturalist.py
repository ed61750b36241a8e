"""iNaturalist's JSON (train2018.json, val2018.json): images, annotations and categories, as in COCO; tables in JSON.

Its test2018.json has no annotations, and so no image that could be told right or wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from ltgc_cli.errors import InputError
from ltgc_cli.learn.datasets.class_table import name_of
from ltgc_cli.learn.datasets.files import read_text
from ltgc_cli.learn.datasets.listing import ListedImage, Listing, format_of
from ltgc_cli.learn.datasets.lists import keys, read_table
from ltgc_cli.learn.datasets.types import Source


class _Image(msgspec.Struct):
    id: int | str
    file_name: str


class _Annotation(msgspec.Struct):
    image_id: int | str
    category_id: int


class _Category(msgspec.Struct):
    id: int
    name: str


class _Coco(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation] = []
    categories: list[_Category] = []


def _read(file: Path, source: Source) -> Listing:
    text = read_text(file)
    try:
        if text.lstrip().startswith("[") and (table := msgspec.json.decode(text, type=list[dict[str, Any]])):
            rows = list(enumerate(table, start=1))
            return read_table(file, keys(rows), rows, source, lines=False)
        data = msgspec.json.decode(text, type=_Coco)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InputError(f"{file}: not iNaturalist's JSON, with images, annotations and categories ({error})") from None
    labels: dict[int | str, int] = {}
    for annotation in data.annotations:
        if labels.setdefault(annotation.image_id, annotation.category_id) != annotation.category_id:
            raise InputError(f"{file}: image {annotation.image_id} is annotated with two categories")
    missing = next((image for image in data.images if labels and image.id not in labels), None)
    if missing:
        raise InputError(f"{file}: image {missing.file_name} (id {missing.id}) has no annotation; a label is wanted")
    names = {category.id: name_of(f"{file}: category {category.id}", category.name) for category in data.categories}
    return Listing(file, [ListedImage(image.file_name, labels[image.id]) for image in data.images if labels], names)


FORMAT = format_of((".json",), _read, columns=True)
