"""What `ltgc cache prune` deletes, what that is worth, and in which order: killed half-way, it leaves a whole store.

Artifacts go before the answers that they were made from, answers before the pictures that they name. A picture goes
only when no answer and no artifact names it, so nothing that is kept ever points to nothing.
"""

from __future__ import annotations

import re
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from ltgc_cli.cache.contents import artifacts, folders, megabytes
from ltgc_cli.cache.entries import DAY, Choice, Kept, answers, read
from ltgc_cli.cache.verify import SHA256, named, verify
from ltgc_cli.errors import InputError
from ltgc_cli.ports import request_name
from ltgc_cli.store import Row, Store
from ltgc_cli.usage import UsageSum

What = Literal["answers", "artifacts", "checkpoints", "unused", "damaged"]
_AT_ONCE = 1000
"""Answers that are deleted in one transaction."""
_TEMPORARY = ".tmp-"
"""What files are called while they are written; a run that was killed leaves one."""
_PICTURE = re.compile(r'"sha256":\s*"([0-9a-f]{64})"')
_LINKS = ("answers", "objects", "artifacts", "checkpoints")


class Doomed(NamedTuple):
    """What is to be deleted. Artifacts are their lines; their notes go with them."""

    answers: dict[int, str]
    """Keys by row number."""
    artifacts: list[Path]
    checkpoints: list[Path]
    objects: list[Path]
    said: list[str]
    """What it is and what it is worth, in lines for a person."""


def doomed(store: Store, what: frozenset[What], choice: Choice) -> Doomed:
    """Returns what is to be deleted. Deletes nothing.

    Raises InputError where a part of the store is a link: nothing outside of the store's folder is deleted.
    """
    for name in _LINKS:
        if (store.folder / name).is_symlink():
            raise InputError(f"{store.folder / name} is a link; prune deletes nothing outside of the store's folder")
    damages = verify(store).damages if "damaged" in what else []
    paths: dict[str, list[Path]] = {"artifact": [], "checkpoint": [], "object": []}
    for one in damages:
        if one.path:
            paths[one.kind].append(one.path)
    meant = _valued((one.row, one) for one in answers(store, choice)) if "answers" in what else _Valued()
    bad = {one.row[0] for one in damages if one.row} - meant.rows.keys()
    damaged = _valued((row, read(row)) for row in store.rows() if row.number in bad) if bad else _Valued()
    rows = meant.rows | damaged.rows
    weights = _old_checkpoints(store, choice) if "checkpoints" in what else []
    weights += paths["checkpoint"]
    lines = [one.path for one in artifacts(store, choice)] if "artifacts" in what else []
    lines += paths["artifact"] + _trained(store, weights)
    files = [*paths["object"]]
    files += _unused(store, rows, set(lines), choice) if "unused" in what else []
    unique = Doomed(rows, _unique(lines), _unique(weights), _unique(files), [])
    kept = ["pictures stay until --unused"] if meant.computed["Drawing"] and "unused" not in what else []
    said = [*_worth(meant, "answer", kept), *_worth(damaged, "damaged answer"), *_said(unique, set(paths["object"]))]
    return unique._replace(said=said)


def delete(store: Store, doom: Doomed) -> Iterator[int]:
    """Deletes it, and returns after each step how much went. Stopped after any of them, what is left is whole."""
    for path in doom.artifacts:
        path.with_suffix(".json").unlink(missing_ok=True)  # the note first: without it the lines count for nothing
        yield 0
        path.unlink(missing_ok=True)
        yield 1
    rows = list(doom.answers.items())
    for start in range(0, len(rows), _AT_ONCE):
        store.discard(rows[start : start + _AT_ONCE])
        yield len(rows[start : start + _AT_ONCE])
    for folder in doom.checkpoints:
        (folder / "done.json").unlink(missing_ok=True)
        yield 0
        shutil.rmtree(folder, ignore_errors=True)
        yield 1
    for path in doom.objects:
        path.unlink(missing_ok=True)
        yield 1


def _old_checkpoints(store: Store, choice: Choice) -> list[Path]:
    """Returns the checkpoints that are meant; one that may be in training now is not."""
    now = time.time()
    found = []
    for folder in folders(store.folder / "checkpoints"):
        newest = max((path.lstat().st_mtime for path in [folder, *folder.iterdir()]), default=0.0)
        if choice.is_old(newest, now) and ((folder / "done.json").exists() or now - newest >= DAY):
            found.append(folder)
    return found


