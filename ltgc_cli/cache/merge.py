"""Another store taken into this one, straight from its folder: of a colleague, of another machine, of a shard's run.

Each thing is checked before it is taken, and whole once it is there: stopped half-way, the next import goes on. Images
come before the answers that name them, a manifest after its artifact's lines, a checkpoint's done.json last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from ltgc_cli import manifest
from ltgc_cli.cache.verify import checkpoint_files
from ltgc_cli.cache.walk import Stored, answer, files, opened, walk
from ltgc_cli.engine import in_order
from ltgc_cli.errors import InputError
from ltgc_cli.files import TEMPORARY, named_errors, read_regular, replacing
from ltgc_cli.ports import GeneratedImage
from ltgc_cli.store import OtherVersion, Store

_AT_ONCE = 1000  # answers that are stored with one sync
_COPYING = 8  # images that are copied at once, each with its syncs

Notify = Callable[[int], object]  # is called with how many things were done


class Merged(NamedTuple):
    """How much was new."""

    answers: int
    images: int
    artifacts: int
    checkpoints: int


def merge(store: Store, folder: Path, notify: Notify = lambda _: None) -> Merged:
    """Returns what was new in another store's folder; all of it is in the store from now on. What is there holds.

    What is unfinished in it (an artifact without its manifest) is left; so is what a run finishes there meanwhile, but
    for answers, which come with their images. Raises InputError where no store is there, and at the first thing that
    is damaged; what came before it is taken.
    """
    if folder.resolve() == store.folder.resolve():
        raise InputError(f"{folder} is this store itself; name another, or --cache-dir")
    other = opened(folder)
    try:
        # What is whole by now names no image that comes later.
        finished, trained = list(walk(other, "artifacts")), list(walk(other, "checkpoints"))
        finished = [one for one in finished if manifest.read(one.path)]
        images = _objects(store, other, notify)
        answers, later = _answers(store, other, notify)
        artifacts = sum(_artifact(store, other, one) for one in _noted(finished, notify))
        checkpoints = sum(_checkpoint(store, other, one) for one in _noted(trained, notify))
        return Merged(answers, images + later, artifacts, checkpoints)
    finally:
        other.close()


def _noted(found: Iterable[Stored], notify: Notify) -> Iterator[Stored]:
    for one in found:
        notify(1)
        yield one


def _objects(store: Store, other: Store, notify: Notify) -> int:
    new = 0
    for taken in in_order(lambda one: _object(store, other, one.name), walk(other, "objects"), _COPYING):
        new += taken
        notify(1)
    return new


def _object(store: Store, other: Store, sha256: str) -> bool:
    if store.object_path(sha256).is_file():
        return False
    path = other.object_path(sha256)
    with named_errors(other.folder):
        data = b"" if path.is_symlink() else read_regular(path)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise _damaged(other, f"the image {sha256[:12]} is not what its name says")
        # No store writes to an object that is there: both may have the one file.
        store.put_object(data, path, fixed=True)
    return True


def _answers(store: Store, other: Store, notify: Notify) -> tuple[int, int]:
    """Returns how many answers were new, and how many images came with them that a run stored meanwhile."""
    new, images, rows = 0, 0, other.rows()
    while batch := list(islice(rows, _AT_ONCE)):
        entries = {}
        for row in batch:
            one = answer(row)
            if one.error and not isinstance(one.error, OtherVersion):
                raise _damaged(other, f"answer {one.name[:12]}: {one.error}")
            image = one.entry and one.entry.answer
            if isinstance(image, GeneratedImage) and not store.object_path(image.sha256).is_file():
                if not other.object_path(image.sha256).is_file():
                    raise _damaged(other, f"answer {one.name[:12]}: its image {image.sha256[:12]} is lost")
                images += _object(store, other, image.sha256)
            if row.key not in store:
                entries[row.key] = msgspec.json.decode(row.text or "")
        store.add_all(entries)
        new += len(entries)
        notify(len(batch))
    return new, images


def _artifact(store: Store, other: Store, one: Stored) -> bool:
    path = store.folder / one.path.relative_to(other.folder)
    theirs = manifest.read(one.path)
    if not theirs or manifest.read(path):
        return False
    _copy(other, one.path, path, theirs.output)
    _copy(other, one.path.with_suffix(".json"), path.with_suffix(".json"))
    return True


def _checkpoint(store: Store, other: Store, one: Stored) -> bool:
    path = store.folder / "checkpoints" / one.path.name
    if not (one.path / "done.json").is_file() or (path / "done.json").exists():
        return False
    try:
        hashes = checkpoint_files(one.path)
    except InputError as error:
        raise _damaged(other, f"the checkpoint {one.name[:12]}: {error}") from None
    there = {str(found.path.relative_to(one.path)) for found in files(one.path, "checkpoints")}
    for name in [*sorted(name for name in there | hashes.keys() if name != "done.json"), "done.json"]:
        if not Path(name).name.startswith(TEMPORARY):
            _copy(other, one.path / name, path / name, hashes.get(name, ""))
    return True


def _copy(other: Store, source: Path, path: Path, sha256: str = "") -> None:
    """Copies a file. Raises InputError where its bytes are not those of the hash, where one is known."""
    digest = hashlib.sha256()
    with named_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        if source.is_symlink() or not source.is_file():
            raise _damaged(other, f"{source.relative_to(other.folder)} is missing or no plain file")
        with named_errors(source), source.open("rb") as given:
            while block := given.read(1 << 20):
                digest.update(block)
                file.write(block)
        if sha256 not in ("", digest.hexdigest()):
            raise _damaged(other, f"{source.relative_to(other.folder)}: its bytes are not those that were stored")


def _damaged(other: Store, what: str) -> InputError:
    remedy = f"ltgc cache prune --damaged --cache-dir {other.folder} takes it out; then import again"
    return InputError(f"{other.folder}: {what}; {remedy}")
