"""The one walk over a store, for `ltgc cache info`, `show`, `verify` and `prune`."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from ltgc_cli.errors import InputError
from ltgc_cli.files import TEMPORARY, whole_lines
from ltgc_cli.ports import Comparison, ImageRequest, Question, Usage, unpriced
from ltgc_cli.records import Made
from ltgc_cli.settings import Choice
from ltgc_cli.store import Entry, Row, Store, entry
from ltgc_cli.usage import stage

# Folders of the store; and files that a run is writing, wherever they are, or that one which was killed left.
Part = Literal["answers", "artifacts", "objects", "checkpoints", "batches", "checked", "temporary", "database"]
DAY = 86_400.0
SHORTEST = 4  # characters of a key or an id that are enough where no other begins so
FREE = Usage(dollars=0.0)
SHA256 = re.compile(r"[0-9a-f]{64}")
NAMED = re.compile(rb'"(?:sha256|original)":\s*"([0-9a-f]{64})"')  # an object, or a checkpoint


class Stored(NamedTuple):
    """Something in the store: an answer (a row of the database), a file (of an artifact the lines), a checkpoint."""

    part: Part
    name: str  # an answer's key, an object's sha256, STAGE/HASH of an artifact, the name of a checkpoint's folder
    path: Path
    size: int  # bytes; of an artifact its manifest's too
    time: float  # when it was stored, in seconds since 1970
    stage: str = ""
    model: str = ""
    subject: str = ""  # what an answer is about: the class of a question, the text of an image or a score
    usage: Usage = FREE  # only `None` dollars are an unknown price
    row: Row | None = None
    entry: Entry | None = None
    error: ValueError | None = None  # why an answer cannot be read; OtherVersion where another version of ltgc can


def opened(folder: Path) -> Store:
    """Returns the store of a folder. Raises InputError where there is none: looking at it makes none."""
    if not (folder / "answers").is_dir():
        raise InputError(f"{folder}: no store is here yet; any stage makes one, and --cache-dir names another")
    return Store(folder)


def walk(store: Store, *parts: Part) -> Iterator[Stored]:
    """Returns what is in these parts of the store: answers in the order stored, files sorted by name.

    A file that ltgc never writes is left out, and no link to a folder is followed; a link in the place of an artifact
    or an object is returned, so that it is found damaged.
    """
    for part in parts:
        yield from _WALKS[part](store)


def fits(choice: Choice, one: Stored) -> bool:
    """Returns whether it is meant: an answer that can be read by all of the choice, the rest by its stage and age."""
    if choice.older_than is not None and time.time() - one.time < choice.older_than * DAY:
        return False
    if one.part == "answers":
        named = choice.class_ is None or mentions(one.subject, choice.class_)
        model = choice.model in (None, one.model, re.split("[@#]", one.model)[0])
        return named and model and choice.stage in (None, one.stage) and not one.error
    return one.part != "artifacts" or choice.stage in (None, one.stage)


def mentions(text: str, name: str) -> bool:
    """Returns whether a text names a class, as whole words.

    >>> mentions("Crane (bird)", "crane"), mentions("A photo of the class cranefly.", "crane")
    (True, False)
    """
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE) is not None


def answer(row: Row) -> Stored:
    """Returns what a row of the answers is."""
    found = Stored("answers", row.key, Path(), row.size, row.stored, row=row)
    try:
        if row.text is None:
            raise ValueError("it holds what ltgc never writes (a pickle?)")
        one = entry(row.key, row.text)
    except ValueError as error:
        return found._replace(error=error)
    request, usage = one.request, getattr(one.answer, "usage", FREE)
    if isinstance(request, Question):
        asked = stage(Made(model=request.model, prompt=request.task, attempt=request.attempt)), request.subject
    elif isinstance(request, ImageRequest):  # also where filter had it made again
        asked = "render", request.text
    else:
        asked = "filter", request.own if isinstance(request, Comparison) else request.text
    if usage.dollars is None and not unpriced(request.model, usage):
        usage = FREE  # it ran on one's own machine
    return found._replace(stage=asked[0], subject=asked[1], model=request.model, usage=usage, entry=one)


def _artifacts(store: Store) -> Iterator[Stored]:
    folder = store.folder / "artifacts"
    found = {one.path: one for one in files(folder, "artifacts") if not one.name.startswith(".")}
    ours = (path for path in found if path.suffix in (".json", ".jsonl") and path.parent.parent == folder)
    for path in sorted({path.with_suffix(".jsonl") for path in ours}):
        there = [found[one] for one in (path, path.with_suffix(".json")) if one in found]
        name, size = f"{path.parent.name}/{path.stem[:12]}", sum(one.size for one in there)
        yield Stored("artifacts", name, path, size, there[0].time, path.parent.name)


def _objects(store: Store) -> Iterator[Stored]:
    found = files(store.folder / "objects", "objects")
    return (one for one in found if SHA256.fullmatch(one.name) and one.path == store.object_path(one.name))


def _checkpoints(store: Store) -> Iterator[Stored]:
    for path in sorted((store.folder / "checkpoints").glob("*")):
        if path.is_dir() and not path.is_symlink():
            inside = list(files(path, "checkpoints"))
            newest = max([path.lstat().st_mtime, *(one.time for one in inside)])
            yield Stored("checkpoints", path.name, path, sum(one.size for one in inside), newest)


_WALKS: dict[Part, Callable[[Store], Iterator[Stored]]] = {
    "answers": lambda store: map(answer, store.rows()),
    "artifacts": _artifacts,
    "objects": _objects,
    "checkpoints": _checkpoints,
    "batches": lambda store: files(store.folder / "batches", "batches"),
    "checked": lambda store: files(store.folder / "checked", "checked"),
    "temporary": lambda store: (one for one in files(store.folder, "temporary") if one.name.startswith(TEMPORARY)),
}


def files(folder: Path, part: Part) -> Iterator[Stored]:
    """Returns the files and links in a folder and its folders. What a run renames meanwhile is left out."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(place, name)
            with suppress(FileNotFoundError):
                status = path.lstat()
                # A second name for a file that lies elsewhere is not as old as that file: this tells when it was given.
                since = max(status.st_mtime, status.st_ctime) if status.st_nlink > 1 else status.st_mtime
                yield Stored(part, name, path, status.st_size, since)


def named_in(path: Path) -> set[str]:
    """Returns the sha256 that the lines of an artifact name, none where it has no lines."""
    if not path.is_file():
        return set()
    with path.open("rb") as lines:
        return {sha256.decode() for line in whole_lines(lines, path) for sha256 in NAMED.findall(line)}
