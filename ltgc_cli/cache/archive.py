"""Paid answers as one file for a colleague: a plain tar of answers.jsonl and of the pictures that they name.

Nothing in the file is believed. A tar without compression holds no more than its own size, and of all that tar can
say only plain files under the names that `pack` gives them are read. Nothing counts before everything was checked.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from ltgc_cli.errors import InputError
from ltgc_cli.files import replacing
from ltgc_cli.ports import GeneratedImage
from ltgc_cli.store import Entry, OtherVersion, Store, entry, entry_for

ANSWERS = "answers.jsonl"
_OBJECT = re.compile(r"objects/([0-9a-f]{2})/(\1[0-9a-f]{62})")
_BLOCK = 512
"""Bytes of a header of tar; what lies between two is filled up to a multiple of it."""
_LONGEST_LINE = 2**24
_LARGEST_OBJECT = 2**28
_AT_ONCE = 100
"""Answers that are stored with one sync."""


class Shared(NamedTuple):
    """How many answers, and pictures among them."""

    answers: int
    pictures: int
    others: int = 0
    """Answers of another version of ltgc, which were left out."""


Told = Callable[[int], object]
"""Told of every so many answers or pictures that are done."""


def pack(store: Store, path: Path, wanted: Callable[[str, Entry], bool], told: Told = lambda _: None) -> Shared:
    """Returns what is in the file, which has every wanted answer and the pictures that were answered.

    The same answers make the same bytes. Original images, which somebody may not want to hand out, are not in it.
    Raises InputError where the file is there already, where nothing is wanted, or where something is damaged.
    """
    pictures: set[bytes] = set()
    answers = others = 0
    if os.path.lexists(path):
        raise InputError(f"{path} is there already; name a new file")
    with replacing(path) as file:
        with _member(file, ANSWERS):
            for k in store.sorted_keys():
                held = store.get(k)
                one = _understood(store, k, held)
                others += one is None
                if one and wanted(k, one):
                    file.write(_line({"key": k, **entry_for(*one)}))
                    answers += 1
                    if isinstance(one.answer, GeneratedImage):
                        pictures.add(bytes.fromhex(one.answer.sha256))
                told(1)
        if not answers:
            raise InputError(f"{path}: nothing to write: no answer in {store.folder} is meant")
        for sha256 in map(bytes.hex, sorted(pictures)):
            with _member(file, f"objects/{sha256[:2]}/{sha256}"):
                file.write(store.get_object(sha256))
            told(1)
        file.write(bytes(2 * _BLOCK))
    return Shared(answers, len(pictures), others)


def unpack(store: Store, path: Path, told: Told = lambda _: None) -> Shared:
    """Returns what was new in the file; all of it is in the store from now on. Of two answers the first one holds.

    Raises InputError, and stores nothing, where the file is not what `pack` writes, or the disk has no room for it.
    """
    try:
        with path.open("rb") as file:
            _check(file, path, store, told)
            if shutil.disk_usage(store.folder).free < path.stat().st_size:
                raise InputError(f"{store.folder}: the disk has no room for {path}; set --cache-dir")
            file.seek(0)
            return _kept(file, path, store, told)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None


def _check(file: IO[bytes], path: Path, store: Store, told: Told) -> None:
    """Raises InputError unless every answer is its key's, and every picture its name's and some answer's."""
    pictures: set[str] = set()
    for name, size in _members(file, path):
        if name == ANSWERS:
            for _, one in _answers(file, size, path):
                pictures |= {one.answer.sha256} if isinstance(one.answer, GeneratedImage) else set()
                told(1)
        else:
            sha256 = _sha256(name, size, path)
            if hashlib.sha256(file.read(size)).hexdigest() != sha256:
                raise InputError(
                    f"{path}: the bytes of {sha256[:12]}… are not what its name says; nothing was imported"
                )
            if sha256 not in pictures:
                raise InputError(f"{path}: no answer in it names {sha256[:12]}…; nothing was imported")
            pictures.remove(sha256)
            told(1)
    lost = sorted(sha256 for sha256 in pictures if not store.object_path(sha256).is_file())
    if lost:
        raise InputError(f"{path}: the picture {lost[0][:12]}… is not in it, though an answer is; nothing was imported")


