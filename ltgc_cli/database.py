"""The database of the answers: a table of text under text keys, read and written by many threads at once.

diskcache makes it, and says how it is laid out and kept. What is read and written goes past it, through few
connections that all threads share: diskcache opens one for each thread, which with 256 threads are 512 open files
that wait for SQLite's write lock by polling.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from types import MappingProxyType
from typing import Any, Generic, TypeVar, cast

import diskcache
from diskcache.core import DBNAME, MODE_PICKLE, MODE_RAW

from ltgc_cli import schemas
from ltgc_cli.errors import InputError, LtgcError, OutputError
from ltgc_cli.files import sync_folder
from ltgc_cli.reserve import Reserve, nameless
from ltgc_cli.unfinished import unfinished

NONE: Mapping[str, str] = MappingProxyType({})
T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

_READERS = 4  # connections: a long read, and one that waits for the disk, must not stop all others
_PAGES, _MAPPED = 256, 0  # diskcache's own, 8,192 pages and a map of 64 MB for each connection, add up
_EVICTION = {"eviction_policy": "none", "cull_limit": 0, "size_limit": 2**60}
_MEMORY = {"sqlite_cache_size": _PAGES, "sqlite_mmap_size": _MAPPED}
_LAYOUT = {**_EVICTION, **_MEMORY, "sqlite_journal_mode": "wal", "sqlite_synchronous": 2}
_ALL_IN_DATABASE = 2**30  # a value in a side file is not synced by diskcache; in the database it is
_PATIENCE = 60.0  # seconds between two tries to begin, while other processes write

_NO_FAULT_OF_ITS_OWN = {
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY,
}  # fmt: skip

_INSERT = (
    "INSERT OR IGNORE INTO Cache(key, raw, store_time, access_time, size, mode, value)"
    f" VALUES (?, 1, ?, ?, 0, {MODE_RAW}, ?)"
)
_REPLACE = "UPDATE Cache SET value = ?, store_time = ? WHERE key = ? AND raw = 1 AND value = ?"
_FIND = "SELECT mode, value FROM Cache WHERE key = ? AND raw = 1"
_AT_ONCE = 100  # keys of one statement: SQLite's limit, which a build may lower, is 999


class TextDisk(diskcache.Disk):
    """Keeps text under text keys, and refuses pickles both ways (CVE-2025-69872)."""

    def put(self, key: Any) -> Any:
        if not isinstance(key, str):
            raise TypeError("the store's keys are text")
        return super().put(key)

    def get(self, key: Any, raw: bool) -> Any:
        if not raw:
            raise InputError("the store holds a pickled key, which ltgc never writes; it is not opened")
        return super().get(key, raw)

    def store(self, value: Any, read: bool, key: Any = diskcache.UNKNOWN) -> Any:
        if not isinstance(value, str):
            raise TypeError("the store's values are text")
        return super().store(value, read, key=key)

    def fetch(self, mode: int, filename: Any, value: Any, read: bool) -> Any:
        if mode == MODE_PICKLE:
            raise _never_written()
        return super().fetch(mode, filename, value, read)

    def remove(self, file_path: Any) -> None:
        """Deletes nothing: ltgc has no files beside its database, and a planted row could name anyone's."""


def _never_written() -> InputError:
    return InputError("the store holds a value that ltgc never writes (a pickle?); it is not opened")


class _Waiting(Generic[T]):
    """Some work on the database that a thread waits for: once it was woken, the work is done, or the thread leads."""

    def __init__(self, work: Work[T]) -> None:
        self.work = work
        self.woken = threading.Event()
        self.done = False
        self.result: T | None = None
        self.error: Exception | None = None


