"""What `ltgc cache prune` deletes, what that is worth, and in which order: killed half-way, it leaves a whole store.

Artifacts go before the answers that they were made from, answers before the pictures that they name. A picture goes
only when no answer and no artifact names it, so nothing that is kept ever points to nothing.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from ltgc_cli.cli.bill import Bill
from ltgc_cli.cli.cache_contents import artifacts, folders, megabytes
from ltgc_cli.cli.cache_entries import DAY, Choice, answers
from ltgc_cli.cli.cache_verify import SHA256, named, verify
from ltgc_cli.errors import InputError
from ltgc_cli.ports import Picture
from ltgc_cli.store import Store

What = Literal["answers", "artifacts", "checkpoints", "unused", "damaged"]
_AT_ONCE = 1000
"""Answers that are deleted in one transaction."""
_TEMPORARY = ".tmp-"
"""What files are called while they are written; a run that was killed leaves one."""
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
    bad_rows = {one.row[0]: one.row[1] for one in damages if one.row}
    rows, worth = _meant(store, choice, "unused" in what) if "answers" in what else ({}, [])
    bad = len(bad_rows.keys() - rows.keys())
    rows |= bad_rows
    weights = _old_checkpoints(store, choice) if "checkpoints" in what else []
    weights += paths["checkpoint"]
    lines = [one.path for one in artifacts(store, choice)] if "artifacts" in what else []
    lines += paths["artifact"] + _trained(store, weights)
    files = paths["object"]
    files += _unused(store, rows, set(lines), choice) if "unused" in what else []
    unique = Doomed(rows, _unique(lines), _unique(weights), _unique(files), [])
    return unique._replace(said=worth + _said(unique, bad))


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
    kept = (one for one in answers(store) if one.row.number not in rows)
    used = {one.answer.sha256 for one in kept if isinstance(one.answer, Picture)}
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


def _said(doom: Doomed, bad: int) -> list[str]:
    said = []
    parts: list[tuple[str, int, Callable[[], int], str]] = [
        ("damaged answer", bad, lambda: 0, "asked again when they are wanted"),
        (
            "artifact",
            len(doom.artifacts),
            lambda: _size(doom.artifacts),
            "made again from the answers when a stage runs again",
        ),
        ("checkpoint", len(doom.checkpoints), lambda: _size(doom.checkpoints), "to be trained again, which takes time"),
        (
            "object",
            len(doom.objects),
            lambda: _size(doom.objects),
            "named by no answer and no artifact of this store; records that you keep elsewhere may name them",
        ),
    ]
    for name, count, size, what in parts:
        if count:
            said.append(f"{count:,} {name}{'' if count == 1 else 's'} ({megabytes(size())} MB): {what}")
    return said


def _meant(store: Store, choice: Choice, unused: bool) -> tuple[dict[int, str], list[str]]:
    """Returns the answers that are meant, and in a line what they are worth, if there are any.

    That is what asking again costs, and what is computed here, for nothing but time.
    """
    rows: dict[int, str] = {}
    size = 0
    bill = Bill()
    computed: Counter[str] = Counter()
    for kept in answers(store, choice):
        rows[kept.row.number] = kept.row.key
        size += kept.row.size
        if kept.usage.dollars == 0.0:
            computed[type(kept.request).__name__] += 1
        else:
            bill.add(kept.usage)
    worth = [f"{bill.new:,} to buy again, for US dollars: {bill.priced()}"] if bill.new else []
    worth += [f"{bill.unpriced:,} of unknown price"] if bill.unpriced else []
    words = {"Question": "answers", "Drawing": "drawings", "Match": "scores", "Rival": "comparisons"}
    here = ", ".join(f"{count:,} {words[name]}" for name, count in computed.items())
    worth += [f"{here} to compute again, for nothing but time"] if here else []
    worth += ["pictures stay until --unused"] if computed["Drawing"] and not unused else []
    said = f"{len(rows):,} answer{'' if len(rows) == 1 else 's'} ({megabytes(size)} MB): {'; '.join(worth)}"
    return rows, [said] if rows else []


def _size(paths: Sequence[Path]) -> int:
    """Returns the bytes of files, and of all files in folders."""
    every = [file for path in paths for file in ([*path.rglob("*")] if path.is_dir() else [path])]
    return sum(file.lstat().st_size for file in every if file.is_symlink() or file.is_file())
