"""Room that is held on the disk: real, without a name, given up once."""

from __future__ import annotations

import errno
import os
from contextlib import closing

import pytest

from ltgc_cli.errors import OutputError
from ltgc_cli.reserve import Reserve


@pytest.fixture
def reserve(tmp_path):
    with closing(Reserve(tmp_path)) as reserve:
        yield reserve


def blocks(reserve: Reserve) -> int:
    return os.fstat(reserve._file).st_blocks * 512


@pytest.fixture(params=["allocated", "written"])
def way(request, monkeypatch):
    """As the system allocates it, or where it has no call for that."""
    if request.param == "written":

        def none(*_):
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")

        monkeypatch.setattr(os, "posix_fallocate", none, raising=False)
    return request.param == "allocated"


def test_what_is_held_is_real_and_has_no_name(reserve, tmp_path, way):
    reserve.hold(2**20)
    assert blocks(reserve) >= 2**20 and not list(tmp_path.iterdir())


def test_it_grows_and_never_shrinks(reserve, way):
    reserve.hold(2**20)
    reserve.hold(3 * 2**20)
    reserve.hold(1)
    assert os.fstat(reserve._file).st_size == 3 * 2**20 <= blocks(reserve)


def test_it_is_given_up_once_and_from_then_on_nothing_is_begun(reserve, tmp_path):
    assert not reserve.give_up("nothing was held")
    reserve.hold(2**20)
    file = os.dup(reserve._file)  # as a fork has it
    assert reserve.give_up("database or disk is full") and not reserve.give_up("again")
    assert os.fstat(file).st_blocks == 0
    os.close(file)
    with pytest.raises(OutputError, match=rf"^{tmp_path}: the disk is full .database or disk is full.; make room, and"):
        reserve.hold(1)


def test_what_is_closed_can_be_held_again(reserve, tmp_path):
    reserve.hold(2**20)
    reserve.close()
    reserve.hold(2**20)
    assert blocks(reserve) >= 2**20


def test_a_disk_without_that_room_is_named_and_what_room_it_has_is_left_to_others(reserve, tmp_path, monkeypatch, way):
    def partly(file, *_):
        os.ftruncate(file, 2**19)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", partly)
    if way:
        monkeypatch.setattr(os, "posix_fallocate", lambda file, *_: partly(file))
    with pytest.raises(OutputError, match=rf"^{tmp_path}: No space left on device; make room"):
        reserve.hold(2**20)
    assert os.fstat(reserve._file).st_size == 0
