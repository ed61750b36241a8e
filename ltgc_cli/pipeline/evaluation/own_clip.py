"""Which CLIP model a checkpoint was trained on, and where that lies. Loads no torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from ltgc_cli import schemas
from ltgc_cli.errors import InputError
from ltgc_cli.files import read_regular


def clip_of(folder: Path) -> str:
    """Returns the spec of the CLIP model that a checkpoint was trained on.

    Raises InputError where there is no whole checkpoint, where the model is no longer where it lay, and where an older
    version did not write down where that is. Whether it is still the same one, checkpoints.load says.
    """
    try:
        data = read_regular(folder / "done.json")
        schemas.check_json(folder / "done.json", data)
        done: Any = msgspec.json.decode(data)
        identity, lay_at = str(done["clip"]), str(done.get("lies_at", ""))
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise InputError(f"{folder}: no whole checkpoint is in it; name what mix-train --out wrote") from None
    if identity.startswith("embedded/"):
        return "embedded"
    name, at, _ = identity.partition("@")
    if not at:
        return identity
    written = "local-dir:PATH" if name == "clip" else f"{name}=FILE"
    where = lay_at.removeprefix("local-dir:") if name == "clip" else lay_at.partition("=")[2]
    if not where:
        kind = "folder" if name == "clip" else "file"
        raise InputError(f"{folder}: its CLIP model lay in a {kind} ({identity}); pass that as --clip {written}")
    if not os.path.exists(where):
        raise InputError(f"{folder}: its CLIP model is no longer at {where} ({identity}); pass it as --clip {written}")
    return lay_at
