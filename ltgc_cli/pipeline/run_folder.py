"""The files of a run's folder: which of them a run has written and may write anew, and which are a person's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from ltgc_cli.errors import InputError
from ltgc_cli.files import replacing, sha256_file, write_atomically

_WRITTEN = ".written.json"
"""The sha256 of each file of the folder as a run has left it."""


def begin(folder: Path) -> None:
    """Makes the folder with its notes. Raises InputError where nothing can be written there."""
    _write(folder, _written(folder))


def put(artifact: Path | None, path: Path, check: Callable[[], None]) -> None:
    """Copies a stage's artifact to its place in the folder, and notes that a run wrote it.

    check -- raises where that place is not free; called last, for a stage takes hours
    Raises InputError where the stage left no artifact.
    """
    if artifact is None:
        raise InputError(f"{path} was not made: dry-run or preview, in the settings, is for the command alone")
    with artifact.open("rb") as lines, replacing(path) as file:
        shutil.copyfileobj(lines, file)
        check()
    note(path)


def note(path: Path) -> None:
    """Notes that a file, where there is one, was written by a run."""
    if not path.is_file():
        return
    _write(path.parent, {**_written(path.parent), path.name: sha256_file(path)})


def is_theirs(path: Path, artifacts: Path) -> bool:
    """Returns whether something is there that no stage has left so: by the folder's notes, and its stage's artifacts.

    The notes alone would not do: a run may be killed between a file and its note. Nor would the artifacts: one with a
    refused answer is replaced by the next, and a store may be pruned.
    """
    if not path.is_file():
        return os.path.lexists(path)
    digest = sha256_file(path)
    return _written(path.parent).get(path.name) != digest and digest not in _outputs(artifacts, path.stat().st_size)


def _outputs(artifacts: Path, size: int) -> Iterator[str]:
    """Returns the sha256 of the artifacts that are so many bytes long."""
    for artifact in artifacts.glob("*.jsonl"):
        if artifact.stat().st_size == size:
            yield sha256_file(artifact)


def _written(folder: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode((folder / _WRITTEN).read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError):
        return {}


def _write(folder: Path, written: dict[str, str]) -> None:
    write_atomically(folder / _WRITTEN, msgspec.json.encode(written))
