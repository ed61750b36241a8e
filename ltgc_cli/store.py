"""The store: every paid answer, for good, under the hash of its question.

The contract in one sentence: `cached(f, store)(x) == f(x)`, and f runs only for an x not seen before.
An answer is durable before anything uses it; of two racing answers the first wins; nothing is evicted;
nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar, cast
from weakref import WeakValueDictionary

import msgspec
from diskcache.core import DBNAME, MODE_RAW

from ltgc_cli import console
from ltgc_cli.database import NONE, Database, damaged
from ltgc_cli.errors import InputError, OutputError
from ltgc_cli.files import make_folder, named_errors, named_file, put_in_place, read_regular, shared, temporary
from ltgc_cli.keys import key as key
from ltgc_cli.keys import key_of
from ltgc_cli.ports import NAMES, REQUESTS, Comparison, GeneratedImage, ImageRequest, Match, Question, request_name
from ltgc_cli.unfinished import swept

_OF_NOTHING = hashlib.sha256(b"").hexdigest()  # an API's empty answer is kept, too
_PAGE = 100  # rows that are read at once
_LEAST_ROOM, _MOST_ROOM = 2**20, 2**24  # bytes held on the disk while something is asked
_OF_A_TEXT, _OF_AN_IMAGE = 2**15, 2**21
"""Bytes that an answer under way may take, in the database's log too; an image of an API, which is paid for."""

Req = TypeVar("Req", bound=msgspec.Struct)
Ans = TypeVar("Ans")


class Row(NamedTuple):
    """A row of the answers as it lies in the database, whoever wrote it."""

    number: int
    key: str  # empty for a key that is no text
    stored: float  # seconds since 1970
    text: str | None  # the entry's JSON; None for what ltgc never writes (a pickle, a file's name)
    size: int  # bytes


