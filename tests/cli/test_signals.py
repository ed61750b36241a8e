"""SIGTERM and SIGHUP end a command as Ctrl-C does: what was answered is kept, nothing unfinished is left."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time

import pytest
from commands import COUNTED, heeds_ctrl_c

CLASSES = [part for number in range(4) for part in ("--class", f"bird {number}")]
SAID = "ltgc: interrupted; what was asked and made so far is kept; run the same pipe again to go on\n"


def start(environment, tmp_path, *arguments, hold_after=2, ignoring=()):
    def prepared():
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, signal.SIG_IGN if signum in ignoring else signal.SIG_DFL)

    return subprocess.Popen(
        [sys.executable, str(COUNTED), str(tmp_path / "log"), str(hold_after), *map(str, arguments)],
        env=environment, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=prepared, text=True,
    )  # fmt: skip


def asked(tmp_path):
    log = tmp_path / "log"
    return log.read_text().splitlines() if log.exists() else []


def wait_for(holds, seconds=60):
    until = time.monotonic() + seconds
    while not holds() and time.monotonic() < until:
        time.sleep(0.02)


def unfinished(folder):
    return [path for path in folder.rglob("*") if path.name.startswith(".tmp-")]


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("times", [1, 2])
def test_a_signal_ends_a_run_that_goes_on_where_it_was(environment, tmp_path, signum, status, times):
    command = ("extend", *CLASSES, "--concurrency", 1, "-o", "out.jsonl")
    process = start(environment, tmp_path, *command)
    wait_for(lambda: len(asked(tmp_path)) >= 3)
    assert unfinished(tmp_path)
    for _ in range(times):
        process.send_signal(signum)
    out, err = process.communicate(timeout=60)

    assert (process.returncode, out) == (status, "")
    assert err.endswith(SAID) and err.count("interrupted") == 1 and "Traceback" not in err
    assert not unfinished(tmp_path) and not (tmp_path / "out.jsonl").exists()

    if times == 1:
        again = start(environment, tmp_path, *command, hold_after=-1)
        assert again.communicate(timeout=60) and again.returncode == 0
        assert sorted(asked(tmp_path)) == sorted([f"extend bird {n} 0" for n in range(4)] + ["extend bird 2 0"])


def test_under_nohup_a_hangup_ends_nothing(environment, tmp_path):
    process = start(environment, tmp_path, "extend", *CLASSES, "--concurrency", 1, ignoring=[signal.SIGHUP])
    wait_for(lambda: len(asked(tmp_path)) >= 3)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143


def test_behind_a_shells_ampersand_ctrl_c_stays_ignored_and_sigterm_is_heeded(environment, tmp_path):
    process = start(environment, tmp_path, "extend", *CLASSES, "--concurrency", 1, ignoring=[signal.SIGINT])
    wait_for(lambda: len(asked(tmp_path)) >= 3)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143


def test_ltgc_run_says_in_which_stage_it_stopped(environment, tmp_path):
    (tmp_path / "ltgc.toml").write_text('data = "digits-lt:0:100"\n')
    process = start(environment, tmp_path, "run", "--until", "extend")
    wait_for(lambda: len(asked(tmp_path)) >= 3)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 143 and "Traceback" not in err
    assert re.search(r"run: stopped in describe\nltgc: interrupted; .* to go on\n$", err)
    assert not unfinished(tmp_path)


INTERRUPTED_IMPORT = """
import os, signal, sys
class Finder:
    def find_spec(self, name, *_):
        if name == "ltgc_cli.cli.app":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from ltgc_cli.cli import main
main()
"""


def test_ctrl_c_while_ltgc_is_imported_is_no_traceback():
    done = subprocess.run([sys.executable, "-c", INTERRUPTED_IMPORT], capture_output=True, preexec_fn=heeds_ctrl_c)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")


EARLY = """
import os, signal, sys
import typer.main
made = typer.main.get_command
typer.main.get_command = lambda *given, **named: (os.kill(os.getpid(), signal.SIGINT), made(*given, **named))[1]
sys.argv = ["ltgc", "--version"]
from ltgc_cli.cli import main
main()
"""


def test_a_ctrl_c_before_the_command_is_at_work_is_no_traceback(environment, tmp_path):
    command = [sys.executable, "-c", EARLY]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, preexec_fn=heeds_ctrl_c, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")
