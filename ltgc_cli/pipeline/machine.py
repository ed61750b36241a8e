"""What this machine allows one process: looked at before the first question, and not when the last file is open."""

from __future__ import annotations

import os
from contextlib import suppress

from ltgc_cli import console
from ltgc_cli.errors import InputError
from ltgc_cli.text import counted

_OTHERS = 97
"""Files that a command opens besides one connection a question: the database, libraries, images."""
_LEAST = 28
"""Files without which it can do nothing: one question at a time, libraries that open one file after another."""


def questions_at_once(wanted: int) -> int:
    """Returns how many questions can be asked at once: as many as are wanted where the limit on open files has room.

    It is raised as far as this process may; where that is not enough, it is said. Raises InputError where not even
    one question could be asked and its answer kept.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return wanted
    already = _open_now()
    needed = already + _OTHERS + wanted
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY or limit >= needed:
        return wanted
    may = needed if most == resource.RLIM_INFINITY else min(most, needed)
    if may > limit:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (may, most))
            limit = may
        except (OSError, ValueError):  # macOS has a limit behind the limit
            pass
    if limit < already + _LEAST:
        raise InputError(
            f"this system lets a process open {counted(limit, 'file')} (ulimit -n), {already} are open already, and "
            f"{already + _LEAST} are needed at least; nothing was asked: allow more, as by ulimit -n {needed}"
        )
    room = max(1, min(wanted, limit - already - _OTHERS))
    if room < wanted:
        console.notice(
            f"--concurrency {wanted}: this system lets a process open {counted(limit, 'file')} (ulimit -n), which is "
            f"room for {counted(room, 'question')} at once; so many are asked"
        )
    return room


def _open_now() -> int:
    """Returns how many files this process has open; where the system does not say, the three that each begins with."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            return len(os.listdir(folder)) - 1  # that folder is one of them
    return 3
