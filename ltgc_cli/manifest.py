"""The manifest beside an artifact: what its run was asked for, made and used. An artifact without one is not whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from ltgc_cli import schemas
from ltgc_cli.errors import DONE, FELL_SHORT
from ltgc_cli.files import read_regular


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """How many answers were asked for anew, found in the store, and not to be had."""

    asked: int = 0
    found: int = 0
    failed: int = 0


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a run was asked for, what it made and what it used."""

    stage: str
    flags: dict[str, Any]
    input: str
    kinds: dict[str, int]  # new lines by kind, those that merely passed through left out
    shortfalls: list[str] = []  # of many failures the first hundred; `kinds` has their number
    remarks: list[str] = []  # what else was said of the result: it is said again where the artifact answers
    absent: int = 0  # images that its lines name, of another store say: where more are gone, it is made again
    output: str = ""  # sha256 of the lines written: the next stage's `input`, by which a report finds the way back
    answers: dict[str, Answers] = {}  # by what was asked: Question, Drawing, Match (scores), Rival (comparisons)
    dollars: float = 0.0
    tokens: int = 0
    unpriced: int = 0  # answers whose price is not known
    seconds: float = 0.0
    prompts: str = ""  # the version of the built-in prompts
    versions: dict[str, str] = {}  # of Python and of the libraries that the stage's result may depend on

    @property
    def exit_code(self) -> int:
        return FELL_SHORT if self.shortfalls else DONE


def read(artifact: Path) -> Manifest | None:
    """Returns the manifest of a whole artifact, None where it cannot be read or the artifact is not there.

    Raises InputError for one that a newer ltgc wrote.
    """
    path = artifact.with_suffix(".json")
    try:
        data = read_regular(path)
        schemas.check_json(path, data)
        manifest = msgspec.json.decode(data, type=Manifest)
    except (OSError, ValueError, RecursionError):  # not there, cut, not UTF-8, not a manifest
        return None
    return manifest if artifact.exists() else None
