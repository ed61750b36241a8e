"""What a server sent, byte for byte: litellm fails on answers in an odd shape, and those are paid for all the same."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, closing, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from ltgc_cli.errors import Refused

if TYPE_CHECKING:
    import httpx

MOST_TEXT = 8 * 2**20
"""Bytes of a response, unpacked, that are read where text is wanted: a thousand times what an answer has."""
MOST_IMAGE = 32 * 2**20  # in base64, of an image of 24 MiB: it is held several times over while it is read
_MOST = 256 * 2**20  # of all others: a file with the answers of a batch
_MOST_ERROR = 2**16  # what an error says at its beginning is enough
_MANY, _CHOICES = 2**16, 100  # bytes that are looked at for the choices in them, and so many of those
_ENCODINGS = frozenset({"identity", "gzip", "x-gzip", "deflate"})


class _Hearing(NamedTuple):
    """What is heard, and what is read of it at most."""

    responses: list[httpx.Response]
    most: int
    seconds: float


_heard: ContextVar[_Hearing | None] = ContextVar("heard", default=None)


@contextmanager
def hearing(most: int = MOST_TEXT, seconds: float = float("inf")) -> Iterator[list[httpx.Response]]:
    """Returns a list that gets each response to what is asked inside, also inside of the tasks that this one starts.

    most -- bytes of a response that are read: what has more is Refused; seconds -- that a response may take to be read
    """
    responses: list[httpx.Response] = []
    token = _heard.set(_Hearing(responses, most, seconds))
    try:
        yield responses
    finally:
        _heard.reset(token)


def said(responses: list[httpx.Response]) -> dict[str, Any] | None:
    """Returns the JSON object that the last response is, None for anything else and for an error.

    Of a stream that nobody asked for it is the whole that its parts make. Bytes that are no UTF-8, and bare control
    characters, spoil no answer.
    """
    if not responses or responses[-1].status_code != 200:
        return None
    text = responses[-1].content.decode("utf-8-sig", errors="replace").strip()
    try:
        body = _joined(text) if text.startswith(("data:", "event:", ":")) else json.loads(text, strict=False)
    except (ValueError, RecursionError, AttributeError, TypeError):
        return None
    return body if isinstance(body, dict) else None


def _joined(stream: str) -> dict[str, Any]:
    """Returns what the parts of a stream of server-sent events make together, as a response that is no stream has it.

    >>> _joined(chr(10).join('data: {"choices": [{"delta": {"content": "%s"}}]}' % text for text in ("A ", "b")))
    {'choices': [{'delta': {'content': 'A b'}}]}
    """
    data = [line.removeprefix("data:").strip() for line in stream.splitlines() if line.startswith("data:")]
    whole: dict[str, Any] = {}
    choice: dict[str, Any] = {}
    message: dict[str, Any] = {}
    for part in (json.loads(one, strict=False) for one in data if one.startswith("{")):
        for own in (part.pop("choices", None) or [])[:1]:
            for name, value in (own.pop("delta", None) or {}).items():
                said = message.get(name)
                message[name] = said + value if isinstance(said, str) and isinstance(value, str) else value or said
            choice |= {name: value for name, value in own.items() if value is not None}
        whole |= {name: value for name, value in part.items() if value is not None}
    return {**whole, "choices": [{**choice, "delta": message}]} if message else whole


def web_page(responses: list[httpx.Response]) -> bool:
    """Returns whether the last response is a page for people where an answer, or a reason for none, was to be."""
    signs_in = bool(responses) and responses[-1].status_code in (200, 401, 403, 407, 511)
    return signs_in and responses[-1].content[:200].lstrip().lower().startswith((b"<!doctype html", b"<html"))


def listen(response: httpx.Response) -> None:
    """Hears a response, up to what is to be read of it; an event hook of httpx.Client."""
    hearing = _heard.get()
    limit(response, hearing.most if hearing else _MOST, hearing.seconds if hearing else float("inf"))
    if hearing:
        response.read()
        hearing.responses.append(response)


async def _listen(response: httpx.Response) -> None:
    hearing = _heard.get()
    _limit_async(response, hearing.most if hearing else _MOST)
    if hearing:
        await response.aread()
        _check_choices(response)
        hearing.responses.append(response)


def limit(response: httpx.Response, most: int, seconds: float = float("inf")) -> None:
    """Makes a response one that is read up to so many bytes, unpacked, and for so many seconds.

    Beyond, its connection is closed; reading raises Refused, or httpx's ReadTimeout. An error's beginning is enough.
    """
    import httpx

    _check_encoding(response)
    given = response.iter_bytes
    started = time.monotonic()

    def some(chunk_size: int | None = None) -> Iterator[bytes]:
        read = 0
        with closing(given(chunk_size)) as parts:  # type: ignore[type-var]
            for part in parts:
                read += len(part)
                if time.monotonic() - started > seconds:
                    response.close()
                    raise httpx.ReadTimeout(f"no whole answer within {seconds:g} seconds", request=response.request)
                if _enough(response, read, most):
                    response.close()
                    return
                yield part

    response.iter_bytes = some  # type: ignore[method-assign]


def _limit_async(response: httpx.Response, most: int) -> None:
    """Does as `limit` for a client whose caller has a limit in seconds of its own."""
    _check_encoding(response)
    given = response.aiter_bytes

    async def some(chunk_size: int | None = None) -> AsyncIterator[bytes]:
        read = 0
        async with aclosing(given(chunk_size)) as parts:  # type: ignore[type-var]
            async for part in parts:
                read += len(part)
                if _enough(response, read, most):
                    await response.aclose()
                    return
                yield part

    response.aiter_bytes = some  # type: ignore[method-assign]


def _enough(response: httpx.Response, read: int, most: int) -> bool:
    """Returns whether an error was read far enough. Raises Refused for an answer with more bytes than the most."""
    if response.is_error:
        return read > _MOST_ERROR
    if read > most:
        raise Refused(f"the answer is larger than {most >> 20} MiB, and was not read to its end")
    return False


def _check_choices(response: httpx.Response) -> None:
    """Raises Refused for an answer of thousands of choices: over each litellm takes a tenth of a millisecond."""
    body = said([response]) if len(response.content) > _MANY else None
    choices = body.get("choices") if body else None
    if isinstance(choices, list) and len(choices) > _CHOICES:
        raise Refused(f"the answer has {len(choices):,} choices, where one was asked for")


def _check_encoding(response: httpx.Response) -> None:
    """Raises httpx's DecodingError for what was packed in a way that nobody asked for, or twice: it may never end."""
    import httpx

    named = response.headers.get("content-encoding", "").lower().split(",")
    found = [name.strip() for name in named if name.strip()]
    if len(found) > 1 or not _ENCODINGS.issuperset(found):
        raise httpx.DecodingError("the answer is packed in a way that was not asked for", request=response.request)


