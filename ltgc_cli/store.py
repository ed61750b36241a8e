"""The store: every paid answer, for good, under the hash of its question.

The contract in one sentence: `cached(f, store)(x) == f(x)`, and f runs only for an x not seen before.
An answer is durable before anything uses it; of two racing answers the first wins; nothing is evicted;
nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar
from weakref import WeakValueDictionary

import diskcache
import msgspec
from diskcache.core import MODE_PICKLE

from ltgc_cli.errors import InputError

SCHEMA = 1
"""Part of every key. A change here makes every user pay again: say so in the CHANGELOG."""

_LAYOUT = {
    "eviction_policy": "none",
    "cull_limit": 0,
    "size_limit": 2**60,
    "sqlite_journal_mode": "wal",
    "sqlite_synchronous": 2,
}
_ALL_IN_DATABASE = 2**30  # a value in a side file is not synced by diskcache; in the database it is

Req = TypeVar("Req", bound=msgspec.Struct)
Ans = TypeVar("Ans")


def key(request: msgspec.Struct) -> str:
    """Returns the sha256 (hex) of the canonical JSON of a frozen request, its type and the schema version."""
    data = [SCHEMA, type(request).__name__, msgspec.to_builtins(request)]
    text = json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


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
        if mode == MODE_PICKLE or not isinstance(value, str):
            raise InputError("the store holds a value that ltgc never writes (a pickle?); it is not opened")
        return super().fetch(mode, filename, value, read)


class Store:
    """A folder with the answers (SQLite), the objects (image bytes by sha256), artifacts and checkpoints."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._answers = diskcache.Cache(
                str(folder / "answers"), disk=TextDisk, disk_min_file_size=_ALL_IN_DATABASE, **_LAYOUT
            )
        except (OSError, TypeError, sqlite3.Error, diskcache.Timeout) as error:  # TypeError: another Disk's settings
            raise InputError(f"{folder}: the store cannot be opened ({error}); set --cache-dir") from None
        # diskcache keeps settings in the file: a store made elsewhere could bring eviction with it.
        wrong = {name for name, value in _LAYOUT.items() if getattr(self._answers, name) != value}
        if wrong:
            raise InputError(f"{folder}: the store's settings would lose answers ({', '.join(sorted(wrong))})")

    def get(self, key: str) -> dict[str, Any] | None:
        """Returns the entry under a key, or None. An entry is `{"request": …, "answer": …}`."""
        text = self._answers.get(key, retry=True)
        try:
            return None if text is None else msgspec.json.decode(text, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise InputError(f"{self.folder}: the store holds a row that ltgc did not write ({error})") from None

    def add(self, key: str, entry: dict[str, Any]) -> dict[str, Any]:
        """Returns the entry that holds from now on: this one, or an earlier one. Durable on return."""
        return self.add_all({key: entry})[key]

    def add_all(self, entries: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Returns the entries that hold from now on: these, or earlier ones. All are durable on return."""
        held = dict(entries)
        with self._answers.transact(retry=True):  # one sync for all of them
            for k, entry in entries.items():
                text = json.dumps(entry, ensure_ascii=False, separators=(",", ":"))
                whole = text.encode(errors="replace").decode()  # max_tokens can cut an emoji into half a character
                if whole != text:
                    text, held[k] = whole, json.loads(whole)
                if not self._answers.add(k, text, retry=True):
                    held[k] = self.get(k) or entry
        return held

    def __contains__(self, key: str) -> bool:
        return key in self._answers

    def __len__(self) -> int:
        return len(self._answers)

    def object_path(self, sha256: str, suffix: str = "") -> Path:
        """Returns where an object's bytes lie. Raises InputError for what is no sha256 (a path, say)."""
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            raise InputError(f"{sha256[:80]!r} is no sha256 of an image")
        return self.folder / "objects" / sha256[:2] / (sha256 + suffix)

    def put_object(self, data: bytes) -> str:
        """Returns the sha256 of bytes that are in the store, and on the disk, from now on."""
        sha256 = hashlib.sha256(data).hexdigest()
        path = self.object_path(sha256)
        if not (path.exists() and path.read_bytes() == data):  # what is damaged is mended
            write_atomically(path, data)
        return sha256

    def get_object(self, sha256: str) -> bytes:
        """Returns the bytes. Raises InputError where they are missing or are not what the name says."""
        path = self.object_path(sha256)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise InputError(
                f"image {sha256[:12]}… is not in the store {self.folder}; "
                "use the --cache-dir that it was made with, or make it again"
            ) from None
        if hashlib.sha256(data).hexdigest() != sha256:
            raise InputError(f"{path}: the bytes are not what the name says; delete the file and run again")
        return data

    def close(self) -> None:
        self._answers.close()


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file under a temporary name, syncs it and renames it: it is whole or it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Makes a rename durable: after a power failure the name is there, not only the bytes."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class Tally(Protocol):
    """Told of every answer: whether it was asked or found."""

    def __call__(self, request: msgspec.Struct, answer: Any, *, hit: bool) -> None: ...


def _no_tally(request: msgspec.Struct, answer: Any, *, hit: bool) -> None:
    pass


def cached_batch(
    f: Callable[[Sequence[Req]], Sequence[Ans | Exception]],
    store: Store,
    answer_type: type[Ans],
    tally: Tally = _no_tally,
) -> Callable[[Sequence[Req]], list[Ans | Exception]]:
    """Returns f with its answers kept: equal to f, and f sees only requests that are new.

    An exception in an answer's place is handed on and never kept.
    """

    def ask(requests: Sequence[Req]) -> list[Ans | Exception]:
        keys = [key(request) for request in requests]
        answers: dict[str, Ans | Exception] = {}
        new: dict[str, Req] = {}
        for k, request in zip(keys, requests, strict=True):
            entry = None if k in answers or k in new else store.get(k)
            if entry is not None:
                answers[k] = _answer(entry, answer_type)
                tally(request, answers[k], hit=True)
            elif k not in answers:
                new[k] = request
        fresh = dict(zip(new, f(list(new.values())) if new else (), strict=True))
        good = {k: answer for k, answer in fresh.items() if not isinstance(answer, Exception)}
        held = store.add_all({k: _entry(new[k], answer) for k, answer in good.items()}) if good else {}
        for k, answer in fresh.items():
            answers[k] = _answer(held[k], answer_type) if k in held else answer
            if k in held:
                tally(new[k], answers[k], hit=False)
        return [answers[k] for k in keys]

    return ask


def cached(
    f: Callable[[Req], Ans], store: Store, answer_type: type[Ans], tally: Tally = _no_tally
) -> Callable[[Req], Ans]:
    """Returns f with its answers kept. Threads that ask the same thing at once share one call."""
    asking: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()  # none is left when nobody asks
    guard = threading.Lock()

    def each(requests: Sequence[Req]) -> list[Ans | Exception]:
        return [f(request) for request in requests]

    batch = cached_batch(each, store, answer_type, tally)

    def ask(request: Req) -> Ans:
        with guard:
            lock = asking.setdefault(key(request), threading.Lock())
        with lock:
            (answer,) = batch([request])
        if isinstance(answer, Exception):
            raise answer
        return answer

    return ask


def _answer(entry: dict[str, Any], answer_type: type[Ans]) -> Ans:
    try:
        return msgspec.convert(entry["answer"], answer_type)
    except (KeyError, msgspec.ValidationError) as error:
        raise InputError(f"the store holds an entry that ltgc did not write ({error})") from None


def _entry(request: msgspec.Struct, answer: Any) -> dict[str, Any]:
    asked = {"type": type(request).__name__, **msgspec.to_builtins(request)}
    return {"request": asked, "answer": msgspec.to_builtins(answer)}
