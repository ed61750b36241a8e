"""Commands on a system that fails: shim.c, compiled once for an attack, and preloaded before a command.

    shim = compiled(place)  # None without a C compiler, or where nothing can be preloaded
    ran = run(shim, ["extend", …], folder, SHIM_FULL_AFTER="1000")
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from campaigns.programs import Ran, environment

SKIPPED = "there is no C compiler (cc) here, or this is not Linux"
COUNTED = Path(__file__).parents[1] / "counted.py"


def compiled(place: Path) -> Path | None:
    """Returns the library, None where it cannot be made."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if sys.platform != "linux" or not compiler:
        return None
    library = place / "shim.so"
    source = Path(__file__).with_suffix(".c")
    done = subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl", "-lpthread"])
    return library if done.returncode == 0 else None


def run(
    shim: Path | None, arguments: Sequence[object], folder: Path, log: str = "asked.log", seconds: float = 120, **said: str
) -> Ran:
    """Returns what a command did in a folder, in a process of its own, its store and its stdout in that folder.

    Its language model, of tests/counted.py, writes each question to the file `log` before it answers.
    """
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    variables = environment(folder / "store", TMPDIR=str(folder / "tmp"), SHIM_UNDER=str(folder), **said)
    if shim:
        variables["LD_PRELOAD"] = str(shim)
    command = [sys.executable, COUNTED, folder / log, "-1", *arguments]
    started = time.monotonic()
    with (folder / "stdout").open("wb") as out, (folder.parent / f"{folder.name}.err").open("w+b") as err:
        process = subprocess.Popen(
            [*map(str, command)], cwd=folder, env=variables, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            start_new_session=True,
        )  # fmt: skip
        code, peak = _waited(process, seconds)
        err.seek(0)
        said_on_stderr = err.read().decode(errors="replace")
    return Ran(code, (folder / "stdout").read_bytes(), said_on_stderr, peak, time.monotonic() - started)


def _waited(process: subprocess.Popen[bytes], seconds: float) -> tuple[int, float]:
    """Returns how a process ended, as a shell says it, and the MB that it took; -1 for one that had to be killed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pid, status, used = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            code = process.returncode
            return (128 - code if code < 0 else code), used.ru_maxrss / 1024
        time.sleep(0.01)
    process.kill()
    process.wait()
    return -1, 0.0
