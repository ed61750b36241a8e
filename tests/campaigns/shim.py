"""Commands on a system that fails: shim.c, compiled once for an attack, and preloaded before a command.

shim = compiled(place)  # None without a C compiler, or where nothing can be preloaded
ran = run(shim, ["extend", …], folder, SHIM_FULL_AFTER="1000")
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from campaigns.programs import Ran, environment

SKIPPED = "there is no C compiler (cc) here, or this is not Linux"
_CLASSES = [word for number in range(8) for word in ("--class", f"bird {number}")]
COMMANDS = {
    "extend": ["extend", *_CLASSES, "-n", "4", "--concurrency", "1", "-o", "out"],
    "extend at once": ["extend", *_CLASSES, "-n", "4", "--concurrency", "4", "-o", "out"],
    "render": ["render", "-i", "in", "--t2i", "blank", "-o", "out"],
    "mix-train": shlex.split("mix-train --data digits-lt -i in --steps 6 --batch 6 --val-every 3 -o out"),
}
"""What is disturbed."""
UNDER_WAY = {"extend": 1, "extend at once": 4, "render": 0, "mix-train": 0}
"""Questions that each has under way at once."""
COUNTED = Path(__file__).parents[1] / "counted.py"


def compiled(place: Path) -> Path | None:
    """Returns the library, None where it cannot be made."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if sys.platform != "linux" or not compiler:
        return None
    library = place / "shim.so"
    source = Path(__file__).with_suffix(".c")
    done = subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl", "-lpthread"])
    return library if done.returncode == 0 else None


def run(
    shim: Path | None,
    arguments: Sequence[object],
    folder: Path,
    log: str = "asked.log",
    seconds: float = 120,
    **said: str,
) -> Ran:
    """Returns what a command did in a folder, in a process of its own, its store and its stdout in that folder.

    Its language model, of tests/counted.py, writes each question to the file `log` before it answers.
    """
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    variables = environment(folder / "store", TMPDIR=str(folder / "tmp"), **{"SHIM_UNDER": str(folder), **said})
    if shim:
        variables["LD_PRELOAD"] = str(shim)
    command = [sys.executable, COUNTED, folder / log, "-1", *arguments]
    started = time.monotonic()
    with (folder / "stdout").open("wb") as out, (folder.parent / f"{folder.name}.err").open("w+b") as err:
        process = subprocess.Popen(
            [*map(str, command)], cwd=folder, env=variables, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            start_new_session=True,
        )  # fmt: skip
        code, peak = _waited(process, seconds)
        err.seek(0)
        said_on_stderr = err.read().decode(errors="replace")
    return Ran(code, (folder / "stdout").read_bytes(), said_on_stderr, peak, time.monotonic() - started)


class Change(NamedTuple):
    """A line of the log: a write, a cut, a sync, a name that was made, changed or removed."""

    kind: str
    path: str
    other: str
    at: int
    data: bytes


class Undisturbed(NamedTuple):
    """A command that ran undisturbed: what it did to files, what it made and asked, and what it began with."""

    changes: list[Change]
    code: int
    made: dict[str, str]
    asked: int
    before: Path
    folder: Path


def recorded(shim: Path, name: str, place: Path) -> Undisturbed:
    """Returns what a command does undisturbed."""
    before, folder = place / "before", place / "folder"
    before.mkdir(parents=True)
    if name == "render":
        ran = run(None, COMMANDS["extend"], place / "extended")
        assert ran.code == 0, ran.err
        shutil.copy(place / "extended" / "out", before / "in")
    if name == "mix-train":  # a plain fine-tune: no image was generated
        (before / "in").write_text('{"kind":"class","label":0,"class":"zero","count":3,"tail":true}\n')
    shutil.copytree(before, folder)
    (folder / "tmp").mkdir()
    ran = run(shim, COMMANDS[name], folder, SHIM_LOG=str(place / "changes"))
    assert ran.code == 0, ran.err
    return Undisturbed(list(_read(place / "changes")), ran.code, made(folder), asked_in(folder), before, folder)


def made(folder: Path) -> dict[str, str]:
    """Returns the sha256 of a command's records, images and weights, by path."""
    found = [folder / "out", *folder.glob("store/objects/*/*"), *folder.glob("store/checkpoints/**/*.safetensors")]
    # What training goes on from is deleted once it is done.
    found = [path for path in found if path.exists() and not path.name.startswith((".", "state"))]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def asked_in(folder: Path, log: str = "asked.log") -> int:
    """Returns how many questions a log has."""
    path = folder / log
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _read(file: Path) -> Iterator[Change]:
    data, at = file.read_bytes(), 0
    while at < len(data):
        kind, first, second, place, size = struct.unpack_from("<cIIqQ", data, at)
        at += struct.calcsize("<cIIqQ")
        ends = at + first, at + first + second, at + first + second + size
        path, other = data[at : ends[0]].decode(), data[ends[0] : ends[1]].decode()
        yield Change(kind.decode(), path, other, place, data[ends[1] : ends[2]])
        at = ends[2]


def _waited(process: subprocess.Popen[bytes], seconds: float) -> tuple[int, float]:
    """Returns how a process ended, as a shell says it, and the MB that it took; -1 for one that had to be killed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pid, status, used = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            code = process.returncode
            return (128 - code if code < 0 else code), used.ru_maxrss / 1024
        time.sleep(0.01)
    process.kill()
    process.wait()
    return -1, 0.0