def _trained(store: Store, weights: Sequence[Path]) -> list[Path]:
    """Returns mix-train's artifacts that name one of these checkpoints: with them it would not train again."""
    gone = {folder.name for folder in weights}
    if not gone:
        return []
    return [one.path for one in artifacts(store, Choice(stage="mix-train")) if gone & named(one.path).checkpoints]


def _unused(store: Store, rows: dict[int, str], lines: set[Path], choice: Choice) -> list[Path]:
    """Returns the objects that no answer and no artifact names, but for those that go now.

    What is younger than a day is left: a run stores a picture, or an original, before it has any answer to name it.
    """
    # Read as text, for an answer of another version of ltgc names its picture as well.
    kept = (row.text for row in store.rows() if row.text and row.number not in rows)
    used = {sha256 for text in kept for sha256 in _PICTURE.findall(text)}
    for one in artifacts(store):
        if one.path not in lines:
            used |= named(one.path).images
    now = time.time()
    found = [Path(entry.path) for entry in store.objects() if entry.is_file(follow_symlinks=False)]
    ours = [path for path in found if SHA256.fullmatch(path.name) or path.name.startswith(_TEMPORARY)]
    left = [path for folder in folders(store.folder / "artifacts") for path in folder.glob(f"{_TEMPORARY}*")]
    free = [path for path in ours if path.name not in used] + left
    ages = ((path, path.lstat().st_mtime) for path in free)
    return [path for path, then in ages if now - then >= DAY and choice.is_old(then, now)]


def _unique(paths: Sequence[Path]) -> list[Path]:
    return list(dict.fromkeys(paths))


# ---- saying


class _Valued(msgspec.Struct):
    """Answers that are to be deleted, and what they are worth: what asking again costs, or takes."""

    rows: dict[int, str] = {}
    """Keys by row number."""
    size: int = 0
    bill: UsageSum = msgspec.field(default_factory=UsageSum)
    computed: Counter[str] = msgspec.field(default_factory=Counter)
    """By the kind of request, what is computed here, for nothing but time."""
    unread: int = 0
    """What cannot be read, so that nobody knows what it cost."""


def _valued(found: Iterable[tuple[Row, Kept | None]]) -> _Valued:
    value = _Valued()
    for row, kept in found:
        value.rows[row.number] = row.key
        value.size += row.size
        if kept is None:
            value.unread += 1
        elif kept.usage.dollars == 0.0:
            value.computed[request_name(kept.request)] += 1
        else:
            value.bill.add(kept.usage)
    return value


def _worth(value: _Valued, name: str, more: Sequence[str] = ()) -> list[str]:
    """Returns in a line what answers are worth, if there are any."""
    bill = value.bill
    worth = [f"{bill.new:,} to buy again, for US dollars: {bill.priced()}"] if bill.new else []
    worth += [f"{bill.unpriced:,} of unknown price"] if bill.unpriced else []
    words = {"Question": "answers", "Drawing": "drawings", "Match": "scores", "Rival": "comparisons"}
    here = ", ".join(f"{count:,} {words[kind]}" for kind, count in value.computed.items())
    worth += [f"{here} to compute again, for nothing but time"] if here else []
    worth += [f"{value.unread:,} that cannot be read, whatever they cost"] if value.unread else []
    return [_line(name, len(value.rows), value.size, "; ".join([*worth, *more]))] if value.rows else []


def _said(doom: Doomed, damaged: set[Path]) -> list[str]:
    """Returns in a line each what else is to be deleted.

    damaged -- the objects that go for that, and not because nothing names them
    """
    broken = [path for path in doom.objects if path in damaged]
    unused = [path for path in doom.objects if path not in damaged]
    parts = [
        ("artifact", doom.artifacts, "made again from the answers when a stage runs again"),
        ("checkpoint", doom.checkpoints, "to be trained again, which takes time"),
        ("damaged object", broken, "no longer what was stored; drawn, or read from the data, again when it is wanted"),
        (
            "object",
            unused,
            "named by no answer and no artifact of this store; records that you keep elsewhere may name them",
        ),
    ]
    return [_line(name, len(paths), _size(paths), what) for name, paths, what in parts if paths]


def _line(name: str, count: int, size: int, what: str) -> str:
    return f"{count:,} {name}{'' if count == 1 else 's'} ({megabytes(size)} MB): {what}"


def _size(paths: Sequence[Path]) -> int:
    """Returns the bytes of files, and of all files in folders."""
    every = [file for path in paths for file in ([*path.rglob("*")] if path.is_dir() else [path])]
    return sum(file.lstat().st_size for file in every if file.is_symlink() or file.is_file())
