"""stdin, stdout and stderr as a shell may leave them: full, closed, or with a reader that has gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

LTGC = f"{sys.executable} -m ltgc_cli"
FULL = "ltgc: stdout: No space left on device; make room, and run the same command again: what was answered is kept"
CLOSED = "ltgc: stdout: Bad file descriptor; run the same command again when it can be used: what was answered is kept"


@pytest.fixture
def full(tmp_path: Path) -> Path:
    path = tmp_path / "full"
    try:
        os.mknod(path, 0o20666, os.makedev(1, 7))
        path.open("wb").close()
    except OSError:
        pytest.skip("devices cannot be made here")
    return path


def shell(command: str, environment: dict[str, str], folder: Path) -> tuple[int, str, list[str]]:
    done = subprocess.run(["bash", "-c", command], env=environment, cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout, [line for line in done.stderr.splitlines() if "embedded" not in line]


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_stdout_is_one_line_and_what_was_answered_is_kept(
    environment: dict[str, str], tmp_path: Path, full: Path, unbuffered: str
) -> None:
    environment = environment | {"PYTHONUNBUFFERED": unbuffered}
    for command in ("extend --class 7 -n 3", "--version"):
        assert shell(f"{LTGC} {command} > full", environment, tmp_path) == (3, "", [FULL])
    code, out, said = shell(f"{LTGC} extend --class 7 -n 3", environment, tmp_path)
    assert (code, out.count("\n")) == (0, 3) and "1 question from the store" in said[0]


def test_closed_streams_are_no_traceback(environment: dict[str, str], tmp_path: Path) -> None:
    extend = f"{LTGC} extend --class 7 -n 3"
    assert shell(f"{extend} >&-", environment, tmp_path) == (3, "", [CLOSED])
    assert shell(f"{extend} >&- 2>&- <&-", environment, tmp_path) == (3, "", [])
    code, out, said = shell(f"{extend} 2>&-", environment, tmp_path)
    assert (code, out.count("\n"), said) == (0, 3, [])
    code, out, said = shell(f"{LTGC} extend <&-", environment, tmp_path)
    assert (code, out) == (2, "") and said[0].startswith("ltgc: extend got no records")


def test_a_full_stderr_ends_nothing(environment: dict[str, str], tmp_path: Path, full: Path) -> None:
    code, out, _ = shell(f"{LTGC} extend --class 7 -n 3 2> full", environment, tmp_path)
    assert (code, out.count("\n")) == (0, 3)


def test_a_pipe_named_by_o_whose_reader_goes_away_ends_quietly(environment: dict[str, str], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    # the reader leaves without having read: opening the pipe is all it does
    command = f"(exec 3< pipe; exec 3<&-) & {LTGC} extend --class 7 -n 3 -o pipe"
    assert shell(command, environment, tmp_path) == (0, "", [])
    assert (tmp_path / "pipe").is_fifo()
