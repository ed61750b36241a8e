"""A folder: PATH/<class>/<images>, or PATH/train, PATH/val, PATH/test with classes in them.

Without a class table, labels number the sorted folder names of the *training* folder. With one, a folder is
matched to it by its name, by a synonym (`n01440764`), or, where it is called by its label (`0042`), by that.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from ltgc_cli.errors import InputError
from ltgc_cli.learn.datasets import class_table
from ltgc_cli.learn.datasets.files import read_image, sha256, stamped
from ltgc_cli.learn.datasets.types import SPLIT_WORDS, ClassInfo, Dataset, Format, Item, Source, Split
from ltgc_cli.text import nearest

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


def _open(source: Source, split: Split) -> Dataset:
    root, table, folder = _folders(source, split)
    names = _class_names(table)
    counts = {name: sum(1 for _ in _images(table / name)) for name in names}
    own_names = names if folder == table else _class_names(folder)
    if source.classes:
        classes = class_table.load(source.classes)
        labels = _matched([*names, *own_names], classes, source)
        total: Counter[int] = Counter()
        for name in names:  # two folders may well hold one class, called by its name and by a synonym
            total[labels[name]] += counts[name]
        classes = tuple(msgspec.structs.replace(info, count=total[info.label]) for info in classes)
    else:
        classes = tuple(ClassInfo(label=label, name=name, count=counts[name]) for label, name in enumerate(names))
        labels = {name: label for label, name in enumerate(own_names)}
    items = tuple(
        Item(label=labels[name], name=path.relative_to(root).as_posix(), path=str(path))
        for name in sorted(own_names, key=lambda name: (labels[name], name))
        for path in _images(folder / name)
    )
    if not items:
        raise InputError(f"{folder}: no image in any class folder ({', '.join(sorted(IMAGE_SUFFIXES))})")
    dataset = Dataset(spec=source.spec, split=split, classes=classes, items=items)
    if source.classes or folder == table:
        return dataset
    # Labels come from the training folder, never from this one's listing.
    own = tuple(ClassInfo(label=label, name=name) for label, name in enumerate(own_names))
    return class_table.align(msgspec.structs.replace(dataset, classes=own), classes)


def _matched(names: Sequence[str], classes: Sequence[ClassInfo], source: Source) -> dict[str, int]:
    """Returns the label of each folder. Raises InputError for a folder that is no class, or may be one of two."""
    called: defaultdict[str, set[int]] = defaultdict(set)
    for info in classes:
        for name in (info.name, *info.synonyms):
            called[name].add(info.label)
    known = {info.label: info.name for info in classes}
    labels = {}
    for name in names:
        found = called.get(name, set()) | ({int(name)} & known.keys() if name.isascii() and name.isdigit() else set())
        if not found:
            unknown = f"the class table {source.classes} has no class {name!r}{nearest(name, called, quoted=True)}"
            raise InputError(
                f"{source.spec}: {unknown}; a class's folder is called by its name, a synonym or its label"
            )
        if len(found) > 1:
            may = " and ".join(f"{known[label]!r} (label {label})" for label in sorted(found))
            raise InputError(f"{source.spec}: the folder {name!r} may be {may} of {source.classes}; rename one of them")
        labels[name] = found.pop()
    return labels


def _fingerprint(source: Source, split: Split) -> str:
    root, table, folder = _folders(source, split)
    lines = ["folder", split]
    for part in (table, folder) if table != folder else (folder,):  # the table's files are the classes' counts
        for name in _class_names(part):
            lines += [name, *(stamped(path, root) for path in _images(part / name))]
    return sha256(lines, source.classes)


def _splits(source: Source) -> tuple[Split, ...]:
    return tuple(_split_folders(_root(source))) or ("train",)


def _folders(source: Source, split: Split) -> tuple[Path, Path, Path]:
    """Returns the data set's folder, the one that its class counts come from, and the one with the split's images."""
    root = _root(source)
    found = _split_folders(root) or {split: root}
    if split not in found:
        there = ", ".join(sorted(path.name for path in found.values()))
        raise InputError(f"{source.spec}: has no folder {split!r}, only {there}")
    return root, found.get("train", found[split]), found[split]


def _root(source: Source) -> Path:
    root = Path(source.spec).expanduser()
    if not root.is_dir():
        raise InputError(
            f"{source.spec}: not a folder; --data takes a folder with one folder per class, a list (.txt, .csv, "
            ".jsonl), iNaturalist's .json, a folder of Hugging Face's save_to_disk, or digits-lt"
        )
    if source.root:
        raise InputError(f"--root {source.root}: {source.spec} is a folder itself; --root goes with a list")
    return root


def _split_folders(root: Path) -> dict[Split, Path]:
    return {split: root / name for split, names in SPLIT_WORDS.items() for name in names if (root / name).is_dir()}


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
    for inside, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES:
                _check_text(name, Path(inside))
                yield Path(inside, name)


def _check_text(name: str, folder: Path) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InputError(f"{folder}: the file name {ascii(name)} is not UTF-8; rename it") from None


FORMAT = Format(takes=lambda spec: True, open=_open, read=read_image, fingerprint=_fingerprint, splits=_splits)
"""Takes what no other format takes, and says what is wrong with it."""
