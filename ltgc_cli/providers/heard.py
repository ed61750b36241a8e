"""What a server sent, byte for byte: litellm fails on answers in an odd shape, and those are paid for all the same."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

_heard: ContextVar[list[httpx.Response] | None] = ContextVar("heard", default=None)


@contextmanager
def hearing() -> Iterator[list[httpx.Response]]:
    """Returns a list that gets each response to what is asked inside, also inside of the tasks that this one starts."""
    responses: list[httpx.Response] = []
    token = _heard.set(responses)
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
    except (ValueError, RecursionError, AttributeError):
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
    """Hears a response; an event hook of httpx.Client."""
    if (responses := _heard.get()) is not None:
        response.read()
        responses.append(response)


async def _listen(response: httpx.Response) -> None:
    if (responses := _heard.get()) is not None:
        await response.aread()
        responses.append(response)


def install() -> None:
    """Makes every client that litellm makes for language models listen. It has no public way to all of them."""
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler
    from litellm.llms.openai.common_utils import BaseOpenAILLM

    AsyncHTTPHandler.create_client = _listening(AsyncHTTPHandler.create_client)
    made = staticmethod(_listening(BaseOpenAILLM._get_async_http_client))
    BaseOpenAILLM._get_async_http_client = made


def _listening(make: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(make)
    def made(*args: Any, **kwargs: Any) -> Any:
        client = make(*args, **kwargs)
        if client is not None:
            client.event_hooks = {**client.event_hooks, "response": [*client.event_hooks["response"], _listen]}
        return client

    return made
