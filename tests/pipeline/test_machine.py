"""What the machine allows is looked at first: more open files are allowed, or fewer questions asked at once."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys

import pytest
from ports.openai_chat import chat
from server import serving

from ltgc_cli import console
from ltgc_cli.errors import InputError
from ltgc_cli.pipeline import machine
from ltgc_cli.pipeline.machine import questions_at_once

INFINITY = resource.RLIM_INFINITY


@pytest.fixture
def limits(monkeypatch):
    """Sets the limits that the process seems to have, and returns what is said and what it sets them to."""

    def of(soft, hard, refuses=False, already=3):
        said, made = [], []

        def set_limit(_, values):
            if refuses:
                raise ValueError("not allowed to raise maximum limit")
            made.append(values)

        monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
        monkeypatch.setattr(resource, "setrlimit", set_limit)
        monkeypatch.setattr(machine, "_open_now", lambda: already)
        monkeypatch.setattr(console, "notice", said.append)
        return said, made

    return of


@pytest.mark.parametrize("soft", [228, 4096, INFINITY])
def test_where_there_is_room_nothing_is_done(limits, soft):
    said, made = limits(soft, INFINITY)
    assert questions_at_once(128) == 128 and not (said or made)


@pytest.mark.parametrize("hard", [INFINITY, 1_048_576, 612])
def test_the_limit_is_raised_as_far_as_is_needed(limits, hard):
    said, made = limits(256, hard)
    assert questions_at_once(512) == 512
    assert (said, made) == ([], [(612, hard)])


@pytest.mark.parametrize(("soft", "hard", "refuses", "room"), [(128, 256, False, 156), (256, INFINITY, True, 156)])
def test_else_fewer_questions_are_asked_at_once_and_that_is_said(limits, soft, hard, refuses, room):
    said, _ = limits(soft, hard, refuses)
    assert questions_at_once(512) == room
    assert said == [
        "--concurrency 512: this system lets a process open 256 files (ulimit -n), which is room for 156 questions at "
        "once; so many are asked"
    ]


def test_at_least_one_is_asked(limits):
    limits(64, 64)
    assert questions_at_once(512) == 1


def test_files_that_are_open_already_are_counted(limits):
    said, made = limits(256, 1024, already=203)
    assert (questions_at_once(128), said, made) == (128, [], [(428, 1024)])


@pytest.mark.parametrize(("most", "already", "needed"), [(30, 3, 612), (256, 229, 838)])
def test_where_not_one_could_be_asked_it_is_refused_and_what_is_needed_is_said(limits, most, already, needed):
    limits(most, most, already=already)
    said = f"open {most} files .ulimit -n., {already} are open already, and {already + 28} are needed .* -n {needed}$"
    with pytest.raises(InputError, match=said):
        questions_at_once(512)


def test_the_files_that_are_open_now_are_those_that_the_system_lists():
    before = machine._open_now()
    with open(os.devnull):
        assert machine._open_now() == before + 1


@pytest.mark.parametrize("files", [8, 20, 30])
def test_with_too_few_files_nothing_is_asked(asked, limited, files):
    ran = limited(files)
    assert (ran.returncode, asked.seen) == (2, [])
    assert ran.stderr.count("\n") == 1 and f"open {files} files (ulimit -n)" in ran.stderr


def test_with_the_fewest_files_that_are_allowed_the_answer_is_kept(asked, limited, store):
    for time in ("first", "again"):
        ran = limited(32)
        assert ran.returncode == 0, (time, ran.stderr)
        assert len(asked.seen) == 1 and "never awaited" not in ran.stderr
        shutil.rmtree(store / "artifacts")


@pytest.fixture
def asked():
    """What a model on a server was asked."""
    return chat(lambda _: "1. A photo of the class crane, at dusk.\n2. A photo of the class crane, in fog.")


@pytest.fixture
def limited(asked, environment, tmp_path):
    """Runs a command that may open so many files."""
    with serving(asked) as address:
        command = ["extend", "-c", "crane", "-n", "2", "--concurrency", "256", "--llm", "openai/gpt-4o", "-o", "out"]
        command = [sys.executable, "-m", "ltgc_cli", *command, "--api-base", f"{address}/v1"]
        yield lambda files: subprocess.run(
            ["sh", "-c", 'ulimit -n "$0" && exec "$@"', str(files), *command],
            env=environment | {"OPENAI_API_KEY": "sk-none"}, cwd=tmp_path, capture_output=True, text=True,
        )  # fmt: skip
