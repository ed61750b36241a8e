"""What list files, tables, manifests and iNaturalist's JSON have in common: rows of a path and a label.

A file whose name ends in the word for a split (`ImageNet_LT_train.txt`, `train2018.json`) has its other splits beside
it under their words; one whose rows name their split holds them all; any other is the same images whatever is asked.
A validation list that is named where test images are wanted (`eval --data val2018.json`) is taken as it is.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from ltgc_cli.errors import InputError
from ltgc_cli.files import sha256_file
from ltgc_cli.image_formats import SUFFIXES
from ltgc_cli.learn.datasets import class_table, tree
from ltgc_cli.learn.datasets.files import read_image, sha256
from ltgc_cli.learn.datasets.types import SPLIT_WORDS, ClassInfo, Dataset, Format, Item, Source, Split
from ltgc_cli.text import nearest


class ListedImage(NamedTuple):
    """One image of a list: its path, its label or its class's name, and the line that names it (0: no line does)."""

    path: str
    label: int | str
    line: int = 0
    split: Split | None = None


class Listing(NamedTuple):
    """What a file says: its images, and the names that it has for labels."""

    file: Path
    rows: list[ListedImage]
    names: Mapping[int, str]


class Labelled(NamedTuple):
    """A class table with training counts, whether its names are names, and the label of each of a listing's rows."""

    classes: tuple[ClassInfo, ...]
    named: bool
    labels: list[int]


ListReader = Callable[[Path, Source], Listing]
Files = Callable[[Source, Split], tuple[Path, Path]]
_WORDS = "|".join(sorted((word for words in SPLIT_WORDS.values() for word in words), key=len, reverse=True))
_SPLIT_WORD = re.compile(rf"(?:^|(?<=[^a-z]))({_WORDS})(?=\d*$)", re.IGNORECASE)
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")


def format_of(suffixes: Sequence[str], read: ListReader, *, columns: bool = False) -> Format:
    """Returns the format of files with a suffix, of which `read` returns the rows; `columns`: which it has by name."""
    return Format(
        takes=lambda spec: spec.lower().endswith(tuple(suffixes)) and not Path(spec).expanduser().is_dir(),
        open=partial(open_list, read, _files),
        read=read_image,
        files=True,
        fingerprint=partial(fingerprint_list, _files),
        splits=partial(_splits, read),
        columns=columns,
        root=True,
    )


def split_of(where: str, word: str) -> Split:
    """Returns the split that a word in a table means. Raises InputError, with its place, for another word."""
    for split, words in SPLIT_WORDS.items():
        if word.strip().lower() in words:
            return split
    raise InputError(f"{where}: {word!r} is no split; one of train, val, test is wanted")


def open_list(read: ListReader, files: Files, source: Source, split: Split) -> Dataset:
    """Returns a split of what `read` reads from one of the `files` (the split's own, and that of the training)."""
    own_file, train_file = files(source, split)
    listing = read(own_file, source)
    own = _of_split(listing, split)
    whole = listing if train_file == own_file else read(train_file, source)
    training = _of_split(whole, "train") if "train" in held(whole) else own if whole is listing else whole
    labelled = label_rows(source, own, training)
    root = _root(source, own_file)
    own = _as_found(root, own)
    paired = sorted(zip(labelled.labels, own.rows, strict=True), key=lambda pair: pair[0])
    items = tuple(
        Item(label=label, name=(path := _path(root, own, row)), path=os.path.join(root, path), line=row.line)
        for label, row in paired
    )
    found = Dataset(spec=source.spec, split=split, classes=labelled.classes, items=items, named=labelled.named)
    bounds = tree.boundary(Path(root), follow_links=source.follow_links)
    return msgspec.structs.replace(found, file=str(own_file), bounds=bounds)


def _root(source: Source, file: Path) -> str:
    return os.path.abspath((source.root or file.parent).expanduser())


