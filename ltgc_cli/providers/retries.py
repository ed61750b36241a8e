"""Asks a provider again while it is busy or in trouble, and says in ltgc's words why it cannot be asked."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TypeVar

from ltgc_cli.errors import LtgcError, ProviderError
from ltgc_cli.providers.llm import litellm as chat
from ltgc_cli.providers.quiet import one_line

T = TypeVar("T")

TRIES = 6
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
        retry=tenacity.retry_if_exception(_passes),
        stop=tenacity.stop_after_attempt(tries),
        wait=chat._wait,
        sleep=sleep,
        reraise=True,
    )
    try:
        return retrying(_with_headers, ask)
    except LtgcError:
        raise
    except Exception as error:  # litellm's own errors, and whatever a provider's library raises
        raise _said(error, spec, specs, tries) from None


def _with_headers(ask: Callable[[], T]) -> T:
    """Returns what `ask` does; its error has the answer's headers (Retry-After), which litellm loses for images."""
    try:
        return ask()
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and getattr(error, "litellm_response_headers", None) is None:
            headers = getattr(getattr(cause, "response", None), "headers", None)
            if headers:
                error.litellm_response_headers = headers  # type: ignore[attr-defined]
            cause = cause.__cause__ or cause.__context__
        raise


def _passes(error: BaseException) -> bool:
    if isinstance(error, LtgcError) or not isinstance(error, Exception):
        return False
    return chat._passes(error) and not _NOT_SET_UP.search(str(error))


def _said(error: Exception, spec: str, specs: str, tries: int) -> Exception:
    if _NOT_SET_UP.search(str(error)):
        why = str(error).partition("Traceback (most recent call last)")[0]
        why = re.sub(r"^(?:[\w.]*(?:Error|Exception)\s*[:-]\s*)+", "", one_line(chat.scrubbed(why)))
        return ProviderError(f"{spec} cannot be asked: {why}; set what is missing")
    said = chat._said(error, spec, tries)
    return type(said)(str(said).replace(chat.SPECS, specs))
