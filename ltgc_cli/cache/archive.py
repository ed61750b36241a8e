"""Paid answers as one file for a colleague: a plain tar of answers.jsonl and of the images that they name.

Nothing in the file is believed, and nothing counts before all of it was checked. Members are read as streams and never
extracted to a path. A tar without compression holds no more than its own size, and of all that tar can say only plain
files under the two forms of name that `export` writes are accepted: stricter than tarfile's data filter, which the
first releases of Python 3.11 lack.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from ltgc_cli import records, schemas
from ltgc_cli.cache.walk import SHA256, answer, fits, named_in
from ltgc_cli.errors import InputError
from ltgc_cli.files import is_straight, named_errors, replacing, writing_straight
from ltgc_cli.ports import Comparison, GeneratedImage, Match, Question
from ltgc_cli.providers.secrets import keys_set, scrubbed
from ltgc_cli.records import Class
from ltgc_cli.settings import Choice
from ltgc_cli.store import Entry, OtherVersion, Store, entry, entry_for

_ANSWERS = "answers.jsonl"
_OBJECT = re.compile(r"objects/([0-9a-f]{2})/(\1[0-9a-f]{62})")
_LONGEST_LINE = 2**24
_LARGEST_OBJECT = 2**28
_AT_ONCE = 100  # answers that are stored with one sync

Notify = Callable[[int], object]  # is called with how many answers or images were done


class Shared(NamedTuple):
    """How many answers, and images among them."""

    answers: int
    images: int
    others: int = 0  # answers of another version of ltgc, which were left out
    secret: tuple[str, ...] = ()  # keys of answers that look as if they held somebody's key, left out as well


def export(
    store: Store, path: Path, choice: Choice, artifact: Path | None = None, notify: Notify = lambda _: None
) -> Shared:
    """Returns what is in the file, which has every answer that is meant and the images that were answered.

    artifact -- a file of records: only answers on their classes and images are meant
    The same answers make the same bytes. Original images, which somebody may not want to hand out, are not in it.
    Raises InputError where the file is there already, where nothing is meant, or where something is damaged.
    """
    straight = is_straight(path)
    if not straight and os.path.lexists(path):
        raise InputError(f"{path} is there already; name a new file")
    topics, keys = _topics(artifact) if artifact else None, keys_set()
    images: set[bytes] = set()
    secret: list[str] = []
    answers = others = 0
    out = writing_straight(path) if straight else replacing(path)
    with out as file, tempfile.TemporaryFile(dir=None if straight else path.parent) as lines:
        for one in map(answer, store.sorted_rows()):
            notify(1)
            if isinstance(one.error, OtherVersion):
                others += 1
            elif one.error:
                raise InputError(f"{store.folder}: answer {one.name[:12]}: {one.error}; see ltgc cache verify")
            if not one.entry or not fits(choice, one) or not (topics is None or _belongs(one.entry, topics)):
                continue
            if _holds_a_key(one.entry, keys):
                secret.append(one.name)
                continue
            line = json.dumps({"key": one.name, **entry_for(*one.entry)}, ensure_ascii=False, separators=(",", ":"))
            lines.write(f"{line}\n".encode())
            answers += 1
            if isinstance(one.entry.answer, GeneratedImage):
                images.add(bytes.fromhex(one.entry.answer.sha256))
        if not answers:
            raise InputError(f"{path}: nothing to write: no answer in {store.folder} is meant")
        with tarfile.open(fileobj=file, mode="w|" if straight else "w", format=tarfile.GNU_FORMAT) as tar:
            _add(tar, _ANSWERS, lines)
            for sha256 in map(bytes.hex, sorted(images)):
                _add(tar, f"objects/{sha256[:2]}/{sha256}", io.BytesIO(store.get_object(sha256)))
                notify(1)
    return Shared(answers, len(images), others, tuple(secret))


def _add(tar: tarfile.TarFile, name: str, data: IO[bytes]) -> None:
    info = tarfile.TarInfo(name)  # of no time and nobody's
    info.size = data.seek(0, os.SEEK_END)
    data.seek(0)
    tar.addfile(info, data)


def _topics(artifact: Path) -> set[str]:
    """Returns the classes of a file's records, as questions name them, and the sha256 of their images."""
    found = named_in(artifact)
    with named_errors(artifact), artifact.open("rb") as lines:
        for record in records.read(lines, str(artifact)):
            found |= {record.class_, record.subject} if isinstance(record, Class) else {record.class_}
    return found - {""}


def _belongs(one: Entry, topics: set[str]) -> bool:
    """Returns whether an answer is about one of these images, or a question on one of these classes."""
    if isinstance(one.request, Question):
        return one.request.subject in topics
    if isinstance(one.request, (Match, Comparison)):
        return one.request.image in topics
    return one.answer.sha256 in topics


