"""Room on a disk that is held while questions are under way: where the disk fills up it is theirs, so none is lost.

It is a file without a name, of real blocks, which the system frees however the process ends.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

from ltgc_cli.errors import FULL, OutputError
from ltgc_cli.files import named_errors, temporary

_PART = 2**20  # bytes that are written at once


class Reserve:
    """Room in a folder, to be given up once: from then on nothing is begun that would need it again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: int | None = None
        self._held = 0
        self._why = ""
        self._close: Callable[[], object] = bool  # the file, once
        self._guard = threading.Lock()

    def hold(self, size: int) -> None:
        """Holds so many bytes, at least, from now on. Raises OutputError where they are not to be had, or were given
        up before: what is under way may still need them.
        """
        with self._guard:
            if self._why:
                remedy = "make room, and run the same command again: what was answered is kept"
                raise OutputError(f"{self._folder}: the disk is full ({self._why}); {remedy}")
            if size <= self._held:
                return
            with named_errors(self._folder, writing=True):
                if self._file is None:
                    self._file = nameless(self._folder)
                    self._close = weakref.finalize(self, os.close, self._file)
                try:
                    _fill(self._file, self._held, size - self._held)
                except OSError:  # what room there was is others', too
                    os.ftruncate(self._file, self._held)
                    raise
            self._held = size

    def give_up(self, why: str) -> bool:
        """Returns whether there is room now that was held until then.

        why -- what needed it
        """
        with self._guard:
            if self._file is None or not self._held:
                return False
            self._why = why
            self._free(self._file)
            return True

    def close(self) -> None:
        """Gives the room back, as nothing is under way any more."""
        with self._guard:
            if self._file is not None:
                self._free(self._file)

    def _free(self, file: int) -> None:
        os.ftruncate(file, 0)  # a fork may have it open, too
        os.fsync(file)  # a file system with a journal frees blocks when that is written
        self._close()
        self._file, self._held = None, 0


def nameless(folder: Path) -> int:
    """Returns an empty file that is open and has no name."""
    with temporary(folder) as path:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_TEMPORARY", 0), 0o600)


def _fill(file: int, start: int, size: int) -> None:
    """Makes a file longer by so many bytes, which take their room on the disk."""
    try:
        os.posix_fallocate(file, start, size)
    except (AttributeError, OSError) as error:  # not on macOS, and not on every file system
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        os.lseek(file, start, os.SEEK_SET)
        while size > 0:
            size -= os.write(file, os.urandom(min(size, _PART)))  # zeros a file system may keep in no room at all
