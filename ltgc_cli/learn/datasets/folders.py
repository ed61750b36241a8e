"""A folder: PATH/<class>/<images>, or PATH/train, PATH/val, PATH/test with classes in them.

Without a class table, labels number the sorted folder names of the *training* folder. With one, a folder is
matched to it by its name, by a synonym (`n01440764`), or, where it is called by its label (`0042`), by that.

A class's folder holds images; those in folders within it count too. A folder without any image is no class.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from ltgc_cli.errors import InputError
from ltgc_cli.image_formats import readable_suffixes
from ltgc_cli.learn.datasets import class_table, names, tree
from ltgc_cli.learn.datasets.files import read_image, sha256, stamped
from ltgc_cli.learn.datasets.tree import LeftOut
from ltgc_cli.learn.datasets.types import SPLIT_WORDS, ClassInfo, Dataset, Format, Item, Source, Split
from ltgc_cli.text import nearest

_SHOWN = 3  # folders that a message names


class _Classes(NamedTuple):
    """What a folder of class folders holds: each one's images by its name, sorted, and what is no image."""

    images: dict[str, list[Path]]
    left_out: list[LeftOut]


class _Tree(NamedTuple):
    """A data set's folder, what its class counts come from, what holds the split's images, what lies beside these."""

    root: Path
    table: _Classes
    own: _Classes
    left_out: list[LeftOut]


def _open(source: Source, split: Split) -> Dataset:
    root, table, own, beside = _read(source, split)
    counts = {name: len(images) for name, images in table.images.items()}
    if source.classes:
        classes = class_table.load(source.classes)
        labels = _matched([*table.images, *own.images], classes, source)
        total: Counter[int] = Counter()
        for name, count in counts.items():  # two folders may well hold one class, called by its name and by a synonym
            total[labels[name]] += count
        classes = tuple(msgspec.structs.replace(info, count=total[info.label]) for info in classes)
    else:
        classes = tuple(ClassInfo(label=label, name=name, count=counts[name]) for label, name in enumerate(counts))
        labels = {name: label for label, name in enumerate(own.images)}
    items = tuple(
        Item(label=labels[name], name=path.relative_to(root).as_posix(), path=str(path))
        for name in sorted(own.images, key=lambda name: (labels[name], name))
        for path in own.images[name]
    )
    left_out = tuple(tree.below(root, dict.fromkeys([*beside, *table.left_out, *own.left_out])))
    dataset = Dataset(spec=source.spec, split=split, classes=classes, items=items, left_out=left_out)
    if source.classes or own is table:
        return dataset
    # Labels come from the training folder, never from this one's listing.
    listed = tuple(ClassInfo(label=label, name=name) for label, name in enumerate(own.images))
    return class_table.align(msgspec.structs.replace(dataset, classes=names.as_read(listed)), names.as_read(classes))


def _matched(folders: Sequence[str], classes: Sequence[ClassInfo], source: Source) -> dict[str, int]:
    """Returns the label of each folder. Raises InputError for a folder that is no class, or may be one of two."""
    called: defaultdict[str, set[int]] = defaultdict(set)
    for info in (*classes, *names.as_read(classes)):
        for name in (info.name, *info.synonyms):
            called[name].add(info.label)
    known = {info.label: info.name for info in classes}
    labels = {}
    for name in folders:
        found = called.get(name) or called.get(names.readable(name), set())
        found = found | ({int(name)} & known.keys() if name.isascii() and name.isdigit() else set())
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
    root, table, own, _ = _read(source, split)
    lines = ["folder", split]
    for part in (table, own) if table is not own else (own,):  # the table's files are the classes' counts
        for name, images in part.images.items():
            lines += [name, *(stamped(path, root) for path in images)]
    return sha256(lines, source.classes)


def _splits(source: Source) -> tuple[Split, ...]:
    return tuple(_split_folders(_root(source))) or ("train",)


def _read(source: Source, split: Split) -> _Tree:
    """Returns what a split is read from. Raises InputError for what is no data set, or has no such split."""
    root = _root(source)
    found = _split_folders(root)
    if not found:
        classes = _classes(root)
        _check_called(root, classes)
        return _Tree(root, classes, classes, [])
    if split not in found:
        there = ", ".join(sorted(path.name for path in found.values()))
        strays = [path for path in tree.inside(root).folders if _word(path) == split]
        unsorted = f" ({strays[0]} holds no folders of images, one per class)" if strays else ""
        raise InputError(f"{source.spec}: has no folder {split!r}, only {there}{unsorted}")
    own = _classes(found[split])
    table = own if split == "train" or "train" not in found else _classes(found["train"])
    return _Tree(root, table, own, _beside(root, found))


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


# ---- which folder is what


