"""What is in the store: sums by stage and model, and one line for each answer or artifact."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ltgc_cli import console
from ltgc_cli.cache.entries import ALL, Choice, Kept, answers
from ltgc_cli.engine import cents
from ltgc_cli.manifest import Manifest
from ltgc_cli.store import Store
from ltgc_cli.usage import UsageSum

PARTS = ("objects", "checkpoints", "batches", "checked")
"""Folders of the store beside the answers and the artifacts."""


class Sum(msgspec.Struct, kw_only=True):
    """How much there is of something: a line of `ltgc cache info`."""

    kind: str
    stage: str = ""
    model: str = ""
    entries: int = 0
    bytes: int = 0
    tokens: int = 0
    dollars: float = 0.0
    """What it stands for, as far as prices are known."""
    unpriced: int = 0
    """Answers whose price is not known."""


class Artifact(NamedTuple):
    """A stage's whole output in the store. `done` is its note, None where that is not there: the run fell short."""

    stage: str
    path: Path
    done: Manifest | None

    @property
    def time(self) -> float:
        """When it was made, in seconds since 1970."""
        return self.path.lstat().st_mtime


def sums(store: Store) -> list[Sum]:
    """Returns what is in the store: answers by stage and model, objects, artifacts by stage, the rest, all of it."""
    found: dict[tuple[str, str], Sum] = {}
    bills: dict[tuple[str, str], UsageSum] = {}
    with console.progress("cache info", len(store)) as progress:
        for kept in answers(store, told=progress.advance):
            group = kept.stage, kept.request.model
            one = found.setdefault(group, Sum(kind="answers", stage=group[0], model=group[1]))
            one.entries += 1
            one.bytes += kept.row.size
            bills.setdefault(group, UsageSum()).add(kept.usage)
    for group, bill in bills.items():
        one = found[group]
        one.tokens, one.dollars, one.unpriced = bill.prompt_tokens + bill.completion_tokens, bill.dollars, bill.unpriced
    rest = [_folder("artifacts", path, path.name) for path in folders(store.folder / "artifacts")]
    rest += [_folder(kind, store.folder / kind) for kind in PARTS]
    whole = [found[group] for group in sorted(found)] + [part for part in rest if part.entries]
    total = Sum(kind="total", entries=sum(one.entries for one in whole), bytes=_folder("", store.folder).bytes)
    for name in ("tokens", "dollars", "unpriced"):
        setattr(total, name, sum(getattr(one, name) for one in whole))
    return [*whole, total]


def show_sums(rows: Iterable[Sum]) -> None:
    """Prints the sums, sizes in MB (10^6 bytes)."""
    cells = [
        (row.kind, row.stage, row.model, f"{row.entries:,}", megabytes(row.bytes), f"{row.tokens:,}", priced(row))
        for row in rows
    ]
    console.table("", ("", "stage", "model", "entries", "MB", "tokens", "US dollars"), cells)


def priced(row: Sum) -> str:
    """Returns what answers stand for: "0.31", "unknown", "at least 0.31" where some prices are not known."""
    paid = row.kind in ("answers", "total")
    return UsageSum(new=row.entries, dollars=row.dollars, unpriced=row.unpriced).priced() if paid else ""


def megabytes(size: int) -> str:
    """Returns bytes in MB (10^6).

    >>> megabytes(12_345_678), megabytes(900)
    ('12.3', '0.001')
    """
    return f"{size / 1e6:,.1f}" if size >= 100_000 else f"{size / 1e6:.3f}"


def artifacts(store: Store, choice: Choice = ALL) -> Iterator[Artifact]:
    """Returns the artifacts that are meant, the newest first. Links are left out."""
    now = time.time()
    found = [
        Artifact(folder.name, path, _note(path))
        for folder in folders(store.folder / "artifacts")
        if choice.stage in (None, folder.name)
        for path in sorted(folder.glob("*.jsonl"))
        if path.is_file() and not path.is_symlink() and choice.is_old(path.lstat().st_mtime, now)
    ]
    yield from sorted(found, key=lambda one: one.time, reverse=True)


def answer_line(kept: Kept) -> dict[str, Any]:
    """Returns an answer as a line of JSON; dollars are null where the price is not known."""
    usage = kept.usage
    return {
        "kind": "answer",
        "key": kept.row.key,
        "stage": kept.stage,
        "model": kept.request.model,
        "subject": kept.subject,
        "tokens": usage.prompt_tokens + usage.completion_tokens,
        "dollars": usage.dollars,
        "bytes": kept.row.size,
        "stored": when(kept.row.stored),
    }


def artifact_line(one: Artifact) -> dict[str, Any]:
    """Returns an artifact as a line of JSON."""
    done = one.done
    return {
        "kind": "artifact",
        "stage": one.stage,
        "path": str(one.path),
        "whole": done is not None,
        "kinds": done.kinds if done else {},
        "dollars": done.dollars if done else None,
        "bytes": one.path.lstat().st_size,
        "made": when(one.time),
    }


def answer_cells(line: dict[str, Any]) -> tuple[str, ...]:
    """Returns an answer as a row of a table."""
    dollars = "unknown" if line["dollars"] is None else cents(line["dollars"])
    return line["key"][:12], line["stage"], line["model"], line["subject"], f"{line['tokens']:,}", dollars


def artifact_cells(line: dict[str, Any]) -> tuple[str, ...]:
    """Returns an artifact as a row of a table."""
    said = ", ".join(f"{count:,} {kind}" for kind, count in line["kinds"].items())
    name = Path(line["path"]).stem[:12]
    return name, line["stage"], said if line["whole"] else "not whole", megabytes(line["bytes"]), line["made"]


def when(seconds: float) -> str:
    """Returns a time as people and programs read it.

    >>> when(0)
    '1970-01-01T00:00:00Z'
    """
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _note(path: Path) -> Manifest | None:
    try:
        return msgspec.json.decode(path.with_suffix(".json").read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError):
        return None


def _folder(kind: str, path: Path, stage: str = "") -> Sum:
    """Returns how much is in a folder. Entries are files, but of artifacts the notes and of checkpoints the files."""
    entries = size = 0
    for place, folders, files in os.walk(path):
        sizes = [os.lstat(os.path.join(place, name)).st_size for name in files]
        size += sum(sizes)
        if kind == "artifacts":
            entries += sum(name.endswith(".jsonl") for name in files)
        elif kind == "checkpoints":
            entries += len(folders) if Path(place) == path else 0
        else:
            entries += len(files)
    return Sum(kind=kind, stage=stage, entries=entries, bytes=size)


def folders(path: Path) -> list[Path]:
    """Returns the folders in a folder, sorted; none where it is not there. Links are left out."""
    try:
        return sorted(one for one in path.iterdir() if one.is_dir() and not one.is_symlink())
    except (FileNotFoundError, NotADirectoryError):
        return []
