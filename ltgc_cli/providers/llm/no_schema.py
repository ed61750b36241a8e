"""Which models take no JSON schema, learnt by asking: kept in a file, so that each server is tried once."""

from __future__ import annotations

import threading
from collections.abc import Set
from contextlib import suppress
from pathlib import Path

import msgspec

from ltgc_cli.errors import InputError
from ltgc_cli.files import read_regular, write_atomically

FILE = "no_schema.json"
"""A list of models with their servers. Deleted, they are tried again."""

_learnt: dict[Path, set[str]] = {}
"""What this process knows by file: in a folder that cannot be written to, it is known here alone."""
_lock = threading.RLock()


def known(path: Path) -> Set[str]:
    """Returns the models in a file, or that this process learnt since; none for a file that is missing or broken."""
    with _lock:
        if path not in _learnt:
            _learnt[path] = _read(path)
        return _learnt[path]


def learn(path: Path, model: str) -> None:
    """Adds a model to a file, and to what others have written there meanwhile."""
    with _lock, suppress(InputError):
        models = _learnt[path] = {model, *known(path), *_read(path)}
        write_atomically(path, msgspec.json.encode(sorted(models)))


def _read(path: Path) -> set[str]:
    try:
        return msgspec.json.decode(read_regular(path), type=set[str])
    except (OSError, ValueError):  # msgspec's errors, and bytes that are no UTF-8, are ValueErrors
        return set()
