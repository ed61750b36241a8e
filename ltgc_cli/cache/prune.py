"""What `ltgc cache prune` deletes, what that is worth, and in which order: killed half-way, it leaves a whole store.

Artifacts go before the answers that they were made from, answers before the images that they name. An image goes
only when no answer and no artifact names it, so nothing that is kept ever points to nothing.
"""

from __future__ import annotations

import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import msgspec

from ltgc_cli.cache.info import megabytes
from ltgc_cli.cache.verify import verify
from ltgc_cli.cache.walk import DAY, NAMED, SHORTEST, Part, Stored, answer, fits, named_in, walk
from ltgc_cli.errors import InputError
from ltgc_cli.files import whole_lines
from ltgc_cli.ports import Comparison, ImageRequest, Match, request_name
from ltgc_cli.settings import CachePrune, Choice
from ltgc_cli.store import Entry, Store
from ltgc_cli.text import counted
from ltgc_cli.usage import UsageSum

_AT_ONCE = 1000  # answers that are deleted in one transaction
_WORDS = {"Question": "answer", "Drawing": "generated image", "Match": "score", "Rival": "comparison"}
# What is deleted, in the order in which it goes.
_REMARKS = {
    "artifacts": "made again from the answers when a stage runs again",
    "outputs": "stages' outputs that rest on these answers, and would keep them from being asked again",
    "answers": "",
    "damaged answers": "",
    "checkpoints": "to be trained again, which takes time",
    "damaged objects": "no longer what was stored; generated, or read from the data, again when it is wanted",
    "objects": "named by no answer and no artifact of this store; records that you keep elsewhere may name them",
}


class Deletion(msgspec.Struct):
    """What is to be deleted for one reason, and what it is worth: what asking again costs, or takes."""

    name: str
    remark: str
    rows: dict[int, str] = {}  # of answers, the keys by row number
    paths: list[Path] = []  # of artifacts the lines; their manifests go with them
    size: int = 0
    usage: UsageSum = msgspec.field(default_factory=UsageSum)
    computed: Counter[str] = msgspec.field(default_factory=Counter)  # for nothing but time, by the kind of request
    unread: int = 0  # answers that cannot be read, so that nobody knows what they cost

    def __len__(self) -> int:
        return len(self.rows) + len(self.paths)

    def add(self, one: Stored) -> None:
        self.size += one.size
        if one.row is None:
            self.paths.append(one.path)
            return
        self.rows[one.row.number] = one.name
        if one.entry is None:
            self.unread += 1
        elif one.usage.dollars == 0.0:
            self.computed[request_name(one.entry.request)] += 1
        else:
            self.usage.add(one.usage)

    def line(self) -> str:
        """Returns what it is and what it is worth, for a person."""
        usage, unread = self.usage, self.unread
        here = ", ".join(counted(count, _WORDS[kind]) for kind, count in self.computed.items())
        worth = {
            f"{usage.new:,} to buy again, for US dollars: {usage.priced()}": usage.new,
            f"{usage.unpriced:,} of unknown price": usage.unpriced,
            f"{here} to compute again, for nothing but time": here,
            f"{unread:,} that cannot be read, whatever they cost": unread,
            self.remark: self.remark,
        }
        texts = "; ".join(text for text, there in worth.items() if there)
        return f"{counted(len(self), self.name.removesuffix('s'))} ({megabytes(self.size)} MB): {texts}"


def to_delete(store: Store, wanted: CachePrune, choice: Choice, keys: Sequence[str] = ()) -> list[Deletion]:
    """Returns what is to be deleted, in the order in which it goes. Deletes nothing.

    keys -- of single answers, or their beginnings; then nothing else goes but what rests on them
    Raises InputError where nothing is named, or no answer, or several, by a key; and where a part of the store is a
    link.
    """
    chosen = [_answer_of(store, key) for key in keys]
    named = set[str]() if keys else _named(wanted, choice)
    for folder in ("answers", "objects", "artifacts", "checkpoints"):
        if (store.folder / folder).is_symlink():
            raise InputError(f"{store.folder / folder} is a link; prune deletes nothing outside of the store's folder")
    found = {name: Deletion(name, remark) for name, remark in _REMARKS.items()}
    going: set[int | Path] = set()
    marks: dict[str, set[str]] = {}  # what outputs that rest on these answers name, by their stage

    def add(name: str, one: Stored) -> None:
        place = one.row.number if one.row else one.path
        if place not in going:
            going.add(place)
            found[name].add(one)
            for stage in _stages(one):
                marks.setdefault(stage, set()).update(_marks(one.entry) if one.entry else ())

    parts: list[Part] = ["answers", "artifacts", "checkpoints"]
    for one in walk(store, *(part for part in parts if part in named)):
        new = time.time() - one.time < DAY
        in_training = one.part == "checkpoints" and new and not (one.path / "done.json").exists()
        if fits(choice, one) and not in_training:
            add(one.part, one)
    for one in chosen:
        add("answers", one)
    for one in walk(store, "artifacts") if marks else ():
        if _rests(one, marks):
            add("outputs", one)
    for one, _ in verify(store).damages if "damaged" in named else ():
        name = f"damaged {one.part}"
        if one.part != "database":
            add(name if name in found else one.part, one)
    # With its artifact a checkpoint that is gone would not be trained again.
    weights = {path.name for path in found["checkpoints"].paths}
    for one in walk(store, "artifacts") if weights else ():
        if one.stage in ("adapt", "mix-train") and weights & named_in(one.path):
            add("artifacts", one)
    if "unused" in named:
        images = _images(store, going)
        for one in walk(store, "objects", "temporary"):
            # A run stores an image, or an original, before it has any answer to name it.
            if one.name not in images and time.time() - one.time >= DAY and fits(choice, one):
                add("objects", one)
    elif found["answers"].computed["Drawing"]:
        found["answers"].remark = "images stay until --unused"
    return [deletion for deletion in found.values() if len(deletion)]


