"""Whether the store is what it says: every object's bytes, every answer's key, the artifacts and the checkpoints."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

import msgspec

from ltgc_cli import console
from ltgc_cli.cache.contents import folders
from ltgc_cli.manifest import Manifest
from ltgc_cli.ports import GeneratedImage
from ltgc_cli.store import OtherVersion, Row, Store, entry

Kind = Literal["database", "object", "answer", "artifact", "checkpoint"]
SHA256 = re.compile(r"[0-9a-f]{64}")


class Damage(NamedTuple):
    """Something that is not what it says."""

    kind: Kind
    name: str
    why: str
    path: Path | None = None
    """What is to be deleted; of an artifact the lines, and its note with them."""
    row: tuple[int, str] | None = None
    """The same of an answer: its number and key."""


class Verified(NamedTuple):
    """How much was checked, by kind, and what is damaged."""

    checked: dict[Kind, int]
    damages: list[Damage]
    others: int
    """Answers among them that another version of ltgc wrote: right ones, for all that this one can tell."""


def verify(store: Store) -> Verified:
    """Returns what is damaged in a store. Reads every byte of it, and changes nothing.

    What is unfinished (a run that was killed) and what is nobody's is no damage. Nor is an artifact with images that
    were never here: records may come from another store.
    """
    checked: dict[Kind, int] = {}
    damages: list[Damage] = []
    others: set[str] = set()
    with console.progress("cache verify") as progress:

        def look(kind: Kind, found: Iterator[Damage | None]) -> None:
            for damage in found:
                checked[kind] = checked.get(kind, 0) + 1
                damages.extend([damage] if damage else [])
                progress.advance(status=f"{kind}s, {len(damages):,} damaged")

        look("object", _objects(store))
        broken = {damage.name for damage in damages}
        if unsound := store.sound():
            damages.append(Damage("database", "answers/cache.db", unsound))
        else:
            look("answer", _answers(store, broken, others))
        look("artifact", _artifacts(store, broken))
        look("checkpoint", _checkpoints(store))
    return Verified(checked, damages, len(others))


def _objects(store: Store) -> Iterator[Damage | None]:
    for found in store.objects():
        path = Path(found.path)
        if SHA256.fullmatch(found.name) and path == store.object_path(found.name):
            why = _unlike(path, found.name)
            yield Damage("object", found.name, why, path) if why else None


def _answers(store: Store, broken: set[str], others: set[str]) -> Iterator[Damage | None]:
    """Returns what is wrong with each answer; pictures that are not there are added to what is broken.

    The keys of those of another version of ltgc are added to the others.
    """
    for row in store.rows():
        try:
            why = _wrong(store, row, broken)
        except OtherVersion:
            why = ""
            others.add(row.key)
        yield Damage("answer", row.key[:12], why, row=(row.number, row.key)) if why else None


def _wrong(store: Store, row: Row, broken: set[str]) -> str:
    if row.text is None:
        return "it holds what ltgc never writes (a pickle?)"
    try:
        answer = entry(row.key, row.text).answer
    except OtherVersion:
        raise
    except ValueError as error:
        return str(error)
    if not isinstance(answer, GeneratedImage):
        return ""
    if not SHA256.fullmatch(answer.sha256):
        return "its picture has no name"
    if answer.sha256 not in broken and not store.object_path(answer.sha256).is_file():
        broken.add(answer.sha256)
    return f"its picture {answer.sha256[:12]} is lost" if answer.sha256 in broken else ""


def _artifacts(store: Store, broken: set[str]) -> Iterator[Damage | None]:
    for folder in folders(store.folder / "artifacts"):
        stems = {path.with_suffix("") for path in folder.iterdir() if path.suffix in (".json", ".jsonl")}
        for stem in sorted(stem for stem in stems if not stem.name.startswith(".")):
            path = stem.with_suffix(".jsonl")
            why = _wrong_lines(path, broken)
            yield Damage("artifact", f"{folder.name}/{stem.name[:12]}", why, path) if why else None


def _wrong_lines(path: Path, broken: set[str]) -> str:
    note = path.with_suffix(".json")
    try:
        done = msgspec.json.decode(note.read_bytes(), type=Manifest) if note.is_file() else None
    except msgspec.DecodeError as error:
        return f"its note cannot be read ({error})"
    if path.is_symlink() or not path.is_file():
        return "its note is there, and its lines are not"
    if done and done.output and (why := _unlike(path, done.output)):
        return why
    lost = sorted(named(path).images & broken) if broken else []
    return f"it names the picture {lost[0][:12]}, which is lost" if lost else ""


class _Files(msgspec.Struct):
    files: dict[str, str]


def _checkpoints(store: Store) -> Iterator[Damage | None]:
    for folder in folders(store.folder / "checkpoints"):
        note = folder / "done.json"
        if note.is_file():  # without it training goes on there
            why = _wrong_files(folder, note)
            yield Damage("checkpoint", folder.name[:12], why, folder) if why else None


def _wrong_files(folder: Path, note: Path) -> str:
    try:
        files = msgspec.json.decode(note.read_bytes(), type=_Files).files
    except msgspec.DecodeError as error:
        return f"its done.json cannot be read ({error})"
    for name, sha256 in files.items():
        inside = PurePosixPath(name)
        if inside.is_absolute() or ".." in inside.parts:
            return f"its done.json names {name!r}"
        if why := _unlike(folder / name, sha256):
            return why
    return ""


def _unlike(path: Path, sha256: str) -> str:
    """Returns why a file is not the bytes of a hash, "" where it is."""
    if path.is_symlink() or not path.is_file():
        return f"{path.name[:12]} is missing or no plain file"
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"{path.name[:12]} cannot be read ({error.strerror})"
    return "" if found == sha256 else f"the bytes of {path.name[:20]} are not those that were stored"


# ---- what records name


class Named(NamedTuple):
    """What the lines of an artifact name: images, and checkpoints, by their sha256."""

    images: set[str]
    checkpoints: set[str]


class _Step(msgspec.Struct):
    sha256: str = ""


class _Line(msgspec.Struct):
    """As much of a record as names something."""

    kind: str = ""
    sha256: str = ""
    original: str = ""
    history: list[_Step] = []


_line = msgspec.json.Decoder(_Line)


def named(path: Path) -> Named:
    """Returns what an artifact names."""
    found = Named(set(), set())
    with path.open("rb") as lines:
        for line in lines:
            if b'sha256"' not in line:
                continue
            try:
                one = _line.decode(line)
            except (msgspec.MsgspecError, RecursionError):
                continue
            if one.kind == "checkpoint":
                found.checkpoints.add(one.sha256)
            else:
                found.images.update((one.sha256, one.original, *(step.sha256 for step in one.history)))
    found.images.discard("")
    return found
