"""A fault of ltgc itself is one line, with where a report of it lies; no traceback reaches the terminal."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ltgc_cli import records

SECRET = "sk-a1b2c3d4e5f6g7h8"


def fails_with(monkeypatch, error):
    def fails(*_):
        hidden = SECRET  # a local variable, which a report has no business with
        assert hidden
        raise error

    monkeypatch.setattr(records, "dump", fails)


@pytest.mark.parametrize("error", [KeyError("label"), RecursionError("too deep"), AssertionError()])
def test_a_fault_is_one_line_and_a_report_in_the_store(inside, store, monkeypatch, error):
    fails_with(monkeypatch, error)
    ran = inside("extend", "--class", "crane", "-n", "1", "--json")

    (report,) = (store / "faults").iterdir()
    said = ran.err.splitlines()[-1]
    assert ran.code == 1 and "Traceback" not in ran.err
    assert said.startswith(f"ltgc: a fault of ltgc itself ({type(error).__name__}")
    assert said.endswith(f"; what was answered is kept; a report of it lies at {report}")
    text = report.read_text()
    assert text.startswith("command: ltgc extend\nsystem: ") and "\nversions: python 3." in text
    assert "Traceback (most recent call last)" in text


def test_a_report_has_no_key_no_argument_and_no_variable_in_it(inside, store, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "hunter2-hunter2")
    fails_with(monkeypatch, ValueError(f"{SECRET} and hunter2-hunter2"))
    ran = inside("extend", "--class", "whooping crane", "-n", "1", "--json")

    (report,) = (store / "faults").iterdir()
    for text in (report.read_text(), ran.err):
        assert SECRET not in text and "hunter2" not in text and "whooping" not in text
    assert "(ValueError: … and …)" in ran.err


def test_where_the_store_cannot_be_written_a_report_lies_in_the_temporary_folder(inside, store, tmp_path, monkeypatch):
    (store / "faults").parent.mkdir()
    (store / "faults").write_text("a file in the folder's place, as root may write to any folder")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fails_with(monkeypatch, KeyError("label"))
    ran = inside("extend", "--class", "crane", "-n", "1", "--json")

    (report,) = tmp_path.glob("ltgc-fault-*.txt")
    assert ran.err.endswith(f"a report of it lies at {report}\n")


def test_where_nothing_can_be_written_that_is_said(inside, store, tmp_path, monkeypatch):
    fails_with(monkeypatch, KeyError("label"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    (store / "faults").parent.mkdir()
    (store / "faults").touch()
    assert inside("extend", "--class", "crane", "--json").err.endswith("no report of it could be written\n")


IN_A_THREAD = """
import sys, threading
from ltgc_cli.cli import app, faults
from ltgc_cli.errors import ProviderError
faults.watch()
class Leaves:
    def __del__(self):
        raise ValueError("while Python ends")
def fails(error):
    raise error
for error in (KeyError("in a thread"), KeyError("in a thread"), ProviderError("no network"), SystemExit(3)):
    thread = threading.Thread(target=fails, args=[error])
    thread.start()
    thread.join()
leaves = Leaves()
class PanicException(BaseException):
    "As what is written in Rust raises."
fails(PanicException("at the top"))
"""


def test_no_thread_and_no_end_of_python_writes_a_traceback(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", IN_A_THREAD], env=os.environ | {"TMPDIR": str(tmp_path)}, capture_output=True, text=True
    )

    first, second, third = done.stderr.splitlines()
    assert first.startswith("ltgc: a fault of ltgc itself (KeyError: 'in a thread'); what was answered is kept")
    assert second == "ltgc: no network"
    assert third.startswith("ltgc: a fault of ltgc itself (PanicException: at the top)")
    assert len(list(tmp_path.glob("ltgc-fault-*.txt"))) == 2
