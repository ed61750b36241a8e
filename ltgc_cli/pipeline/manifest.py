"""The note beside an artifact: what a run says of itself, and why it asked although its stage had run before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from ltgc_cli.engine import Meter
from ltgc_cli.errors import DONE, FELL_SHORT

_COMPARED = 20
"""Earlier runs looked through for the reason why this one asks."""


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """How many answers were asked for anew, found in the store, and not to be had."""

    asked: int = 0
    found: int = 0
    failed: int = 0


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What a run says of itself; kept beside its artifact."""

    stage: str
    flags: dict[str, Any]
    input: str
    kinds: dict[str, int]
    """New lines by kind, those that merely passed through left out."""
    shortfalls: list[str] = []
    output: str = ""
    """sha256 of the lines that were written: the next stage's `input`, by which a report finds the way back."""
    answers: dict[str, Answers] = {}
    """Where the answers came from, by what was asked: Question, Drawing, Match (scores), Rival (comparisons)."""
    dollars: float = 0.0
    tokens: int = 0
    unpriced: int = 0
    """Answers whose price is not known."""
    seconds: float = 0.0
    versions: dict[str, str] = {}
    """Of Python and of the libraries that the stage's result may depend on."""

    @property
    def exit_code(self) -> int:
        return FELL_SHORT if self.shortfalls else DONE


def answers(meter: Meter) -> dict[str, Answers]:
    """Returns where a run's answers came from, by what was asked."""
    names = sorted({*meter.asked, *meter.found, *meter.failed})
    return {
        name: Answers(asked=meter.asked.get(name, 0), found=meter.found.get(name, 0), failed=meter.failed.get(name, 0))
        for name in names
    }


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the libraries that a result may depend on; none of them is imported."""
    from importlib import metadata
    from platform import python_version

    found = {"python": python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


_LIBRARIES = ("ltgc", "torch", "open_clip_torch", "peft", "diffusers", "transformers", "litellm")


def read(artifact: Path) -> Done | None:
    """Returns what is known of a whole artifact, None for one that is not there or not whole."""
    try:
        note = msgspec.json.decode(artifact.with_suffix(".json").read_bytes(), type=Done)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    return note if artifact.exists() else None


def why(done: Done, folder: Path) -> str:
    """Returns why something was asked although the stage had run before: which setting, or the input, is new."""
    notes = sorted(folder.glob("*.json"), key=lambda note: note.stat().st_mtime, reverse=True)[:_COMPARED]
    earlier = [msgspec.json.decode(note.read_bytes(), type=Done) for note in notes]
    for before in earlier:
        if before.input == done.input:
            changed = [name for name in done.flags if before.flags.get(name) != done.flags[name]]
            return (
                f" (asked because {', '.join('--' + name.replace('_', '-') for name in changed)} changed)"
                if changed
                else ""
            )
    return " (asked because the input is new)" if earlier else ""
