"""Every way in which a server's answer can be wrong, by name: a provider at its worst.

    routes = faulty(chat(lambda body: "1. A photo of the class crane, at dusk."), share=0.3)
    with serving(routes) as address:  # --api-base is f"{address}/v1"
        ...
    routes.met  # how often each mode was answered with

`faulty` takes any routes (chat, images, batches) and puts a mode of `MODES` in the place of a share of their answers.
Which is decided by a digest of the request's bytes and of how often the same was asked before, so that the same run
meets the same faults at any concurrency, and a question that is asked again mostly gets a good answer in the end.
`share=1.0, modes=["nested"]` is one mode for ever. A mode is a function of the request and of the handler that gives
the good answer. `SLOW` are those that last until the client's own time limit (give `--time-limit 5` or leave them out:
`modes=QUICK`, the default), `HUGE` those that send more than anybody should read: watch the memory.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import socket
import struct
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from email.utils import formatdate
from typing import Any

from aiohttp import web
from server import Handler

Mode = Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]

MODES: dict[str, Mode] = {}
SLOW = frozenset({"hangs", "hangs after headers", "drips", "drips headers"})
HUGE = frozenset(
    {
        "50 MB of answer", "50 MB of text in the answer", "50 MB error page", "endless chunks", "gzip bomb",
        "deflate bomb", "gzip bomb in an error", "endless headers", "endless events", "100 MB header says",
    }
)  # fmt: skip


class Faulty(dict[str, Handler]):
    """Routes for `serving`, and in `met` how often each mode was answered with."""

    def __init__(self) -> None:
        super().__init__()
        self.met: Counter[str] = Counter()


def faulty(
    routes: Mapping[str, Handler], share: float = 0.3, seed: int = 0, modes: Sequence[str] | None = None
) -> Faulty:
    """Returns the routes with a mode in the place of this share of their answers."""
    found, asked = Faulty(), Counter[bytes]()
    names = list(QUICK if modes is None else modes)

    def between(good: Handler) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            asked_for = hashlib.sha256(f"{seed} {request.path} ".encode() + await request.read()).digest()
            digest = hashlib.sha256(asked_for + str(asked[asked_for]).encode()).digest()
            asked[asked_for] += 1
            if int.from_bytes(digest[:4], "big") >= share * 2**32:
                return await good(request)
            name = names[int.from_bytes(digest[4:8], "big") % len(names)]
            found.met[name] += 1
            return await MODES[name](request, good)

        return handle

    for route, good in routes.items():
        found[route] = between(good)
    return found


def _answer(text: Any = "1. A photo of the class crane, at dusk.", **choice: Any) -> dict[str, Any]:
    one = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}, **choice}
    used = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [one], "usage": used}


def _says(data: Any, status: int = 200, kind: str = "application/json", **headers: str) -> Mode:
    """Returns the mode that answers with this: bytes as they are, all else as JSON."""
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def mode(request: web.Request, good: Handler) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers={"Content-Type": kind, **named})

    return mode


def _error(status: int, message: str = "no", code: str | None = None, **headers: str) -> Mode:
    return _says({"error": {"message": message, "code": code, "type": code}}, status, **headers)


def _raw(*parts: bytes, reset: bool = False, pause: float = 0.0) -> Mode:
    """Returns the mode that writes these bytes and closes the connection, or resets it."""

    async def mode(request: web.Request, good: Handler) -> web.StreamResponse:
        assert request.transport
        for part in parts:
            request.transport.write(part)
            await asyncio.sleep(pause)
        if reset:
            connection = request.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            request.transport.abort()
        else:
            request.transport.close()
        return web.Response()

    return mode


def _stream(parts: Callable[[], Iterator[bytes]], status: int = 200, pause: float = 0.0, **headers: str) -> Mode:
    """Returns the mode that sends these parts one by one, for as long as the client listens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def mode(request: web.Request, good: Handler) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers={"Content-Type": "application/json", **named})
        await response.prepare(request)
        try:
            for part in parts():
                await response.write(part)
                await asyncio.sleep(pause)
        except ConnectionError:  # the client has gone
            pass
        return response

    return mode


def _changed(change: Callable[[dict[str, Any]], Any]) -> Mode:
    """Returns the mode that changes the JSON of the good answer."""

    async def mode(request: web.Request, good: Handler) -> web.StreamResponse:
        response = await good(request)
        body = getattr(response, "body", None)
        try:
            data = json.loads(body) if isinstance(body, bytes) else {}
        except ValueError:
            data = {}
        data = data if isinstance(data, dict) else {"data": data}
        changed = change(data)
        return web.Response(text=json.dumps(data if changed is None else changed), content_type="application/json")

    return mode


