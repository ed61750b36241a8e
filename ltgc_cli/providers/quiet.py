"""Model libraries log, warn and show progress bars on the user's terminal; ltgc's console does that alone.

What a library only logs may change a result (a weight that it did not use). `heard` gives such lines to who asks.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import logging  # where it is wanted: ports are named long before a library says anything

# Both switches below are the process's: two threads that turned them in turn would leave them wrong. So the first
# that comes in turns them, and the last that goes out turns them back.
_turning = threading.Lock()
_inside = 0
_switches = ExitStack()
_listening = threading.local()


@contextmanager
def quiet() -> Iterator[None]:
    """Returns a context in which nothing is logged and no warning is shown; what fails still raises.

    Many threads may be in it at once.
    """
    global _inside
    with _turning:
        if not _inside:
            _switches.enter_context(_turned_off())
        _inside += 1
    try:
        yield
    finally:
        with _turning:
            _inside -= 1
            if not _inside:
                _switches.close()


@contextmanager
def heard() -> Iterator[list[str]]:
    """Returns what libraries log as warnings in this thread, within quiet() and this block; nobody else hears it."""
    before, said = getattr(_listening, "said", None), list[str]()
    _listening.said = said
    try:
        yield said
    finally:
        _listening.said = before


@contextmanager
def _turned_off() -> Iterator[None]:
    import logging

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        handler = logging.NullHandler()  # where the root logger has none, `logging.info` gives it one that prints
        logging.root.addHandler(handler)
        # Every record of every logger comes through this one method, whatever handlers a library gives its own.
        handlers: Any = logging.Logger.callHandlers
        setattr(logging.Logger, "callHandlers", _heard)  # noqa: B010
        try:
            yield
        finally:
            setattr(logging.Logger, "callHandlers", handlers)  # noqa: B010
            logging.root.removeHandler(handler)


def _heard(logger: logging.Logger, record: logging.LogRecord) -> None:
    from logging import WARNING

    said = getattr(_listening, "said", None)
    if said is not None and record.levelno >= WARNING:
        said.append(record.getMessage())


def no_progress_bars() -> None:
    """Turns off the progress bars of downloads from the Hugging Face hub."""
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
