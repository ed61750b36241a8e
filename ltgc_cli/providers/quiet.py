"""Model libraries log, warn and show progress bars on the user's terminal; ltgc's console does that alone.

What a library only logs may change a result (a weight that it did not use). `heard` gives such lines to who asks.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import logging  # where it is wanted: ports are named long before a library says anything

_listening = threading.local()


def by_many(turned: Callable[[], AbstractContextManager[object]]) -> Callable[[], AbstractContextManager[None]]:
    """Returns the same context for many threads at once: of a switch that is the whole process's.

    Two threads that turned it in turn would leave it wrong. So the first that comes in turns it, and the last that
    goes out turns it back.
    """
    turning, switch, inside = threading.Lock(), ExitStack(), 0

    @contextmanager
    def within() -> Iterator[None]:
        nonlocal inside
        with turning:
            if not inside:
                switch.enter_context(turned())
            inside += 1
        try:
            yield
        finally:
            with turning:
                inside -= 1
                if not inside:
                    switch.close()

    return within


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


quiet = by_many(_turned_off)
"""A context in which nothing is logged and no warning is shown; what fails still raises."""


def no_progress_bars() -> None:
    """Turns off the progress bars of downloads from the Hugging Face hub."""
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
