"""The server of ltgc review, for real on loopback: who is let in, what can be seen, what becomes of a decision."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from contextlib import contextmanager
from typing import NamedTuple

import pytest
from fakes import sha

from ltgc_cli.errors import InputError
from ltgc_cli.records import Verdict
from ltgc_cli.review.serving import Server, Site, media_type
from ltgc_cli.review.verdict_file import VerdictLines

TOKEN = "a-token-of-its-own"
PNG = b"\x89PNG\r\n\x1a\n rest"
CRANE = {"label": 3, "sha256": sha("a"), "verdict": "keep"}


class Got(NamedTuple):
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self):
        return json.loads(self.body)


def a_site(said: list[Verdict] | None = None, **changes) -> Site:
    held = [] if said is None else said
    images = {sha("a"): PNG, sha("b"): b"<svg onload='alert(1)'>"}

    def read(sha256: str) -> bytes:
        if sha256 not in images:
            raise InputError("the page shows no such image")
        return images[sha256]

    whole = {
        "page": "<!doctype html><title>näh</title>",
        "generated": {(3, sha("a")): "crane", (7, sha("a")): "seal", (7, sha("b")): "seal"},
        "read_image": read,
        "read_verdicts": lambda since: VerdictLines(held[since:], since, len(held)),
        "add_verdict": held.append,
    }
    return Site(**whole | changes)


@contextmanager
def serving(site: Site):
    with Server(site, TOKEN) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def server():
    with serving(a_site()) as running:
        yield running


def ask(server: Server, method: str, path: str, body: bytes | None = None, **headers: str) -> Got:
    """`path` stands behind the token where it begins with no slash; a header's _ is its -."""
    whole = path if path.startswith("/") else f"/{TOKEN}/{path}"
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, whole, body, named)
    answer = connection.getresponse()
    got = Got(answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()})
    connection.close()
    return got


def decide(server: Server, decision=CRANE, **headers: str) -> Got:
    own = {"Content_Type": "application/json", "Origin": f"http://127.0.0.1:{server.server_port}"}
    body = decision if isinstance(decision, bytes) else json.dumps(decision).encode()
    return ask(server, "POST", "verdict", body, **{k: v for k, v in (own | headers).items() if v})


# --- who is let in


def test_with_the_token_the_page_is_there_and_its_address_is_of_this_machine(server):
    got = ask(server, "GET", "")

    assert server.address == f"http://127.0.0.1:{server.server_port}/{TOKEN}/"
    assert (got.status, got.body.decode()) == (200, "<!doctype html><title>näh</title>")
    assert got.headers["content-type"] == "text/html; charset=utf-8"
    assert {"x-frame-options": "DENY", "referrer-policy": "no-referrer", "cache-control": "no-store"}.items() <= (
        got.headers.items()
    )


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "path",
    [
        "/",
        f"/{TOKEN[:-1]}",
        f"/{TOKEN}?",
        f"/{TOKEN[:-1]}/",
        f"/{TOKEN}x/",
        f"/?{TOKEN}",
        "/image/" + sha("a"),
        "/../" + TOKEN,
    ],
)
def test_without_the_token_everything_is_forbidden(server, method, path):
    assert ask(server, method, path).status == 403


def test_the_address_without_its_last_slash_leads_to_the_one_with_it(server):
    got = ask(server, "GET", f"/{TOKEN}")

    assert (got.status, got.headers["location"]) == (307, f"/{TOKEN}/")
    assert ask(server, "GET", f"/{TOKEN}", Host="evil.example").status == 403
    assert [ask(server, method, f"/{TOKEN}").status for method in ("POST", "PUT", "DELETE")] == [403] * 3


@pytest.mark.parametrize("path", ["/ü/", "/%00/", "/" + "x" * 60_000 + "/"])
def test_an_odd_address_is_forbidden_or_too_long(server, path):
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as raw:
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        assert raw.makefile("rb").readline().split()[1] in (b"403", b"414")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "", "[::1]:{port}"]
)
def test_a_name_that_was_made_to_point_here_is_forbidden(server, host):
    assert ask(server, "GET", "", Host=host.format(port=server.server_port)).status == 403


def test_localhost_is_this_machine_too(server):
    assert ask(server, "GET", "", Host=f"localhost:{server.server_port}").status == 200


def test_it_listens_on_loopback_alone(server):
    assert server.server_address[0] == "127.0.0.1"


# --- what can be seen


def test_images_are_there_by_their_hash_and_for_good(server):
    got = ask(server, "GET", f"image/{sha('a')}")

    assert (got.status, got.body, got.headers["content-type"]) == (200, PNG, "image/png")
    assert "immutable" in got.headers["cache-control"] and got.headers["x-content-type-options"] == "nosniff"


