"""What the files of a checkpoint say of it. Loads no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from ltgc_cli import schemas
from ltgc_cli.errors import InputError
from ltgc_cli.files import sha256_file
from ltgc_cli.learn.datasets import ClassInfo
from ltgc_cli.settings import Training

DONE = "done.json"
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
    return read(folder / "settings.json", Training)


def classes(folder: Path) -> tuple[ClassInfo, ...]:
    """Returns a checkpoint's class table, a column of the logits each. Raises InputError where it is not whole."""
    return read(folder / "classes.json", tuple[ClassInfo, ...])


def check(folder: Path, done: Whole) -> None:
    """Raises InputError for a file that is not what it was."""
    for name, sha256 in done.files.items():
        if not (folder / name).is_file() or sha256_file(folder / name) != sha256:
            raise InputError(f"{folder}: {name} is missing or was changed since training; train again")


def read(path: Path, kind: Any) -> Any:
    """Returns what a JSON file holds. Raises InputError where it is missing or is something else."""
    try:
        data = path.read_bytes()
        schemas.check_json(path, data)
        return msgspec.json.decode(data, type=kind)
    except OSError:
        raise InputError(f"{path.parent}: no whole checkpoint ({path.name} is missing); train it again") from None
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InputError(f"{path}: {error}") from None
