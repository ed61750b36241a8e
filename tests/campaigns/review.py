"""Attacks on the server of `ltgc review`: no token, other names, other pages, paths, bodies, broken requests."""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path
from random import Random

from campaigns.chain import shortened
from campaigns.counts import Counts, Fault, attempted
from campaigns.fuzz import mutated
from campaigns.images import given
from campaigns.pictures_hostile import saved
from campaigns.programs import Process, environment, programs

SECRET = b"root:x:0:0"
_PAGE = "GET /{token}/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
_DECISION = (
    "POST /{token}/verdict HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nContent-Type: application/json\r\n"
    "Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
)
_BODIES = (
    "", "{", "[]", "null", '{"label": 1e400}', '{"label": -1, "sha256": "../../etc/passwd", "verdict": "keep"}',
    "[" * 5_000,
    '{"label": 0, "sha256": "' + "a" * 64 + '", "verdict": "keep"}', '{"label": 0, "sha256": null, "verdict": 3}',
)  # fmt: skip
_PATHS = (
    "../../../../etc/passwd", "image/../../../../etc/passwd", "image/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "image//etc/passwd",
    "image/" + "a" * 64, "image/" + "A" * 64, "image/", "verdict", "verdicts?since=-1", "verdicts?since=" + "9" * 500,
    "%00", "?" + "a" * 5_000, "image/..%c0%af..%c0%afetc/passwd", "\\..\\..\\etc\\passwd",
    "drawings/../../../etc/passwd",
)  # fmt: skip


def attack(numbers: range, seed: int, place: Path) -> Counts:
    """Returns what requests of these numbers came to."""
    given(place / "folder", "1.png", saved("PNG"), place / "none")
    with programs(place / "programs") as start:
        process = start(["review", "-i", "in", "--no-open"], place / "folder", environment(place / "folder" / "store"))
        try:
            found = _address(process)
            counts = attempted(numbers, lambda number: _trial(process, *found, number, Random(f"{seed} {number}")))
        finally:
            process.send(9)  # type: ignore[arg-type]
            ran = process.wait(10)
        counts.peak = ran.peak
        return counts


def _address(process: Process) -> tuple[str, int, str]:
    """Returns the host, the port and the token that the command says."""
    for _ in range(600):
        if match := re.search(
            r"http://(127\.0\.0\.1):(\d+)/([^/\s]+)/", process.err.read_text() + process.out.read_text()
        ):
            return match[1], int(match[2]), match[3]
        time.sleep(0.05)
    raise AssertionError(f"no address: {process.err.read_text()}")


def _requests(host: str, token: str, random: Random) -> tuple[bytes, bool]:
    """Returns a request, and whether it may be let in."""
    kind = random.randrange(7)
    page = _PAGE.format(host=host, token=token)
    if kind == 0:
        other = random.choice(
            ["", "x", token[:-1], token + "a", token.upper() + "1", "é", "%00", "..", token[::-1] + "_"]
        )
        return _PAGE.format(host=host, token=other).encode(), False
    if kind == 1:
        other = random.choice(
            ["evil.example", "127.0.0.1", "localhost:1", "[::1]", "", f"{host}.evil.example", f"a@{host}"]
        )
        return page.replace(f"Host: {host}", f"Host: {other}").encode(), False
    if kind == 2:
        origin = random.choice(["null", "http://evil.example", "file://", "", f"https://{host}", f"http://{host}.evil"])
        whole = _DECISION.format(host=host, token=token, length=2, body="{}")
        return whole.replace(f"Origin: http://{host}", f"Origin: {origin}").encode(), False
    if kind == 3:
        body = random.choice(_BODIES)
        length = random.choice([str(len(body)), "-1", "99999999999", "1e3", "", "0x10", str(len(body) + 10), "9" * 40])
        return _DECISION.format(host=host, token=token, length=length, body=body).encode(), True
    if kind == 4:
        return page.replace(f"/{token}/", f"/{token}/{random.choice(_PATHS)}").encode(), True
    if kind == 5:
        method = random.choice(["PUT", "DELETE", "TRACE", "CONNECT", "OPTIONS", "A" * 9_000, "", "get"])
        return page.replace("GET", method, 1).encode(), True
    return mutated(page.encode() * random.randint(1, 3), random), True


def _trial(process: Process, host: str, port: int, token: str, number: int, random: Random) -> list[Fault]:
    request, may = _requests(f"{host}:{port}", token, random)
    answer = _answered(host, port, request)
    faults = []
    what = f"{request[:150]!r}"
    if not may and answer[9:12] not in (b"403", b"400", b"415", b""):
        faults.append(Fault("other", f"{what} is let in: {answer[:200]!r}"))
    if SECRET in answer:
        faults.append(Fault("loss", f"{what} gives what is no picture of the page"))
    if "Traceback" in process.err.read_text():
        faults.append(Fault("traceback", f"{what}: {shortened(process.err.read_text())}"))
        process.err.write_text("")
    if number % 20 == 0:
        sound = _answered(host, port, _PAGE.format(host=f"{host}:{port}", token=token).encode())
        if b" 200 " not in sound[:20]:
            faults.append(Fault("other", f"after {what} the page is not served: {sound[:100]!r}"))
    return faults


def _answered(host: str, port: int, request: bytes) -> bytes:
    """Returns what a server sends back, nothing where it hangs up, or waits for more than was sent."""
    found = b""
    try:
        with socket.create_connection((host, port), timeout=2) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            while block := connection.recv(65_536):
                found += block
    except OSError:
        pass
    return found
