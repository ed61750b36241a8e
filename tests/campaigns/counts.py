"""What an attack found, counted; and how its trials are done, one after the other, as long as there is time."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple

import msgspec

Kind = Literal["loss", "repeat", "traceback", "other"]
SECONDS = "CAMPAIGN_SECONDS"
"""The variable that says how long an attack may take; what it tried by then is what it reports."""

MOST_MEMORY = 500
"""MB that no command may take beside its libraries."""
_EXAMPLES = 20


class Fault(NamedTuple):
    """A promise that was not kept: what was paid for is gone, or asked again; a traceback; or anything else."""

    kind: Kind
    text: str


class Counts(msgspec.Struct):
    """What came of some trials of an attack."""

    tried: int = 0
    held: int = 0
    losses: int = 0
    repeats: int = 0
    tracebacks: int = 0
    others: int = 0
    peak: float = 0.0
    """MB at most of a process, beside what the libraries take that it shares with others."""
    skipped: str = ""
    """Why nothing was tried."""
    examples: list[str] = []
    """The first faults, each with the number of its trial."""
    seen: list[str] = []
    """Their words, without numbers and hashes."""


_FIELD = {"loss": "losses", "repeat": "repeats", "traceback": "tracebacks", "other": "others"}


def attempted(numbers: Iterable[int], trial: Callable[[int], Iterable[Fault]], at_once: int = 1) -> Counts:
    """Returns what the trials of these numbers found: of the first one, and of those that time is left for."""
    counts, numbers = Counts(), list(numbers)

    def tried(number: int) -> tuple[int, list[Fault] | None]:
        return number, list(trial(number)) if number == numbers[0] or seconds_left() > 0 else None

    with ThreadPoolExecutor(at_once) as pool:
        for number, faults in pool.map(tried, numbers):
            if faults is not None:
                counts.tried += 1
                counts.held += not faults
                note(counts, faults, f"trial {number}")
    return counts


def note(counts: Counts, faults: Sequence[Fault], where: str) -> None:
    """Counts faults. Each kind of words is an example once."""
    for fault in faults:
        name = _FIELD[fault.kind]
        setattr(counts, name, getattr(counts, name) + 1)
        if len(counts.examples) < _EXAMPLES and _words(fault) not in counts.seen:
            counts.seen.append(_words(fault))
            counts.examples.append(f"{where}: {fault.kind}: {fault.text}")


def _words(fault: Fault) -> str:
    return re.sub(r"[0-9a-f]*[0-9][0-9a-f]*", "", fault.text)


_STARTED = time.monotonic()


def seconds_left() -> float:
    """Returns how long this process may go on, by what the campaign gave it."""
    return float(os.environ.get(SECONDS, "inf")) - (time.monotonic() - _STARTED)
