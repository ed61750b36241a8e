"""What a model is called in keys and records: a name and what its files hold, never where they lie."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ltgc_cli.errors import ProviderError
from ltgc_cli.files import sha256_file


def file_identity(name: str, path: Path) -> str:
    """Returns `name@` and the first 12 digits of the sha256 of a file's bytes."""
    return f"{name}@{sha256_file(path)[:12]}"


def folder_identity(name: str, folder: Path) -> str:
    """Returns `name@` and 12 digits of the sha256 over the folder's files, their relative names and bytes.

    Hidden files and texts about the model (`*.md`) are left out: a better model card must not make anyone pay again.
    """
    files = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    counted = {
        name.as_posix(): path
        for name, path in files.items()
        if name.suffix != ".md" and not any(part.startswith(".") for part in name.parts)
    }
    if not counted:
        raise ProviderError(f"{folder}: no model is in this folder")
    lines = (f"{relative}\n{sha256_file(counted[relative])}\n" for relative in sorted(counted))
    return f"{name}@{hashlib.sha256(''.join(lines).encode()).hexdigest()[:12]}"
