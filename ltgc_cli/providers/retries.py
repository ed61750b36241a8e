"""Asks a provider again while it is busy or in trouble, and says in ltgc's words why it cannot be asked."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from ltgc_cli.errors import LtgcError, ProviderError
from ltgc_cli.providers.llm import faults
from ltgc_cli.providers.llm import litellm as chat
from ltgc_cli.providers.llm.faults import Passing
from ltgc_cli.providers.quiet import one_line

if TYPE_CHECKING:
    import tenacity

T = TypeVar("T")

TRIES = 6
_LONGEST_WAIT = 60.0
# litellm reports these as a lost connection, which waiting would mend: "GEMINI_API_KEY is not set".
_NOT_SET_UP = re.compile(r"\b[A-Z][A-Z0-9]+_[A-Z0-9_]+ is not set\b|\bSDK not found\b|\bNo module named\b")


def patiently(
    ask: Callable[[], T], spec: str, *, specs: str, tries: int = TRIES, sleep: Callable[[float], None] = time.sleep
) -> T:
    """Returns what `ask` does, called again up to `tries` times in all while waiting may mend it.

    specs -- what can be written in the place of `spec`, for the error's text
    Raises Refused where only this one request failed, ProviderError where the provider cannot be used.
    """
    import tenacity

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(Passing),
        stop=tenacity.stop_after_attempt(tries),
        wait=_wait,
        sleep=sleep,
        reraise=True,
    )
    try:
        return retrying(_once, ask, spec, specs)
    except Passing as fault:
        raise ProviderError(
            f"{spec} did not answer in {tries} tries ({fault.why}); check the network, or try again later"
        ) from None


def _once(ask: Callable[[], T], spec: str, specs: str) -> T:
    try:
        return ask()
    except LtgcError:
        raise
    except Exception as error:  # litellm's own errors, and whatever a provider's library raises
        raise _meaning(error, spec, specs) from None


def _meaning(error: Exception, spec: str, specs: str) -> Exception:
    if _NOT_SET_UP.search(str(error)):
        why = str(error).partition("Traceback (most recent call last)")[0]
        why = re.sub(r"^(?:[\w.]*(?:Error|Exception)\s*[:-]\s*)+", "", one_line(faults.scrubbed(why)))
        return ProviderError(f"{spec} cannot be asked: {why}; set what is missing")
    meant = faults.meaning(chat.imported(), _with_headers(error), spec)
    if isinstance(meant, LtgcError):
        return type(meant)(str(meant).replace(faults.SPECS, specs))
    return meant


def _with_headers(error: Exception) -> Exception:
    """Returns the error with its answer's headers (Retry-After), which litellm loses for images."""
    cause: BaseException | None = error
    while cause is not None and getattr(error, "litellm_response_headers", None) is None:
        headers = getattr(getattr(cause, "response", None), "headers", None)
        if headers:
            error.litellm_response_headers = headers  # type: ignore[attr-defined]
        cause = cause.__cause__ or cause.__context__
    return error


def _wait(state: tenacity.RetryCallState) -> float:
    """Returns the seconds to wait: what the server asked for, else 1, 2, 4… with jitter."""
    fault = state.outcome.exception() if state.outcome else None
    if isinstance(fault, Passing) and fault.wait is not None:
        return fault.wait + random.random() / 4
    return min(_LONGEST_WAIT, 2.0 ** (state.attempt_number - 1)) * random.uniform(0.5, 1)
