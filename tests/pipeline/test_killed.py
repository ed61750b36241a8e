"""A run that is killed goes on where it was: nothing is asked twice, and the bytes are those of an undisturbed run."""

import io
import os
import pty
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress

import pytest
from commands import COUNTED, heeds_ctrl_c

from ltgc_cli.cli.interruption import how_to_go_on

NAMES = [part for number in range(6) for part in ("--class", f"bird {number}")]


def start(environment, tmp_path, log, hold_after, *arguments):
    command = [sys.executable, str(COUNTED), str(tmp_path / log), str(hold_after), *map(str, arguments)]
    return subprocess.Popen(
        command,
        env=environment,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=heeds_ctrl_c,
    )


def finish(process):
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err.decode()
    return out


def kill_when_asked(process, log, questions):
    for _ in range(600):
        if log.exists() and log.read_text().count("\n") >= questions:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=10)


def test_a_killed_extend_asks_again_only_what_was_in_flight(environment, tmp_path):
    arguments = ["extend", *NAMES, "--concurrency", 1]
    kill_when_asked(start(environment, tmp_path, "log", 3, *arguments), tmp_path / "log", 4)
    out = finish(start(environment, tmp_path, "log", -1, *arguments))
    asked = Counter((tmp_path / "log").read_text().splitlines())
    assert asked == Counter({f"extend bird {n} 0": 1 for n in range(6)}) + Counter(["extend bird 3 0"])

    undisturbed = finish(
        start(environment | {"LTGC_CACHE_DIR": str(tmp_path / "fresh")}, tmp_path, "log2", -1, *arguments)
    )
    assert out == undisturbed


def test_a_reflect_killed_in_the_middle_of_a_class_goes_on_with_its_next_question(environment, tmp_path):
    (tmp_path / "in.jsonl").write_bytes(finish(start(environment, tmp_path, "log0", -1, "extend", *NAMES)))
    arguments = ["reflect", "-k", 12, "--near", 1, "-i", "in.jsonl", "--concurrency", 1]
    kill_when_asked(start(environment, tmp_path, "log", 7, *arguments), tmp_path / "log", 8)
    out = finish(start(environment, tmp_path, "log", -1, *arguments))
    asked = Counter((tmp_path / "log").read_text().splitlines())
    twice = [question for question, times in asked.items() if times > 1]
    assert len(twice) == 1

    undisturbed = finish(
        start(environment | {"LTGC_CACHE_DIR": str(tmp_path / "fresh")}, tmp_path, "log2", -1, *arguments)
    )
    assert out == undisturbed


def test_two_runs_at_once_on_one_store_give_the_same_bytes(environment, tmp_path):
    runs = [start(environment, tmp_path, f"log{n}", -1, "extend", *NAMES) for n in range(2)]
    first, second = (finish(run) for run in runs)
    assert first == second


def interrupted(process, tmp_path, times=1):
    for _ in range(600):
        if (tmp_path / "log").exists() and (tmp_path / "log").read_text().count("\n") >= 3:
            break
        time.sleep(0.05)
    for _ in range(times):
        process.send_signal(signal.SIGINT)


@pytest.mark.parametrize("times", [1, 2])
def test_interrupted_by_hand_it_says_how_to_go_on(environment, tmp_path, times):
    process = start(environment, tmp_path, "log", 2, "extend", *NAMES, "--concurrency", 1)
    interrupted(process, tmp_path, times)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    said = b"ltgc: interrupted; what was asked and made so far is kept; run the same pipe again to go on\n"
    assert err.endswith(said) and err.count(b"interrupted") == 1 and b"Traceback" not in err


def test_interrupted_on_a_terminal_it_says_what_to_type(environment, tmp_path):
    ours, theirs = pty.openpty()
    arguments = ["extend", "--class", "Trogon rufus", *NAMES, "--concurrency", "1"]
    process = subprocess.Popen(
        [sys.executable, COUNTED, tmp_path / "log", "2", *arguments],
        env=environment,
        cwd=tmp_path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=heeds_ctrl_c,
    )
    os.close(theirs)
    interrupted(process, tmp_path)
    shown = b""
    with suppress(OSError):  # Linux says so when the other side has closed
        while block := os.read(ours, 4096):
            shown += block
    os.close(ours)
    assert process.wait() == 130
    assert shlex.join(arguments).encode() in shown.replace(b"\r\n", b"")
    assert b"to go on: " in shown


def test_what_to_type_is_not_said_where_the_arguments_are_not_all_of_it(monkeypatch):
    class Stream(io.StringIO):
        def isatty(self):
            return self is terminal

    terminal, file = Stream(), Stream()
    for stdin, stdout, said in (
        (terminal, terminal, "to go on: ltgc extend -c 'Trogon rufus'"),
        (terminal, file, "run the same command again to go on"),
        (file, terminal, "run the same command again to go on"),
    ):
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(sys, "stdout", stdout)
        assert how_to_go_on("ltgc", ["extend", "-c", "Trogon rufus"]) == said