def _as_found(root: str, listing: Listing) -> Listing:
    """Returns a list with paths that lead to its images, where its first leads to none as it stands.

    Those of Places365 begin with / and lie below the root; those of Food-101 and many a CSV lack the suffix.
    """
    first = listing.rows[0].path
    if os.path.exists(os.path.join(root, first)):
        return listing
    there = os.path.join(root, first.lstrip("/"))
    endings = [""] if _has_suffix(first) else [end for suffix in sorted(SUFFIXES) for end in (suffix, suffix.upper())]
    ending = next((end for end in endings if os.path.isfile(there + end)), None)
    if ending is None:
        return listing
    rows = [
        row._replace(path=row.path.lstrip("/") + (ending if not _has_suffix(row.path) else "")) for row in listing.rows
    ]
    return listing._replace(rows=rows)


def _has_suffix(path: str) -> bool:
    return os.path.splitext(path)[1].lower() in SUFFIXES


def _path(root: str, listing: Listing, row: ListedImage) -> str:
    r"""Returns an image's path below the root. One of Windows, `cat\1.png`, has slashes where it is not there as such.

    Raises InputError for a path that begins with a drive, which leads nowhere on another machine.
    """
    if os.sep == "\\" or not set(row.path) & {"\\", ":"} or os.path.lexists(os.path.join(root, row.path)):
        return row.path
    if _WINDOWS.match(row.path):
        there = f"{place(listing, row)}: {row.path} is a path of a Windows machine"
        raise InputError(f"{there}; write paths from a folder on, such as cat/1.jpg, and name that with --root")
    return row.path.replace("\\", "/")


def place(listing: Listing, row: ListedImage) -> str:
    """Returns where a list names an image, for messages."""
    return f"{listing.file}:{row.line}" if row.line else f"{listing.file}: {row.path}"


def label_rows(
    source: Source, own: Listing, training: Listing, place: Callable[[Listing, ListedImage], str] = place
) -> Labelled:
    """Returns the classes, with training counts, and the label of each row of a split.

    Labels that are numbers make the classes that occur in training, where nobody names them. Names make classes
    in alphabetical order. A class table, where one is given, has the last word.
    Raises InputError for the first row whose label is in no class table.
    """
    classes, named = _classes(source, own, training)
    table = f"the class table {source.classes}" if source.classes else f"{training.file}, where the classes come from"
    # Of classes that are only named the numbers are ours: nobody else's can mean them.
    numbered = bool(source.classes) or not any(isinstance(row.label, str) for row in training.rows)
    known: dict[int | str, int] = _by_text(classes)
    if numbered:
        known |= {info.label: info.label for info in classes}

    def labels(listing: Listing) -> list[int]:
        wrong = [row for row in listing.rows if row.label not in known]
        if wrong:
            more = f"; so it is in {len(wrong):,} rows" if len(wrong) > 1 else ""
            raise InputError(f"{place(listing, wrong[0])}: {_strange(wrong[0].label, classes, table)}{more}")
        return [known[row.label] for row in listing.rows]

    found = labels(own)
    counts = Counter(found if training is own else labels(training))
    return Labelled(tuple(msgspec.structs.replace(info, count=counts[info.label]) for info in classes), named, found)


def _classes(source: Source, own: Listing, training: Listing) -> tuple[tuple[ClassInfo, ...], bool]:
    """Returns the class table, without counts, and whether its names are names."""
    if source.classes:
        return class_table.load(source.classes), True
    texts = sorted({row.label for row in training.rows if isinstance(row.label, str)})
    if texts:
        return tuple(ClassInfo(label=label, name=name) for label, name in enumerate(texts)), True
    names = {**own.names, **training.names}
    for label, name in own.names.items():
        if names[label] != name:
            raise InputError(f"{own.file}: label {label} is {name!r} here and {names[label]!r} in {training.file}")
    named = any(name != str(label) for label, name in names.items())
    names = names or {row.label: str(row.label) for row in training.rows if isinstance(row.label, int)}
    return tuple(ClassInfo(label=label, name=names[label]) for label in sorted(names)), named


def _by_text(classes: Sequence[ClassInfo]) -> dict[int | str, int]:
    """Returns the label of each name, and of each synonym that is no class's name; what two classes have is none's."""
    found: dict[int | str, int] = {}
    for texts in ([(info.name,) for info in classes], [info.synonyms for info in classes]):
        called = Counter(text for own in texts for text in set(own))
        for info, own in zip(classes, texts, strict=True):
            found |= {text: info.label for text in own if called[text] == 1 and text not in found}
    return found


