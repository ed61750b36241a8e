"""Asks a provider again while it is busy or in trouble, and raises ltgc's own errors."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from ltgc_cli.errors import ProviderError
from ltgc_cli.providers.api_errors import TransientError, pause, translated
from ltgc_cli.providers.llm import litellm as chat
from ltgc_cli.text import counted

T = TypeVar("T")

TRIES = 6
"""Requests that may end with a server's trouble."""
LIMIT = 900.0
"""Seconds that one request may wait in all while the server is merely busy: small accounts get a handful a minute."""


def retry(
    ask: Callable[[], T], spec: str, *, specs: str, tries: int = TRIES, sleep: Callable[[float], None] = time.sleep
) -> T:
    """Returns what `ask` does, called again while waiting may mend it: up to `tries` times in trouble.

    A server that is busy (429) is waited for, for a quarter of an hour.
    specs -- what can be written in the place of `spec`, for the error's text
    Raises Refused where only this one request failed, ProviderError where the provider cannot be used.
    """
    counts: Counter[str] = Counter()
    waited = 0.0
    while True:
        try:
            return ask()
        except Exception as raised:  # litellm's own errors, and whatever a provider's library raises
            error = translated(chat.imported(), _with_headers(raised), spec, specs)
        if not isinstance(error, TransientError):
            raise error
        counts[error.kind] += 1
        wait = pause(error, counts[error.kind])
        troubles = counts.total() - counts["busy"]
        if (waited + wait > LIMIT) if error.kind == "busy" else (troubles >= tries):
            raise ProviderError(
                f"{spec} did not answer in {counted(counts.total(), 'try')} ({error.why}); "
                "check the network, or try again later"
            )
        sleep(wait)
        waited += wait


def _with_headers(error: Exception) -> Exception:
    """Returns the error with the headers of the answer (Retry-After), which litellm loses for images."""
    cause: BaseException | None = error
    while cause is not None and getattr(error, "litellm_response_headers", None) is None:
        headers = getattr(getattr(cause, "response", None), "headers", None)
        if headers:
            error.litellm_response_headers = headers  # type: ignore[attr-defined]
        cause = cause.__cause__ or cause.__context__
    return error