def _holds_a_key(one: Entry, keys: Sequence[str]) -> bool:
    """Returns whether a request or an answer holds one of the keys that are set here, or what looks like a key.

    Hashes are none; nor is a model's name, which may be as long as one, unless it is a key that is set here.
    """
    model = one.request.model
    values = [value for part in one if isinstance(part, msgspec.Struct) for value in msgspec.structs.astuple(part)]
    texts = [value for value in values if isinstance(value, str) and value != model and not SHA256.fullmatch(value)]
    text = "\n".join(texts)
    return scrubbed(text, keys) != text or any(value in model for value in keys)


def unpack(store: Store, path: Path, notify: Notify = lambda _: None) -> Shared:
    """Returns what was new in the file; all of it is in the store from now on. Of two answers the first one holds.

    Raises InputError, and stores nothing, where the file is not what `export` writes, or the disk has no room for it.
    """
    try:
        with tarfile.open(path, "r:", tarinfo=_PlainFile) as tar:
            _check(tar, store, notify)
            if shutil.disk_usage(store.folder).free < path.stat().st_size:
                raise InputError(f"{store.folder}: the disk has no room for {path}; set --cache-dir")
            return _take_in(tar, store, notify)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except (tarfile.TarError, ValueError) as error:
        raise InputError(f"{path}: not a whole file of `ltgc cache export`: {error}; nothing was imported") from None


class _PlainFile(tarfile.TarInfo):
    """A member as `export` writes it; at any other tarfile stops, before it acts on what that says."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _PlainFile:
        info = super().frombuf(buf, encoding, errors)
        image = _OBJECT.fullmatch(info.name) and info.size <= _LARGEST_OBJECT
        if info.type != tarfile.REGTYPE or info.size < 0 or not (info.name == _ANSWERS or image):
            raise tarfile.ReadError(f"{info.name[:80]!r} of {info.size:,} bytes is nothing that it writes")
        return info


def _check(tar: tarfile.TarFile, store: Store, notify: Notify) -> None:
    """Raises ValueError unless every answer is its key's, and every image its name's and some answer's."""
    named: set[str] = set()
    for _, one in _answers(tar):
        named |= {one.answer.sha256} if isinstance(one.answer, GeneratedImage) else set()
        notify(1)
    for sha256, data in _images(tar):
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ValueError(f"the bytes of {sha256[:12]}… are not what its name says")
        if sha256 not in named:
            raise ValueError(f"no answer in it names {sha256[:12]}…, or it is there twice")
        named.remove(sha256)
        notify(1)
    if lost := sorted(sha256 for sha256 in named if not store.object_path(sha256).is_file()):
        raise ValueError(f"the image {lost[0][:12]}… is not in it, though an answer is")


def _take_in(tar: tarfile.TarFile, store: Store, notify: Notify) -> Shared:
    """Returns what was new. Images are stored before the answers that name them."""
    new_answers = new_images = 0
    for sha256, data in _images(tar):
        new_images += not store.object_path(sha256).is_file()
        store.put_object(data)
        notify(1)
    answers = _answers(tar)
    while batch := list(islice(answers, _AT_ONCE)):
        entries: dict[str, dict[str, Any]] = {}
        for key, one in batch:
            entries.setdefault(key, entry_for(*one))
        new_answers += sum(key not in store for key in entries)
        store.add_all(entries)
        notify(len(batch))
    return Shared(new_answers, new_images)


def _answers(tar: tarfile.TarFile) -> Iterator[tuple[str, Entry]]:
    """Returns the answers by their keys. Raises ValueError with the number of a line that is none."""
    first = next(iter(tar), None)
    if first is None or first.name != _ANSWERS or not (lines := tar.extractfile(first)):
        raise ValueError(f"it does not begin with {_ANSWERS}")
    for number, line in enumerate(iter(lambda: lines.readline(_LONGEST_LINE), b""), start=1):
        try:
            if not line.endswith(b"\n"):
                raise ValueError("the line is cut, or longer than any answer")
            schemas.check_json(os.fsdecode(tar.name or "the file"), line)
            key = msgspec.json.decode(line, type=_Keyed).key
            yield key, entry(key, line)
        except (RecursionError, ValueError) as error:
            raise ValueError(f"{_ANSWERS}:{number}: {error}") from None


class _Keyed(msgspec.Struct):
    key: str


def _images(tar: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    """Returns the bytes of the images by the sha256 that they are named with."""
    for info in islice(tar, 1, None):
        if member := tar.extractfile(info):
            yield info.name[-64:], member.read()
