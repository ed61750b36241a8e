"""Data sets: `digits-lt`, built in; folders, lists, tables, iNaturalist's JSON, parquet, Hugging Face's data sets.

A label comes from one class table and from nowhere else. Splits and folders that are read later are matched to
that table by class *name* (`align`), so a class that is missing in a folder never shifts the others.

A new format is one file here and one entry in FORMATS. Importing this package, and `fingerprint`, load neither numpy
nor scikit-learn nor PIL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ltgc_cli.errors import InputError, OutputError, Refused, Unreadable
from ltgc_cli.learn.datasets import digits, folders, huggingface, inaturalist, lists, metadata
from ltgc_cli.learn.datasets.class_table import align, class_indices, labels_under
from ltgc_cli.learn.datasets.files import check_found, check_image
from ltgc_cli.learn.datasets.names import as_read
from ltgc_cli.learn.datasets.types import ClassInfo, Dataset, Format, Item, Sample, Shot, Source, Split
from ltgc_cli.providers import images
from ltgc_cli.providers.unforeseen import foreseen

if TYPE_CHECKING:
    import PIL.Image

# What other files of this package define for all; what this one defines goes without saying.
__all__ = [
    "ClassInfo", "Dataset", "Item", "Sample", "Source", "Split", "align", "check_found", "class_indices",
    "labels_under",
]  # fmt: skip

FORMATS: tuple[Format, ...] = (
    digits.FORMAT,
    *lists.FORMATS,
    inaturalist.FORMAT,
    huggingface.FORMAT,
    metadata.FORMAT,
    folders.FORMAT,
)
"""What `--data` takes: the first that takes a spec opens it."""


PIXELS = 2
"""Raise it when files become other pixels in training and eval: 2, for large JPEGs are decoded smaller at once."""


def open_data(source: Source | str, split: Split) -> Dataset:
    """Returns one split of a data set, its classes under names as people write them.

    Raises InputError for what is no data set.

    source -- or its spec alone: `digits-lt`, `digits-lt:SEED`, a folder (`./digits-lt` for one called that), a list
    """
    source = _source(source)
    kind = _format(source.spec)
    flag = "--image-column" if source.image_column else "--label-column"
    # Test data of another kind may well stand beside a list, and have no columns and no root.
    if split == "train" and not kind.columns and (source.image_column or source.label_column):
        raise InputError(f"{flag} goes with a table (CSV, JSONL, parquet, Hugging Face's); {source.spec} is none")
    if split == "train" and not kind.root and source.root:
        raise InputError(f"--root {source.root}: {source.spec} holds its own images; --root goes with a list")
    dataset = msgspec.structs.replace(kind.open(source, split), format=FORMATS.index(kind))
    return msgspec.structs.replace(dataset, classes=as_read(dataset.classes)) if dataset.named else dataset


def image_bytes(dataset: Dataset, item: Item) -> bytes:
    """Returns an image's encoded bytes, as they are on disk. Raises InputError where they cannot be read."""
    return _format_of(dataset).read(dataset, item)


def kept_image(dataset: Dataset, item: Item, keep: Callable[[bytes, Path | None], str]) -> str:
    """Returns the sha256 of an image, whose bytes `keep` has put into a store.

    Raises Refused where they cannot be read, whatever their reader says (it is one image's trouble), and Unreadable for
    what is no image that is read here: nothing else enters a store, or is sent to a model.
    """
    try:
        data = foreseen(partial(image_bytes, dataset), "what reads the image")(item)
    except (InputError, OutputError) as error:
        raise Refused(str(error)) from None
    images.check(data)
    return keep(data, file_of(dataset, item))


def file_of(dataset: Dataset, item: Item) -> Path | None:
    """Returns the file that holds an image and nothing else, None where there is none."""
    return Path(item.path) if item.path and _format_of(dataset).files else None


def check_readable(dataset: Dataset, items: Iterable[Item]) -> None:
    """Raises InputError, as `image_bytes` would, for the first image that cannot be read, with the number of all.

    A file is only opened.
    """
    kind = _format_of(dataset)
    check = check_image if kind.files else kind.read
    wrong: list[InputError] = []
    for item in items:
        try:
            check(dataset, item)
        except InputError as error:
            wrong.append(error)
    if wrong:
        raise InputError(f"{wrong[0]}{f'; so it is with {len(wrong):,} images' if len(wrong) > 1 else ''}")


def fingerprint(source: Source | str, split: Split) -> str:
    """Returns the sha256 (hex) of what a split holds, found without reading a pixel."""
    source = _source(source)
    return _format(source.spec).fingerprint(source, split)


def splits(source: Source | str) -> tuple[Split, ...]:
    """Returns the splits that a data set tells apart; ("train",) where whatever split is asked is the same images."""
    source = _source(source)
    return _format(source.spec).splits(source)


def samples(dataset: Dataset) -> list[Sample]:
    """Returns the images of a split as samples, in order."""
    return [Sample(item.label, partial(image_bytes, dataset, item), item.name) for item in dataset.items]


def pixels(data: bytes, name: str, least: int = 0) -> PIL.Image.Image:
    """Returns the RGB image that some bytes encode, as `images.read` does for all.

    Raises InputError, with the name, for what is no whole image.
    """
    try:
        return images.read(data, least)
    except Unreadable as error:
        raise InputError(f"{name}: {error}") from None


def pixels_version(*sources: Source | None) -> int | None:
    """Returns how images are read, for the hash of what is trained or measured on them.

    None where all are the digits that come with ltgc: small ones, which every version read alike.
    """
    return PIXELS if any(source and _format(source.spec) is not digits.FORMAT for source in sources) else None


def shot(count: int) -> Shot:
    """Returns the group of a class with so many training images.

    >>> shot(101), shot(100), shot(20), shot(19)
    ('many', 'medium', 'medium', 'few')
    """
    return "many" if count > 100 else "medium" if count >= 20 else "few"


def _source(source: Source | str) -> Source:
    return Source(source) if isinstance(source, str) else source


def _format_of(dataset: Dataset) -> Format:
    return FORMATS[dataset.format] if dataset.format >= 0 else _format(dataset.spec)


def _format(spec: str) -> Format:
    return next(kind for kind in FORMATS if kind.takes(spec))