def _usage(used: Any) -> Mode:
    return _changed(lambda data: data.update(usage=used))


def _tokens(prompt: Any, completion: Any, **more: Any) -> Mode:
    return _usage({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": 0, **more})


async def _hangs(request: web.Request, good: Handler) -> web.StreamResponse:
    while request.transport and not request.transport.is_closing():
        await asyncio.sleep(0.02)
    return web.Response()


async def _hangs_after_headers(request: web.Request, good: Handler) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "5000"})
    await response.prepare(request)
    return await _hangs(request, good)


async def _drips_headers(request: web.Request, good: Handler) -> web.StreamResponse:
    assert request.transport
    request.transport.write(b"HTTP/1.1 200 OK\r\n")
    while not request.transport.is_closing():
        request.transport.write(b"X-More: 1\r\n")
        await asyncio.sleep(0.1)
    return web.Response()


def _for_ever(part: bytes, first: bytes = b"") -> Callable[[], Iterator[bytes]]:
    def parts() -> Iterator[bytes]:
        yield first
        while True:
            yield part

    return parts


def _times(part: bytes, times: int, first: bytes = b"", last: bytes = b"") -> Callable[[], Iterator[bytes]]:
    def parts() -> Iterator[bytes]:
        yield first
        for _ in range(times):
            yield part
        yield last

    return parts


