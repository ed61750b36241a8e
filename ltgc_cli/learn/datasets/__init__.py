"""Data sets: `digits-lt`, built in, and any folder of images; a new format is one entry in FORMATS.

A label comes from one class table and from nowhere else. Splits and folders that are read later are matched to
that table by class *name* (`align`), so a class that is missing in a folder never shifts the others.

Importing this module, and `fingerprint`, load neither numpy nor scikit-learn nor PIL.
"""

from __future__ import annotations

import difflib
import hashlib
import io
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from ltgc_cli.errors import InputError

if TYPE_CHECKING:
    import PIL.Image

Split = Literal["train", "val", "test"]
Shot = Literal["many", "medium", "few"]

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


class ClassInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the class table. `count` is the number of its real *training* images, whatever split is open."""

    label: int
    name: str
    sense: str = ""
    synonyms: tuple[str, ...] = ()
    count: int = 0

    @property
    def subject(self) -> str:
        """The name as prompts and text features use it: `seal (marine mammal)`."""
        return f"{self.name} ({self.sense})" if self.sense else self.name


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One image. `name` is its posix path relative to the data set, or `digits/0123`, which has no file."""

    label: int
    name: str
    path: Path | None = None


class Source(msgspec.Struct, frozen=True):
    """What `--data` names: a spec, the folder that a list's paths start from, and a class table of its own."""

    spec: str
    root: Path | None = None
    classes: Path | None = None


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """One split: its class table (by label) and its images, those of one class together."""

    spec: str
    split: Split
    classes: tuple[ClassInfo, ...]
    items: tuple[Item, ...]


class Sample(NamedTuple):
    """An image to train on or to classify: its label, how to get its bytes, and a name for messages."""

    label: int
    read: Callable[[], bytes]
    name: str = ""
    score: float | None = None
    """CLIP's score of a generated image."""


class Format(NamedTuple):
    """How one kind of data set is opened, how one image of it is read, and what tells its contents apart."""

    open: Callable[[Source, Split], Dataset]
    read: Callable[[Item], bytes]
    fingerprint: Callable[[Source, Split], str]


def open_data(source: Source | str, split: Split) -> Dataset:
    """Returns one split of a data set. Raises InputError for what is no data set.

    source -- or its spec alone: `digits-lt`, `digits-lt:SEED`, or a folder (`./digits-lt` for one called that)
    """
    source = as_source(source)
    return _format(source.spec).open(source, split)


def image_bytes(dataset: Dataset, item: Item) -> bytes:
    """Returns an image's encoded bytes, as they are on disk. Raises InputError where they cannot be read."""
    return _format(dataset.spec).read(item)


def fingerprint(source: Source | str, split: Split) -> str:
    """Returns the sha256 (hex) of what a split holds, found without reading a pixel."""
    source = as_source(source)
    return _format(source.spec).fingerprint(source, split)


def as_source(source: Source | str) -> Source:
    """Returns a source, of a spec alone too."""
    return Source(source) if isinstance(source, str) else source


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


def align(dataset: Dataset, classes: Sequence[ClassInfo]) -> Dataset:
    """Returns the data set under another class table: labels by class name, images otherwise as they were.

    Raises InputError for a name that the table does not have, or has twice.
    """
    labels = {info.name: info.label for info in classes}
    if len(labels) < len(classes):
        (twice, _), *_ = Counter(info.name for info in classes).most_common(1)
        raise InputError(f"the class table has the name {twice!r} twice; names must differ to match folders with it")
    for info in dataset.classes:
        if info.name not in labels:
            raise InputError(f"{dataset.spec}: the class table has no class {info.name!r}{_nearest(info.name, labels)}")
    names = {info.label: info.name for info in dataset.classes}
    items = tuple(msgspec.structs.replace(item, label=labels[names[item.label]]) for item in dataset.items)
    return msgspec.structs.replace(dataset, classes=tuple(classes), items=items)


def _nearest(name: str, names: Sequence[str] | dict[str, int]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _format(spec: str) -> Format:
    return FORMATS.get(spec.partition(":")[0], FORMATS["folder"])


# ---- digits-lt: scikit-learn's handwritten digits (UCI ML hand-written digits, 8x8), cut to a long tail

DIGIT_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_HEAD, _TAIL, _TEST, _VAL = 110, 4, 60, 40
_SIDE = 32
_VERSION = "1"
"""Part of the fingerprint: raise it when a change here changes an image or a split."""


def digit_counts(seed: int) -> tuple[int, ...]:
    """Returns the number of training images of each digit: 110 down to 4 geometrically, shuffled by the seed."""
    import numpy as np

    ranks = np.random.default_rng([seed, 10]).permutation(10)
    return tuple(round(_HEAD * (_TAIL / _HEAD) ** (int(rank) / 9)) for rank in ranks)


def _digits_open(source: Source, split: Split) -> Dataset:
    import numpy as np

    seed = _digits_seed(source.spec)
    counts = digit_counts(seed)
    _, digits = _load_digits()
    items = []
    for label, count in enumerate(counts):
        indices = np.random.default_rng([seed, label]).permutation(np.flatnonzero(digits == label))
        test, train, val = np.split(indices, [_TEST, _TEST + count])
        chosen = {"test": test, "train": train, "val": val[:_VAL]}[split]
        items += [Item(label=label, name=f"digits/{index:04d}") for index in sorted(chosen)]
    classes = tuple(
        ClassInfo(label=label, name=name, sense="written digit", count=counts[label])
        for label, name in enumerate(DIGIT_NAMES)
    )
    return Dataset(spec=source.spec, split=split, classes=classes, items=tuple(items))


def _digits_read(item: Item) -> bytes:
    """Returns a PNG of 32x32: uncompressed, so that every build of zlib gives the same bytes."""
    import numpy as np
    from PIL import Image

    levels = _load_digits()[0][int(item.name.removeprefix("digits/"))]
    small = Image.fromarray(np.rint(levels * 255 / 16).astype(np.uint8))
    file = io.BytesIO()
    small.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC).convert("RGB").save(file, "PNG", compress_level=0)
    return file.getvalue()