def _strange(label: int | str, classes: Sequence[ClassInfo], table: str) -> str:
    """Returns what is wrong with a label that no class has."""
    if isinstance(label, str):
        return f"no class is called {label!r} in {table}{nearest(label, [info.name for info in classes], quoted=True)}"
    known = [info.label for info in classes]
    return f"label {label} is not in {table} (labels {min(known)} to {max(known)})"


def _of_split(listing: Listing, split: Split) -> Listing:
    """Returns the rows of a split; all of them where rows name no split, or none but val's where test's are wanted."""
    there = held(listing)
    own = "val" if split == "test" and there == ("val",) else split
    rows = [row for row in listing.rows if row.split == own] if there else listing.rows
    if not rows:
        reason = f"no row of split {split!r}, only {', '.join(there)}" if there else "no image with a label in it"
        raise InputError(f"{listing.file}: {reason}")
    return listing._replace(rows=rows)


def held(listing: Listing) -> tuple[Split, ...]:
    """Returns the splits that the rows name."""
    there = {row.split for row in listing.rows}
    return tuple(split for split in SPLIT_WORDS if split in there)


def fingerprint_list(files: Files, source: Source, split: Split) -> str:
    """Returns the hash of the lists, of the class table, and of where the images lie.

    The images themselves are not looked at: half a million of them on a network disk would take minutes. So an image
    that changes while its path stays is not noticed; give the changed set another folder, or its list another line.
    """
    own, train = files(source, split)
    lines = ["listing", split, _root(source, own), sha256_file(own), sha256_file(train), *named_settings(source)]
    return sha256(lines, source.classes)


def named_settings(source: Source) -> list[str]:
    """Returns what a fingerprint has of the columns that a person named, and of links: nothing without such flags."""
    named = (source.image_column, source.label_column)
    follows = ["follow links"] if source.follow_links else []
    return [*(repr(column) for column in named if any(named)), *follows]


def _splits(read: ListReader, source: Source) -> tuple[Split, ...]:
    file = Path(source.spec).expanduser()
    if not named_split(file):
        return held(read(file, source)) or ("train",)
    there = {split: beside(file, split) for split in SPLIT_WORDS}
    return tuple(split for split, other in there.items() if other and (other == file or _has_rows(read, other, source)))


def _has_rows(read: ListReader, file: Path, source: Source) -> bool:
    """Returns whether a list has labels, which iNaturalist's test2018.json has not. Opening it says what is wrong."""
    try:
        return bool(read(file, source).rows)
    except InputError:
        return True


def _files(source: Source, split: Split) -> tuple[Path, Path]:
    """Returns the file with the split's images, and the one that the classes and their counts come from."""
    file = Path(source.spec).expanduser()
    named = named_split(file)
    if not named:
        return file, file
    if split == "test" and named == "val" and file.is_file():
        return file, beside(file, "train") or file
    if own := beside(file, split):
        return own, beside(file, "train") or own
    if there := [path.name for other in SPLIT_WORDS if (path := beside(file, other))]:
        raise InputError(f"{source.spec}: no list for {split!r} beside it, only {', '.join(there)}")
    raise InputError(f"{file}: No such file or directory")


def named_split(file: Path) -> Split | None:
    """Returns the split whose word ends a file's name, None where it ends in none."""
    found = _SPLIT_WORD.search(file.stem)
    return split_of(file.name, found[1]) if found else None


def beside(file: Path, split: Split) -> Path | None:
    """Returns the file of a split: the file itself, or one beside it that is called as it is but for the word."""
    found = _SPLIT_WORD.search(file.stem)
    assert found
    if found[1].lower() in SPLIT_WORDS[split]:
        return file if file.is_file() else None
    for word in SPLIT_WORDS[split]:
        word = word.upper() if found[1].isupper() else word.capitalize() if found[1][0].isupper() else word
        other = file.with_name(file.stem[: found.start(1)] + word + file.stem[found.end(1) :] + file.suffix)
        if other.is_file():
            return other
    return None
