"""What the machine allows is looked at first: more open files are allowed, or fewer questions asked at once."""

from __future__ import annotations

import resource

import pytest

from ltgc_cli import console
from ltgc_cli.pipeline.machine import questions_at_once

INFINITY = resource.RLIM_INFINITY


@pytest.fixture
def limits(monkeypatch):
    """Sets the limits that the process seems to have, and returns what is said and what it sets them to."""

    def of(soft, hard, refuses=False):
        said, made = [], []

        def set_limit(_, values):
            if refuses:
                raise ValueError("not allowed to raise maximum limit")
            made.append(values)

        monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
        monkeypatch.setattr(resource, "setrlimit", set_limit)
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
