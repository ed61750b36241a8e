"""Silence for model libraries, in many threads at once."""

from __future__ import annotations

import logging
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from ltgc_cli.providers.quiet import heard, quiet


def noise() -> None:
    warnings.warn("a library's warning", UserWarning, stacklevel=1)
    logging.getLogger("a.library").error("a library's error")


def test_nothing_is_said_inside_and_everything_again_after(capfd):
    handlers = list(logging.root.handlers)
    with quiet(), quiet():
        noise()
    assert capfd.readouterr() == ("", "")
    with pytest.warns(UserWarning, match="a library's warning"):
        noise()
    assert logging.root.handlers == handlers and logging.root.manager.disable == 0


def test_what_fails_still_raises():
    with pytest.raises(ValueError, match="broken"), quiet():
        raise ValueError("broken")
    assert logging.root.manager.disable == 0


def test_threads_are_inside_together_and_the_last_one_turns_the_sound_on():
    together = threading.Barrier(4)

    def work(_: int) -> None:
        with quiet():
            together.wait(10)  # would break if they had to come in one by one
            noise()

    before = warnings.filters[:]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert warnings.filters == before and logging.root.manager.disable == 0


def test_what_libraries_log_as_a_warning_can_be_heard_by_the_thread_that_listens_and_nobody_else(capfd):
    with quiet(), heard() as said:
        with heard() as inner:
            logging.getLogger("a.library").warning("6 of %d weights are not used", 12)
        logging.getLogger("a.library").info("loading")
        elsewhere = threading.Thread(target=noise)
        elsewhere.start()
        elsewhere.join()
    assert (inner, said) == (["6 of 12 weights are not used"], [])
    assert capfd.readouterr() == ("", "")
