"""The database of the answers: what waits is written together, and each is told of its own."""

from __future__ import annotations

import os
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import diskcache
import pytest

from ltgc_cli import database as module
from ltgc_cli.database import Database
from ltgc_cli.errors import InputError, OutputError


@pytest.fixture
def database(tmp_path):
    with closing(Database(tmp_path)) as database:
        yield database


@pytest.fixture
def commits(monkeypatch):
    """How many works went into each transaction that was begun."""
    found = []
    run = module._in_transaction
    monkeypatch.setattr(module, "_in_transaction", lambda c, works: found.append(len(works)) or run(c, works))
    return found


def together(database: Database, *works) -> list:
    """Hands in works that all wait when the first of them is done, in their order; returns what came of each."""
    begun, go = threading.Event(), threading.Event()

    def hold(connection):
        begun.set()
        go.wait(5)

    def outcome(work):
        try:
            return database.write(work)
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(works) + 1) as pool:
        first = pool.submit(database.write, hold)
        begun.wait(5)
        waiting = []
        for number, work in enumerate(works, start=2):
            waiting.append(pool.submit(outcome, work))
            while len(database._queue) < number:
                pass
        go.set()
        first.result()
        return [one.result(5) for one in waiting]


def adding(texts: dict[str, str]):
    return lambda connection: module._added(connection, texts, {})


def test_what_waits_is_written_with_one_commit(database, commits):
    found = together(database, *[adding({str(number): "text"}) for number in range(20)])

    assert (found, commits) == ([{}] * 20, [1, 20])
    assert [database.get(str(number)) for number in range(20)] == ["text"] * 20


def test_of_two_texts_that_race_in_one_commit_the_first_one_holds(database):
    assert together(database, adding({"a": "first"}), adding({"a": "second", "b": "new"})) == [{}, {"a": "first"}]
    assert (database.get("a"), database.get("b")) == ("first", "new")


def test_an_error_of_one_loses_no_other_and_is_told_to_its_own_alone(database, commits):
    found = together(database, adding({"a": "1"}), lambda connection: 1 / 0, adding({"b": "2"}))

    assert isinstance(found[1], ZeroDivisionError) and [found[0], found[2]] == [{}, {}]
    assert (database.get("a"), database.get("b"), commits) == ("1", "2", [1, 3, 1, 1, 1])


def test_what_an_erring_one_had_written_is_taken_back(database):
    def half(connection):
        module._added(connection, {"a": "1"}, {})
        raise ValueError("half")

    with pytest.raises(ValueError, match="half"):
        database.write(half)
    assert database.get("a") is None


def test_who_is_interrupted_while_it_writes_for_others_leaves_them_their_answers(database):
    interrupted = threading.Event()

    def interrupting(connection):
        if not interrupted.is_set():  # once: it is a person, in the thread that leads
            interrupted.set()
            raise KeyboardInterrupt

    found = []

    def lead():
        try:
            together(database, interrupting, adding({"a": "1"}))
        except KeyboardInterrupt:
            found.append("interrupted")

    thread = threading.Thread(target=lead)
    thread.start()
    thread.join(5)
    assert found == ["interrupted"] and database.get("a") == "1"
    assert database.add({"b": "2"}) == {}  # and nobody waits for a leader that has gone


def test_an_error_of_the_database_is_one_line(database):
    with pytest.raises(OutputError, match=r"the answers cannot be stored \(no such table: Absent\)"):
        database.write(lambda connection: connection.execute("INSERT INTO Absent VALUES (1)"))


def test_who_still_writes_after_it_was_closed_is_stored(database):
    database.add({"a": "1"})
    database.close()

    assert database.add({"b": "2"}) == {} and [database.get("a"), database.get("b")] == ["1", "2"]


def test_many_threads_share_a_few_connections(database):
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0
    with ThreadPoolExecutor(64) as pool:
        list(pool.map(lambda n: (database.add({str(n): "text"}), database.get(str(n))), range(500)))
        after = len(os.listdir("/proc/self/fd")) if before else 0
    assert after - before < 20


def test_connections_hold_little_memory_also_those_of_an_old_store(tmp_path):
    diskcache.Cache(str(tmp_path), disk=module.TextDisk).close()  # of 8,192 pages, and 64 MB mapped
    with closing(Database(tmp_path)) as database:
        assert database.read("PRAGMA cache_size") == [(256,)]
        assert database.read("PRAGMA mmap_size") == [(0,)]
    with closing(sqlite3.connect(tmp_path / "cache.db")) as connection:
        said = dict(connection.execute("SELECT key, value FROM Settings WHERE key LIKE 'sqlite_%'"))
    assert (said["sqlite_cache_size"], said["sqlite_mmap_size"]) == (256, 0)


def test_diskcache_reads_what_is_written(database, tmp_path):
    database.add({"a": "text"})

    with closing(diskcache.Cache(str(tmp_path), disk=module.TextDisk)) as cache:
        assert (cache.get("a"), len(cache), list(cache)) == ("text", 1, ["a"])


def test_a_database_that_cannot_be_opened_now_is_not_called_damaged(database, monkeypatch):
    def too_many(*_, **__):
        error = sqlite3.OperationalError("unable to open database file")
        error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
        raise error

    monkeypatch.setattr(module.sqlite3, "connect", too_many)

    with pytest.raises(OutputError, match="cannot be read .unable to open database file.; .*too many files open"):
        database.get("a")


def test_where_the_disk_is_full_it_is_written_in_the_room_that_was_held(database, monkeypatch):
    run = module._in_transaction

    def full(connection, works):
        if database.reserve._held:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        return run(connection, works)

    database.make_ready(2**16)
    monkeypatch.setattr(module, "_in_transaction", full)
    assert together(database, adding({"a": "1"}), adding({"b": "2"})) == [{}, {}]
    assert (database.get("a"), database.get("b")) == ("1", "2")
    with pytest.raises(OutputError, match="the disk is full .database or disk is full.; make room"):
        database.make_ready(2**16)


def test_a_text_that_is_none_is_damage(database):
    database.add({"a": "text"})
    database.write(lambda connection: connection.execute("UPDATE Cache SET value = CAST(x'ff' AS TEXT)"))

    with pytest.raises(InputError, match="the database is damaged .Could not decode to UTF-8"):
        database.get("a")
