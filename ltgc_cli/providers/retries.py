"""Asks a provider again while it is busy or in trouble, and raises ltgc's own errors."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from ltgc_cli.errors import ProviderError
from ltgc_cli.providers.api_errors import AWAY, away, pause, translated
from ltgc_cli.providers.llm import litellm as chat
from ltgc_cli.providers.transient import TransientError
from ltgc_cli.text import counted

if TYPE_CHECKING:
    import tenacity

T = TypeVar("T")

TRIES = 6  # requests that may end with a server's trouble
LIMIT = 900.0
"""Seconds that one request may wait in all while the server is merely busy: small accounts get a handful a minute."""


def retry(
    ask: Callable[[], T],
    spec: str,
    *,
    specs: str,
    server: str | None = None,
    tries: int = TRIES,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Returns what `ask` does, called again while waiting may mend it: up to `tries` times in trouble.

    A server that is busy (429) is waited for, for a quarter of an hour; none is for longer.
    specs -- what can be written in the place of `spec`, for the error's text
    server -- the address of the user's own
    Raises Refused where only this one request failed, ProviderError where the provider cannot be used.
    """
    import tenacity

    counts: Counter[str] = Counter()
    far = 0  # times that it asked to wait for longer than a day

    def once() -> T:
        try:
            return ask()
        except Exception as raised:  # litellm's own errors, and whatever a provider's library raises
            raise translated(chat.imported(), _with_headers(raised), spec, specs, server=server) from None

    def wait(state: tenacity.RetryCallState) -> float:
        nonlocal far
        error = _error(state)
        counts[error.kind] += 1
        far += bool(away(error))
        return pause(error, counts[error.kind])

    def enough(state: tenacity.RetryCallState) -> bool:
        if far >= AWAY or state.idle_for + state.upcoming_sleep > LIMIT:
            return True
        return counts.total() - counts["busy"] >= tries

    transient = tenacity.retry_if_exception_type(TransientError)
    try:
        return tenacity.Retrying(retry=transient, stop=enough, wait=wait, sleep=sleep, reraise=True)(once)
    except TransientError as error:
        raise ProviderError(
            f"{spec} did not answer in {counted(counts.total(), 'try')} ({error.why}{away(error)}); {error.fix}"
        ) from None


def _error(state: tenacity.RetryCallState) -> TransientError:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, TransientError)
    return error


def _with_headers(error: Exception) -> Exception:
    """Returns the error with the headers of the answer (Retry-After), which litellm loses for images."""
    cause: BaseException | None = error
    while cause is not None and getattr(error, "litellm_response_headers", None) is None:
        headers = getattr(getattr(cause, "response", None), "headers", None)
        if headers:
            error.litellm_response_headers = headers  # type: ignore[attr-defined]
        cause = cause.__cause__ or cause.__context__
    return error
