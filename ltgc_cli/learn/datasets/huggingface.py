"""A folder that Hugging Face's `save_to_disk` wrote: a Dataset, or a DatasetDict with splits."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ltgc_cli.errors import InputError
from ltgc_cli.files import named_errors, sha256_file
from ltgc_cli.learn.datasets import class_table
from ltgc_cli.learn.datasets.class_table import name_of
from ltgc_cli.learn.datasets.files import sha256, stamped
from ltgc_cli.learn.datasets.types import SPLIT_WORDS, ClassInfo, Dataset, Format, Item, Source, Split

_DICT, _STATE, _INFO = "dataset_dict.json", "state.json", "dataset_info.json"


class _Described(msgspec.Struct):
    """What dataset_dict.json (splits) or dataset_info.json (features) says."""

    splits: list[str] = []
    features: dict[str, Any] = {}


class _Rows(NamedTuple):
    """The memory-mapped data, its images as encoded bytes; the columns of images and labels, and the labels' names."""

    data: Any
    image: str
    label: str
    names: tuple[str, ...]


def _takes(spec: str) -> bool:
    folder = Path(spec).expanduser()
    return (folder / _DICT).is_file() or (folder / _STATE).is_file()


def _open(source: Source, split: Split) -> Dataset:
    training, folder = _folders(source, split)
    own_names = _rows(folder).names
    labels = _labels(folder)
    counts = Counter(labels if training == folder else _labels(training))
    if source.classes:
        table = class_table.load(source.classes)
    else:
        names = own_names or tuple(map(str, range(max(counts | Counter(labels), default=-1) + 1)))
        table = tuple(ClassInfo(label=label, name=name) for label, name in enumerate(names))
    known = {info.label for info in table}
    where = f"the class table {source.classes}" if source.classes else f"{folder}'s names"
    for row, label in enumerate(labels):
        if label not in known:
            there = f"labels {min(known)} to {max(known)}"
            raise InputError(f"{folder}: row {row}: label {label} is not in {where} ({there})")
    classes = tuple(msgspec.structs.replace(info, count=counts[info.label]) for info in table)
    order = sorted(range(len(labels)), key=labels.__getitem__)
    items = tuple(Item(label=labels[row], name=f"{split}/{row}", path=str(folder), line=row) for row in order)
    named = bool(own_names or source.classes)
    return Dataset(spec=source.spec, split=split, classes=classes, items=items, named=named)


def _read(_: Dataset, item: Item) -> bytes:
    assert item.path is not None
    folder = Path(item.path)
    rows = _rows(folder)
    image = rows.data[item.line][rows.image] or {}
    try:
        data = image.get("bytes") or Path(image["path"]).read_bytes()
    except (OSError, KeyError, TypeError) as error:
        raise InputError(f"{folder}: row {item.line} has no image bytes ({error})") from None
    return bytes(data)


def _fingerprint(source: Source, split: Split) -> str:
    """Returns the hash of what describes the data, and of its files' sizes and times. Does not need `datasets`.

    Images that lie outside, of which a row has only the path, are not looked at.
    """
    training, folder = _folders(source, split)
    lines = ["huggingface", split]
    for part in dict.fromkeys((training, folder)):
        lines += [sha256_file(part / _STATE), sha256_file(part / _INFO)]
        lines += [stamped(path, part) for path in sorted(part.glob("*.arrow"))]
    return sha256(lines, source.classes)


def _splits(source: Source) -> tuple[Split, ...]:
    return tuple(_split_folders(_root(source))) or ("train",)


def _root(source: Source) -> Path:
    if source.root:
        raise InputError(f"--root {source.root}: {source.spec} holds its own images; --root goes with a list")
    return Path(source.spec).expanduser()


def _split_folders(root: Path) -> dict[Split, Path]:
    if not (root / _DICT).is_file():
        return {}
    there = _described(root / _DICT).splits
    found = {split: next((word for word in words if word in there), None) for split, words in SPLIT_WORDS.items()}
    if not any(found.values()):
        raise InputError(f"{root}: its splits are {', '.join(there)}; train, val (or validation) or test is wanted")
    return {split: root / word for split, word in found.items() if word}


def _folders(source: Source, split: Split) -> tuple[Path, Path]:
    """Returns the folder that the class counts come from, and the one with the split's images."""
    root = _root(source)
    found = _split_folders(root) or {split: root}
    if split not in found:
        there = ", ".join(path.name for path in found.values())
        raise InputError(f"{source.spec}: has no split {split!r}, only {there}")
    return found.get("train", found[split]), found[split]


def _labels(folder: Path) -> list[int]:
    rows = _rows(folder)
    labels = list(rows.data[rows.label])
    nothing = next((row for row, label in enumerate(labels) if not isinstance(label, int) or label < 0), None)
    if nothing is not None:
        raise InputError(f"{folder}: row {nothing} has no label ({labels[nothing]})")
    return labels


def _rows(folder: Path) -> _Rows:
    return _loaded(folder, *(file.stat().st_mtime_ns for file in (folder / _INFO, folder / _STATE) if file.exists()))


@lru_cache(maxsize=8)
def _loaded(folder: Path, *_: int) -> _Rows:
    """Returns a data set's rows; its columns are found by their types. Raises InputError where there are none."""
    file = folder / _INFO
    features = _described(file).features
    kinds = {name: feature.get("_type") for name, feature in features.items() if isinstance(feature, dict)}
    images = [name for name, kind in kinds.items() if kind == "Image"]
    labels = [name for name, kind in kinds.items() if kind == "ClassLabel"]
    labels = labels or [name for name in ("label", "labels") if str(features.get(name, {}).get("dtype"))[:3] == "int"]
    if not images or not labels:
        raise InputError(f"{file}: an Image column and a ClassLabel column are wanted; it has {', '.join(kinds)}")
    label = "label" if "label" in labels else labels[0]
    names = tuple(name_of(f"{file}: {label}", name) for name in features[label].get("names") or ())
    try:
        import datasets
    except ImportError:
        missing = "for which datasets is missing: in the checkout: pip install '.[hf]'"
        raise InputError(f"{folder} is a Hugging Face data set, {missing}") from None
    try:
        data = datasets.load_from_disk(str(folder)).cast_column(images[0], datasets.Image(decode=False))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder}: not a data set that datasets can open ({' '.join(str(error).split())})") from None
    return _Rows(data, images[0], label, names)


def _described(file: Path) -> _Described:
    try:
        with named_errors(file):
            return msgspec.json.decode(file.read_bytes(), type=_Described)
    except msgspec.DecodeError as error:
        raise InputError(f"{file}: {error}") from None


FORMAT = Format(takes=_takes, open=_open, read=_read, fingerprint=_fingerprint, splits=_splits)
