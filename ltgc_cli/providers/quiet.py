"""Model libraries log, warn and draw progress bars on the user's terminal; ltgc's console does that alone."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# Both switches below are the process's: two threads that turned them in turn would leave them wrong.
_one_at_a_time = threading.RLock()


@contextmanager
def quiet() -> Iterator[None]:
    """Returns a context in which nothing is logged and no warning is shown; what fails still raises."""
    with _one_at_a_time, warnings.catch_warnings():
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
    """Returns nothing; downloads from the Hugging Face hub draw no progress bars from now on."""
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()


def one_line(said: object, length: int = 200) -> str:
    """Returns what an error (or a text) says, in one line of at most `length` characters."""
    text = " ".join(str(said).split()) or type(said).__name__
    return text if len(text) <= length else text[: length - 1] + "…"
