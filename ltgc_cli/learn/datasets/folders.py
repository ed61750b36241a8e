"""A folder: PATH/<class>/<images>, or PATH/train, PATH/val, PATH/test with classes in them.

Without a class table, labels number the sorted folder names of the *training* folder. With one, a folder is
matched to it by its name, by a synonym (`n01440764`), or, where it is called by its label (`0042`), by that.

A class's folder holds images; those in folders within it count too. A folder without any image is no class.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from ltgc_cli.errors import InputError
from ltgc_cli.image_formats import readable_suffixes
from ltgc_cli.learn.datasets import class_table, names, tree
from ltgc_cli.learn.datasets.files import read_image, sha256, stamped
from ltgc_cli.learn.datasets.tree import LeftOut
from ltgc_cli.learn.datasets.types import SPLIT_WORDS, ClassInfo, Dataset, Format, Item, Source, Split
from ltgc_cli.text import counted, nearest

_SHOWN = 3  # folders that a message names
_OF_SPLITS = ("set", "data", "dataset", "split", "images", "imgs", "image", "img", "mini", "full")
"""What people write beside a split's word: training_set, train_images."""
_ARCHIVES = frozenset({".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar"})
_STORES = frozenset(
    {"image", "img", "photo", "picture", "pic", "jpg", "jpeg", "jpegimage", "png", "mask", "label", "annotation"}
)
"""How folders are called that hold a data set's images, or the masks to these, whatever their class."""


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
    dataset = Dataset(
        spec=source.spec, split=split, classes=classes, items=items, left_out=left_out, bounds=_bounds(source, root)
    )
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
    root = _root(source)
    return tuple(_split_folders(root, _bounds(source, root))) or ("train",)


def _bounds(source: Source, root: Path) -> str:
    return tree.boundary(root, follow_links=source.follow_links)


def _read(source: Source, split: Split) -> _Tree:
    """Returns what a split is read from. Raises InputError for what is no data set, or has no such split."""
    root = _root(source)
    bounds = _bounds(source, root)
    found = _split_folders(root, bounds)
    if not found:
        classes = _classes(root, bounds)
        return _Tree(root, classes, classes, [])
    if split not in found:
        there = ", ".join(sorted(path.name for path in found.values()))
        strays = [
            path for path in tree.inside(root, bounds).folders if (called := _word(path)) and called.split == split
        ]
        unsorted = f" ({strays[0]} holds no folders of images, one per class)" if strays else ""
        raise InputError(f"{source.spec}: has no folder {split!r}, only {there}{unsorted}")
    own = _classes(found[split], bounds)
    table = own if split == "train" or "train" not in found else _classes(found["train"], bounds)
    return _Tree(root, table, own, _beside(root, found, bounds))


def _root(source: Source) -> Path:
    root = Path(source.spec).expanduser()
    if root.is_file() and root.suffix.lower() in _ARCHIVES:
        raise InputError(f"{source.spec}: an archive; unpack it, and name the folder")
    if not root.is_dir():
        raise InputError(
            f"{source.spec}: not a folder; --data takes a folder with one folder per class, a list (.txt, .csv, "
            ".jsonl), iNaturalist's .json, a folder of Hugging Face's save_to_disk, or digits-lt"
        )
    return root


# ---- which folder is what


class _Called(NamedTuple):
    """The split that a folder is called by, and what else its name says: nothing, or `seg` in seg_train."""

    split: Split
    rest: str


def _word(folder: Path) -> _Called | None:
    """Returns the split that a folder is called by, in any case: train, train2017, training_set, seg_train."""
    words = re.findall(r"[^\W\d_]+", folder.name.casefold())
    found = [(split, word) for split, known in SPLIT_WORDS.items() for word in words if word in known]
    if len(found) != 1:
        return None
    (split, word), *_ = found
    return _Called(split, " ".join(other for other in words if other not in (word, *_OF_SPLITS)))


def _split_folders(root: Path, bounds: str) -> dict[Split, Path]:
    """Returns the folder of each split: it is called so, and holds folders of images.

    One that holds images itself is a class of that name, unless all that stand beside it are splits too: then these
    images are strays. One that is called `train` alone goes before one of a longer name, and that is none beside
    classes. Raises InputError for two folders of one split.
    """
    folders = tree.inside(root, bounds).folders
    classes = any(tree.inside(other, bounds).images for other in folders if not (called := _word(other)) or called.rest)
    found: defaultdict[Split, list[Path]] = defaultdict(list)
    for folder in folders:
        called, inner = _word(folder), tree.inside(folder, bounds)
        if (
            called
            and any(tree.has_images(one, bounds) for one in inner.folders)
            and not (classes and (inner.images or called.rest))
        ):
            found[called.split].append(folder)
    for split, its in found.items():
        found[split] = its = [folder for folder in its if folder.name.strip().casefold() in SPLIT_WORDS[split]] or its
        if len(its) > 1:
            raise InputError(
                f"{root}: {its[0].name}/ and {its[1].name}/ may both hold the {split} images; rename or move one of "
                "them"
            )
    return {split: _innermost(found[split][0], split, bounds) for split in SPLIT_WORDS if split in found}


