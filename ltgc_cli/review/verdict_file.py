"""The file of verdicts: JSON lines, only ever added to, so that several tabs and programs may write it at once."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import NamedTuple

import msgspec

from ltgc_cli import console, records
from ltgc_cli.errors import InputError
from ltgc_cli.files import named_errors, read_regular, sync_folder
from ltgc_cli.records import Verdict
from ltgc_cli.stages import verdicts
from ltgc_cli.stages.verdicts import Verdicts

_one_at_a_time = threading.Lock()  # whether the last line is torn must hold while the next one is added


class VerdictLines(NamedTuple):
    """Verdicts that were read from a file, from one byte of it to another."""

    verdicts: list[Verdict]
    start: int
    end: int  # the byte behind the last whole line: where the next one begins
    torn: int = 0  # lines that a crash left without an end; nobody was told that these were kept


def load(path: Path) -> Verdicts:
    """Returns the verdicts of a file that hold. Raises InputError with file and line for anything else in it."""
    found = read(path)
    if found.torn:
        lines = "a line that was" if found.torn == 1 else f"{found.torn} lines that were"
        console.notice(f"{path}: {lines} never written to the end is passed over")
    return verdicts.effective(found.verdicts)


def read_on(path: Path, since: int) -> VerdictLines:
    """Returns what came since a byte; all of it where another, shorter file is in its place by now."""
    size = path.stat().st_size if path.exists() else 0
    if since == size:
        return VerdictLines([], since, since)
    return read(path, since if since < size else 0) if size else VerdictLines([], 0, 0)


def read(path: Path, since: int = 0) -> VerdictLines:
    """Returns the verdicts of a file from a byte on. Raises InputError for a bad line, and where it cannot be read."""
    with named_errors(path):
        data = read_regular(path)
    first = data.count(b"\n", 0, since) + 1
    found, torn, end = [], 0, since
    for number, line in enumerate(data[since:].splitlines(keepends=True), start=first):
        if _is_torn(line):
            torn += 1
            if not line.endswith(b"\n"):
                break
        elif line.strip():
            found.append(_verdict(path, number, line))
        end += len(line)
    return VerdictLines(found, since, end, torn)


def append(path: Path, verdict: Verdict) -> None:
    """Adds one line, durable on return; below a torn last line it begins a new one. Raises as `named_errors`."""
    line = (records.dump(verdict) + "\n").encode()
    new = not path.exists()
    with named_errors(path, writing=True):
        # Unbuffered and appending: lines of two programs never mix.
        with _one_at_a_time, path.open("a+b", buffering=0) as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                line = line if file.read(1) == b"\n" else b"\n" + line
            if file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file.fileno())
        if new:
            sync_folder(path.parent)


def _is_torn(line: bytes) -> bool:
    try:
        msgspec.json.decode(line.strip())
    except msgspec.DecodeError as error:
        return bool(line.strip()) and "truncated" in str(error)
    except (ValueError, RecursionError):  # bytes that are no UTF-8, too many brackets: no line of ours
        return False
    return False


def _verdict(path: Path, number: int, line: bytes) -> Verdict:
    try:
        record = records.parse(line.decode())
    except ValueError as error:  # UnicodeDecodeError is one
        raise InputError(f"{path}:{number}: {error}") from None
    if not isinstance(record, Verdict):
        raise InputError(
            f"{path}:{number}: a {records.kind_of(record)} record in a file of verdicts; ltgc review writes such a file"
        )
    return record
