"""`ltgc` as forks of one process that has torch, open_clip and litellm imported: many commands run in seconds.

python preloaded.py SOCKET PID    serves while the process PID is there, behind its back: it returns when it is ready

`client(SOCKET)` is the text of a program that stands for `ltgc`.

The program ends when its command is gone, with its exit status; a shell's 137 where it was killed. With
KILLED_AFTER_WRITES=3 in its environment a command is killed as it has put its third file in its place.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import itertools
import json
import os
import pkgutil
import signal
import socket
import sys
import threading
import weakref
from contextlib import suppress
from types import ModuleType

CLIENT = """#!{python} -S
import json, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({path!r})
told = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
socket.send_fds(server, [len(told).to_bytes(4, "big")], [0, 1, 2])
server.sendall(told)
sys.exit(server.recv(1)[0])
"""
RUNNING: dict[int, socket.socket] = {}
"""By its process, who waits for a command."""


LIBRARIES = (
    "open_clip",
    "peft",
    "sklearn.datasets",
    "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion",
    "matplotlib.pyplot",
)
WHOLE = ("ltgc_cli", "openai.resources", "openai.lib.streaming", "litellm.llms.fal_ai", "litellm.types.integrations")
"""Packages of which every module is imported: each fork would else compile the same patterns and types again."""
LATE = (
    "litellm.proxy._types",
    "litellm.proxy._experimental.mcp_server.stdio_gate",
    "litellm.proxy.openai_files_endpoints.common_utils",
    "litellm.llms.edenai.chat.transformation",
    "litellm.llms.litellm_proxy.chat.transformation",
    "litellm.llms.openai.chat.gpt_audio_transformation",
    "litellm.llms.vertex_ai.vertex_ai_partner_models.anthropic.transformation",
)
"""What litellm imports as it asks the first question, in the version that is pinned; another may have it elsewhere."""


def client(path: str) -> str:
    """Returns a program that has its command run by the server and ends with its exit status."""
    return CLIENT.format(python=sys.executable, path=path)


def import_all() -> None:
    """Imports all that a command may."""
    from ltgc_cli.providers.llm.litellm import imported
    from ltgc_cli.providers.torch_setup import mend_torchvision

    mend_torchvision()
    imported()
    for name in (*LIBRARIES, *WHOLE, *LATE):
        with suppress(ImportError):
            module = importlib.import_module(name)
            if name in WHOLE:
                _import_whole(module)
    gc.freeze()  # else each fork looks through all of it, and copies what it looks at
    for each in list(weakref.finalize._registry):
        each.atexit = False  # torch would take its operators down, for a tenth of a second


def _import_whole(package: ModuleType) -> None:
    for module in pkgutil.walk_packages(getattr(package, "__path__", ()), f"{package.__name__}."):
        if not module.name.endswith("__main__"):
            with suppress(ImportError):
                importlib.import_module(module.name)


def serve(path: str, whose: int) -> None:
    """Runs commands as long as a process is there, each in a fork."""
    import_all()
    signal.signal(signal.SIGCHLD, _tell_ended)
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    server.settimeout(1)
    if os.fork():
        os._exit(0)
    while _is_there(whose):  # a test run that is killed leaves nothing behind
        try:
            connection, _ = server.accept()
        except TimeoutError:
            continue
        if (child := os.fork()) == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _run(connection)
        RUNNING[child] = connection
        _tell_ended()  # one that ended before it was written down


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _tell_ended(*_: object) -> None:
    """Tells of the commands whose process is gone: nothing that one held, a file without a name, is there then."""
    for child in list(RUNNING):
        with suppress(ChildProcessError, OSError):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                with RUNNING.pop(child) as waiting:
                    waiting.sendall(bytes([code if code >= 0 else 128 - code]))


def _die_after(writes: int) -> None:
    replace, done = os.replace, itertools.count(1)

    def replace_and_die(*paths: str) -> None:
        replace(*paths)
        if next(done) == writes:
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = replace_and_die


def _run(connection: socket.socket) -> None:
    from ltgc_cli.cli import main

    size, handles, _, _ = socket.recv_fds(connection, 4, 3)
    with connection.makefile("rb") as stream:
        arguments, folder, environment = json.loads(stream.read(int.from_bytes(size, "big")))
    for place, handle in enumerate(handles):
        os.dup2(handle, place)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["ltgc", *arguments]
    if "KILLED_AFTER_WRITES" in environment:
        _die_after(int(environment["KILLED_AFTER_WRITES"]))
    code = 1
    try:
        main()
    except SystemExit as done:
        code = done.code if isinstance(done.code, int) else int(bool(done.code))
    finally:
        # As any program it waits for what it has under way; to take the libraries down again would take seconds.
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
