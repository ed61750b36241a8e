"""What `ltgc cache prune` deletes, what that is worth, and in which order: killed half-way, it leaves a whole store.

Artifacts go before the answers that they were made from, answers before the images that they name. An image goes
only when no answer and no artifact names it, so nothing that is kept ever points to nothing.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import msgspec

from ltgc_cli.cache.info import megabytes
from ltgc_cli.cache.verify import verify
from ltgc_cli.cache.walk import DAY, NAMED, Part, Stored, fits, named_in, walk
from ltgc_cli.errors import InputError
from ltgc_cli.ports import request_name
from ltgc_cli.settings import CachePrune, Choice
from ltgc_cli.store import Store
from ltgc_cli.text import counted
from ltgc_cli.usage import UsageSum

_AT_ONCE = 1000  # answers that are deleted in one transaction
_WORDS = {"Question": "answer", "Drawing": "generated image", "Match": "score", "Rival": "comparison"}
# What is deleted, in the order in which it goes.
_REMARKS = {
    "artifacts": "made again from the answers when a stage runs again",
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


def to_delete(store: Store, wanted: CachePrune, choice: Choice) -> list[Deletion]:
    """Returns what is to be deleted, in the order in which it goes. Deletes nothing.

    Raises InputError where nothing is named, and where a part of the store is a link.
    """
    named = _named(wanted, choice)
    for folder in ("answers", "objects", "artifacts", "checkpoints"):
        if (store.folder / folder).is_symlink():
            raise InputError(f"{store.folder / folder} is a link; prune deletes nothing outside of the store's folder")
    found = {name: Deletion(name, remark) for name, remark in _REMARKS.items()}
    going: set[int | Path] = set()

    def add(name: str, one: Stored) -> None:
        place = one.row.number if one.row else one.path
        if place not in going:
            going.add(place)
            found[name].add(one)

    parts: list[Part] = ["answers", "artifacts", "checkpoints"]
    for one in walk(store, *(part for part in parts if part in named)):
        new = time.time() - one.time < DAY
        in_training = one.part == "checkpoints" and new and not (one.path / "done.json").exists()
        if fits(choice, one) and not in_training:
            add(one.part, one)
    for one, _ in verify(store).damages if "damaged" in named else ():
        name = f"damaged {one.part}"
        if one.part != "database":
            add(name if name in found else one.part, one)
    # With its artifact a checkpoint that is gone would not be trained again.
    weights = {path.name for path in found["checkpoints"].paths}
    for one in walk(store, "artifacts") if weights else ():
        if one.stage == "mix-train" and weights & named_in(one.path):
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
                if one.name == "artifacts":
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


def _named(wanted: CachePrune, choice: Choice) -> set[str]:
    """Returns what is to be deleted: answers, where only a choice is given. Raises InputError for a useless choice."""
    named = {name for name in ("answers", "artifacts", "checkpoints", "unused", "damaged") if getattr(wanted, name)}
    if not named and choice == Choice():
        raise InputError(
            "say what to delete: answers (--answers, --stage, --model, --class, --older-than), --artifacts, "
            "--checkpoints, --unused, --damaged"
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