def install() -> None:
    """Makes every client that litellm makes listen. It has no public way to all of them."""
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler, HTTPHandler
    from litellm.llms.openai.common_utils import BaseOpenAILLM
    from litellm.llms.openai.openai import OpenAIBatchesAPI, OpenAIFilesAPI

    for handler in (AsyncHTTPHandler, HTTPHandler):
        handler.create_client = _listening(handler.create_client)
    BaseOpenAILLM._get_async_http_client = staticmethod(_listening(BaseOpenAILLM._get_async_http_client))
    BaseOpenAILLM._get_sync_http_client = staticmethod(_listening(BaseOpenAILLM._get_sync_http_client))
    for api in (OpenAIFilesAPI, OpenAIBatchesAPI):
        api.get_openai_client = _listening(api.get_openai_client)


def _listening(make: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(make)
    def made(*args: Any, **kwargs: Any) -> Any:
        client = make(*args, **kwargs)
        listen_in(getattr(client, "_client", client))  # OpenAI's own holds one of httpx
        return client

    return made


def listen_in(client: Any) -> None:
    """Makes a client of httpx listen, once."""
    import httpx

    if not isinstance(client, httpx.Client | httpx.AsyncClient):
        return
    hook = listen if isinstance(client, httpx.Client) else _listen
    if hook not in client.event_hooks["response"]:
        client.event_hooks = {**client.event_hooks, "response": [*client.event_hooks["response"], hook]}
    client.headers["Accept-Encoding"] = "gzip, deflate"  # no others that may be installed