def _word(folder: Path) -> Split | None:
    """Returns the split that a folder is called by, in any case."""
    name = folder.name.strip().casefold()
    return next((split for split, words in SPLIT_WORDS.items() if name in words), None)


def _split_folders(root: Path) -> dict[Split, Path]:
    """Returns the folder of each split: it is called so, and holds folders of images.

    One that holds images itself is a class of that name, unless all that stand beside it are splits too: then these
    images are strays. Raises InputError for two folders of one split.
    """
    folders = tree.inside(root).folders
    found: dict[Split, Path] = {}
    for folder in folders:
        split = _word(folder)
        if not split or not any(map(tree.has_images, tree.inside(folder).folders)):
            continue
        if tree.inside(folder).images and any(tree.inside(other).images for other in folders if not _word(other)):
            continue
        if other := found.get(split):
            raise InputError(
                f"{root}: {other.name}/ and {folder.name}/ may both hold the {split} images; rename or move one of them"
            )
        found[split] = folder
    return {split: found[split] for split in SPLIT_WORDS if split in found}


def _beside(root: Path, splits: dict[Split, Path]) -> list[LeftOut]:
    """Returns what lies beside the folders of splits."""
    found = tree.inside(root)
    others = [path for path in found.folders if path not in splits.values()]
    folders = [LeftOut(path, "no split" if tree.has_images(path) else "no image in it") for path in others]
    return [*found.left_out, *(LeftOut(path, "in no class folder") for path in found.images), *folders]


def _classes(folder: Path) -> _Classes:
    """Returns the classes in a folder. Raises InputError where there is none, or one holds nothing but folders."""
    found = tree.inside(folder)
    if not found.folders:
        raise InputError(f"{folder}: no class in it; images belong in one folder per class")
    left_out = [*found.left_out, *(LeftOut(path, "in no class folder") for path in found.images)]
    images: dict[str, list[Path]] = {}
    # What `ltgc export` wrote has a folder for every label, so that none shifts: an empty one keeps its place.
    exported = (folder / "classes.csv").is_file() and all(path.name.isdigit() for path in found.folders)
    for path in found.folders:
        there = list(tree.images(path, left_out))
        if there or exported:
            _check_text([path, *there])
            images[path.name] = there
        else:
            left_out.append(LeftOut(path, "no image in it"))
    if not any(images.values()):
        what = tree.worded(tree.below(folder, left_out))
        raise InputError(f"{folder}: no image in any class folder ({', '.join(sorted(readable_suffixes()))}); {what}")
    # The images of the folder itself come first.
    nested = [folder / name for name, there in images.items() if there and there[0].parent != folder / name]
    if nested:
        raise InputError(_too_high(nested[0], alone=len(images) == 1))
    return _Classes(images, left_out)


def _check_text(paths: Sequence[Path]) -> None:
    """Raises InputError for a name that no text can hold."""
    for path in paths:
        try:
            path.name.encode()
        except UnicodeEncodeError:
            raise InputError(f"{path.parent}: the file name {ascii(path.name)} is not UTF-8; rename it") from None


def _too_high(folder: Path, *, alone: bool) -> str:
    """Returns what is wrong with a class's folder that holds nothing but folders.

    alone -- whether no other folder beside it holds images
    """
    if not alone:
        return (
            f"{folder}: a class's folder holds images, and this one only folders ({_named(_filled(folder))}); move its "
            f"images up, or, if these are the classes: --data {folder}"
        )
    while not _split_folders(folder) and len(inner := _filled(folder)) == 1 and not tree.inside(inner[0]).images:
        folder = inner[0]
    splits = _split_folders(folder)
    return f"{folder} has {_named(list(splits.values()) or _filled(folder))}: did you mean --data {folder}?"


def _filled(folder: Path) -> list[Path]:
    return [path for path in tree.inside(folder).folders if tree.has_images(path)]


def _named(folders: Sequence[Path]) -> str:
    """Returns folders in words: `cat/, dog/ and eel/`."""
    shown = [f"{path.name}/" for path in folders[:_SHOWN]]
    if len(folders) > _SHOWN:
        return f"{', '.join(shown)} and {len(folders) - _SHOWN:,} more"
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))


def _check_called(root: Path, classes: _Classes) -> None:
    """Raises InputError where all classes are called as splits are: then they are splits without classes."""
    folders = [root / name for name in classes.images]
    if all(map(_word, folders)):
        hold = "holds" if len(folders) == 1 else "hold"
        raise InputError(
            f"{root}: {_named(folders)} {hold} images and no folders of them, so no class is known; images belong in "
            "one folder per class, or in a list"
        )


FORMAT = Format(takes=lambda spec: True, open=_open, read=read_image, fingerprint=_fingerprint, splits=_splits)
"""Takes what no other format takes, and says what is wrong with it."""
