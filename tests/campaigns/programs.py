"""`ltgc` as a user starts it, thousands of times: forks of one process that has the libraries imported.

    with programs(folder) as start:
        process = start(["extend", "--class", "crane"], folder)
        process.kill(signal.SIGKILL)
        ran = process.wait()

Unlike tests/preloaded.py it tells which process a command is, so that it can be killed, how that ended, and what
memory it took. Each command leads a process group of its own.
"""

from __future__ import annotations

import atexit
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import preloaded

TESTS = Path(__file__).parents[1]
SHARED = "CAMPAIGN_PROGRAMS"
"""The variable that names the socket of such a process, where attacks are to share one."""


class Ran(NamedTuple):
    """What a command did."""

    code: int
    """Its exit status as a shell says it: 137 for one that was killed."""
    out: bytes
    err: str
    peak: float
    """MB that it took at most, beside the libraries."""
    seconds: float


class Process(NamedTuple):
    """A command that runs."""

    pid: int
    connection: socket.socket
    out: Path
    err: Path
    started: float

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the command; SIGKILL to all that it started, too."""
        with suppress(ProcessLookupError):
            (os.killpg if number == signal.SIGKILL else os.kill)(self.pid, number)

    def ended(self, seconds: float = 0) -> bool:
        """Returns whether the command has ended after so long."""
        self.connection.settimeout(max(seconds, 1e-6))
        try:
            return bool(self.connection.recv(1, socket.MSG_PEEK))
        except (TimeoutError, BlockingIOError):
            return False

    def wait(self, seconds: float = 300) -> Ran:
        """Returns what the command did. One that does not end is killed, and its status is -1."""
        there = self.ended(seconds)
        if not there:
            self.send(signal.SIGKILL)
            self.ended(30)
        told = b""
        while len(told) < 16 and (more := self.connection.recv(16 - len(told))):
            told += more
        self.connection.close()
        status, peak = (int.from_bytes(told[at : at + 8], "big") for at in (0, 8))
        code = os.waitstatus_to_exitcode(status)
        code = (128 - code if code < 0 else code) if there else -1
        took = time.monotonic() - self.started
        return Ran(code, self.out.read_bytes(), self.err.read_text(errors="replace"), peak / 1024, took)


Start = Callable[..., Process]


@contextmanager
def programs(folder: Path) -> Iterator[Start]:
    """A function that starts a command: `start(arguments, folder, {"LTGC_LLM": "…"}, input=b"")`."""
    folder.mkdir(parents=True, exist_ok=True)
    if path := os.environ.get(SHARED):
        yield lambda *given, **named: _start(path, folder, *given, **named)
        return
    path = str(folder / "s")
    command = [sys.executable, "-m", "campaigns.programs", os.path.relpath(path)]
    variables = os.environ | {"PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, env=variables) as server:
        assert server.stdout and server.stdout.readline() == b"ready\n"
        try:
            yield lambda *given, **named: _start(path, folder, *given, **named)
        finally:
            server.terminate()


def environment(store: Path, **variables: str) -> dict[str, str]:
    """Returns the variables of a command: this process's own, without ltgc's, with a store."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LTGC_")}
    return {**kept, "LTGC_CACHE_DIR": str(store), "COLUMNS": "100", **variables}


def _start(
    path: str,
    folder: Path,
    arguments: Sequence[object],
    cwd: Path,
    variables: Mapping[str, str],
    input: bytes = b"",
) -> Process:
    number = os.urandom(4).hex()
    files = [folder / f"{number}.{name}" for name in ("in", "out", "err")]
    files[0].write_bytes(input)
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(os.path.relpath(path))
    told = json.dumps([[*map(str, arguments)], str(cwd), dict(variables)]).encode()
    with files[0].open("rb") as stdin, files[1].open("wb") as out, files[2].open("wb") as err:
        handles = [stdin.fileno(), out.fileno(), err.fileno()]
        socket.send_fds(connection, [len(told).to_bytes(4, "big")], handles)
        connection.sendall(told)
        pid = int.from_bytes(connection.recv(4), "big")
    assert pid, "the process that runs the commands has ended"
    return Process(pid, connection, files[1], files[2], time.monotonic())


def _serve(path: str) -> None:
    preloaded.import_all()
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    server.settimeout(5)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the keepers
    parent = os.getppid()
    print("ready", flush=True)
    while os.getppid() == parent:
        try:
            connection, _ = server.accept()
        except TimeoutError:
            continue
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            server.close()
            _keep(connection)
        connection.close()


def _keep(connection: socket.socket) -> None:
    """Forks the command, and tells how it ended."""
    size, handles, _, _ = socket.recv_fds(connection, 4, 3)
    told = b""
    while len(told) < int.from_bytes(size, "big"):
        told += connection.recv(1 << 16)
    arguments, folder, variables = json.loads(told)
    ready, begun = os.pipe()
    before = _resident()
    pid = os.fork()
    if pid == 0:
        connection.close()
        os.close(ready)
        _command(arguments, folder, variables, handles, begun)
    os.close(begun)
    for handle in handles:
        os.close(handle)
    os.read(ready, 1)  # from here on it is `ltgc` that runs
    connection.sendall(pid.to_bytes(4, "big"))
    _, status, used = os.wait4(pid, 0)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # what it left
    with suppress(OSError):
        connection.sendall(status.to_bytes(8, "big") + max(0, used.ru_maxrss - before).to_bytes(8, "big"))
    os._exit(0)


def _command(
    arguments: Sequence[str], folder: str, variables: Mapping[str, str], handles: Sequence[int], begun: int
) -> None:
    from ltgc_cli.cli import main

    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    for place, handle in enumerate(handles):
        os.dup2(handle, place)
        os.close(handle)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    tempfile.tempdir = None  # TMPDIR is another by now
    sys.argv = ["ltgc", *arguments]
    code = 1
    os.write(begun, b".")
    os.close(begun)
    try:
        main()
    except SystemExit as done:
        code = done.code if isinstance(done.code, int) else int(bool(done.code))
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        # As any program it waits for what it has under way; to take the libraries down again would take seconds.
        with suppress(BaseException):
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
            sys.stdout.flush()
        os._exit(code)


def _resident() -> int:
    """Returns the kB that this process has in memory now, libraries that it shares included."""
    pages = int(Path("/proc/self/statm").read_text().split()[1]) if Path("/proc/self/statm").exists() else 0
    return pages * resource.getpagesize() // 1024


if __name__ == "__main__":
    _serve(sys.argv[1])
