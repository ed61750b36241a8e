"""Whether the store is what it says: every object's bytes, every answer's key, the artifacts and the checkpoints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import msgspec

from ltgc_cli import console
from ltgc_cli.cache.walk import SHA256, Part, Stored, named_in, walk
from ltgc_cli.errors import InputError
from ltgc_cli.files import read_regular, sha256_file
from ltgc_cli.manifest import Manifest
from ltgc_cli.ports import GeneratedImage
from ltgc_cli.store import OtherVersion, Store
from ltgc_cli.text import counted

DATABASE = Stored("database", "answers/cache.db", Path(), 0, 0.0)


class Damage(NamedTuple):
    """Something that is not what it says, and why."""

    found: Stored
    why: str

    def line(self) -> dict[str, str]:
        """Returns it as a line of `ltgc cache verify`."""
        return {"kind": "damage", "what": self.found.part.removesuffix("s"), "name": self.found.name, "why": self.why}


class Verified(NamedTuple):
    """How much was checked, by kind, and what is damaged."""

    checked: Counter[Part]
    damages: list[Damage]
    others: int  # answers that another version of ltgc wrote: right ones, for all that this one can tell


def verify(store: Store) -> Verified:
    """Returns what is damaged in a store. Reads every byte of it, and changes nothing.

    What is unfinished (a run that was killed) and what is nobody's is no damage. Nor is an artifact with images that
    were never here: records may come from another store.
    """
    checked: Counter[Part] = Counter()
    damages: list[Damage] = []
    others = answered = 0
    # Objects come first: an answer or an artifact that names one that is lost or damaged is damaged as well.
    lost: set[str] = set()
    parts = list(_CHECKS)
    if unsound := store.sound():
        damages.append(Damage(DATABASE, unsound))
        parts.remove("answers")
    with console.progress("cache verify") as progress:
        for one in walk(store, *parts):
            if one.part == "checkpoints" and not (one.path / "done.json").is_file():
                continue  # without it training goes on there
            checked[one.part] += 1
            others += isinstance(one.error, OtherVersion)
            if why := _CHECKS[one.part](store, one, lost):
                damages.append(Damage(one, why))
            answered += one.part == "artifacts" and _rests_on_answers(one.path)
            progress.advance(status=f"{one.part}, {len(damages):,} damaged")
    if answered and not checked["answers"] and not unsound:
        why = f"it holds no answer, and {counted(answered, 'artifact')} came of some"
        damages.append(Damage(DATABASE, why))
    return Verified(checked, damages, others)


def _object(store: Store, one: Stored, lost: set[str]) -> str:
    if why := _unlike(one.path, one.name):
        lost.add(one.name)
    return why


def _answer(store: Store, one: Stored, lost: set[str]) -> str:
    """Returns what is wrong with an answer; an image that is not there is added to those that are lost."""
    if one.entry is None:
        return "" if isinstance(one.error, OtherVersion) else str(one.error)
    image = one.entry.answer
    if not isinstance(image, GeneratedImage):
        return ""
    if not SHA256.fullmatch(image.sha256):
        return "its image has no name"
    if not store.object_path(image.sha256).is_file():
        lost.add(image.sha256)
    return f"its image {image.sha256[:12]} is lost" if image.sha256 in lost else ""


def _artifact(store: Store, one: Stored, lost: set[str]) -> str:
    path = one.path.with_suffix(".json")
    try:
        manifest = msgspec.json.decode(read_regular(path), type=Manifest) if path.is_file() else None
    except (OSError, ValueError, RecursionError) as error:
        return f"its manifest cannot be read ({error})"
    if one.path.is_symlink() or not one.path.is_file():
        return "its manifest is there, and its lines are not"
    if manifest and manifest.output and (why := _unlike(one.path, manifest.output)):
        return why
    named = sorted(named_in(one.path) & lost) if lost else []
    return f"it names the image {named[0][:12]}, which is lost" if named else ""


def _rests_on_answers(artifact: Path) -> bool:
    """Returns whether an artifact's manifest says that there were answers."""
    try:
        made = msgspec.json.decode(read_regular(artifact.with_suffix(".json")), type=Manifest)
    except (OSError, ValueError, RecursionError):
        return False
    return any(one.asked or one.found for one in made.answers.values())


def _checkpoint(store: Store, one: Stored, lost: set[str]) -> str:
    try:
        hashes = checkpoint_files(one.path)
    except InputError as error:
        return str(error)
    return next((why for name, sha256 in hashes.items() if (why := _unlike(one.path / name, sha256))), "")


def checkpoint_files(folder: Path) -> dict[str, str]:
    """Returns the sha256 of a checkpoint's files by name. Raises InputError, of a few words, for what names none."""
    try:
        hashes = msgspec.json.decode(read_regular(folder / "done.json"), type=_Trained).files
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"its done.json cannot be read ({error})") from None
    for name in hashes:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise InputError(f"its done.json names {name!r}")
    return hashes


class _Trained(msgspec.Struct):
    """As much of a checkpoint's done.json as is checked."""

    files: dict[str, str]  # sha256 by name


_CHECKS: dict[Part, Callable[[Store, Stored, set[str]], str]] = {
    "objects": _object,
    "answers": _answer,
    "artifacts": _artifact,
    "checkpoints": _checkpoint,
}


def _unlike(path: Path, sha256: str) -> str:
    """Returns why a file is not the bytes of a hash, "" where it is."""
    if path.is_symlink() or not path.is_file():
        return f"{path.name[:12]} is missing or no plain file"
    try:
        return "" if sha256_file(path) == sha256 else f"the bytes of {path.name[:20]} are not those that were stored"
    except InputError as error:
        return f"it cannot be read ({error})"


def mend(damages: Sequence[Damage], cache_dir: Path | None) -> str:
    """Returns what mends a store."""
    if any(one.part == "database" for one, _ in damages):
        return (
            "move its folder `answers` away, and `ltgc cache import` what was exported, or save what `sqlite3 cache.db "
            ".recover` finds"
        )
    where = f" --cache-dir {cache_dir}" if cache_dir else ""
    return f"ltgc cache prune --damaged{where} deletes it, and the next run asks for it again"
