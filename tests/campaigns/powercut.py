"""Cuts the power: what was not synced is lost, as a disk may lose it, and the command goes on with what is left.

A command runs once with all its changes to files written down (shim.c). A trial cuts the log at some place and makes
a folder of what is on the disk then. A file's bytes are there once it was synced; later writes to it are there, or not,
or in part, each by chance. A name is there once its folder was synced, and the first name of a file, with the folders
above it, once the file was (as ext4, XFS and Btrfs do); of later changes to a folder the first so many are there.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from campaigns.chain import differences, said_wrong
from campaigns.counts import Counts, Fault, attempted
from campaigns.shim import COMMANDS, SKIPPED, UNDER_WAY, Change, Undisturbed, asked_in, compiled, made, recorded, run


def attack(numbers: range, seed: int, place: Path) -> Counts:
    """Returns what came of power cuts of these numbers."""
    shim = compiled(place)
    if not shim:
        return Counts(skipped=SKIPPED)
    undisturbed = cache(lambda name: recorded(shim, name, place / name.replace(" ", "-")))

    def trial(number: int) -> list[Fault]:
        name = list(COMMANDS)[number % len(COMMANDS)]
        return _trial(name, undisturbed(name), place / f"trial-{number}", Random(f"{seed} {number}"))

    return attempted(numbers, trial)


def _trial(name: str, wanted: Undisturbed, folder: Path, random: Random) -> list[Fault]:
    first = random.choice([0, 0.6, 0.8])  # what comes first is the making of an empty database
    cut = random.randint(int(first * len(wanted.changes)), len(wanted.changes))
    what = f"{name}, the power cut behind change {cut} of {len(wanted.changes)}"
    try:
        shutil.copytree(wanted.before, folder)
        asked = _left(wanted.changes[:cut], str(wanted.folder), folder, random)
        faults = list(_wrong_before(folder, wanted, what))
        ran = run(None, COMMANDS[name], folder, log="again.log")
        faults += said_wrong(ran, [wanted.code], f"after {what} the same command")
        faults += differences(wanted.made, made(folder), f"after {what}")
        again = asked_in(folder, "again.log")
        most = wanted.asked - max(0, asked - UNDER_WAY[name])
        if again > most:
            text = f"after {what}: {again} questions, where {asked} of {wanted.asked} were asked before"
            faults.append(Fault("repeat", text))
        return faults
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wrong_before(folder: Path, wanted: Undisturbed, what: str) -> Iterator[Fault]:
    """Returns what must not be on a disk, whenever the power is cut: half a file under the name of a whole one."""
    for path in folder.glob("store/objects/*/*"):
        if len(path.name) == 64 and hashlib.sha256(path.read_bytes()).hexdigest() != path.name:
            yield Fault("loss", f"{what}: the object {path.name[:12]} has other bytes")
    for path in folder.glob("store/artifacts/*/*.json"):
        lines = path.with_suffix(".jsonl")
        written = hashlib.sha256(lines.read_bytes()).hexdigest() if lines.exists() else "not there"
        try:
            said = json.loads(path.read_bytes())["output"]
        except (ValueError, KeyError):
            said = "no manifest"
        if said != written:
            yield Fault("loss", f"{what}: the artifact {lines.name} is {written[:12]}, its manifest says {said[:12]}")
    out = folder / "out"
    if out.exists() and hashlib.sha256(out.read_bytes()).hexdigest() != wanted.made["out"]:
        yield Fault("loss", f"{what}: the output is there, but not whole")


# ---- what a disk has


class _File:
    """A file or a folder: its bytes as they were synced, and what was written since."""

    def __init__(self, folder: bool = False) -> None:
        self.folder = folder
        self.bytes = bytearray()
        self.since: list[Change] = []
        self.names: dict[str, Any] = {}
        """Of a folder: what is on the disk under each name."""
        self.renamed: list[tuple[str, _File | None]] = []
        """Of a folder: what was done to its names since it was synced."""


def _left(changes: list[Change], root: str, folder: Path, random: Random) -> int:
    """Puts into a folder what is on the disk after some changes; returns how many questions had been asked by then."""
    top = _File(folder=True)
    now: dict[str, _File] = {root: top}
    asked = 0
    for change in changes:
        path, parent = change.path, os.path.dirname(change.path)
        if change.kind in "cm":
            file = now[path] = _File(folder=change.kind == "m")
            if parent in now:
                now[parent].renamed.append((os.path.basename(path), file))
        elif change.kind in "wt" and path in now:
            now[path].since.append(change)
            asked += change.data.count(b"\n") if path == f"{root}/asked.log" else 0
        elif change.kind == "s" and path in now:
            _sync(now[path], path, now)
        elif change.kind in "rl" and path in now and os.path.dirname(change.other) in now:
            file = now[path] if change.kind == "l" else now.pop(path)
            now[change.other] = file
            if change.kind == "r" and parent in now:
                now[parent].renamed.append((os.path.basename(path), None))
            now[os.path.dirname(change.other)].renamed.append((os.path.basename(change.other), file))
        elif change.kind == "u" and path in now:
            del now[path]
            if parent in now:  # the folder for temporary files was there before
                now[parent].renamed.append((os.path.basename(path), None))
    _put(top, folder, random)
    return asked


def _sync(file: _File, path: str, now: dict[str, _File]) -> None:
    """Puts a file on the disk: its bytes or its names, and the names that lead to it, where they are its first."""
    for change in file.since:
        _apply(file.bytes, change)
    file.since.clear()
    for name, other in file.renamed:
        _rename(file.names, name, other)
    file.renamed.clear()
    parent = os.path.dirname(path)
    while parent in now:
        name, folder = os.path.basename(path), now[parent]
        new = [at for at, (other, it) in enumerate(folder.renamed) if other == name and it is now[path]]
        renamed = any(it is None for _, it in folder.renamed[: new[0]]) if new else False
        if new and not renamed:  # a file's first name; what took another's place waits for the folder
            _rename(folder.names, name, now[path])
            del folder.renamed[new[0]]
        path, parent = parent, os.path.dirname(parent)


def _rename(names: dict[str, Any], name: str, file: _File | None) -> None:
    if file is None:
        names.pop(name, None)
    else:
        names[name] = file


def _apply(data: bytearray, change: Change) -> None:
    if change.kind == "t":
        del data[change.at :]
        data.extend(bytes(max(0, change.at - len(data))))
    else:
        data.extend(bytes(max(0, change.at - len(data))))
        data[change.at : change.at + len(change.data)] = change.data


def _put(file: _File, path: Path, random: Random) -> None:
    """Makes a folder of what is on the disk, and of what by chance is there though it was not synced."""
    names = dict(file.names)
    for name, other in file.renamed[: random.randint(0, len(file.renamed))]:
        _rename(names, name, other)
    path.mkdir(exist_ok=True)
    for name, other in names.items():
        if other.folder:
            _put(other, path / name, random)
            continue
        data = bytearray(other.bytes)
        kept = random.choice([0.0, 0.5, 1.0])
        for change in other.since:
            if random.random() < kept:
                size = len(change.data) if random.random() < 0.8 else random.randrange(0, len(change.data) + 1, 512)
                _apply(data, change._replace(data=change.data[:size]))
        (path / name).write_bytes(data)
