"""What a killed process left is swept at the next start: only a name of ours, only where its process is dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ltgc_cli.files import new_folder, replacing, temporary
from ltgc_cli.store import Store
from ltgc_cli.unfinished import leave_nothing, swept

WRITES = """
import sys, time
from pathlib import Path
from ltgc_cli.files import new_folder, replacing, temporary
folder = Path(sys.argv[1])
with new_folder(folder / "new") as new, replacing(folder / "out.jsonl") as file:
    (new / "part").write_text("half")
    file.write(b"half")
    print("ready", flush=True)
    time.sleep(600)
"""
HEX = "0123456789abcdef" * 2
ANOTHER = f".tmp-0123456789ab-{2**22}-17-{HEX}"  # of another machine
EARLIER = f".tmp-{HEX}"  # as versions before this one called it


@pytest.fixture
def writing(tmp_path):
    """A process that has a file and a folder of its own half done in a folder."""
    process = subprocess.Popen([sys.executable, "-c", WRITES, tmp_path], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    yield process
    process.kill()
    process.communicate()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_a_running_process_writes_stays_and_what_a_killed_one_left_goes(writing, tmp_path):
    swept(tmp_path)
    assert len(names(tmp_path)) == 2
    os.kill(writing.pid, signal.SIGSTOP)  # as a laptop that sleeps
    swept(tmp_path)
    assert len(names(tmp_path)) == 2
    writing.kill()
    while Path(f"/proc/{writing.pid}/stat").read_text().rpartition(") ")[2][0] != "Z":
        time.sleep(0.01)  # dead; that its parent has not asked for it keeps nothing
    swept(tmp_path)
    assert names(tmp_path) == []


def test_a_process_with_the_number_of_a_dead_one_keeps_nothing_of_it(tmp_path):
    with temporary(tmp_path) as mine:
        begun = mine.name.split("-")[3]
        other = mine.with_name(mine.name.replace(f"-{begun}-", f"-{int(begun) - 1}-"))
        mine.touch()
        other.touch()
        swept(tmp_path)
        assert names(tmp_path) == [mine.name]


def test_the_first_file_that_is_written_to_a_folder_sweeps_it(writing, tmp_path):
    writing.kill()
    writing.wait()
    with replacing(tmp_path / "mine.txt") as file:
        file.write(b"whole")
    assert names(tmp_path) == ["mine.txt"]


def test_nothing_that_a_person_or_another_program_may_have_made_goes(tmp_path):
    dead = f"-{2**22}-17-{HEX}"
    with temporary(tmp_path) as mine:
        here = mine.name.split("-")[1]
    theirs = [
        ".tmp-notes", ".tmp-", f"tmp-{here}{dead}", f".tmp-{here}{dead}.txt", f".tmp-{here}{dead}a",
        f".tmp-{here}-x-17-{HEX}", f".tmp-{here}{dead}".upper(), f".TMP-{HEX}", f".tmp-{HEX[:-1]}", "tmpab12cd34",
        ".nfs0001", f"{here}{dead}",
    ]  # fmt: skip
    for name in theirs:
        (tmp_path / name).write_text("mine")
        os.utime(tmp_path / name, (0, 0))
    (tmp_path / "target").write_text("mine")
    (tmp_path / f".tmp-{here}-{2**22}-18-{HEX}").symlink_to("target")
    os.mkfifo(tmp_path / f".tmp-{here}-{2**22}-19-{HEX}")
    before = names(tmp_path)
    swept(tmp_path)
    assert names(tmp_path) == before


@pytest.mark.parametrize("name", [ANOTHER, EARLIER])
def test_what_another_machine_or_an_earlier_version_began_goes_after_a_week_without_a_change(
    tmp_path, name, monkeypatch
):
    for folder in (False, True):
        path = tmp_path / name
        path.mkdir() if folder else path.write_text("half")
        swept(tmp_path)
        assert names(tmp_path) == [name]
        if folder:  # that something in it was written lately counts
            os.utime(path, (0, 0))
        monkeypatch.setattr("ltgc_cli.unfinished._OLD", -1.0)
        swept(tmp_path)
        assert names(tmp_path) == []
        monkeypatch.undo()


def test_a_clock_that_jumps_ahead_makes_nothing_old(tmp_path, monkeypatch):
    (tmp_path / ANOTHER).write_text("half")
    monkeypatch.setattr(time, "time", lambda: 4e9)
    swept(tmp_path)
    assert names(tmp_path) == [ANOTHER]


def test_a_folder_that_is_not_there_or_cannot_be_listed_is_no_trouble(tmp_path):
    swept(tmp_path / "none")
    (tmp_path / "file").touch()
    swept(tmp_path / "file")


def test_a_process_that_ends_at_once_leaves_nothing_unfinished(tmp_path, monkeypatch):
    monkeypatch.setattr("ltgc_cli.unfinished._ends", threading.Event())
    (tmp_path / "whole").touch()
    with new_folder(tmp_path / "new") as new, temporary(tmp_path) as path:
        (new / "part").touch()
        path.touch()
        leave_nothing()
        assert names(tmp_path) == ["whole"]
        new.mkdir()


def test_a_store_is_swept_in_all_its_folders(tmp_path, writing):
    store = Store(tmp_path / "store")
    writing.kill()
    writing.wait()
    (half,) = [name for name in names(tmp_path) if name.startswith(".tmp-") and (tmp_path / name).is_file()]
    places = ["", "objects", "artifacts/describe", "checkpoints/abc", "batches"]
    for place in places:
        (store.folder / place).mkdir(parents=True, exist_ok=True)
        (store.folder / place / half).write_text("half")
    store.sweep()
    assert not [path for path in store.folder.rglob(".tmp-*")]
    store.close()