def test_what_is_no_image_is_not_served_as_one(server):
    assert ask(server, "GET", f"image/{sha('b')}").headers["content-type"] == "application/octet-stream"
    assert [media_type(data) for data in (b"\xff\xd8\xff", b"RIFF....WEBP", b"GIF89a")] == [
        "image/jpeg",
        "image/webp",
        "image/gif",
    ]


@pytest.mark.parametrize(
    "path",
    [
        "image/",
        f"image/{sha('c')}",
        "image/../../etc/passwd",
        "image/..%2f..%2fetc%2fpasswd",
        f"image/{sha('a')}/",
        "etc",
    ],
)
def test_nothing_else_is_there(server, path):
    assert ask(server, "GET", path).status == 404


def test_a_head_has_no_body(server):
    got = ask(server, "HEAD", f"image/{sha('a')}")
    assert (got.status, got.body, got.headers["content-length"]) == (200, b"", str(len(PNG)))


@pytest.mark.parametrize(("method", "path"), [("POST", ""), ("PUT", "verdict"), ("GET", "verdict"), ("DELETE", "")])
def test_other_methods_are_not_allowed(server, method, path):
    own = {"Content_Type": "application/json", "Origin": f"http://127.0.0.1:{server.server_port}"}
    assert ask(server, method, path, **own).status == 405


def test_one_connection_serves_many_requests(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    for _ in range(3):
        connection.request("GET", f"/{TOKEN}/image/{sha('a')}")
        assert connection.getresponse().read() == PNG
    connection.close()


# --- decisions


def test_a_decision_is_kept_with_the_name_of_its_class_and_can_be_read_back():
    said = []
    with serving(a_site(said)) as server:
        assert decide(server).json == {"kept": True}
        assert decide(server, {**CRANE, "label": 7, "verdict": "none"}).status == 200
        assert [(one.label, one.class_, one.sha256, one.verdict) for one in said] == [
            (3, "crane", sha("a"), "keep"),
            (7, "seal", sha("a"), "none"),
        ]
        assert ask(server, "GET", "verdicts").json == {
            "start": 0,
            "end": 2,
            "verdicts": [[3, sha("a"), "keep"], [7, sha("a"), "none"]],
        }
        assert ask(server, "GET", "verdicts?since=1").json["verdicts"] == [[7, sha("a"), "none"]]


def test_verdicts_on_what_the_page_does_not_show_are_not_sent():
    other = Verdict(label=3, class_="crane", sha256=sha("another"), verdict="keep")
    with serving(a_site([other])) as server:
        for since in ("x", "-1", "%D9%A3", "9" * 5000):
            assert ask(server, "GET", f"verdicts?since={since}").json == {"start": 0, "end": 1, "verdicts": []}


def test_the_page_can_ask_how_many_images_each_class_has(server):
    assert ask(server, "GET", "drawings").json == {"3": 1, "7": 2}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": ""}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Content_Type": ""}, 415),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content_Length": "5000"}, 413),
        ({"Content_Length": "-1"}, 413),
        ({"Content_Length": "9" * 5000}, 413),
    ],
)
def test_another_page_of_the_same_browser_decides_nothing(headers, status):
    said = []
    with serving(a_site(said)) as server:
        assert decide(server, **headers).status == status
    assert said == []


@pytest.mark.parametrize(
    ("decision", "status"),
    [
        (b"", 400),
        (b"nonsense", 400),
        (b"\xff", 400),
        ([], 400),
        ({**CRANE, "verdict": "maybe"}, 400),
        ({**CRANE, "label": "3"}, 400),
        ({**CRANE, "class": "mine"}, 400),
        ({**CRANE, "sha256": sha("b")}, 404),
        ({**CRANE, "label": 4}, 404),
    ],
)
def test_what_is_no_decision_on_an_image_of_the_page_is_refused(decision, status):
    said = []
    with serving(a_site(said)) as server:
        got = decide(server, decision)
    assert (got.status, said) == (status, []) and got.json["error"]


def test_where_it_cannot_be_kept_the_answer_says_so():
    def full(_):
        raise InputError("verdicts.jsonl: No space left on device")

    with serving(a_site(add_verdict=full)) as server:
        got = decide(server)
    assert (got.status, got.json) == (500, {"error": "verdicts.jsonl: No space left on device"})


def test_a_port_that_is_taken_is_an_error(server):
    with pytest.raises(OSError, match="in use"):
        Server(a_site(), TOKEN, server.server_port)


def test_nothing_is_written_to_stderr_not_even_where_a_browser_hangs_up(server, capfd):
    with socket.create_connection(("127.0.0.1", server.server_port)) as raw:
        raw.sendall(f"GET /{TOKEN}/ HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n".encode())
    ask(server, "GET", "")
    ask(server, "GET", "/")
    assert capfd.readouterr() == ("", "")
