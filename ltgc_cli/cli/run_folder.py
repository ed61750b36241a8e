"""The files of a run's folder: which of them a run has written and may write anew, and which are a person's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ltgc_cli.store import write_atomically

_WRITTEN = ".written.json"
"""The sha256 of each file of the folder as a run has left it."""


def mark(path: Path) -> None:
    """Notes that a file was written by a run."""
    written = {**_written(path.parent), path.name: _sha256(path)}
    write_atomically(path.parent / _WRITTEN, msgspec.json.encode(written))


def made_here(path: Path, artifacts: Path) -> bool:
    """Returns whether a file is as its stage left it: by the folder's notes, or as one of the stage's artifacts.

    The notes alone would not do: a run may be killed between a file and its note. Nor would the artifacts: one with a
    refused answer is replaced by the next, and a store may be pruned.
    """
    digest = _sha256(path)
    return _written(path.parent).get(path.name) == digest or digest in _outputs(artifacts, path.stat().st_size)


def _outputs(artifacts: Path, size: int) -> Iterator[str]:
    """Returns the sha256 of the artifacts that are so many bytes long."""
    for artifact in artifacts.glob("*.jsonl"):
        if artifact.stat().st_size == size:
            yield _sha256(artifact)


def _written(folder: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode((folder / _WRITTEN).read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError):
        return {}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
