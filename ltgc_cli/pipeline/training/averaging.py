"""mix-train --average: which checkpoints a training is averaged with, and whether they can be. Loads no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from ltgc_cli.errors import InputError
from ltgc_cli.learn import checkpoint_files
from ltgc_cli.learn.checkpoint_files import DONE, MERGED
from ltgc_cli.learn.datasets import ClassInfo
from ltgc_cli.learn.settings import can_merge
from ltgc_cli.pipeline.session import Session
from ltgc_cli.records import Checkpoint
from ltgc_cli.settings import Training


class Averaged(NamedTuple):
    """A checkpoint that a training is averaged with."""

    name: str  # its method where it comes from the stream, or what its folder is called
    folder: Path
    content: str  # the sha256 (hex) of what its files are, wherever they lie
    record: Checkpoint | None = None  # that of the stream

    @property
    def images(self) -> int:
        """How many generated images it was trained on; of a folder it is not known."""
        return int(self.record.settings.get("images", 0)) if self.record else 0


def flags(wanted: Sequence[str]) -> list[list[str]]:
    """Returns what stands for --average in an artifact's hash: a name, of a folder with the hash of its content.

    What a name of the stream stands for is in the hash of the input.
    """
    return [[folder.name, _content(folder)] if (folder := _folder(text)) else [text] for text in wanted]


def found(session: Session, wanted: Sequence[str], stream: Sequence[Checkpoint]) -> list[Averaged]:
    """Returns the checkpoints that are named, by their folder or, among those of the stream, by their method.

    Raises InputError where there is none, or there are several, and where one is not whole.
    """
    others, different = [], {(one.method, one.sha256): one for one in stream}
    for text in wanted:
        if in_folder := _in_folder(text):
            others.append(in_folder)
            continue
        check_name(text, [method for method, _ in different])
        record = next(one for one in different.values() if one.method == text)
        session.store.object_path(record.sha256)  # raises for what is no sha256, so that no name leads elsewhere
        folder = session.folder / "checkpoints" / record.sha256
        if not (folder / DONE).is_file():
            raise InputError(f"--average {text}: its weights are not in the store {session.folder}; train it again")
        others.append(Averaged(text, folder, _content(folder), record))
    return others


def check_name(wanted: str, names: Sequence[str]) -> None:
    """Returns nothing where one checkpoint can be meant: that of a folder, or one of those of the stream.

    names -- what the stream's checkpoints are called
    """
    if names.count(wanted) != 1 and not _folder(wanted):
        raise InputError(f"--average {wanted}: {_not_one(names.count(wanted), names)}")


def check_folders(wanted: Sequence[str], settings: Training, classes: Sequence[ClassInfo], clip: str) -> None:
    """Returns nothing where the checkpoints that are named by their folders can be averaged with, as `check` says."""
    check([one for text in wanted if (one := _in_folder(text))], settings, classes, clip)


def check(others: Sequence[Averaged], settings: Training, classes: Sequence[ClassInfo], clip: str) -> None:
    """Returns nothing where weights trained so can be averaged with those of the others.

    settings -- resolved; clip -- the identity of the CLIP model
    Raises InputError for another CLIP model, class table or head, for AdaptFormer, and for files that were changed.
    """
    for one in others:
        done, theirs = checkpoint_files.whole(one.folder), checkpoint_files.settings(one.folder)
        table = [(info.label, info.name) for info in checkpoint_files.classes(one.folder)]
        wrong = ""
        if done.clip != clip:
            wrong = f"it was trained on the CLIP model {done.clip}, and this is {clip}"
        elif table != [(info.label, info.name) for info in classes]:
            wrong = "its class table is another one"
        elif (head := _head(theirs)) != _head(settings):
            wrong = f"its head is {head}, and this one is {_head(settings)}"
        elif not done.averaged and (reason := can_merge(theirs)):
            wrong = reason
        if wrong:
            raise InputError(f"--average {one.name}: {wrong}")
        checkpoint_files.check(one.folder, done)


def identity(own: str, others: Sequence[Averaged]) -> str:
    """Returns the sha256 (hex) of what an average is made from: its own training, and the others' content."""
    return hashlib.sha256(msgspec.json.encode(["average", own, [one.content for one in others]])).hexdigest()


def name(own: str, others: Sequence[Averaged]) -> str:
    """Returns what a table calls an average.

    >>> name("LTGC", [Averaged("fine-tune + la", Path("a"), "b"), Averaged("mine", Path("c"), "d")])
    'LTGC, averaged with fine-tune + la and mine'
    """
    return f"{own}, averaged with {' and '.join(one.name for one in others)}" if others else own


def _folder(text: str) -> Path | None:
    """Returns the folder of a checkpoint, None where the text names none."""
    try:
        folder = Path(text).expanduser()
        return folder.resolve() if (folder / DONE).is_file() else None
    except (OSError, RuntimeError, ValueError):  # no such user, a name that is too long: the name of a record, perhaps
        return None


def _in_folder(text: str) -> Averaged | None:
    """Returns the checkpoint of the folder that a text names, None where it names none."""
    return Averaged(folder.name, folder, _content(folder)) if (folder := _folder(text)) else None


def _content(folder: Path) -> str:
    done = checkpoint_files.whole(folder)
    files = sorted((name, sha256) for name, sha256 in done.files.items() if name != MERGED)
    return hashlib.sha256(msgspec.json.encode([done.clip, files])).hexdigest()


def _head(settings: Training) -> str:
    return f"{settings.head} with scale {settings.scale:g}"


def _not_one(count: int, stream: Sequence[str]) -> str:
    if count:
        return f"{count} checkpoints of the stream are called so; give each a --name, or name its folder"
    names = ", ".join(map(repr, dict.fromkeys(stream)))
    return f"no folder with a checkpoint, and none of the stream is called so (it has {names or 'none'})"
