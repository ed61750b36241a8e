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
import struct
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from campaigns.chain import differences, said_wrong
from campaigns.counts import Counts, Fault, attempted
from campaigns.shim import SKIPPED, compiled, run

_CLASSES = [word for number in range(8) for word in ("--class", f"bird {number}")]
_COMMANDS = {
    "extend": ["extend", *_CLASSES, "-n", "4", "--concurrency", "1", "-o", "out"],
    "extend at once": ["extend", *_CLASSES, "-n", "4", "--concurrency", "4", "-o", "out"],
    "render": ["render", "-i", "in", "--t2i", "blank", "-o", "out"],
}
_UNDER_WAY = {"extend": 1, "extend at once": 4}


class Change(NamedTuple):
    """A line of the log."""

    kind: str
    path: str
    other: str
    at: int
    data: bytes


class Recorded(NamedTuple):
    """A command that ran undisturbed: what it did to files, and what it read."""

    changes: list[Change]
    code: int
    made: dict[str, str]
    asked: int
    before: Path
    folder: Path


def attack(numbers: range, seed: int, place: Path) -> Counts:
    """Returns what came of power cuts of these numbers."""
    shim = compiled(place)
    if not shim:
        return Counts(skipped=SKIPPED)
    recorded: dict[str, Recorded] = {}

    def trial(number: int) -> list[Fault]:
        name = list(_COMMANDS)[number % len(_COMMANDS)]
        if name not in recorded:
            recorded[name] = _record(shim, name, place / name.replace(" ", "-"))
        return _trial(name, recorded[name], place / f"trial-{number}", Random(f"{seed} {number}"))

    return attempted(numbers, trial)


def _record(shim: Path, name: str, place: Path) -> Recorded:
    before, folder = place / "before", place / "folder"
    before.mkdir(parents=True)
    if name == "render":
        ran = run(None, _COMMANDS["extend"], place / "extended")
        assert ran.code == 0, ran.err
        shutil.copy(place / "extended" / "out", before / "in")
    shutil.copytree(before, folder)
    (folder / "tmp").mkdir()
    ran = run(shim, _COMMANDS[name], folder, SHIM_LOG=str(place / "changes"))
    assert ran.code == 0, ran.err
    return Recorded(list(_read(place / "changes")), ran.code, _made(folder), _asked(folder), before, folder)


def _read(file: Path) -> Iterator[Change]:
    data, at = file.read_bytes(), 0
    while at < len(data):
        kind, first, second, place, size = struct.unpack_from("<cIIqQ", data, at)
        at += struct.calcsize("<cIIqQ")
        ends = at + first, at + first + second, at + first + second + size
        path, other = data[at : ends[0]].decode(), data[ends[0] : ends[1]].decode()
        yield Change(kind.decode(), path, other, place, data[ends[1] : ends[2]])
        at = ends[2]


def _trial(name: str, recorded: Recorded, folder: Path, random: Random) -> list[Fault]:
    cut = random.randrange(len(recorded.changes) + 1)
    what = f"{name}, the power cut behind change {cut} of {len(recorded.changes)}"
    try:
        shutil.copytree(recorded.before, folder)
        asked = _left(recorded.changes[:cut], str(recorded.folder), folder, random)
        faults = list(_wrong_before(folder, recorded, what))
        ran = run(None, _COMMANDS[name], folder, log="again.log")
        faults += said_wrong(ran, [recorded.code], f"after {what} the same command")
        faults += differences(recorded.made, _made(folder), f"after {what}")
        again = _asked(folder, "again.log")
        most = recorded.asked - max(0, asked - _UNDER_WAY.get(name, 0))
        if again > most:
            text = f"after {what}: {again} questions, where {asked} of {recorded.asked} were asked before"
            faults.append(Fault("repeat", text))
        return faults
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wrong_before(folder: Path, recorded: Recorded, what: str) -> Iterator[Fault]:
    """Returns what must not be on a disk, whenever the power is cut: half a file under the name of a whole one."""
    for path in folder.glob("store/objects/*/*"):
        if len(path.name) == 64 and hashlib.sha256(path.read_bytes()).hexdigest() != path.name:
            yield Fault("loss", f"{what}: the object {path.name[:12]} has other bytes")
    for path in folder.glob("store/artifacts/*/*.json"):
        lines = path.with_suffix(".jsonl")
        written = hashlib.sha256(lines.read_bytes()).hexdigest() if lines.exists() else "not there"
        try:
            wanted = json.loads(path.read_bytes())["output"]
        except (ValueError, KeyError):
            wanted = "no manifest"
        if wanted != written:
            yield Fault("loss", f"{what}: the artifact {lines.name} is {written[:12]}, its manifest says {wanted[:12]}")
    out = folder / "out"
    if out.exists() and hashlib.sha256(out.read_bytes()).hexdigest() != recorded.made["out"]:
        yield Fault("loss", f"{what}: the output is there, but not whole")


def _made(folder: Path) -> dict[str, str]:
    found = [folder / "out", *folder.glob("store/objects/*/*")]
    found = [path for path in found if path.exists() and not path.name.startswith(".")]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def _asked(folder: Path, log: str = "asked.log") -> int:
    path = folder / log
    return path.read_bytes().count(b"\n") if path.exists() else 0


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
            if change.kind == "r":
                now[parent].renamed.append((os.path.basename(path), None))
            now[os.path.dirname(change.other)].renamed.append((os.path.basename(change.other), file))
        elif change.kind == "u" and path in now:
            del now[path]
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
