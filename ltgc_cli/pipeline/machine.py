"""What this machine allows one process: looked at before the first question, and not when the last file is open."""

from __future__ import annotations

from ltgc_cli import console
from ltgc_cli.text import counted

_OTHERS = 100
"""Files that a process has open besides one connection a question: the database, libraries, images."""


def questions_at_once(wanted: int) -> int:
    """Returns how many questions can be asked at once: as many as are wanted where the limit on open files has room.

    It is raised as far as this process may; where that is not enough, it is said.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return wanted
    needed = wanted + _OTHERS
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
    room = max(1, min(wanted, limit - _OTHERS))
    if room < wanted:
        console.notice(
            f"--concurrency {wanted}: this system lets a process open {counted(limit, 'file')} (ulimit -n), which is "
            f"room for {counted(room, 'question')} at once; so many are asked"
        )
    return room
