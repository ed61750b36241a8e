"""Ctrl-C, and the signals by which a system ends a process: what is done is kept already, and a person is told how to
go on; a second signal waits for nothing."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from ltgc_cli import console
from ltgc_cli.unfinished import leave_nothing

_SIGNALS = [
    signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if name in signal.Signals.__members__
]  # Windows has no SIGHUP
_USUAL = (signal.default_int_handler, signal.SIG_DFL)

Handler = Callable[[int, Any], object]


@contextmanager
def interruptible(program: str, arguments: Sequence[str]) -> Iterator[None]:
    """Within it the first signal unwinds what runs, the second ends the process; both say how to go on.

    A signal that is ignored (nohup), or that the program around this has its own way with, stays so.

    program -- what is typed before the arguments: `ltgc`
    arguments -- what was typed behind it
    """
    came: list[int] = []

    def first(signum: int, frame: Any) -> None:
        came.append(signum)
        _handle(handled, second)
        raise KeyboardInterrupt

    def second(signum: int, frame: Any) -> None:
        _end(program, arguments, came[0])

    handled = _ours()
    before = _handle(handled, first)
    try:
        yield
    except KeyboardInterrupt:
        _end(program, arguments, came[0] if came else signal.SIGINT)
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
    if came and came[0] != signal.SIGINT:  # a server, which says itself how to go on, and which Ctrl-C ends well
        raise SystemExit(128 + came[0])


def nothing_to_say() -> None:
    """From here on a signal ends the process at once: all is done, and nothing but Python's own end is to come."""
    _handle(_ours(), lambda signum, frame: os._exit(128 + signum))


def _ours() -> list[signal.Signals]:
    """Returns the signals that nobody else has an eye on."""
    if threading.current_thread() is not threading.main_thread():
        return []
    return [signum for signum in _SIGNALS if signal.getsignal(signum) in _USUAL]


def _handle(signals: Sequence[signal.Signals], handler: Handler) -> dict[signal.Signals, Any]:
    """Sets what is called at some signals, and returns what was called before."""
    return {signum: signal.signal(signum, handler) for signum in signals}


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
    from ltgc_cli.providers.secrets import without_passwords  # what most commands end without

    return without_passwords(f"{program} {shlex.join(kept)}")


def how_to_go_on(program: str, arguments: Sequence[str]) -> str:
    """Returns what to type to go on, as far as this process can know it."""
    if console.is_pipe(sys.stdin) or console.is_pipe(sys.stdout):
        return "run the same pipe again to go on"
    if not all(
        stream and stream.isatty() for stream in (sys.stdin, sys.stdout)
    ):  # something is redirected, and the arguments don't say so
        return "run the same command again to go on"
    return f"to go on: {typed(program, arguments)}"


def _end(program: str, arguments: Sequence[str], signum: int) -> NoReturn:
    _handle([one for one in _SIGNALS if signal.getsignal(one) is not signal.SIG_IGN], lambda *_: None)
    leave_nothing()
    with suppress(Exception):  # the terminal may have gone
        console.error(f"interrupted; what was asked and made so far is kept; {how_to_go_on(program, arguments)}")
    os._exit(128 + signum)  # a question under way may hang for minutes, and Python would wait for its thread
