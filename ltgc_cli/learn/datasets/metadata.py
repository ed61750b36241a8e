"""Hugging Face's ImageFolder with metadata: images beside a metadata.csv or metadata.jsonl with their labels.

It lies in the folder, or in `train/`, `val/`, `test/` in it. One for all names the images of several splits by such
folders: `train/0001.png`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ltgc_cli.errors import InputError
from ltgc_cli.learn.datasets.files import csv_rows, read_image
from ltgc_cli.learn.datasets.listing import Listing, fingerprint_list, held, open_list
from ltgc_cli.learn.datasets.lists import read_csv, read_jsonl
from ltgc_cli.learn.datasets.types import SPLIT_WORDS, Format, Source, Split

_NAMES = ("metadata.csv", "metadata.jsonl")


def _takes(spec: str) -> bool:
    root = Path(spec).expanduser()
    return root.is_dir() and bool(_metadata(root) or _in_splits(root))


def _metadata(folder: Path) -> Path | None:
    """Returns the metadata of a folder's images. A table that lies there too and names no files is none."""
    return next((folder / name for name in _NAMES if (folder / name).is_file() and _names_files(folder / name)), None)


def _names_files(file: Path) -> bool:
    if file.suffix != ".csv":
        return True
    try:
        return "file_name" in csv_rows(file)[0]
    except InputError:
        return False


def _in_splits(root: Path) -> dict[Split, Path]:
    found = {
        split: next((file for word in words if (file := _metadata(root / word))), None)
        for split, words in SPLIT_WORDS.items()
    }
    return {split: file for split, file in found.items() if file}


def _read(file: Path, source: Source) -> Listing:
    """Returns the images of a metadata file; where their folders are called by two splits or more, these are theirs."""
    listing = (read_csv if file.suffix == ".csv" else read_jsonl)(file, source)
    of_word = {word: split for split, words in SPLIT_WORDS.items() for word in words}
    found = [of_word.get(row.path.partition("/")[0].lower()) for row in listing.rows]
    if held(listing) or None in found or len(set(found)) < 2:
        return listing
    return listing._replace(rows=[row._replace(split=own) for row, own in zip(listing.rows, found, strict=True)])


def _files(source: Source, split: Split) -> tuple[Path, Path]:
    root = Path(source.spec).expanduser()
    if whole := _metadata(root):
        return whole, whole
    found = _in_splits(root)
    if split not in found:
        there = ", ".join(str(file.relative_to(root)) for file in found.values())
        raise InputError(f"{source.spec}: has no metadata of split {split!r}, only {there}")
    return found[split], found.get("train", found[split])


def _splits(source: Source) -> tuple[Split, ...]:
    root = Path(source.spec).expanduser()
    whole = _metadata(root)
    return (held(_read(whole, source)) if whole else tuple(_in_splits(root))) or ("train",)


FORMAT = Format(
    takes=_takes,
    open=partial(open_list, _read, _files),
    read=read_image,
    files=True,
    fingerprint=partial(fingerprint_list, _files),
    splits=_splits,
    columns=True,
    root=True,
)