def _kept(file: IO[bytes], path: Path, store: Store, told: Told) -> Shared:
    """Returns what was new. Pictures are stored before the answers that name them."""
    new_pictures = 0
    for name, size in _members(file, path):
        if name != ANSWERS:
            new_pictures += not store.object_path(_sha256(name, size, path)).is_file()
            store.put_object(file.read(size))
            told(1)
    file.seek(0)
    _, size = next(_members(file, path))
    new_answers = 0
    waiting: dict[str, dict[str, Any]] = {}

    def store_waiting() -> int:
        new = sum(k not in store for k in waiting)
        store.add_all(waiting)
        told(len(waiting))
        waiting.clear()
        return new

    for k, one in _answers(file, size, path):
        waiting.setdefault(k, entry_for(*one))
        if len(waiting) == _AT_ONCE:
            new_answers += store_waiting()
    return Shared(new_answers + store_waiting(), new_pictures)


# ---- answers.jsonl


def _line(data: dict[str, Any]) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _answers(file: IO[bytes], size: int, path: Path) -> Iterator[tuple[str, Entry]]:
    """Returns the answers of answers.jsonl, which begins here. Raises InputError with the line that is none."""
    number = 0
    while size > 0:
        line = file.readline(min(size, _LONGEST_LINE))
        size -= len(line)
        number += 1
        try:
            if not line.endswith(b"\n"):
                raise ValueError("the line is cut, or longer than any answer")
            k = msgspec.json.decode(line, type=_Keyed).key
            yield k, entry(k, line)
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            raise InputError(f"{path}: {ANSWERS}:{number}: {error}; nothing was imported") from None


class _Keyed(msgspec.Struct):
    key: str


def _understood(store: Store, k: str, held: dict[str, Any] | None) -> Entry | None:
    """Returns an answer, None for one of another version of ltgc."""
    try:
        return entry(k, msgspec.json.encode(held))
    except OtherVersion:
        return None
    except ValueError as error:
        raise InputError(f"{store.folder}: answer {k[:12]}: {error}; ltgc cache verify says what to do") from None


# ---- tar


@contextmanager
def _member(file: IO[bytes], name: str) -> Iterator[None]:
    """What is written within becomes a file of the tar, of no time and nobody's. Its header is written last."""
    start = file.tell()
    file.write(bytes(_BLOCK))
    yield
    end = file.tell()
    info = tarfile.TarInfo(name)
    info.size = end - start - _BLOCK
    file.write(bytes(-info.size % _BLOCK))
    file.seek(start)
    file.write(info.tobuf(tarfile.GNU_FORMAT))
    file.seek(0, os.SEEK_END)


def _members(file: IO[bytes], path: Path) -> Iterator[tuple[str, int]]:
    """Returns the name and size of each file, with the stream at its first byte. Raises InputError for what is odd."""
    size_of_all = path.stat().st_size
    first = True
    while True:
        block = file.read(_BLOCK)
        if not first and block == bytes(_BLOCK):
            return
        try:
            info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
        except (tarfile.HeaderError, ValueError):  # not even letters
            raise InputError(f"{path}: not a whole file of `ltgc cache export`; nothing was imported") from None
        start = file.tell()
        plain = info.type == tarfile.REGTYPE and (info.name == ANSWERS) == first
        if not plain or not 0 <= info.size <= size_of_all - start:
            raise InputError(f"{path}: {info.name[:80]!r} is nothing that `ltgc cache export` writes")
        yield info.name, info.size
        file.seek(start + info.size + -info.size % _BLOCK)
        first = False


def _sha256(name: str, size: int, path: Path) -> str:
    """Returns the hash that a picture's name is. Raises InputError for any other name, and for more than a picture."""
    match = _OBJECT.fullmatch(name)
    if not match or size > _LARGEST_OBJECT:
        raise InputError(f"{path}: {name[:80]!r} of {size:,} bytes is nothing that `ltgc cache export` writes")
    return match[2]
