"""What a provider's port, or a reader, raises and nobody foresaw: it costs one record, and no run its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from ltgc_cli.errors import LtgcError, Refused
from ltgc_cli.providers.secrets import scrubbed
from ltgc_cli.text import one_line

Req = TypeVar("Req")
Ans = TypeVar("Ans")

_NO_EXCEPTIONS = ("CancelledError", "PanicException")  # of asyncio, and of what is written in Rust


def foreseen(port: Callable[[Req], Ans], who: str = "the provider") -> Callable[[Req], Ans]:
    """Returns the port, or a reader, which raises no errors but ltgc's own: what nobody foresaw is Refused."""

    def ask(request: Req) -> Ans:
        try:
            return port(request)
        except LtgcError:
            raise
        except BaseException as error:
            if not _is_trouble(error):
                raise
            raise refusal(error, who) from None

    return ask


def foreseen_each(
    port: Callable[[Sequence[Req]], Sequence[Ans | Exception]],
) -> Callable[[Sequence[Req]], list[Ans | Exception]]:
    """Returns the port of many requests, in which a Refused stands where nobody foresaw what went wrong.

    Of several requests that fail together each half is asked by itself, until it is known which of them fails alone.
    """

    def ask(requests: Sequence[Req]) -> list[Ans | Exception]:
        try:
            answers = list(port(requests))
            if len(answers) != len(requests):
                raise ValueError(f"{len(answers)} answers to {len(requests)} requests")
        except Refused as error:
            return [error] if len(requests) == 1 else halves(requests)
        except LtgcError:
            raise
        except BaseException as error:
            if not _is_trouble(error):
                raise
            return [refusal(error)] if len(requests) == 1 else halves(requests)
        return [_foreseen(answer) for answer in answers]

    def halves(requests: Sequence[Req]) -> list[Ans | Exception]:
        middle = len(requests) // 2
        return [*ask(requests[:middle]), *ask(requests[middle:])]

    return ask


def refusal(error: BaseException, who: str = "the provider") -> Refused:
    """Returns what is said of an error that nobody foresaw: its kind and its words, without anything secret."""
    kind = type(error).__name__
    try:
        words = str(error)
    except Exception:  # an error in the error
        words = ""
    # A failure is written as UTF-8, and half of a character cannot be.
    said = one_line(scrubbed(f"{kind}: {words}" if words.strip() else kind)).encode(errors="replace").decode()
    return Refused(f"{who} failed in a way that ltgc does not know ({said})")


def _is_trouble(error: BaseException) -> bool:
    """Returns whether an error is trouble, and not somebody's wish to end it all."""
    return isinstance(error, Exception) or type(error).__name__ in _NO_EXCEPTIONS


def _foreseen(answer: Ans | Exception) -> Ans | Exception:
    return refusal(answer) if isinstance(answer, Exception) and not isinstance(answer, LtgcError) else answer
