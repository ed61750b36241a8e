"""The errors that a person can meet, and the exit status that each one ends a command with.

LtgcError
├── InputError       2   bad usage or input; nothing was asked
├── ProviderError    3   a provider cannot be used (key, network, weights), after retries
├── OutputError      3   a place cannot be written to or read from (full, read-only, gone): what was answered is kept
├── BudgetError      4   the budget was reached; run again to go on
└── Refused          -   one request was refused; becomes a `failure` record, the run goes on
    ├── TooLong      -   the question is longer than the model reads; it can be asked in parts
    └── Unreadable   -   the image itself cannot be read; asking again changes nothing
"""

from __future__ import annotations

import errno
from math import inf
from pathlib import Path
from typing import Any

DONE = 0
FELL_SHORT = 1


class LtgcError(Exception):
    """An error whose text is one line for a person: what was wrong, where, what to do."""

    exit_code = 2


class InputError(LtgcError):
    """Bad usage or bad input. Raised before any money is spent."""


class ProviderError(LtgcError):
    """A provider cannot be used at all: a missing key, no network, no weights, no recorded answer."""

    exit_code = 3


class OutputError(LtgcError):
    """A place that a run needs cannot be used: the disk is full, read-only or gone. Run again once it can."""

    exit_code = 3


class BudgetError(LtgcError):
    """The budget was reached; what was answered so far is stored."""

    exit_code = 4

    def __init__(self, reached: str, then: str = "", *, again: bool = True, most: float = inf) -> None:
        super().__init__(f"{reached}; {then}" if then else reached)
        self.reached, self.then = reached, then  # which limit it was, and what to do
        self.again = again  # whether the same command gets further when it is run again
        self.most = most  # US dollars that the next question can cost, where too few of them were left


class Refused(LtgcError):
    """A provider would not or could not answer this one request; others may well succeed."""

    exit_code = FELL_SHORT

    def __init__(self, text: str, usage: Any = None) -> None:
        super().__init__(text)
        self.usage = usage  # what it cost all the same (`ports.Usage`): an empty answer is paid for too


class TooLong(Refused):
    """The question is longer than the model's context; the same in parts may well be answered."""


class Unreadable(Refused):
    """The image itself cannot be read. Unlike other refusals this is final, and a run that met it is whole."""


FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
AGAIN = "what was answered is kept: run again to go on"
_NOT_ALLOWED = {errno.EROFS, errno.EACCES, errno.EPERM}
_FAILED = {
    errno.EIO, errno.ENXIO, errno.ENODEV, errno.ESTALE, errno.ETIMEDOUT, errno.EBADF,
    errno.ENOMEM, errno.ENOLCK, errno.EBUSY, errno.ETXTBSY,
}  # fmt: skip


def too_many_files(error: BaseException) -> OutputError | None:
    """Returns what is said where no more files may be open, None for another error: it is nobody's fault but ours."""
    if not isinstance(error, OSError) or error.errno not in (errno.EMFILE, errno.ENFILE):
        return None
    return OutputError(f"{error.strerror} (ulimit -n allows more, a smaller --concurrency needs less); {AGAIN}")


def place_error(path: Path | str, error: OSError, *, writing: bool = False) -> LtgcError:
    """Returns what a person is told of an error of files: the place, what is wrong, what to do.

    It is an OutputError where the place is at fault (full, read-only, a disk that fails), an InputError where the name
    is (nothing is there, a folder): the one place that tells the two apart.
    writing -- whether it was to be written: then it is the place's fault too that nobody may
    """
    if told := too_many_files(error):
        return told
    said = f"{path}: {error.strerror or error}"
    if error.errno in FULL:
        return OutputError(f"{said}; make room, and run the same command again: what was answered is kept")
    if error.errno == errno.EROFS or (writing and error.errno in _NOT_ALLOWED):
        return OutputError(f"{said}; name another place, or make it writable, and run the same command again")
    if error.errno in _FAILED:
        return OutputError(f"{said}; run the same command again when it can be used: what was answered is kept")
    return InputError(said)