class Store:
    """A folder with the answers (SQLite), the objects (image bytes by sha256), artifacts and checkpoints."""

    def __init__(self, folder: Path, *, anew: bool = False) -> None:
        """Opens the store in a folder, or makes one.

        anew -- whether the answers may begin anew where other things are: by `ltgc cache import`, which has some
        Raises InputError where the answers are damaged or lost, or the folder is none, OutputError where it is full or
        may not be written to.
        """
        self.folder = folder
        if not anew:
            check_answers(folder)
        make_folder(folder / "answers", f"{folder}: the store cannot be opened")
        if anew and _is_empty(folder / "answers" / DBNAME):
            (folder / "answers" / DBNAME).unlink()
        self._answers = Database(folder / "answers")
        self._under_way = 0  # bytes that what is asked now may take
        self._counting = threading.Lock()

    @contextmanager
    def room_for(self, size: int) -> Iterator[None]:
        """Within it answers can be asked for that take so many bytes: they are kept though the disk fills up meanwhile.

        Raises OutputError where they could not be: the disk is full, or the store is read-only.
        """
        with self._counting:
            self._under_way += size
            room = min(_MOST_ROOM, _LEAST_ROOM + self._under_way)
        try:
            self._answers.make_ready(room)
            yield
        finally:
            with self._counting:
                self._under_way -= size

    def get(self, key: str) -> dict[str, Any] | None:
        """Returns the entry under a key, or None. An entry is `{"request": …, "answer": …}`."""
        text = self._answers.get(key)
        return None if text is None else self._entry(text)

    def texts(self, keys: Sequence[str]) -> dict[str, str]:
        """Returns the entries under keys, as the JSON that they are kept as, of those that are there."""
        return self._answers.texts(keys)

    def _entry(self, text: str) -> dict[str, Any]:
        try:
            return msgspec.json.decode(text, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise InputError(f"{self.folder}: the store holds a row that ltgc did not write ({error})") from None

    def add(self, key: str, entry: dict[str, Any]) -> dict[str, Any]:
        """Returns the entry that holds from now on: this one, or an earlier one. Durable on return."""
        return self.add_all({key: entry})[key]

    def add_all(
        self, entries: Mapping[str, dict[str, Any]], lost: Mapping[str, str] = NONE
    ) -> dict[str, dict[str, Any]]:
        """Returns the entries that hold from now on: these, or earlier ones. All are durable on return.

        lost -- earlier entries, as they are kept, that hold no more: their images are gone
        """
        held, texts = dict(entries), dict[str, str]()
        for k, entry in entries.items():
            text = json.dumps(entry, ensure_ascii=False, separators=(",", ":"))
            texts[k] = text.encode(errors="replace").decode()  # max_tokens can cut an emoji into half a character
            if texts[k] != text:
                held[k] = json.loads(texts[k])
        return held | {k: self._entry(text) for k, text in self._answers.add(texts, lost).items()}

    def rows(self) -> Iterator[Row]:
        """Returns every row, in the order stored; what others wrote is neither read nor refused."""
        last = -(2**63)
        while page := self._rows("rowid > ? ORDER BY rowid", last):
            yield from page
            last = page[-1].number

    def sorted_rows(self, prefix: str = "") -> Iterator[Row]:
        """Returns the rows whose keys begin so, sorted by key, found by the database's index and not by a scan."""
        first = prefix
        while page := self._rows("raw = 1 AND key >= ? AND key < ? ORDER BY key", first, f"{prefix}\U0010ffff"):
            yield from page
            first = f"{page[-1].key}\0"  # the next text that there can be

    def _rows(self, where: str, *values: Any) -> list[Row]:
        columns = "rowid, key, raw, store_time, mode, value, length(CAST(value AS BLOB))"
        found = []
        for number, k, raw, stored, mode, value, size in self._sql(
            f"SELECT {columns} FROM Cache WHERE {where} LIMIT {_PAGE}", values
        ):
            ours = raw == 1 and mode == MODE_RAW and isinstance(k, str) and isinstance(value, str)
            named = k if isinstance(k, str) else ""
            found.append(Row(number, named, stored or 0.0, value if ours else None, size or 0))
        return found

    def models(self, kind: type[msgspec.Struct], prefix: str) -> list[str]:
        """Returns the models that requests of a kind name and that begin so, by reading all rows once."""
        asked = json.dumps({"type": NAMES[kind], "model": prefix}, ensure_ascii=False, separators=(",", ":"))
        start = f'{{"request":{asked[:-2]}'
        rest = f"substr(value, {len(start) + 1}, 300)"
        rows = self._sql(
            f"SELECT DISTINCT substr({rest}, 1, instr({rest}, '\"') - 1) FROM Cache WHERE substr(value, 1, ?) = ?",
            (len(start), start),
        )
        return sorted(prefix + str(end) for (end,) in rows)

    def discard(self, rows: Iterable[tuple[int, str]]) -> None:
        """Deletes answers by row number and key, for good; a row that is another's by now is left."""
        statement = "DELETE FROM Cache WHERE rowid = ? AND (key = ? OR ? = '')"
        chosen = [(number, key, key) for number, key in rows]
        self._answers.write(lambda connection: connection.executemany(statement, chosen))

    def sound(self) -> str:
        """Returns what SQLite finds wrong with the database, "" where nothing is. Reads all of it, but no index."""
        return "; ".join(str(said) for (said,) in self._sql("PRAGMA quick_check(3)") if said != "ok")

    def _sql(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._answers.read(statement, values)

    def __contains__(self, key: str) -> bool:
        return bool(self.held([key]))

    def held(self, keys: Sequence[str]) -> set[str]:
        """Returns those of a few keys that have an answer, in one look: threads wait for each other at each."""
        places = ", ".join("?" * len(keys))
        return {k for (k,) in self._sql(f"SELECT key FROM Cache WHERE key IN ({places}) AND raw = 1", keys)}

    def __len__(self) -> int:
        return int(self._sql("SELECT value FROM Settings WHERE key = 'count'")[0][0])

    def object_path(self, sha256: str, suffix: str = "") -> Path:
        """Returns where an object's bytes lie. Raises InputError for what is no sha256 (a path, say)."""
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            raise InputError(f"{sha256[:80]!r} is no sha256 of an image")
        return self.folder / "objects" / sha256[:2] / (sha256 + suffix)

    def put_object(self, data: bytes, source: Path | None = None, *, fixed: bool = False) -> str:
        """Returns the sha256 of bytes that are in the store, and on the disk, from now on.

        source -- a file that has them: where the file system can, its blocks are shared and not copied
        fixed -- whether nobody ever writes to that file
        What lies there under its hash and is as long is not read again: whoever reads it checks it.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        path = self.object_path(sha256)
        if not _is_file_of(path, len(data)):  # what is damaged is mended
            try:
                self._put(path, data, source, fixed=fixed)
            except OutputError as error:
                if not self._answers.reserve.give_up(str(error)):
                    raise
                self._put(path, data, source, fixed=fixed)
        return sha256

    def _put(self, path: Path, data: bytes, source: Path | None, *, fixed: bool) -> None:
        make_folder(path.parent)
        with named_errors(path, writing=True), temporary(path.parent.parent) as unfinished:  # one folder to sweep
            if not (source and shared(source, unfinished, path.name, fixed=fixed)):
                with named_file(unfinished, path) as file:
                    file.write(data)
            put_in_place(unfinished, path)

    def get_object(self, sha256: str) -> bytes:
        """Returns the bytes. Raises InputError where they are missing or are not what the name says."""
        path = self.object_path(sha256)
        again = "run the command that made it again (describe, render or filter)"
        with named_errors(path):
            try:
                data = read_regular(path)
            except FileNotFoundError:
                remedy = f"use the --cache-dir that it was made with, or {again}"
                raise InputError(f"image {sha256[:12]}… is not in the store {self.folder}; {remedy}") from None
        if hashlib.sha256(data).hexdigest() != sha256:
            raise InputError(f"{path}: the bytes are not what the name says; delete the file, and {again}")
        return data

    def has_object(self, sha256: str) -> bool:
        """Returns whether an image's bytes are there, as far as can be told without reading them."""
        try:
            status = self.object_path(sha256).lstat()
        except (OSError, InputError):
            return False
        return stat.S_ISREG(status.st_mode) and (status.st_size > 0 or sha256 == _OF_NOTHING)

    def sweep(self) -> None:
        """Deletes what processes that were killed have not finished."""
        swept(self.folder)
        for places in ("*", "artifacts/*", "checkpoints/*"):
            for folder in self.folder.glob(places):
                swept(folder)

    def close(self) -> None:
        self._answers.close()


def _is_file_of(path: Path, size: int) -> bool:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size == size


class EmptyStore(Store):
    """A store in a folder that has none: it holds no answer, takes none, and makes nothing there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str) -> dict[str, Any] | None:
        return None

    def texts(self, keys: Sequence[str]) -> dict[str, str]:
        return {}

    def rows(self) -> Iterator[Row]:
        return iter(())

    def models(self, kind: type[msgspec.Struct], prefix: str) -> list[str]:
        return []

    def held(self, keys: Sequence[str]) -> set[str]:
        return set()

    def __len__(self) -> int:
        return 0

    @contextmanager
    def room_for(self, size: int) -> Iterator[None]:
        yield

    def close(self) -> None:
        pass


_BESIDE_ANSWERS = {
    "its log is": f"answers/{DBNAME}-wal",
    "images are": "objects/*/*",
    "artifacts are": "artifacts/*/*.jsonl",
}


def check_answers(folder: Path) -> None:
    """Raises InputError where a store's answers are gone, and other things of it are there: each would be paid anew."""
    path = folder / "answers" / DBNAME
    if path.is_file():
        return
    if path.exists():
        raise damaged(path.parent, f"{path.name} is no regular file")
    for what, names in _BESIDE_ANSWERS.items():
        if any(folder.glob(names)):
            raise damaged(path.parent, f"{path.name} is gone, though {what} there")


def _is_empty(path: Path) -> bool:
    return path.is_file() and not path.stat().st_size


def existing(folder: Path) -> Store:
    """Returns the store in a folder, an empty one where there is none: nothing is made."""
    check_answers(folder)
    return Store(folder) if (folder / "answers" / DBNAME).exists() else EmptyStore(folder)


class Entry(NamedTuple):
    """What was asked, and what was answered."""

    request: Question | ImageRequest | Match | Comparison
    answer: Any


class OtherVersion(ValueError):
    """An entry under its right key, of a kind or with fields of a question that this version of ltgc has not."""


def entry(k: str, text: str | bytes) -> Entry:
    """Returns what the JSON of an entry says. Raises ValueError, in a few words, for one of another key.

    One that another version of ltgc wrote, rightly, is an OtherVersion.
    """
    try:
        data = msgspec.json.decode(text, type=dict[str, Any])
        asked = data["request"]
        name = asked.pop("type")
        try:
            request = msgspec.convert(asked, REQUESTS[name][0])
        except (KeyError, msgspec.ValidationError):
            request = None
        if request is None or key(request) != k:
            if key_of(name, asked) == k:
                raise OtherVersion("it is of another version of ltgc")
            raise ValueError("the key is not the one of what was asked")
        answer = msgspec.convert(data["answer"], REQUESTS[name][1])
    except OtherVersion:
        raise
    except (msgspec.MsgspecError, AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"no entry that this ltgc writes ({error})") from None
    return Entry(request, answer)


class OnAnswer(Protocol):
    """Called with every answer, asked or found (`hit`)."""

    def __call__(self, request: msgspec.Struct, answer: Any, /, *, hit: bool) -> None: ...


def cached_batch(
    f: Callable[[Sequence[Req]], Sequence[Ans | Exception]],
    store: Store,
    answer_type: type[Ans],
    on_answer: OnAnswer = lambda *_, hit: None,
) -> Callable[[Sequence[Req]], list[Ans | Exception]]:
    """Returns f with its answers kept: equal to f, and f sees only requests that are new.

    An exception in an answer's place is handed on and never kept.
    """

    under_keys = _under_keys(f, store, answer_type, on_answer)

    def ask(requests: Sequence[Req]) -> list[Ans | Exception]:
        return under_keys([key(request) for request in requests], requests)

    return ask


def _under_keys(
    f: Callable[[Sequence[Req]], Sequence[Ans | Exception]],
    store: Store,
    answer_type: type[Ans],
    on_answer: OnAnswer,
    each: int = _OF_A_TEXT,
) -> Callable[[Sequence[str], Sequence[Req]], list[Ans | Exception]]:
    """Returns f with its answers kept; whoever asks has made the requests' keys.

    each -- bytes that an answer may take
    """
    read = _reader(answer_type)

    def ask(keys: Sequence[str], requests: Sequence[Req]) -> list[Ans | Exception]:
        answers: dict[str, Ans | Exception] = {}
        new: dict[str, Req] = {}
        found = store.texts(keys)
        for k, request in dict(zip(keys, requests, strict=True)).items():
            if k not in found or _is_lost(stored := read(found[k]), store):
                new[k] = request
            else:
                answers[k] = stored
                on_answer(request, stored, hit=True)
        fresh, held = dict[str, Ans | Exception](), dict[str, dict[str, Any]]()
        with store.room_for(len(new) * each) if new else nullcontext():
            fresh.update(zip(new, f(list(new.values())) if new else (), strict=True))
            good = {k: answer for k, answer in fresh.items() if not isinstance(answer, Exception)}
            lost = {k: found[k] for k in good if k in found}
            held = store.add_all({k: entry_for(new[k], answer) for k, answer in good.items()}, lost) if good else {}
        for k, answer in fresh.items():
            answers[k] = _answer(held[k], answer_type) if k in held else answer
            if k in held:
                on_answer(new[k], answers[k], hit=False)
        return [answers[k] for k in keys]

    return ask


def _is_lost(answer: Any, store: Store) -> bool:
    """Returns whether an answer is an image whose bytes are gone from the store: it is asked again, with a word."""
    gone = isinstance(answer, GeneratedImage) and not store.has_object(answer.sha256)
    if gone and console.first((store.folder, "lost images")):
        console.notice(f"images that were generated are gone from {store.folder}/objects: they are generated again")
    return gone


def cached(
    f: Callable[[Req], Ans], store: Store, answer_type: type[Ans], on_answer: OnAnswer = lambda *_, hit: None
) -> Callable[[Req], Ans]:
    """Returns f with its answers kept. Threads that ask the same thing at once share one call."""
    asking: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()  # none is left when nobody asks
    guard = threading.Lock()

    def each(requests: Sequence[Req]) -> list[Ans | Exception]:
        return [f(request) for request in requests]

    size = _OF_AN_IMAGE if answer_type is GeneratedImage else _OF_A_TEXT
    under_keys = _under_keys(each, store, answer_type, on_answer, size)

    def ask(request: Req) -> Ans:
        k = key(request)
        with guard:
            lock = asking.setdefault(k, threading.Lock())
        with lock:
            (answer,) = under_keys([k], [request])
        if isinstance(answer, Exception):
            raise answer
        return answer

    return ask


def _reader(answer_type: type[Ans]) -> Callable[[str], Ans]:
    """Returns a function that reads the answer of an entry, and passes over what was asked."""
    decode: Callable[[str], Any] = msgspec.json.Decoder(msgspec.defstruct("Kept", [("answer", answer_type)])).decode

    def read(text: str) -> Ans:
        try:
            return cast(Ans, decode(text).answer)
        except msgspec.ValidationError as error:
            raise InputError(f"the store holds an entry that ltgc did not write ({error})") from None
        except msgspec.DecodeError as error:
            raise InputError(f"the store holds a row that ltgc did not write ({error})") from None

    return read


def _answer(entry: dict[str, Any], answer_type: type[Ans]) -> Ans:
    try:
        return msgspec.convert(entry["answer"], answer_type)
    except (KeyError, msgspec.ValidationError) as error:
        raise InputError(f"the store holds an entry that ltgc did not write ({error})") from None


def entry_for(request: msgspec.Struct, answer: Any) -> dict[str, Any]:
    """Returns the entry that is kept of a request and its answer."""
    asked = {"type": request_name(request), **msgspec.to_builtins(request)}
    return {"request": asked, "answer": msgspec.to_builtins(answer)}
