"""Data sets: `digits-lt`, built in; folders, lists, tables, iNaturalist's JSON, parquet, Hugging Face's data sets.

A label comes from one class table and from nowhere else. Splits and folders that are read later are matched to
that table by class *name* (`align`), so a class that is missing in a folder never shifts the others.

A new format is one file here and one entry in FORMATS. Importing this package, and `fingerprint`, load neither numpy
nor scikit-learn nor PIL.
"""

from __future__ import annotations

import io
from functools import partial
from typing import TYPE_CHECKING

from ltgc_cli.errors import InputError
from ltgc_cli.learn.datasets import digits, folders, huggingface, inaturalist, lists, metadata
from ltgc_cli.learn.datasets.class_table import align, class_indices
from ltgc_cli.learn.datasets.files import check_found
from ltgc_cli.learn.datasets.folders import IMAGE_SUFFIXES
from ltgc_cli.learn.datasets.types import ClassInfo, Dataset, Format, Item, Sample, Shot, Source, Split

if TYPE_CHECKING:
    import PIL.Image

# What other files of this package define for all; what this one defines goes without saying.
__all__ = [
    "IMAGE_SUFFIXES", "ClassInfo", "Dataset", "Item", "Sample", "Source", "Split", "align", "check_found",
    "class_indices",
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


def open_data(source: Source | str, split: Split) -> Dataset:
    """Returns one split of a data set. Raises InputError for what is no data set.

    source -- or its spec alone: `digits-lt`, `digits-lt:SEED`, a folder (`./digits-lt` for one called that), a list
    """
    source = _source(source)
    kind = _format(source.spec)
    flag = "--image-column" if source.image_column else "--label-column"
    # Test data of another kind may well stand beside a table, and have no columns.
    if split == "train" and not kind.columns and (source.image_column or source.label_column):
        raise InputError(f"{flag} goes with a table (CSV, JSONL, parquet, Hugging Face's); {source.spec} is none")
    return kind.open(source, split)


def image_bytes(dataset: Dataset, item: Item) -> bytes:
    """Returns an image's encoded bytes, as they are on disk. Raises InputError where they cannot be read."""
    return _format(dataset.spec).read(dataset, item)


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


def pixels(data: bytes, name: str) -> PIL.Image.Image:
    """Returns the RGB image that some bytes encode. Raises InputError, with the name, for what is no image."""
    from PIL import Image

    try:
        image: Image.Image = Image.open(io.BytesIO(data))
        if image.mode == "P" and "transparency" in image.info:
            image = image.convert("RGBA")  # straight to RGB, Pillow warns
        return image.convert("RGB")
    except Image.DecompressionBombError:
        raise InputError(f"{name}: the image has too many pixels to be opened safely") from None
    except (OSError, SyntaxError, ValueError, IndexError, EOFError) as error:
        # PIL's own words name a memory address where nothing was recognised.
        reason = "no image format that PIL knows" if "BytesIO" in str(error) else str(error)
        raise InputError(f"{name}: not a whole image ({reason})") from None


def shot(count: int) -> Shot:
    """Returns the group of a class with so many training images.

    >>> shot(101), shot(100), shot(20), shot(19)
    ('many', 'medium', 'medium', 'few')
    """
    return "many" if count > 100 else "medium" if count >= 20 else "few"


def _source(source: Source | str) -> Source:
    return Source(source) if isinstance(source, str) else source


def _format(spec: str) -> Format:
    return next(kind for kind in FORMATS if kind.takes(spec))
