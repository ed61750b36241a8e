"""Ctrl-C: what is done is kept already; a person is told how to go on, and a second Ctrl-C waits for nothing."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from ltgc_cli import console
from ltgc_cli.errors import INTERRUPTED
from ltgc_cli.providers.secrets import without_passwords


@contextmanager
def interruptible(program: str, arguments: Sequence[str]) -> Iterator[None]:
    """Within it the first Ctrl-C unwinds what runs, the second ends the process; both say how to go on.

    program -- what is typed before the arguments: `ltgc`
    arguments -- what was typed behind it
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is not _DEFAULT:
        yield  # within a program that has its own way with Ctrl-C
        return

    def first(signum: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, second)
        raise KeyboardInterrupt

    def second(signum: int, frame: Any) -> None:
        _end(program, arguments)

    signal.signal(signal.SIGINT, first)
    try:
        yield
    except KeyboardInterrupt:
        _end(program, arguments)
    finally:
        signal.signal(signal.SIGINT, _DEFAULT)


def typed(program: str, arguments: Sequence[str], *, without: Collection[str] = ()) -> str:
    """Returns a command line as it is typed, without some flags and the value behind each, and without passwords.

    >>> typed("ltgc", ["run", "my sets.toml", "--until", "render", "--out=x"], without=["--until"])
    "ltgc run 'my sets.toml' --out=x"
    """
    kept, rest = [], iter(arguments)
    for word in rest:
        if word in without:
            next(rest, None)
        elif word.partition("=")[0] not in without:
            kept.append(word)
    return without_passwords(f"{program} {shlex.join(kept)}")


def how_to_go_on(program: str, arguments: Sequence[str]) -> str:
    """Returns what to type to go on, as far as this process can know it."""
    if console.is_pipe(sys.stdin) or console.is_pipe(sys.stdout):
        return "run the same pipe again to go on"
    if not (sys.stdin.isatty() and sys.stdout.isatty()):  # something is redirected, and the arguments don't say so
        return "run the same command again to go on"
    return f"to go on: {typed(program, arguments)}"


def _end(program: str, arguments: Sequence[str]) -> NoReturn:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    console.error(f"interrupted; what was asked and made so far is kept; {how_to_go_on(program, arguments)}")
    os._exit(INTERRUPTED)  # a question under way may hang for minutes, and Python would wait for its thread


_DEFAULT = signal.default_int_handler
