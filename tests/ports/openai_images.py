"""OpenAI's image protocol for the loopback server of `server.py`, and every way that a real one answers.

routes = images(lambda body: drawn(png_bytes))
with serving(routes) as address:  # --api-base is f"{address}/v1"
    ...
routes.seen  # every request's JSON
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from aiohttp import web

Body = dict[str, Any]


class Reply(NamedTuple):
    """A whole answer: `data` is sent as JSON, bytes as they are."""

    status: int
    data: Any
    headers: Mapping[str, str] = {}


def drawn(picture: bytes, tokens: tuple[int, int] | None = None) -> Reply:
    """A picture in base64; `tokens` are those of the prompt and of the picture, which gpt-image models count."""
    answer: Body = {"created": 1, "data": [{"b64_json": base64.b64encode(picture).decode()}]}
    if tokens:
        details = {"text_tokens": tokens[0], "image_tokens": 0}
        answer["usage"] = {
            "input_tokens": tokens[0],
            "output_tokens": tokens[1],
            "total_tokens": sum(tokens),
            "input_tokens_details": details,
        }
    return Reply(200, answer)


def linked(url: str) -> Reply:
    """A picture under an address, which dall-e models answer with."""
    return Reply(200, {"created": 1, "data": [{"url": url}]})


def fails(status: int, message: str = "no", code: str | None = None, param: str | None = None, **headers: str) -> Reply:
    """An error in OpenAI's form; `Retry_After="7"` is a header."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, {"error": {"message": message, "type": "error", "param": param, "code": code}}, named)


class Images(dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]]):
    """Routes for `serving`; `seen` is what was asked, `files` is what /files/NAME answers, time by time."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Body] = []
        self.keys: list[str] = []
        self.files: dict[str, list[Reply]] = {}
        self.fetched: list[str] = []


def images(answer: Callable[[Body], Reply]) -> Images:
    """Routes of OpenAI's and of Azure's image API that answer what `answer` says."""
    routes = Images()

    async def generate(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        routes.seen.append({"path": request.path, **body})
        routes.keys.append(request.headers.get("Authorization") or request.headers.get("api-key", ""))
        return _response(answer(body))

    async def file(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        routes.fetched.append(name)
        replies = routes.files.get(name) or [Reply(404, b"")]
        return _response(replies.pop(0) if len(replies) > 1 else replies[0])

    routes["POST /v1/images/generations"] = generate
    routes["POST /openai/deployments/{deployment}/images/generations"] = generate
    routes["GET /files/{name}"] = file
    return routes


def _response(reply: Reply) -> web.Response:
    if isinstance(reply.data, bytes):
        return web.Response(status=reply.status, body=reply.data, headers=reply.headers)
    return web.json_response(reply.data, status=reply.status, headers=reply.headers)