def _innermost(folder: Path, split: Split, bounds: str) -> Path:
    """Returns the folder of a split, or that in it which is called by the split again: Kaggle's train/train/cat."""
    inner = _filled(folder, bounds)
    again = _word(inner[0]) if len(inner) == 1 else None
    if not again or again.split != split or tree.inside(folder, bounds).images or tree.inside(inner[0], bounds).images:
        return folder
    return _innermost(inner[0], split, bounds)


def _beside(root: Path, splits: dict[Split, Path], bounds: str) -> list[LeftOut]:
    """Returns what lies beside the folders of splits."""
    found = tree.inside(root, bounds)
    own = {parent for folder in splits.values() for parent in (folder, *folder.parents)}
    others = [path for path in found.folders if path not in own]
    folders = [LeftOut(path, "no split" if tree.has_images(path, bounds) else "no image in it") for path in others]
    return [*found.left_out, *(LeftOut(path, "in no class folder") for path in found.images), *folders]


def _classes(folder: Path, bounds: str) -> _Classes:
    """Returns the classes in a folder. Raises InputError where there is none, or one holds nothing but folders."""
    found = tree.inside(folder, bounds)
    if not found.folders:
        raise InputError(f"{folder}: no class in it; images belong in one folder per class{_instead(found)}")
    left_out = [*found.left_out, *(LeftOut(path, "in no class folder") for path in found.images)]
    images: dict[str, list[Path]] = {}
    # What `ltgc export` wrote has a folder for every label, so that none shifts: an empty one keeps its place.
    exported = (folder / "classes.csv").is_file() and all(path.name.isdigit() for path in found.folders)
    for path in found.folders:
        there = list(tree.images(path, left_out, bounds))
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
        raise InputError(_too_high(nested[0], bounds, alone=len(images) == 1))
    _check_called(folder, images)
    return _Classes(images, left_out)


def _instead(found: tree.Inside) -> str:
    """Returns what lies in a folder in place of classes, and what to do about it."""
    windows = next((path.name for path in found.images if "\\" in path.name), "")
    if windows:
        return f"; {windows} is a path in a file's name: unpack the archive with a program that makes folders of it"
    packed = next((left.path.name for left in found.left_out if left.path.suffix.lower() in _ARCHIVES), "")
    lies = counted(len(found.images), "image") if found.images else ""
    said = tree.worded(found.left_out)
    return "; ".join(["", *filter(None, [lies and f"{lies} in it", said, packed and f"unpack {packed}"])])


def _check_text(paths: Sequence[Path]) -> None:
    """Raises InputError for a name that no text can hold."""
    for path in paths:
        try:
            path.name.encode()
        except UnicodeEncodeError:
            raise InputError(f"{path.parent}: the file name {ascii(path.name)} is not UTF-8; rename it") from None


def _too_high(folder: Path, bounds: str, *, alone: bool) -> str:
    """Returns what is wrong with a class's folder that holds nothing but folders.

    alone -- whether no other folder beside it holds images
    """
    if not alone:
        only = _named(_filled(folder, bounds))
        return (
            f"{folder}: a class's folder holds images, and this one only folders ({only}); move its images up, or, if "
            f"these are the classes: --data {folder}"
        )
    while (
        not _split_folders(folder, bounds)
        and len(inner := _filled(folder, bounds)) == 1
        and not tree.inside(inner[0], bounds).images
    ):
        folder = inner[0]
    splits = _split_folders(folder, bounds)
    return f"{folder} has {_named(list(splits.values()) or _filled(folder, bounds))}: did you mean --data {folder}?"


def _filled(folder: Path, bounds: str) -> list[Path]:
    return [path for path in tree.inside(folder, bounds).folders if tree.has_images(path, bounds)]


def _is_store(folder: Path) -> bool:
    return re.sub(r"[\W_]", "", folder.name.casefold()).removesuffix("s") in _STORES


def _named(folders: Sequence[Path]) -> str:
    """Returns folders in words: `cat/, dog/ and eel/`."""
    shown = [f"{path.name}/" for path in folders[:_SHOWN]]
    if len(folders) > _SHOWN:
        return f"{', '.join(shown)} and {len(folders) - _SHOWN:,} more"
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))


def _check_called(root: Path, names: Iterable[str]) -> None:
    """Raises InputError where no class is called as one: all are splits, or folders of images and of masks."""
    folders = [root / name for name in names]
    # steam_train/ and test_tube/ are classes; cars_train/ and cars_test/ are not.
    rests = {called.rest if (called := _word(folder)) else None for folder in folders}
    if (len(rests) == 1 and None not in rests) or all(map(_is_store, folders)):
        hold = "holds" if len(folders) == 1 else "hold"
        raise InputError(
            f"{root}: {_named(folders)} {hold} images and no folders of them, so no class is known; images belong in "
            "one folder per class, or in a list"
        )


FORMAT = Format(
    takes=lambda spec: True, open=_open, read=read_image, files=True, fingerprint=_fingerprint, splits=_splits
)
"""Takes what no other format takes, and says what is wrong with it."""
