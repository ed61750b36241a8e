"""The report on a loopback address, for a person who keeps or rejects generated images in it.

Whoever has the address (its token) on this machine may look and decide; another user, a web page that is open in the
same browser, and a name that was made to point here (DNS rebinding) may not.
"""

from __future__ import annotations

import json
import re
import secrets
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qs, urlsplit

import msgspec

from ltgc_cli.errors import LtgcError
from ltgc_cli.records import Verdict, identify
from ltgc_cli.review.verdict_file import VerdictLines

HOST = "127.0.0.1"
_LONGEST = 4096  # bytes of a decision
_IDLE = 60  # seconds that a connection may wait for its next request


class Site(NamedTuple):
    """What is served, and what is done with a decision."""

    page: str
    generated: Mapping[tuple[int, str], str]  # class names, by label and sha256 of the images that can be decided on
    read_image: Callable[[str], bytes]  # the bytes of an image that the page shows. Raises LtgcError for any other.
    read_verdicts: Callable[[int], VerdictLines]  # the verdicts from a byte of their file on
    add_verdict: Callable[[Verdict], None]  # durable on return. Raises LtgcError where it cannot be kept.


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the page sends."""

    label: int
    sha256: str
    verdict: Literal["keep", "reject", "none"]


class Response(NamedTuple):
    """What goes back: a status, the bytes, their type, and for how long they may be kept."""

    status: HTTPStatus
    body: bytes
    type: str = "application/json"
    cache: str = "no-store"
    location: str = ""  # where a redirect leads


class Server(ThreadingHTTPServer):
    """Serves a site to those who have its token. Raises OSError where the port is taken."""

    def __init__(self, site: Site, token: str, port: int = 0) -> None:
        self.site = site
        self.token = token
        super().__init__((HOST, port), _Handler)

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.server_port}/{self.token}/"

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(f"{name}:{self.server_port}" for name in (HOST, "localhost"))

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer's own asks a name server for a name that nobody needs
        self.server_name, self.server_port = HOST, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # a browser that goes elsewhere hangs up in the middle
            super().handle_error(request, client_address)


def respond(site: Site, method: str, path: str, body: bytes) -> Response:
    """Returns the response to a request that may be made; `path` is what stands behind the token."""
    route, query = urlsplit(path).path, urlsplit(path).query
    if route not in ("", "drawings", "verdicts", "verdict") and not route.startswith("image/"):
        return _problem(HTTPStatus.NOT_FOUND, "there is nothing here")
    if method != ("POST" if route == "verdict" else "GET"):
        return _problem(HTTPStatus.METHOD_NOT_ALLOWED, f"{method} is not for this address")
    if route == "":
        return Response(HTTPStatus.OK, site.page.encode(), "text/html; charset=utf-8")
    if route == "drawings":
        return _json(Counter(label for label, _ in site.generated))
    try:
        if route == "verdict":
            return _decide(site, body)
        if route == "verdicts":
            return _verdicts(site, parse_qs(query).get("since", [""])[0])
        return _image(site, route.removeprefix("image/"))
    except LtgcError as error:
        return _problem(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))


def _decide(site: Site, body: bytes) -> Response:
    try:
        decision = msgspec.json.decode(body, type=Decision)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _problem(HTTPStatus.BAD_REQUEST, f"not a decision: {error}")
    name = site.generated.get((decision.label, decision.sha256))
    if name is None:
        return _problem(HTTPStatus.NOT_FOUND, "there is no such image")
    verdict = Verdict(label=decision.label, class_=name, sha256=decision.sha256, verdict=decision.verdict)
    site.add_verdict(identify(verdict, decision.sha256, decision.verdict))
    return _json({"kept": True})


def _verdicts(site: Site, since: str) -> Response:
    found = site.read_verdicts(_number(since) or 0)
    here = [one for one in found.verdicts if (one.label, one.sha256) in site.generated]
    verdicts = [[one.label, one.sha256, one.verdict] for one in here]
    return _json({"start": found.start, "end": found.end, "verdicts": verdicts})


def _image(site: Site, sha256: str) -> Response:
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        return _problem(HTTPStatus.NOT_FOUND, "images are named by their sha256")
    try:
        data = site.read_image(sha256)
    except LtgcError as error:
        return _problem(HTTPStatus.NOT_FOUND, str(error))
    return Response(HTTPStatus.OK, data, media_type(data), "private, max-age=31536000, immutable")


_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_MAGIC = {_PNG: "png", _JPEG: "jpeg", b"GIF8": "gif", b"BM": "bmp", b"II*\0": "tiff", b"MM\0*": "tiff"}


def media_type(data: bytes) -> str:
    """Returns what kind of image some bytes are; what is none of these a browser must not make anything of.

    >>> media_type(b"RIFF....WEBPVP8 "), media_type(b"<svg onload='...'>")
    ('image/webp', 'application/octet-stream')
    """
    webp = "webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else ""
    kind = webp or next((name for magic, name in _MAGIC.items() if data.startswith(magic)), "")
    return f"image/{kind}" if kind else "application/octet-stream"


def _number(text: str) -> int | None:
    """Returns a whole number, None for what is none, and for one with more digits than any size here has."""
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None


def _json(content: Any, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(status, json.dumps(content, separators=(",", ":")).encode())


def _problem(status: HTTPStatus, text: str) -> Response:
    return _json({"error": text}, status)


class _Handler(BaseHTTPRequestHandler):
    """Lets in who has the token, on this machine, from this page; all others get 403."""

    server: Server
    protocol_version = "HTTP/1.1"
    timeout = _IDLE

    def _handle(self) -> None:
        self._send(self._refusal() or self._response())

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _handle

    def _refusal(self) -> Response | None:
        """Returns why a request is refused: its token, its host, or for a decision where it comes from."""
        _, _, rest = self.path.partition("/")
        token = rest.partition("/")[0]
        if not secrets.compare_digest(token.encode(), self.server.token.encode()):
            return _problem(HTTPStatus.FORBIDDEN, "open the whole address that ltgc review printed, with its token")
        if self.headers.get("Host") not in self.server.hosts:
            return _problem(HTTPStatus.FORBIDDEN, f"this is {self.server.hosts[0]}, and answers to no other name")
        if self.command in ("GET", "HEAD"):
            return None
        if self.headers.get("Origin") != f"http://{self.headers['Host']}":
            return _problem(HTTPStatus.FORBIDDEN, "decisions come from the page itself")
        if self.headers.get_content_type() != "application/json":
            return _problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a decision is JSON (Content-Type: application/json)")
        return None

    def _response(self) -> Response:
        length = _number(self.headers.get("Content-Length", "0"))
        if length is None or length > _LONGEST:
            return _problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {_LONGEST:,} bytes, with their number")
        body = self.rfile.read(length)
        if self.path.count("/") == 1:  # the address without its last slash, from which the page's images lead nowhere
            return Response(HTTPStatus.TEMPORARY_REDIRECT, b"", location=f"/{self.server.token}/")
        method = "GET" if self.command == "HEAD" else self.command
        return respond(self.server.site, method, self.path.split("/", 2)[2], body)

    def _send(self, response: Response) -> None:
        if response.status >= HTTPStatus.BAD_REQUEST:
            self.close_connection = True  # a body that nobody read must not be taken for the next request
        self.send_response(response.status)
        for name, value in {
            "Content-Type": response.type,
            "Content-Length": str(len(response.body)),
            "Cache-Control": response.cache,
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            **({"Location": response.location} if response.location else {}),
            **({"Connection": "close"} if self.close_connection else {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    def version_string(self) -> str:
        return "ltgc"

    def log_message(self, format: str, *args: Any) -> None:
        """Writes nothing: only the console does, and the address has the token in it."""