def delete(store: Store, deletions: Sequence[Deletion]) -> Iterator[int]:
    """Deletes it, and returns after each step how much went. Stopped after any of them, what is left is whole."""
    try:
        for one in deletions:
            rows = iter(one.rows.items())
            while some := list(islice(rows, _AT_ONCE)):
                store.discard(some)
                yield len(some)
            for path in one.paths:
                # What marks it as whole goes first: without that the rest counts for nothing.
                if one.name in ("artifacts", "outputs"):
                    path.with_suffix(".json").unlink(missing_ok=True)
                elif one.name == "checkpoints":
                    (path / "done.json").unlink(missing_ok=True)
                yield 0
                if one.name == "checkpoints":
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
                yield 1
    except OSError as error:
        raise InputError(f"{error.filename or store.folder}: {error.strerror}; run again to go on") from None


def _rests(artifact: Stored, marks: Mapping[str, set[str]]) -> bool:
    """Returns whether an artifact would keep answers from being asked again. Of eval nobody can say: all of it does."""
    own = marks.get(artifact.stage)
    if own is None or not artifact.path.is_file():
        return False
    return artifact.stage == "eval" or not own.isdisjoint(named_in(artifact.path) | _classes_in(artifact.path))


def _stages(one: Stored) -> tuple[str, ...]:
    """Returns the stages whose outputs may rest on an answer: filter generates as well, and reflect asks as extend."""
    if one.entry and isinstance(one.entry.request, ImageRequest):
        return ("filter",) if one.entry.request.attempt else ("render",)
    return ("extend", "reflect") if one.stage in ("extend", "reflect") else (one.stage,)


def _marks(entry: Entry) -> set[str]:
    """Returns what an output that rests on an answer names: an image, or a class."""
    request, said = entry
    if isinstance(request, ImageRequest):
        return {said.sha256}
    if isinstance(request, (Match, Comparison)):
        return {request.image}
    # A class with a sense is asked for as `seal (marine mammal)`.
    return {request.subject, request.subject.rpartition(" (")[0], *request.images} - {""}


def _classes_in(artifact: Path) -> set[str]:
    """Returns the names of the classes that the lines of an artifact are about."""
    if not artifact.is_file():
        return set()
    with artifact.open("rb") as lines:
        quoted = {name for line in whole_lines(lines, artifact) for name in _CLASS.findall(line)}
    return {" ".join(msgspec.json.decode(name, type=str).split()) for name in quoted}


_CLASS = re.compile(rb'"class":\s*("(?:[^"\\]|\\.)*")')


def _answer_of(store: Store, key: str) -> Stored:
    """Returns the answer under a key, or under the only one that begins so. Raises InputError for none, and several."""
    if len(key) < SHORTEST:
        raise InputError(f"{key!r}: give an answer's key, or at least {SHORTEST} characters of it: ltgc cache show")
    rows = list(islice(store.sorted_rows(key), 2))
    if not rows:
        raise InputError(f"{key}: no answer in {store.folder} has this key: ltgc cache show lists them")
    if len(rows) > 1 and rows[0].key != key:
        raise InputError(f"{key}: several keys begin so: {rows[0].key[:16]}, {rows[1].key[:16]}; give more of it")
    return answer(rows[0])


def _named(wanted: CachePrune, choice: Choice) -> set[str]:
    """Returns what is to be deleted: answers, where only a choice is given. Raises InputError for a useless choice."""
    named = {name for name in ("answers", "artifacts", "checkpoints", "unused", "damaged") if getattr(wanted, name)}
    if not named and choice == Choice():
        raise InputError(
            "say what to delete: an answer by its KEY, answers (--answers, --stage, --model, --class, --older-than), "
            "--artifacts, --checkpoints, --unused, --damaged"
        )
    named = named or {"answers"}
    if (choice.model or choice.class_) and "answers" not in named:
        raise InputError("--model chooses answers; name --answers too, or leave it out")
    if choice.stage and not named & {"answers", "artifacts"}:
        raise InputError("--stage chooses answers and artifacts; name --answers or --artifacts too, or leave it out")
    if choice.older_than is not None and named == {"damaged"}:
        raise InputError("--damaged deletes all that is damaged; leave --older-than out")
    return named


def _images(store: Store, going: set[int | Path]) -> set[str]:
    """Returns the images that an answer or an artifact names, but for those that go now."""
    # Read as text: an answer of another version of ltgc names its image as well.
    kept = (row.text.encode() for row in store.rows() if row.text and row.number not in going)
    images = {sha256.decode() for text in kept for sha256 in NAMED.findall(text)}
    for one in walk(store, "artifacts"):
        images |= named_in(one.path) if one.path not in going else set()
    return images
