"""Model libraries log, warn and show progress bars on the user's terminal; ltgc's console does that alone."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

# Both switches below are the process's: two threads that turned them in turn would leave them wrong. So the first
# that comes in turns them, and the last that goes out turns them back.
_turning = threading.Lock()
_inside = 0
_switches = ExitStack()


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
def _turned_off() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        handler = logging.NullHandler()  # where the root logger has none, `logging.info` gives it one that prints
        logging.root.addHandler(handler)
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(before)
            logging.root.removeHandler(handler)


def no_progress_bars() -> None:
    """Turns off the progress bars of downloads from the Hugging Face hub."""
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
