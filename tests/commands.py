"""How tests run `ltgc`: the types of conftest's fixtures, and what processes that get a Ctrl-C need."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Ran(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


Ltgc = Callable[..., Ran]

COUNTED = Path(__file__).with_name("counted.py")
"""A program: `ltgc` with a language model that writes down what it is asked."""


def heeds_ctrl_c() -> None:
    """Makes a child heed SIGINT, as its preexec_fn: in a run under nohup it would inherit that it is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
