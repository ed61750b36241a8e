"""Fills the disk at any byte, or makes a place read-only: one line with a path, exit status 3, and nothing is lost.

What has no room is all that a command writes, its store, its output, its stdout, or its temporary files. When there is
room again the same command goes on, and asks no question again.
"""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from random import Random

from campaigns.chain import differences, said_wrong
from campaigns.counts import Counts, Fault, attempted
from campaigns.shim import COMMANDS, SKIPPED, UNDER_WAY, Undisturbed, asked_in, compiled, made, recorded, run

_PLACES = ("", "store", "out", "stdout", "tmp")
_HELD = {name: 2**20 + 2**15 * (at_once or 32) for name, at_once in UNDER_WAY.items()}
"""Bytes that the store holds on the disk while it asks."""


def attack(numbers: range, seed: int, place: Path) -> Counts:
    """Returns what full and read-only places of these numbers came to."""
    shim = compiled(place)
    if not shim:
        return Counts(skipped=SKIPPED)
    undisturbed = cache(lambda name: recorded(shim, name, place / name.replace(" ", "-")))
    peaks = [0.0]

    def trial(number: int) -> list[Fault]:
        name = list(COMMANDS)[number % len(COMMANDS)]
        folder, random = place / f"trial-{number}", Random(f"{seed} {number}")
        try:
            return _trial(shim, name, undisturbed(name), folder, random, peaks)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    counts = attempted(numbers, trial)
    counts.peak = max(peaks)
    return counts


def _trial(shim: Path, name: str, wanted: Undisturbed, folder: Path, random: Random, peaks: list[float]) -> list[Fault]:
    shutil.copytree(wanted.before, folder)
    full = random.choice(_PLACES)
    under, command = folder / full if full else folder, COMMANDS[name]
    if full == "stdout":
        command = command[: command.index("-o")]
    # A file is written under a temporary name beside it: all of the folder but for the store, then.
    written = sum(len(change.data) for change in wanted.changes if full in ("", "stdout", *change.path.split("/")))
    # With less room than the store holds while it asks nothing is asked at all.
    held = random.choice((0, _HELD[name], _HELD[name])) if full in ("", "store") else 0
    said = {"SHIM_FULL_AFTER": str(held + random.randrange(max(1, written)))}
    if full == "stdout":
        said = {"SHIM_FULL_AFTER": str(random.randrange(2_000))}
    elif full == "store" and random.random() < 0.25:
        said = {"SHIM_READ_ONLY": "1"}
    elif full == "out":
        under = folder / ".tmp-"
    what = f"{name}, {full or 'all'} {said}"
    ran = run(shim, command, folder, SHIM_UNDER=str(under), **said)
    if name != "mix-train":  # its libraries alone take most of what is allowed, and are counted in
        peaks.append(ran.peak)
    faults = said_wrong(ran, [3, wanted.code], what)
    if ran.code == 3:
        faults += _said(ran.err, folder, what, bool(asked_in(folder)))
    asked = asked_in(folder)
    again = run(None, COMMANDS[name], folder, log="again.log")
    faults += said_wrong(again, [wanted.code], f"after {what} the same command")
    faults += differences(wanted.made, made(folder), f"after {what}")
    if asked_in(folder, "again.log") > wanted.asked - asked:
        text = f"after {what}: {asked_in(folder, 'again.log')} questions, where {asked} of {wanted.asked} were asked"
        faults.append(Fault("repeat", text))
    return faults


def _said(err: str, folder: Path, what: str, asked: bool) -> list[Fault]:
    """Returns what is wrong with the line that says what is full."""
    lines = [line for line in err.splitlines() if line.startswith("ltgc: ")]
    if len(lines) != 1:
        return [Fault("other", f"{what}: {len(lines)} lines say what went wrong: {err[-500:]}")]
    if not any(name in lines[0] for name in (str(folder), "out", "stdout", "store", "TMPDIR")):
        return [Fault("other", f"{what}: no path is named: {lines[0]}")]
    if asked and "nothing was asked" in lines[0]:
        return [Fault("other", f"{what}: it was asked, but: {lines[0]}")]
    return []