def _bomb(gzipped: bool) -> bytes:
    """A gigabyte of spaces in a megabyte: what a client that unpacks as it reads must not hold."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31 if gzipped else 15)
    return b"".join([*(packer.compress(b" " * 2**24) for _ in range(64)), packer.flush()])


def _packed(gzipped: bool, status: int = 200) -> Mode:
    made: list[bytes] = []

    async def mode(request: web.Request, good: Handler) -> web.StreamResponse:
        made.extend([] if made else [await asyncio.to_thread(_bomb, gzipped)])
        return web.Response(
            status=status,
            body=made[0],
            headers={"Content-Type": "application/json", "Content-Encoding": "gzip" if gzipped else "deflate"},
        )

    return mode


async def _redirect_loop(request: web.Request, good: Handler) -> web.StreamResponse:
    return web.Response(status=307, headers={"Location": str(request.url)})


async def _continues(request: web.Request, good: Handler) -> web.StreamResponse:
    response = await good(request)
    assert request.transport
    request.transport.write(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 20)
    return response


async def _key_echoed(request: web.Request, good: Handler) -> web.StreamResponse:
    key = request.headers.get("Authorization", "").rpartition(" ")[2]
    error = {"message": f"Incorrect API key provided: {key}", "code": "server_error"}
    return web.Response(status=500, text=json.dumps({"error": error}), content_type="application/json")


async def _prompt_echoed(request: web.Request, good: Handler) -> web.StreamResponse:
    return web.Response(status=500, body=await request.read(), content_type="text/plain")


async def _key_in_answer(request: web.Request, good: Handler) -> web.StreamResponse:
    return await _says(_answer(f"Your key is {request.headers.get('Authorization', '')}."))(request, good)


_PAGE = b"<!DOCTYPE html><html><body>Bad gateway</body></html>"
_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_WHOLE = json.dumps(_answer()).encode()
_BEFORE, _, _AFTER = _WHOLE.partition(b"1. A photo of the class crane, at dusk.")
_50_MB = 50 * 16  # parts of 64 KiB
_PART = b"x" * 2**16
_DATES = {"long ago": formatdate(0, usegmt=True), "in a hundred years": formatdate(4_900_000_000, usegmt=True)}

MODES |= {f"status {status}": _error(status) for status in (408, 409, 425, 429, 500, 501, 502, 503, 504, 520, 529)}
MODES |= {f"status {status}": _error(status) for status in (400, 405, 410, 413, 418, 422, 451)}
MODES |= {f"empty body, status {status}": _says(b"", status) for status in (200, 201, 202, 204, 400, 429, 500, 503)}
MODES |= {
    f"{status}, Retry-After {name}": _error(status, "wait", Retry_After=value)
    for name, value in {
        "0": "0", "-5": "-5", "nan": "nan", "inf": "inf", "-inf": "-inf", "1e9": "1e9", "a year": "31536000",
        "0.001": "0.001", "empty": "", "garbage": "soon, I hope", "many digits": "9" * 500, "two": "1, 2",
        "not ASCII": "５", "hex": "0x10", **_DATES, "broken date": "Mon, 99 Foo 2026 99:99:99 GMT",
    }.items()
    for status in (429, 503)
}  # fmt: skip
MODES |= {
    "500, Retry-After 0": _error(500, "wait", Retry_After="0"),
    "retryDelay of a year in the body": _error(429, "wait, retryDelay: 31536000s"),
    "retryDelay 0 in the body": _error(429, "wait, retryDelay: 0s"),
    # Bodies
    "empty object": _says({}),
    "empty list": _says([]),
    "null": _says(None),
    "a number": _says(42),
    "a string": _says("hello"),
    "true": _says(True),
    "NaN": _says(b"NaN"),
    "cut JSON": _says(_WHOLE[: len(_WHOLE) // 2]),
    "JSON and more": _says(_WHOLE + b"\n" + _WHOLE),
    "half a surrogate": _says(_WHOLE.replace(b"crane", b"\\ud800")),
    "invalid UTF-8": _says(_WHOLE.replace(b"dusk", b"\xff\xfe\x80")),
    "BOM": _says(b"\xef\xbb\xbf" + _WHOLE),
    "UTF-16": _says(_WHOLE.decode().encode("utf-16")),
    "NUL bytes": _says(_WHOLE.replace(b"dusk", b"du\x00sk")),
    "NUL escape": _says(_WHOLE.replace(b"dusk", b"du\\u0000sk")),
    "another charset": _says(_WHOLE, kind="application/json; charset=klingon"),
    "wrong content type": _says(_WHOLE, kind="image/png"),
    "no content type": _raw(_OK.replace(b"Content-Type: application/json\r\n", b"") + b"\r\n" + _WHOLE),
    "web page": _says(_PAGE, kind="text/html"),
    "web page, status 500": _says(_PAGE, 500, kind="text/html"),
    "web page, status 502": _says(_PAGE, 502, kind="text/html"),
    "nested": _says(b"[" * 100_000 + b"]" * 100_000),
    "nested objects": _says(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "nested in the content": _says(_BEFORE[:-1] + b"[" * 100_000 + b"]" * 100_000 + _AFTER[1:]),
    "nested in the text": _says(_answer("[" * 100_000 + "]" * 100_000)),
    "nested in the error": _says(b'{"error":' * 50_000 + b"1" + b"}" * 50_000, 500),
    "huge integer": _says(_WHOLE.replace(b'"created": 1', b'"created": ' + b"9" * 20_000)),
    "huge integer as tokens": _says(_WHOLE.replace(b'"prompt_tokens": 10', b'"prompt_tokens": ' + b"9" * 400)),
    "huge float": _says(_WHOLE.replace(b'"created": 1', b'"created": 1e999')),
    "duplicate keys": _says(_WHOLE[:-1] + b', "choices": [], "choices": null}'),
    "100,000 choices": _says(_answer() | {"choices": [{"index": n} for n in range(100_000)]}),
    # The answer's shape
    "no choices": _says({"id": "1", "object": "chat.completion"}),
    "empty choices": _says(_answer() | {"choices": []}),
    "null choices": _says(_answer() | {"choices": None}),
    "choices are an object": _says(_answer() | {"choices": {"0": {}}}),
    "choices are text": _says(_answer() | {"choices": "none"}),
    "choices are numbers": _says(_answer() | {"choices": [1, 2]}),
    "null choice": _says(_answer() | {"choices": [None]}),
    "no message": _says(_answer() | {"choices": [{"index": 0, "finish_reason": "stop"}]}),
    "null message": _says(_answer(message=None)),
    "message is text": _says(_answer(message="A photo of the class crane, at dusk.")),
    "message is a list": _says(_answer(message=[1, [2, [3]]])),
    "null content": _says(_answer(None)),
    "empty content": _says(_answer("")),
    "spaces as content": _says(_answer(" \n\t ")),
    "number as content": _says(_answer(7)),
    "true as content": _says(_answer(True)),
    "list as content": _says(_answer([{"type": "text", "text": "1. A photo of the class crane, at dusk."}])),
    "odd list as content": _says(_answer([None, 1, [], {"type": None}, {"type": 5, "text": 6}])),
    "object as content": _says(_answer({"a": {"b": None}})),
    "stop reason null": _changed(lambda d: [one.update(finish_reason=None) for one in d.get("choices", [])] and None),
    "stop reason odd": _changed(lambda d: [one.update(finish_reason=[1]) for one in d.get("choices", [])] and None),
    "refusal": _says(_answer(None, message={"role": "assistant", "content": None, "refusal": "I can't."})),
    "refusal is a list": _says(_answer(None, message={"content": None, "refusal": [1, {}]})),
    "content filter": _says(_answer("A photo", finish_reason="content_filter")),
    "tool calls": _says(_answer(None, message={"content": None, "tool_calls": [{"function": {"arguments": "{}"}}]})),
    "odd tool calls": _says(_answer(None, message={"content": None, "tool_calls": {"function": 3}})),
    "tool calls of null": _says(_answer(None, message={"content": None, "tool_calls": [None, 1, {"function": None}]})),
    "provider fields odd": _says(_answer(None, message={"content": None, "provider_specific_fields": "x"})),
    "thoughts alone": _says(_answer("", message={"content": "", "reasoning_content": "Hm. " * 1000})),
    "thoughts odd": _says(_answer("", message={"content": "", "reasoning": {"a": [1]}, "thinking": 3})),
    "cut off": _says(_answer("1. A photo of the class crane, at du", finish_reason="length")),
    "ids missing": _changed(lambda d: [d.pop(name, None) for name in ("id", "object", "created", "model")] and None),
    "ids odd": _changed(lambda d: d.update(id=[1], object={}, created="x", model=None)),
    "error in the place of an answer": _says({"error": {"message": "Overloaded", "code": 502}}),
    "error is text": _says({"error": "Overloaded"}),
    "error is a list": _says({"error": [1, 2]}, 500),
    "error is null": _says({"error": None}, 500),
    "detail is a list": _says({"detail": [{"loc": ["body"], "msg": "bad"}]}, 422),
    "control characters": _says(_answer("1. A photo of the class crane,\x1b[2J\x1b]0;owned\x07\x08 at dusk.\r")),
    "control characters in an error": _error(500, "\x1b[31mred\x1b[0m\x1b]0;owned\x07\r\n\x00\u202e\u2028over"),
    "long error": _error(500, "word " * 200_000),
    "key echoed": _key_echoed,
    "key in the answer": _key_in_answer,
    "prompt echoed": _prompt_echoed,
    "long line": _says(_answer("A photo of the class crane, " + "very " * 200_000 + "big.")),
    "100,000 lines": _says(_answer("\n".join(f"{n}. A photo of the class crane, {n}." for n in range(100_000)))),
    "odd letters": _says(_answer("1. A photo of the class crane, \u202eat\u200b dusk\ufeff \U0001f9a9.")),
    # What was used
    "usage null": _usage(None),
    "usage missing": _changed(lambda data: data.pop("usage", None) and None),
    "usage is text": _usage("many"),
    "usage is a list": _usage([1, 2]),
    "usage negative": _tokens(-1_000_000_000, -1_000_000_000),
    "usage huge": _tokens(10**15, 10**15),
    "usage beyond 64 bits": _tokens(10**30, 10**30),
    "usage fractions": _tokens(10.5, 2.5),
    "usage in text": _tokens("10", "5"),
    "usage true": _tokens(True, True),
    "usage NaN": _says(_WHOLE.replace(b'"prompt_tokens": 10', b'"prompt_tokens": NaN')),
    "usage infinite": _says(_WHOLE.replace(b'"prompt_tokens": 10', b'"prompt_tokens": -Infinity')),
    "usage zero": _tokens(0, 0),
    "usage details odd": _tokens(10, 5, prompt_tokens_details=[1], completion_tokens_details="x"),
    "usage details negative": _tokens(10, 5, prompt_tokens_details={"cached_tokens": -1_000_000_000}),
    "cost negative": _tokens(10, 5, cost=-1e9),
    # Connections
    "drop": _raw(),
    "reset": _raw(reset=True),
    "reset after headers": _raw(_OK + b"Content-Length: 5000\r\n\r\n", reset=True, pause=0.02),
    "closed after headers": _raw(_OK + b"Content-Length: 5000\r\n\r\n"),
    "cut headers": _raw(b"HTTP/1.1 200 OK\r\nContent-Ty"),
    "cut body": _raw(_OK + b"Content-Length: %d\r\n\r\n" % len(_WHOLE) + _WHOLE[: len(_WHOLE) // 2]),
    "length too small": _raw(_OK + b"Content-Length: 20\r\n\r\n" + _WHOLE),
    "length negative": _raw(_OK + b"Content-Length: -1\r\n\r\n" + _WHOLE),
    "length no number": _raw(_OK + b"Content-Length: many\r\n\r\n" + _WHOLE),
    "two lengths": _raw(_OK + b"Content-Length: 5\r\nContent-Length: 500\r\n\r\n" + _WHOLE),
    "length and chunks": _raw(_OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + _WHOLE),
    "broken chunks": _raw(_OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n"),
    "huge chunk size": _raw(_OK + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc\r\n"),
    "cut chunks": _raw(_OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n"),
    "no HTTP": _raw(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "binary garbage": _raw(bytes(range(256)) * 20),
    "TLS bytes": _raw(b"\x15\x03\x01\x00\x02\x02\x46"),
    "HTTP 0.9": _raw(_WHOLE),
    "HTTP 9.9": _raw(b"HTTP/9.9 200 OK\r\n\r\n" + _WHOLE),
    "status no number": _raw(b"HTTP/1.1 abc OK\r\n\r\n" + _WHOLE),
    "status 99": _raw(b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n"),
    "status 999": _raw(b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n"),
    "early hints": _continues,
    "101": _raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
    "header with control characters": _raw(_OK + b"X-A: \x00\x01\x1b[2J\r\nContent-Length: 2\r\n\r\n{}"),
    "header without colon": _raw(_OK + b"nonsense\r\nContent-Length: 2\r\n\r\n{}"),
    "long header": _raw(_OK + b"X-Long: " + b"a" * 2**20 + b"\r\nContent-Length: 2\r\n\r\n{}"),
    "thousands of headers": _raw(_OK + b"X-M: 1\r\n" * 20_000 + b"Content-Length: 2\r\n\r\n{}"),
    "redirect loop": _redirect_loop,
    "redirect nowhere": _says(b"", 302),
    "redirect to a file": _says(b"", 307, Location="file:///etc/hostname"),
    "redirect to no host": _says(b"", 301, Location="http://"),
    "redirect to garbage": _says(b"", 308, Location="ht!tp:://[::"),
    "not modified": _says(b"", 304),
    "gzip that is none": _says(_WHOLE, Content_Encoding="gzip"),
    "gzip cut": _says(gzip.compress(_WHOLE)[:-20], Content_Encoding="gzip"),
    "unknown encoding": _says(_WHOLE, Content_Encoding="rot13"),
    "gzip": _says(gzip.compress(_WHOLE), Content_Encoding="gzip"),
    # Events that nobody asked for
    "events": _says(b'data: {"choices": [{"delta": {"content": "1. A photo of the class crane, at dusk."}}]}\n\n'
                    b"data: [DONE]\n\n", kind="text/event-stream"),
    "event garbage": _says(b"data: {\n\ndata: \xff\n\ndata: [[[\n\nevent: x\n\n", kind="text/event-stream"),
    "odd events": _says(b'data: {"choices": 3}\n\ndata: {"choices": [{"delta": [1]}]}\n\ndata: {"choices": [4]}\n\n'),
    # More than anybody should read
    "50 MB of answer": _stream(_times(_PART, _50_MB, b'{"choices": "', b'"}')),
    "50 MB of text in the answer": _stream(_times(_PART, _50_MB, _BEFORE, _AFTER)),
    "50 MB error page": _stream(_times(_PART, _50_MB, _PAGE), 500),
    "100 MB header says": _raw(_OK + b"Content-Length: 104857600\r\n\r\n" + b"x" * 2**20),
    "endless chunks": _stream(_for_ever(b" " * 2**16)),
    "endless events": _stream(_for_ever(b'data: {"choices": [{"delta": {"content": "and "}}]}\n\n' * 1000)),
    "endless headers": _raw(_OK + b"X-Long: ", *[b"a" * 2**16] * 800),
    "gzip bomb": _packed(gzipped=True),
    "deflate bomb": _packed(gzipped=False),
    "gzip bomb in an error": _packed(gzipped=True, status=500),
    # Longer than anybody should wait
    "hangs": _hangs,
    "hangs after headers": _hangs_after_headers,
    "drips": _stream(_for_ever(b" "), pause=0.1),
    "drips headers": _drips_headers,
}  # fmt: skip

QUICK = tuple(name for name in MODES if name not in SLOW)
