"""A test run that ignores Ctrl-C, as it does under nohup or behind a shell's `&`, ends as any other does."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


def _ignores_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.mark.slow
def test_children_heed_a_ctrl_c_that_their_test_run_ignores():
    command = [sys.executable, "-m", "pytest", "-n0", "-p", "no:cacheprovider", TESTS / "pipeline" / "test_killed.py"]
    command += ["-k", "interrupted_by_hand_it_says_how_to_go_on and 1"]
    done = subprocess.run(command, cwd=TESTS.parent, preexec_fn=_ignores_ctrl_c, capture_output=True, text=True)

    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout


def test_whoever_sends_a_ctrl_c_starts_the_child_so_that_it_heeds_it():
    texts = {path.name: path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py")}
    senders = {name for name, text in texts.items() if "send_signal(signal.SIGINT)" in text}

    assert senders and all("preexec_fn=heeds_ctrl_c" in texts[name] for name in senders)