class Database:
    """Text under text keys in a folder. What is written is on the disk on return; of two texts the first one holds."""

    def __init__(self, folder: Path) -> None:
        """Opens the database, or makes it. Raises InputError for one that is none, or that would lose answers,
        OutputError where it cannot be written or locked.
        """
        self._path = folder / DBNAME
        _refuse_others(self._path)
        self._read_only = self._path.is_file() and not (os.access(folder, os.W_OK) and os.access(self._path, os.W_OK))
        if self._read_only:
            self._begin()
            return
        _check_locks(folder)
        try:
            if not self._path.exists():
                _make(self._path)
            self.cache = _opened(folder, _LAYOUT)
        except sqlite3.DatabaseError as error:
            raise self._unread(error) from None
        except (OSError, TypeError, sqlite3.Error, diskcache.Timeout) as error:  # TypeError: another Disk's settings
            raise InputError(f"{folder.parent}: the store cannot be opened ({error}); set --cache-dir") from None
        # diskcache keeps settings in the file: a store made elsewhere could bring eviction with it.
        wrong = {name for name, value in _LAYOUT.items() if getattr(self.cache, name) != value}
        if wrong:
            raise InputError(f"{folder.parent}: the store's settings would lose answers ({', '.join(sorted(wrong))})")
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._readers: SimpleQueue[sqlite3.Connection | None] = SimpleQueue()  # None: one that is not open
        for _ in range(_READERS):
            self._readers.put(None)
        self._writer: sqlite3.Connection | None = None
        self._guard = threading.Lock()
        self._queue: list[_Waiting[Any]] = []  # the first one leads
        self.reserve = Reserve(self._path.parent)

    def read(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Returns the rows that a statement finds. Raises InputError where the database is damaged."""
        self._check_process()
        readers = self._readers
        connection = readers.get()
        try:
            connection = connection or self._connected()
            return connection.execute(statement, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise self._unread(error) from None
        finally:
            readers.put(connection)

    def _unread(self, error: sqlite3.DatabaseError) -> LtgcError:
        """Returns what is said where the database cannot be read: a healthy one is not to be moved away."""
        if _is_the_places(error):
            remedy = "is the disk full, are too many files open (ulimit -n), or may this folder not be written to?"
            return OutputError(f"{self._path.parent}: the database cannot be read ({error}); {remedy}")
        return damaged(self._path.parent, str(error))

    def get(self, key: str) -> str | None:
        """Returns the text under a key, or None."""
        found = self.read(_FIND, (key,))
        return _text(*found[0]) if found else None

    def texts(self, keys: Sequence[str]) -> dict[str, str]:
        """Returns the texts under those of some keys that have one."""
        found: dict[str, str] = {}
        for at in range(0, len(keys), _AT_ONCE):
            some = keys[at : at + _AT_ONCE]
            places = ",".join("?" * len(some))
            rows = self.read(f"SELECT key, mode, value FROM Cache WHERE key IN ({places}) AND raw = 1", some)
            found.update((key, _text(mode, value)) for key, mode, value in rows)
        return found

    def add(self, texts: Mapping[str, str], lost: Mapping[str, str] = NONE) -> dict[str, str]:
        """Returns the earlier texts under these keys, which go on to hold. All others are on the disk on return.

        lost -- earlier texts that hold no more: the new ones take their place, as long as no other has
        """
        return self.write(lambda connection: _added(connection, texts, lost))

    def make_ready(self, room: int) -> None:
        """Returns when texts can be written: the connection is open and may write, and so many bytes are held for them.

        Raises OutputError where they could not: before they are paid for.
        """
        self._check_process()
        if self._writer is None:
            self.write(lambda _: None)
        self.reserve.hold(room)

    def write(self, work: Work[T]) -> T:
        """Returns what some work with a connection returns; what it changed is on the disk by then.

        Work that waits is done together, in one transaction, by the first of the threads that wait: a disk that syncs
        300 times a second takes thousands of answers. Where that fails each is done alone: an error is its own.
        """
        self._check_process()
        mine = _Waiting(work)
        with self._guard:
            self._queue.append(mine)
            if len(self._queue) == 1:
                mine.woken.set()
        try:
            mine.woken.wait()
            if not mine.done:
                with self._guard:
                    together = list(self._queue)
                self._do(together)
        finally:  # also where a person interrupts: who comes next must not wait for a leader that has gone
            self._leave(mine)
        if mine.error:
            raise mine.error
        return cast(T, mine.result)

    def _leave(self, mine: _Waiting[Any]) -> None:
        with self._guard:
            if self._queue[:1] == [mine]:  # it led
                done = [one for one in self._queue if one.done]
                self._queue = [one for one in self._queue if not (one.done or one is mine)]
                for one in [*done, *self._queue[:1]]:
                    one.woken.set()
            elif mine in self._queue:  # interrupted
                self._queue.remove(mine)

    def _do(self, together: Sequence[_Waiting[Any]]) -> None:
        """Does some work in one transaction; where that fails, each by itself.

        Where the disk is full it is done in the room that was held for it.
        """
        try:
            self._writer = self._writer or self._connected()
            results = _in_transaction(self._writer, [one.work for one in together])
        except Exception as error:
            if _is_for_want_of_room(error) and self.reserve.give_up(str(error)):
                self._do(together)
                return
            if len(together) > 1:
                for one in together:
                    self._do([one])
                return
            if isinstance(error, sqlite3.Error):
                error = self._unwritten(error)
            together[0].error, together[0].done = error, True
        else:
            for one, result in zip(together, results, strict=True):
                one.result, one.done = result, True

    def _unwritten(self, error: sqlite3.Error) -> LtgcError:
        """Returns what is said where answers cannot be stored: what was stored before is there."""
        if self._read_only:
            return OutputError(f"{self._path.parent}: the store is read-only; make it writable, or set --cache-dir")
        if isinstance(error, sqlite3.DatabaseError) and not _is_the_places(error) and _is_damage(error):
            return damaged(self._path.parent, str(error))
        remedy = "is the disk full? What was stored before is kept: make room, and run the same command again"
        return OutputError(f"{self._path.parent}: the answers cannot be stored ({error}); {remedy}")

    def _opened_to_read(self) -> sqlite3.Connection:
        """Returns a connection to a database in a folder that may not be written to.

        As it is in the write-ahead log's mode, SQLite would write beside it, but where nothing is to change: where no
        answers wait in a log, nothing can be missed so.
        """
        log = log_of(self._path)
        how = "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
        address = f"{self._path.absolute().as_uri()}?{how}"
        return sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)

    def _connected(self) -> sqlite3.Connection:
        if self._read_only:
            return self._opened_to_read()
        connection = sqlite3.connect(self._path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
        for name, value in _LAYOUT.items():
            if name.startswith("sqlite_"):
                connection.execute(f"PRAGMA {name.removeprefix('sqlite_')} = {value}")
        return connection

    def _check_process(self) -> None:
        if self._process != os.getpid():  # a connection must not be carried into a fork
            self._begin()

    def close(self) -> None:
        """Closes the connections that nobody uses. Who still writes, or comes later, opens new ones."""
        if not self._read_only:
            self.cache.close()
        self.reserve.close()
        readers = []
        with suppress(Empty):
            while True:
                readers.append(self._readers.get_nowait())
        for reader in readers:
            if reader:
                reader.close()
            self._readers.put(None)
        with self._guard:
            if not self._queue and self._writer:
                self._writer.close()
                self._writer = None


def _opened(folder: Path, layout: Mapping[str, Any]) -> diskcache.Cache:
    return diskcache.Cache(str(folder), disk=TextDisk, disk_min_file_size=_ALL_IN_DATABASE, **layout)


def _make(path: Path) -> None:
    """Makes a database that is whole under its name or not there: killed, nobody leaves one that seems emptied.

    Raises InputError where the log of another is there, which would be taken for its own.
    """
    if log_of(path).exists():
        raise damaged(path.parent, f"{path.name} is gone, though its log is there")
    with unfinished(path.parent) as new:
        try:
            _opened(new, {**_LAYOUT, "sqlite_synchronous": 0}).close()
            if not log_of(new / DBNAME).exists():  # all of it is in the file
                sync_folder(new / DBNAME)
                os.link(new / DBNAME, path)
                sync_folder(path.parent)
        except OSError:  # another was first, or the file system has no links: then it is made in its place
            pass
        finally:
            shutil.rmtree(new, ignore_errors=True)


def log_of(path: Path) -> Path:
    """Returns where SQLite keeps what is not in a database's file yet."""
    return path.with_name(f"{path.name}-wal")


def _check_locks(folder: Path) -> None:
    """Raises OutputError where files cannot be locked: SQLite may take that for another process, and wait for it."""
    try:
        import fcntl

        file = nameless(folder)
    except (ImportError, OSError):  # Windows locks otherwise; what else is wrong here is said by who opens the database
        return
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        remedy = "processes would write over each other; name another folder by --cache-dir"
        raise OutputError(f"{folder}: locks do not work in this folder ({error.strerror}): {remedy}") from None
    finally:
        os.close(file)


def _refuse_others(path: Path) -> None:
    """Raises InputError for the database of a newer ltgc, and for one that has lost its table of answers, before
    anything is changed in it: made anew, it would have all of them bought again.
    """
    if path.is_file() and not path.stat().st_size:  # not for SQLite, which would delete its log
        raise damaged(path.parent, f"{path.name} is empty")
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            ((schema,),) = connection.execute("PRAGMA user_version")
            whole = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'Cache'").fetchone()
        finally:
            connection.close()
    except sqlite3.Error:  # not there, or no database: who opens it says so
        return
    schemas.check(path.parent.parent, schema)
    if not whole:
        raise damaged(path.parent, f"{path.name} has no table of answers")


def _in_transaction(connection: sqlite3.Connection, works: Sequence[Work[Any]]) -> list[Any]:
    """Returns what each work returns, all that they changed on the disk; nothing is changed where one fails."""
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
            break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
    try:
        results = [work(connection) for work in works]
        connection.execute("COMMIT")
        return results
    except BaseException:
        if connection.in_transaction:  # a full disk has ended it
            connection.execute("ROLLBACK")
        raise


def _added(connection: sqlite3.Connection, texts: Mapping[str, str], lost: Mapping[str, str]) -> dict[str, str]:
    now, earlier = time.time(), {}
    for key, text in texts.items():
        new = connection.execute(_INSERT, (key, now, now, text)).rowcount
        if not new and key in lost:
            new = connection.execute(_REPLACE, (text, now, key, lost[key])).rowcount
        if not new:
            earlier[key] = _text(*connection.execute(_FIND, (key,)).fetchone())
    return earlier


def damaged(folder: Path, why: str) -> InputError:
    """Returns what is said of a database (by its folder) that is no longer one."""
    remedy = (
        "move that folder away, and `ltgc cache import` what was exported, or save what sqlite3's .recover finds; "
        "without either, --cache-dir names a new store"
    )
    return InputError(f"{folder}: the database is damaged ({why}); {remedy}")


def _is_the_places(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _NO_FAULT_OF_ITS_OWN


def _is_for_want_of_room(error: Exception) -> bool:
    """Returns whether a disk may be full: SQLite says of some of its files, and of a quota, only that they failed."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _text(mode: int, value: Any) -> str:
    """Returns a row's text. Raises InputError for what ltgc never writes: it is not opened."""
    if mode != MODE_RAW or not isinstance(value, str):
        raise _never_written()
    return value
