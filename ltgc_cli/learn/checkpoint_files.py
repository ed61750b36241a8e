"""What the files of a checkpoint say of it. Loads no torch."""

from __future__ import annotations

import json
import math
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from ltgc_cli import config, schemas
from ltgc_cli.errors import InputError
from ltgc_cli.files import read_regular, sha256_file
from ltgc_cli.learn.datasets import ClassInfo, class_table
from ltgc_cli.settings import Training

DONE = "done.json"
METRICS = "metrics.jsonl"
AGAIN = "train it again, or name another checkpoint"
MERGED = "open_clip_merged.safetensors"  # a copy of what other files hold, where it was asked for


class Whole(msgspec.Struct, frozen=True, omit_defaults=True):
    """What marks a checkpoint as whole: which CLIP model it belongs to, and the sha256 of each of its files."""

    clip: str
    files: dict[str, str]
    lies_at: str = ""  # the spec of a CLIP model that lay in a folder or a file, on the machine that trained
    averaged: tuple[str, ...] = ()  # the checkpoints with which its weights were averaged, as NAME@HASH


def whole(folder: Path) -> Whole:
    """Returns what marks a checkpoint as whole. Raises InputError where it is not."""
    return read(folder / DONE, Whole)


def settings(folder: Path) -> Training:
    """Returns how a checkpoint was trained. Raises InputError where it is not whole."""
    path = folder / "settings.json"
    found: Training = read(path, Training)
    try:
        config.check(found)
    except InputError as error:
        raise InputError(f"{path}: {error}; {AGAIN}") from None
    return found


def classes(folder: Path) -> tuple[ClassInfo, ...]:
    """Returns a checkpoint's class table, a column of the logits each. Raises InputError where it is not whole."""
    path = folder / "classes.json"
    found: tuple[ClassInfo, ...] = read(path, tuple[ClassInfo, ...])
    try:
        class_table.check(path, found)
    except InputError as error:
        raise InputError(f"{error}; {AGAIN}") from None
    return found


def curve(folder: Path) -> tuple[dict[str, Any], ...]:
    """Returns a checkpoint's training curve, None for what is no number. Raises InputError where it is none."""
    path = folder / METRICS
    rows = []
    for number, line in enumerate(_read(path).decode(errors="replace").splitlines(), start=1):
        try:
            row = json.loads(line)  # earlier versions wrote NaN
            numbers = {name: float(value) for name, value in row.items() if value is not None}
        except (ValueError, RecursionError, AttributeError, TypeError, OverflowError):
            raise InputError(f"{path}:{number}: no row of a training curve; {AGAIN}") from None
        rows.append({name: row[name] if math.isfinite(numbers.get(name, math.nan)) else None for name in row})
    return tuple(rows)


def check(folder: Path, done: Whole) -> None:
    """Raises InputError for a file that is not what it was, or lies elsewhere."""
    for name, sha256 in done.files.items():
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\0" in name:
            raise InputError(f"{folder / DONE}: {name!r} is no file of a checkpoint; {AGAIN}")
        if not (folder / name).is_file() or sha256_file(folder / name) != sha256:
            raise InputError(f"{folder}: {name} is missing or was changed since training; {AGAIN}")


def read(path: Path, kind: Any) -> Any:
    """Returns what a JSON file holds. Raises InputError where it is missing or is something else."""
    try:
        data = _read(path)
        schemas.check_json(path, data)
        return msgspec.json.decode(data, type=kind)
    except (ValueError, RecursionError) as error:  # msgspec's own are ValueErrors, of bytes that are no UTF-8 too
        raise InputError(f"{path}: {error}; {AGAIN}") from None


def _read(path: Path) -> bytes:
    try:
        return read_regular(path)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path.parent}: no whole checkpoint ({path.name} is missing); train it again") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; {AGAIN}") from None
