"""A fault of ltgc itself: one line for the person, and a report in a file for who mends it. No terminal sees a
traceback, whichever thread it is of."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from ltgc_cli import console
from ltgc_cli.errors import FELL_SHORT, LtgcError
from ltgc_cli.text import one_line

FOLDER = "faults"  # of the store
_about: dict[str, Any] = {"command": "ltgc", "folder": None}
_said: set[str] = set()


def know(command: str, folder: Path | None = None) -> None:
    """Takes note of the command that begins, and of the store's folder: a thread's fault knows neither."""
    _said.clear()
    _about.update(command=command, folder=folder)


def report(error: BaseException) -> int:
    """Says in one line that ltgc is at fault, and where a report of it lies. Returns the exit status."""
    from ltgc_cli.providers.secrets import scrubbed

    text = _text(error)
    what = one_line(scrubbed(f"{type(error).__name__}: {text}" if text else type(error).__name__))
    if what not in _said:  # a hundred threads may fail alike
        _said.add(what)
        path = _write(scrubbed(_report(error)))
        where = f"a report of it lies at {path}" if path else "no report of it could be written"
        console.error(f"a fault of ltgc itself ({what}); what was answered is kept; {where}")
    return FELL_SHORT


def watch() -> None:
    """From here on what nobody catches is said in one line: in any thread, and at Python's end."""
    sys.excepthook = lambda kind, error, stack: _uncaught(error)
    threading.excepthook = lambda about: _uncaught(about.exc_value)
    sys.unraisablehook = lambda about: _ignored(about.exc_value)


def _uncaught(error: BaseException | None) -> None:
    with suppress(Exception):  # Python may be about to end
        if isinstance(error, LtgcError):
            console.error(str(error))
        elif error and not isinstance(error, (KeyboardInterrupt, SystemExit, BrokenPipeError)):
            report(error)


def _ignored(error: BaseException | None) -> None:
    """Says what could not be written while Python ended. It goes on in spite of the rest, and nothing hangs on that."""
    with suppress(Exception):
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            console.error(one_line(error))


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return ""


def _report(error: BaseException) -> str:
    from ltgc_cli.pipeline.manifest import versions

    used = ", ".join(f"{name} {version}" for name, version in versions().items())
    stack = "".join(traceback.format_exception(error))
    return f"command: {_about['command']}\nsystem: {sys.platform}\nversions: {used}\n\n{stack}"


def _write(text: str) -> Path | None:
    """Returns the file with a report: in the store where there is one that can be written, else for the time being."""
    data = text.encode(errors="replace")
    store: Path | None = _about["folder"]
    for folder in [store / FOLDER] if store and store.is_dir() else []:
        path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{len(_said)}.txt"
        try:
            folder.mkdir(exist_ok=True)
            with path.open("xb") as file:
                file.write(data)
            return path
        except OSError:
            pass
    try:
        handle, name = tempfile.mkstemp(prefix="ltgc-fault-", suffix=".txt")
        with open(handle, "wb") as file:
            file.write(data)
        return Path(name)
    except OSError:
        return None