def _digits_fingerprint(source: Source, split: Split) -> str:
    return _sha256(["digits-lt", _VERSION, str(_digits_seed(source.spec)), split])


def _digits_seed(spec: str) -> int:
    seed = spec.partition(":")[2] or "0"
    if not seed.isascii() or not seed.isdigit():
        raise InputError(f"{spec}: the seed of digits-lt is a whole number, as in digits-lt:3")
    return int(seed)


@cache
def _load_digits() -> tuple[Any, Any]:
    """Returns the levels [1797, 8, 8] in 0..16 and the digits [1797]. No two images are alike, so no split leaks."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return data.images, data.target


# ---- a folder: PATH/<class>/<images>, or PATH/train, PATH/val, PATH/test with classes in them

_SPLIT_FOLDERS: dict[Split, tuple[str, ...]] = {
    "train": ("train",),
    "val": ("val", "validation", "valid"),
    "test": ("test",),
}


def _folder_open(source: Source, split: Split) -> Dataset:
    root, table, folder = _folders(source.spec, split)
    names = _class_names(table)
    counts = {name: sum(1 for _ in _images(table / name)) for name in names}
    classes = tuple(ClassInfo(label=label, name=name, count=counts[name]) for label, name in enumerate(names))
    own = classes
    if folder != table:  # labels come from the training folder, never from this one's listing
        own = tuple(ClassInfo(label=label, name=name) for label, name in enumerate(_class_names(folder)))
    items = tuple(
        Item(label=info.label, name=_posix(path, root), path=path)
        for info in own
        for path in _images(folder / info.name)
    )
    if not items:
        raise InputError(f"{folder}: no image in any class folder ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return align(Dataset(spec=source.spec, split=split, classes=own, items=items), classes)


def _folder_read(item: Item) -> bytes:
    assert item.path is not None
    try:
        return item.path.read_bytes()
    except OSError as error:
        raise InputError(f"{item.path}: {error.strerror}") from None


def _folder_fingerprint(source: Source, split: Split) -> str:
    root, table, folder = _folders(source.spec, split)
    lines = ["folder", split]
    for part in (table, folder) if table != folder else (folder,):  # the table's files are the classes' counts
        for name in _class_names(part):
            lines.append(name)
            for path in _images(part / name):
                stat = path.stat()
                lines.append(f"{_posix(path, root)}\t{stat.st_size}\t{stat.st_mtime_ns}")
    return _sha256(lines)


def _folders(spec: str, split: Split) -> tuple[Path, Path, Path]:
    """Returns the data set's folder, the one that its class table comes from, and the one with the split's images."""
    root = Path(spec).expanduser()
    if not root.is_dir():
        known = ", ".join(name for name in FORMATS if name != "folder")
        raise InputError(f"{spec}: not a folder; --data takes a folder with one folder per class, or {known}")
    found = {kind: root / name for kind, names in _SPLIT_FOLDERS.items() for name in names if (root / name).is_dir()}
    if not found:
        return root, root, root
    if split not in found:
        there = ", ".join(sorted(path.name for path in found.values()))
        raise InputError(f"{spec}: has no folder {split!r}, only {there}")
    return root, found.get("train", found[split]), found[split]


def _class_names(folder: Path) -> list[str]:
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise InputError(f"{folder}: no class in it; images belong in one folder per class")
    for name in names:
        _check_text(name, folder)
    return names


def _images(folder: Path) -> Iterator[Path]:
    """Returns the image files of a class, nested ones too, sorted; hidden ones and other files are left out."""
    if not folder.is_dir():
        return
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES:
                _check_text(name, Path(place))
                yield Path(place, name)


def _check_text(name: str, folder: Path) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InputError(f"{folder}: the file name {ascii(name)} is not UTF-8; rename it") from None


def _posix(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _sha256(lines: Sequence[str]) -> str:
    # File names may hold newlines but never a NUL.
    return hashlib.sha256("\0".join(lines).encode()).hexdigest()


FORMATS: dict[str, Format] = {
    "digits-lt": Format(_digits_open, _digits_read, _digits_fingerprint),
    "folder": Format(_folder_open, _folder_read, _folder_fingerprint),
}
"""What `--data` takes, by the word before the colon; what is none of them is a folder."""
