"""A run that is killed goes on where it was: nothing is asked twice, and the bytes are those of an undisturbed run."""

import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

COUNTED = Path(__file__).with_name("counted.py")
NAMES = [part for number in range(6) for part in ("--class", f"bird {number}")]


def start(environment, tmp_path, log, hold_after, *arguments):
    command = [sys.executable, str(COUNTED), str(tmp_path / log), str(hold_after), *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
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


def test_interrupted_by_hand_it_says_how_to_go_on(environment, tmp_path):
    process = start(environment, tmp_path, "log", 2, "extend", *NAMES, "--concurrency", 1)
    for _ in range(600):
        if (tmp_path / "log").exists() and (tmp_path / "log").read_text().count("\n") >= 3:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"run the same command again" in err and b"Traceback" not in err
