"""litellm makes a record of each answer for loggers, a sixth of its time, also where nobody has set any."""

from __future__ import annotations

import contextvars
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_LOGGERS = ("callbacks", "success_callback", "failure_callback", "_async_success_callback", "_async_failure_callback")


@contextmanager
def unlogged(litellm: Any) -> Iterator[None]:
    """Returns a context in which litellm makes no records of answers, if nobody reads them.

    It has a switch for the calls that it makes of itself, which is no public one: without it all goes on as before.
    """
    switch = None if any(getattr(litellm, name, None) for name in _LOGGERS) else _switch()
    if switch is None:
        yield
        return
    before = switch.set(True)
    try:
        yield
    finally:
        switch.reset(before)


def _switch() -> contextvars.ContextVar[bool] | None:
    return getattr(sys.modules.get("litellm._internal_context"), "is_internal_call", None)
