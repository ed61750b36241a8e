"""Ray in this process: started for one command, or joined where a cluster runs; and left again, whatever happens."""

from __future__ import annotations

import logging
import os
import re
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from ltgc_cli.errors import InputError, ProviderError
from ltgc_cli.settings import Workers
from ltgc_cli.text import one_line

_REACH = 5.0  # seconds that an address has to answer
_CONNECT = 20.0  # seconds that Ray has to connect to a cluster
_START = 120.0  # seconds that it has to start here


class _Ray(NamedTuple):
    """Ray in this process, for all pools at once: it is the process's."""

    users: list[object] = []
    lock: threading.Lock = threading.Lock()
    left: list[Callable[[], None]] = []


_here = _Ray()


def connect(settings: Workers, given_up: threading.Event) -> Callable[[], None]:
    """Returns what leaves Ray again, once it is started here or its cluster is joined.

    A program that uses Ray already keeps its own. Raises ProviderError where there is no cluster, and where it is given
    up before there is one.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to Ray's makers
    import ray

    with _here.lock:
        if not _here.users:
            if ray.is_initialized():
                return lambda: None  # somebody else's
            _here.left.append(_started(settings, given_up))
        user = object()
        _here.users.append(user)

    def leave() -> None:
        with _here.lock:
            _here.users.remove(user)
            if not _here.users:
                _here.left.pop()()

    return leave


def _started(settings: Workers, given_up: threading.Event) -> Callable[[], None]:
    """Returns what ends Ray, which a thread has started that waits for it: Ray's own processes end with that thread.

    Where nobody listens Ray tries for two minutes, and writes to stderr. Nobody waits here as long.
    """
    address = settings.ray_address
    reach(address)
    failed: list[Exception] = []
    begun, over = threading.Event(), threading.Event()

    def keep() -> None:
        import ray

        with ExitStack() as stack:
            try:
                _init(settings, stack)
            except Exception as error:  # ConnectionError, ValueError, RuntimeError: another version of Ray
                failed.append(error)
            begun.set()
            over.wait()
            ray.shutdown()

    thread = threading.Thread(target=keep, daemon=True)
    with _stderr_closed():
        thread.start()
        until = time.monotonic() + (_CONNECT if address else _START)
        while not (there := begun.wait(0.1)) and not given_up.is_set() and time.monotonic() < until:
            pass  # nothing that is said meanwhile is heard, so Ctrl-C does not wait for Ray
    if given_up.is_set():
        over.set()
        raise ProviderError("Ray was given up before it had started")
    if not there:
        token = "one that wants a token is joined with RAY_AUTH_MODE=token"
        raise ProviderError(_no_cluster(address, f"nothing within {_CONNECT:.0f} s; {token}"))
    if failed:
        over.set()
        thread.join(10)  # its folder is deleted with it
        unknown = address == "auto" and isinstance(failed[0], ConnectionError)
        raise ProviderError(_no_cluster(address, "none was found" if unknown else one_line(failed[0])))

    def end() -> None:
        over.set()
        thread.join(10)

    return end


@contextmanager
def _stderr_closed() -> Iterator[None]:
    """Within it nothing is written to stderr: Ray's C++ part writes there, a line for each second that it tries."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def _init(settings: Workers, stack: ExitStack) -> None:
    import ray

    # Ray prints to stdout, where the records go, that a worker died; its own switch (log_to_driver) leaves that on.
    vars(ray._private.worker)["print_to_stdstream"] = lambda *_, **__: None
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if settings.ray_address:
        ray.init(settings.ray_address, **quiet)
        return
    # A folder of its own: /tmp/ray may be another person's, and what is logged there stays for ever.
    tmp = "/tmp" if os.path.isdir("/tmp") else None  # the names of Ray's sockets may not be long
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ltgc-ray-", dir=tmp, ignore_cleanup_errors=True))
    ray.init("local", num_cpus=settings.workers, include_dashboard=False, _temp_dir=folder, **quiet)


def _no_cluster(address: str | None, why: str) -> str:
    if address is None:
        return f"Ray cannot be started on this machine: {why}"
    if address == "auto":
        return f"no Ray cluster runs on this machine ({why}); without --ray-address ltgc starts Ray by itself"
    return f"no Ray cluster answers at --ray-address {address}: {why}"


def reach(address: str | None) -> None:
    """Raises InputError for an address that is none, ProviderError where nothing answers. One's own is started later.

    address -- None, or "auto", for Ray on this machine
    """
    if not address or address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not re.fullmatch("[0-9]{1,5}", port) or int(port) >= 2**16 or "/" in host:
        raise InputError(f"--ray-address {address}: write auto, or HOST:PORT of the head, as in 10.0.0.1:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH).close()
    except OSError as error:
        raise ProviderError(_no_cluster(address, one_line(error))) from None
