"""What list files, tables, manifests and iNaturalist's JSON have in common: rows of a path and a label.

A file whose name ends in the word for a split (`ImageNet_LT_train.txt`, `train2018.json`) has its other splits beside
it under their words; one whose rows name their split holds them all; any other is the same images whatever is asked.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from ltgc_cli.errors import InputError
from ltgc_cli.files import sha256_file
from ltgc_cli.learn.datasets import class_table
from ltgc_cli.learn.datasets.files import read_image, sha256
from ltgc_cli.learn.datasets.types import SPLIT_WORDS, ClassInfo, Dataset, Format, Item, Source, Split


class ListedImage(NamedTuple):
    """One image of a list: its path, its label, and the line that names it (0: no line does)."""

    path: str
    label: int
    line: int = 0
    split: Split | None = None


class Listing(NamedTuple):
    """What a file says: its images, and the names that it has for labels."""

    file: Path
    rows: list[ListedImage]
    names: Mapping[int, str]


ListReader = Callable[[Path], Listing]
_SPLIT_WORD = re.compile(r"(?:^|(?<=[^a-z]))(train|val|validation|valid|test)(?=\d*$)")


def format_of(suffix: str, read: ListReader) -> Format:
    """Returns the format of files with a suffix, of which `read` returns the rows."""
    return Format(
        takes=lambda spec: spec.lower().endswith(suffix) and not Path(spec).expanduser().is_dir(),
        open=partial(_open, read),
        read=read_image,
        fingerprint=_fingerprint,
        splits=partial(_splits, read),
    )


def split_of(where: str, word: str) -> Split:
    """Returns the split that a word in a table means. Raises InputError, with its place, for another word."""
    for split, words in SPLIT_WORDS.items():
        if word.strip().lower() in words:
            return split
    raise InputError(f"{where}: {word!r} is no split; one of train, val, test is wanted")


def _open(read: ListReader, source: Source, split: Split) -> Dataset:
    own_file, train_file = _files(source, split)
    listing = read(own_file)
    own = _of_split(listing, split)
    whole = listing if train_file == own_file else read(train_file)
    training = _of_split(whole, "train") if "train" in _held(whole) else own if whole is listing else whole
    classes, named = _classes(source, own, training)
    for part in (own, training):
        _check_labels(part, classes, source, training)
    root = os.path.abspath((source.root or own_file.parent).expanduser())
    items = tuple(
        Item(label=row.label, name=row.path, path=os.path.join(root, row.path), line=row.line)
        for row in sorted(own.rows, key=lambda row: row.label)
    )
    return Dataset(spec=source.spec, split=split, classes=classes, items=items, named=named, file=str(own_file))


def _classes(source: Source, own: Listing, training: Listing) -> tuple[tuple[ClassInfo, ...], bool]:
    """Returns the class table with training counts, and whether its names are names."""
    counts = Counter(row.label for row in training.rows)
    if source.classes:
        table = class_table.load(source.classes)
        return tuple(msgspec.structs.replace(info, count=counts[info.label]) for info in table), True
    names = {**own.names, **training.names}
    for label, name in own.names.items():
        if names[label] != name:
            raise InputError(f"{own.file}: label {label} is {name!r} here and {names[label]!r} in {training.file}")
    named = any(name != str(label) for label, name in names.items())
    names = names or {label: str(label) for label in counts}
    return tuple(ClassInfo(label=label, name=names[label], count=counts[label]) for label in sorted(names)), named


def _check_labels(listing: Listing, classes: tuple[ClassInfo, ...], source: Source, training: Listing) -> None:
    """Raises InputError for the first row whose label is in no class table."""
    known = {info.label for info in classes}
    wrong = [row for row in listing.rows if row.label not in known]
    if not wrong:
        return
    where = f"{listing.file}:{wrong[0].line}" if wrong[0].line else f"{listing.file}: {wrong[0].path}"
    table = f"the class table {source.classes}" if source.classes else f"{training.file}, where the classes come from"
    more = f"; so it is in {len(wrong):,} rows" if len(wrong) > 1 else ""
    raise InputError(f"{where}: label {wrong[0].label} is not in {table} (labels {min(known)} to {max(known)}){more}")


def _of_split(listing: Listing, split: Split) -> Listing:
    """Returns the rows of a split; all of them where rows name no split."""
    held = _held(listing)
    rows = [row for row in listing.rows if row.split == split] if held else listing.rows
    if not rows:
        reason = f"no row of split {split!r}, only {', '.join(held)}" if held else "no image with a label in it"
        raise InputError(f"{listing.file}: {reason}")
    return listing._replace(rows=rows)


def _held(listing: Listing) -> tuple[Split, ...]:
    """Returns the splits that the rows name."""
    there = {row.split for row in listing.rows}
    return tuple(split for split in SPLIT_WORDS if split in there)


def _fingerprint(source: Source, split: Split) -> str:
    """Returns the hash of the lists, of the class table, and of where the images lie.

    The images themselves are not looked at: half a million of them on a network disk would take minutes. So an image
    that changes while its path stays is not noticed; give the changed set another folder, or its list another line.
    """
    own, train = _files(source, split)
    root = os.path.abspath((source.root or own.parent).expanduser())
    return sha256(["listing", split, root, sha256_file(own), sha256_file(train)], source.classes)


def _splits(read: ListReader, source: Source) -> tuple[Split, ...]:
    file = Path(source.spec).expanduser()
    if not _SPLIT_WORD.search(file.stem):
        return _held(read(file)) or ("train",)
    there = {split: _beside(file, split) for split in SPLIT_WORDS}
    # A file beside it may have no labels, as iNaturalist's test2018.json.
    return tuple(split for split, other in there.items() if other and (other == file or read(other).rows))


def _files(source: Source, split: Split) -> tuple[Path, Path]:
    """Returns the file with the split's images, and the one that the classes and their counts come from."""
    file = Path(source.spec).expanduser()
    if not _SPLIT_WORD.search(file.stem):
        return file, file
    if own := _beside(file, split):
        return own, _beside(file, "train") or own
    if there := [path.name for other in SPLIT_WORDS if (path := _beside(file, other))]:
        raise InputError(f"{source.spec}: no list for {split!r} beside it, only {', '.join(there)}")
    raise InputError(f"{file}: No such file or directory")


def _beside(file: Path, split: Split) -> Path | None:
    """Returns the file of a split: the file itself, or one beside it that is called as it is but for the word."""
    found = _SPLIT_WORD.search(file.stem)
    assert found
    if found[1] in SPLIT_WORDS[split]:
        return file if file.is_file() else None
    for word in SPLIT_WORDS[split]:
        other = file.with_name(file.stem[: found.start(1)] + word + file.stem[found.end(1) :] + file.suffix)
        if other.is_file():
            return other
    return None
