"""Asks a provider again while it is busy or in trouble, and says in ltgc's words why it cannot be asked."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from ltgc_cli.errors import ProviderError
from ltgc_cli.providers.llm import faults
from ltgc_cli.providers.llm import litellm as chat

if TYPE_CHECKING:
    import tenacity

T = TypeVar("T")

TRIES = 6
"""Requests that may end with a server's trouble."""
LIMIT = 900.0
"""Seconds that one request may wait in all while the server is merely busy: small accounts get a handful a minute."""


def patiently(
    ask: Callable[[], T], spec: str, *, specs: str, tries: int = TRIES, sleep: Callable[[float], None] = time.sleep
) -> T:
    """Returns what `ask` does, called again while waiting may mend it: up to `tries` times in trouble.

    A server that is busy (429) is waited for, for a quarter of an hour.
    specs -- what can be written in the place of `spec`, for the error's text
    Raises Refused where only this one request failed, ProviderError where the provider cannot be used.
    """
    import tenacity

    counts: Counter[str] = Counter()

    def once() -> T:
        try:
            return ask()
        except Exception as error:  # litellm's own errors, and whatever a provider's library raises
            raise faults.meaning(chat.imported(), _with_headers(error), spec, specs) from None

    def wait(state: tenacity.RetryCallState) -> float:
        fault = _fault(state)
        counts[fault.kind] += 1
        return faults.pause(fault, counts[fault.kind])

    def enough(state: tenacity.RetryCallState) -> bool:
        if _fault(state).kind == "busy":
            return state.idle_for + state.upcoming_sleep > LIMIT
        return counts.total() - counts["busy"] >= tries

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(faults.Passing),
        stop=enough,
        wait=wait,
        sleep=sleep,
        reraise=True,
    )
    try:
        return retrying(once)
    except faults.Passing as fault:
        raise ProviderError(
            f"{spec} did not answer in {counts.total()} tries ({fault.why}); check the network, or try again later"
        ) from None


def _fault(state: tenacity.RetryCallState) -> faults.Passing:
    fault = state.outcome.exception() if state.outcome else None
    assert isinstance(fault, faults.Passing)
    return fault


def _with_headers(error: Exception) -> Exception:
    """Returns the error with the headers of the answer (Retry-After), which litellm loses for images."""
    cause: BaseException | None = error
    while cause is not None and getattr(error, "litellm_response_headers", None) is None:
        headers = getattr(getattr(cause, "response", None), "headers", None)
        if headers:
            error.litellm_response_headers = headers  # type: ignore[attr-defined]
        cause = cause.__cause__ or cause.__context__
    return error
