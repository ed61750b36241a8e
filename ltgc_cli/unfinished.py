"""What files and folders are called that are not finished, and what becomes of those that a killed process left.

A name says whose it is: the machine (and its process namespace), the process and when that began. So it is known
without any lock, on a folder that many share, whether somebody is still at it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import stat
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

TEMPORARY = ".tmp-"  # how files and folders are called that are not finished; a process that was killed leaves one

_OURS = re.compile(r"\.tmp-(?:(?P<place>[0-9a-f]{12})-(?P<process>\d+)-(?P<began>\d+)-)?[0-9a-f]{32}")
_OLD = 7 * 86_400.0
"""Seconds without a change after which nobody is at what another machine began, or who knows whom an old version."""

_open_now: set[tuple[int, Path]] = set()  # by process: a fork leaves its parent's alone
_looked_at: set[tuple[int, str]] = set()
_ends = threading.Event()  # the process does, at once: nothing is begun any more


@contextmanager
def unfinished(folder: Path) -> Iterator[Path]:
    """Returns a path in a folder for what is not finished. What an earlier process left there is gone from then on."""
    if _ends.is_set():
        threading.Event().wait()  # until the end
    process = os.getpid()
    if (looked := (process, os.path.abspath(folder))) not in _looked_at:
        _looked_at.add(looked)
        swept(folder)
    mine = (process, folder / f"{TEMPORARY}{_place()}-{process}-{_began(process)}-{uuid.uuid4().hex}")
    _open_now.add(mine)
    try:
        yield mine[1]
    finally:
        _open_now.discard(mine)


def leave_nothing() -> None:
    """Deletes what this process has not finished, whose threads begin nothing more: it ends at once."""
    _ends.set()
    for number in range(5):
        if number:
            time.sleep(0.02)  # a thread may be between a name and its file
        for process, path in list(_open_now):
            if process == os.getpid():
                _delete(path)


def swept(folder: Path) -> None:
    """Deletes what killed processes left in a folder; what it cannot delete stays.

    Only a name of ours goes, and only where its process is known to be dead. Whether one on another machine, or in
    another container, is alive nobody knows here: what it left goes after a week without a change.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for name in [entry.name for entry in entries if entry.name.startswith(TEMPORARY)]:
            if (ours := _OURS.fullmatch(name)) and _abandoned(Path(folder, name), ours):
                _delete(Path(folder, name))


def _abandoned(path: Path, named: re.Match[str]) -> bool:
    if named["place"] == _place() and os.name == "posix":
        return not _alive(int(named["process"]), int(named["began"]))
    try:
        # By the clock of the file system: this machine's may be another one.
        return _now(path.parent) - _changed(path) > _OLD
    except OSError:
        return False


def _alive(process: int, began: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # it is another person's, or none that this machine has
        pass
    now = _began(process)
    return now == began or 0 in (now, began)  # where nothing says when it began, it is taken for the same one


@cache
def _place() -> str:
    """Returns where a process number means what it means here: this machine since it started, and its namespace."""
    about = [socket.gethostname()]
    with suppress(OSError):
        about += [Path("/proc/sys/kernel/random/boot_id").read_text(), os.readlink("/proc/self/ns/pid")]
    if len(about) < 3:
        about = [about[0], str(uuid.getnode())]
    return hashlib.sha256("\0".join(about).encode()).hexdigest()[:12]


def _began(process: int) -> int:
    """Returns when a process began, in a unit of the system's: 0 where that does not say, -1 for one that has ended."""
    if sys.platform != "linux":
        return 0
    try:
        after_name = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2]
        state, began = after_name.split()[0], int(after_name.split()[19])
        return -1 if state in "ZX" else began  # dead, and nobody has asked what it ended with
    except (OSError, ValueError, IndexError):
        return 0


def _now(folder: Path) -> float:
    path = folder / f"{TEMPORARY}{_place()}-{os.getpid()}-{_began(os.getpid())}-{uuid.uuid4().hex}"
    try:
        path.touch()
        return path.lstat().st_mtime
    finally:
        path.unlink(missing_ok=True)


def _changed(path: Path) -> float:
    """Returns when a file, or anything in a folder, was changed last."""
    status = path.lstat()
    times = [status.st_mtime, status.st_ctime]
    if stat.S_ISDIR(status.st_mode):
        for place, folders, names in os.walk(path):
            times += [Path(place, name).lstat().st_mtime for name in [*folders, *names]]
    return max(times)


def _delete(path: Path) -> None:
    with suppress(OSError):
        kind = path.lstat().st_mode
        if stat.S_ISDIR(kind):
            shutil.rmtree(path, ignore_errors=True)
        elif stat.S_ISREG(kind):
            path.unlink(missing_ok=True)
