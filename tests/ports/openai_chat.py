"""OpenAI's chat protocol for the loopback server of `server.py`, and every way that a real one fails.

    routes = chat(lambda body: "1. A photo of the class crane, at dusk.", faults=seeded(0, 0.3))
    with serving(routes) as address:  # --api-base is f"{address}/v1"
        ...
    routes.seen  # every request

A fault is a name out of FAULTS, or "STATUS" or "STATUS SECONDS" (with Retry-After), or a Reply of one's own. It is
chosen from what is asked and how often that was asked before, never from the order of arrival: with 64 questions at
once and with one, the same answers fail.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from aiohttp import web

Body = dict[str, Any]


class Reply(NamedTuple):
    """A whole answer of the server: `data` is sent as JSON, text as it is."""

    status: int
    data: Any
    headers: Mapping[str, str] = {}


class Seen(NamedTuple):
    """A request as it came in."""

    key: str
    """The Authorization header."""
    body: Body
    text: str
    images: tuple[bytes, ...]
    fault: str | Reply | None

    @property
    def kinds(self) -> list[str]:
        """The media types of the images, as their data URLs say."""
        return [url.partition(";")[0].removeprefix("data:") for url in _urls(self.body)]


Fault = str | Reply | None
Faults = Callable[[int, Body], Fault]
"""From how often the same was asked before, and the request's JSON, to what goes wrong."""


def says(
    text: str | None = "hi", *, finish: str = "stop", model: str = "gpt-4o-2024-08-06", usage: Any = ..., **message: Any
) -> Reply:
    """A whole answer with this text."""
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}
    used = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15} if usage is ... else usage
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": used}
    return Reply(200, body)


def fails(status: int, message: str = "no", code: str | None = None, **headers: str) -> Reply:
    """An error in OpenAI's form; `Retry_After="7"` is a header."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, {"error": {"message": message, "code": code, "type": code}}, named)


FAULTS: dict[str, Reply] = {
    "wrong key": fails(401, "Incorrect API key provided: sk-wr*********ong1.", "invalid_api_key"),
    "unknown model": fails(404, "The model `gpt-40` does not exist", "model_not_found"),
    "no credit": fails(429, "You exceeded your current quota, please check your plan", "insufficient_quota"),
    "policy": fails(400, "Your request was rejected by our safety system", "content_policy_violation"),
    "too long": fails(
        400, "This model's maximum context length is 8192 tokens, your messages have 9000", "context_length_exceeded"
    ),
    "no schema": fails(400, "Invalid parameter: 'response_format' of type 'json_schema' is not supported"),
    "no json": Reply(200, "<html>Bad gateway</html>"),
    "empty": says(""),
    "null": says(None),
    "refusal": says(None, refusal="I can't help with that."),
    "filtered": says("A photo", finish="content_filter"),
    "all thought": says("", finish="length"),
    "cut off": says("1. A photo of the class crane, at dusk.\n2. A photo of the cla", finish="length"),
}
BROKEN = ("hang", "cut", "drop")
"""No answer until the client gives up; half a body; a closed connection."""
PASSING = ("429", "429 1", "500", "503", "cut", "drop", "no json", "empty", "null")
"""Faults that asking again mends."""


class Chat(dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]]):
    """Routes for `serving`, and in `seen` what they were asked."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Seen] = []
        self.at_once = 0
        """Requests under way now."""
        self.most_at_once = 0


def chat(
    answer: Callable[[Body], str | Reply],
    faults: Faults = lambda times, body: None,
    latency: float = 0.0,
) -> Chat:
    """Routes that answer after `latency` seconds with what `answer` says, unless `faults` names a fault."""
    routes = Chat()
    asked: Counter[str] = Counter()

    async def handle(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        what = json.dumps(body["messages"])
        fault = faults(asked[what], body)
        asked[what] += 1
        urls = _urls(body)
        images = tuple(base64.b64decode(url.partition(",")[2]) for url in urls)
        routes.seen.append(Seen(request.headers.get("Authorization", ""), body, _text(body), images, fault))
        routes.at_once += 1
        routes.most_at_once = max(routes.most_at_once, routes.at_once)
        try:
            await asyncio.sleep(latency)
            return await _answered(request, body, answer, fault)
        finally:
            routes.at_once -= 1

    routes["POST /v1/chat/completions"] = routes["POST /chat/completions"] = handle
    return routes


def in_turn(*given: Fault) -> Faults:
    """These faults (None: no fault) for the first times that something is asked, then the last one again and again."""
    return lambda times, body: given[min(times, len(given) - 1)]


def seeded(seed: int, share: float, kinds: Sequence[str] = PASSING) -> Faults:
    """A fault of one of these kinds in this share of the answers."""

    def fault(times: int, body: Body) -> Fault:
        digest = hashlib.sha256(json.dumps([seed, times, body["messages"]]).encode()).digest()
        faulty = int.from_bytes(digest[:4], "big") < share * 2**32
        return kinds[digest[4] % len(kinds)] if faulty else None

    return fault


async def _answered(
    request: web.Request, body: Body, answer: Callable[[Body], str | Reply], fault: Fault
) -> web.StreamResponse:
    if fault == "hang":
        while request.transport and not request.transport.is_closing():
            await asyncio.sleep(0.02)
        return web.Response()
    if fault == "drop":
        assert request.transport
        request.transport.close()
        return web.Response()
    if fault == "cut":
        return await _cut(request)
    if fault is None:
        said = answer(body)
        reply = said if isinstance(said, Reply) else says(said, model=body["model"])
    elif isinstance(fault, Reply):
        reply = fault
    elif fault in FAULTS:
        reply = FAULTS[fault]
    else:
        status, _, seconds = fault.partition(" ")
        reply = fails(int(status), f"error {status}", **({"Retry_After": seconds} if seconds else {}))
    text = reply.data if isinstance(reply.data, str) else json.dumps(reply.data)
    return web.Response(status=reply.status, text=text, content_type="application/json", headers=reply.headers)


async def _cut(request: web.Request) -> web.StreamResponse:
    """Half a body: fewer bytes than Content-Length says, and then the connection is gone."""
    whole = json.dumps(says("1. A photo of the class crane, at dusk.").data).encode()
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(whole))})
    await response.prepare(request)
    await response.write(whole[: len(whole) // 2])
    assert request.transport
    request.transport.close()
    return response


def _parts(body: Body) -> list[dict[str, Any]]:
    contents = [message["content"] for message in body["messages"]]
    return [
        part
        for content in contents
        for part in (content if isinstance(content, list) else [{"type": "text", "text": content}])
    ]


def _text(body: Body) -> str:
    return "\n".join(part["text"] for part in _parts(body) if part["type"] == "text")


def _urls(body: Body) -> list[str]:
    return [part["image_url"]["url"] for part in _parts(body) if part["type"] == "image_url"]
