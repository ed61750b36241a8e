"""Files that a person names to be written: only what ltgc wrote, and nobody changed since, is written over.

The store has the sha256 of all that was ever written to such files. So ltgc knows its own by their bytes, wherever they
were moved to, and leaves no note beside them.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from ltgc_cli.errors import InputError, LtgcError, place_error
from ltgc_cli.files import (
    check_regular,
    is_straight,
    make_folder,
    read_regular,
    replacing,
    sha256_file,
    writing_straight,
)
from ltgc_cli.image_formats import SUFFIXES

FILE = "written.txt"
"""In the store: a line for each sha256."""

_BESIDE = ".written.json"
"""What `ltgc run` noted in its folder before: the sha256 of each file by its name."""

_STORE = {"answers", "artifacts", "batches", "checked", "checkpoints", "no_schema.json", "objects", FILE}
"""What lies in a store, which may itself lie in a folder that a person works in (`--cache-dir .`)."""

_STDIN = Path("/dev/stdin")


class Target(NamedTuple):
    """A file to be written, as a person named it."""

    path: Path
    store: Path
    """The store's folder."""
    inputs: tuple[Path, ...] = ()
    """What the same command reads, which nothing may write over."""
    force: bool = False
    """Whether what ltgc did not write is written over too."""
    remedy: str = "name another file, or --force"


def check(target: Target) -> Path:
    """Returns the file that is written: a link's is the one that it leads to.

    A device, a pipe and a descriptor are as they were named: what is written straight into has nothing to lose.
    Raises InputError for a folder and where its folder is not there, where it lies in the store, where the command
    reads it, by a shell's `< FILE` too, and where ltgc did not write what is in it or a person made it read-only,
    unless that is forced.
    """
    if is_straight(target.path):
        if target.path.is_fifo() and any(_is_same(one, target.path) for one in (*target.inputs, _STDIN)):
            raise InputError(f"{target.path}: this command would wait for what it writes there itself; name another")
        return target.path
    path = Path(os.path.realpath(target.path))
    if not path.parent.is_dir():
        folder = (path if target.path.is_symlink() else target.path).parent
        raise InputError(f"{target.path}: there is no folder {folder}; make it, or name another file")
    _check_writable(path.parent, target.path)
    if _is_in_store(path, target.store):
        raise InputError(f"{target.path} lies in the store {target.store}, where only ltgc writes; name another file")
    needed = [one for one in (*target.inputs, _STDIN) if _is_same(one, path)]
    if not needed and is_ours(path, target.store):
        return path
    if not (needed or target.force):
        raise InputError(
            f"{target.path} is there already and ltgc did not write it (or it was changed since): {target.remedy}"
        )
    needed += [one for one in target.inputs if _is_image_in(one, path)]
    if needed:
        given = "it from stdin" if needed[0] == _STDIN else needed[0]
        raise InputError(f"{target.path} would be lost: this command reads {given}; name another file")
    return path


def _check_writable(folder: Path, named: Path) -> None:
    """Raises OutputError where nothing can be put into a folder: it is said before the work, and not after."""
    if not os.access(folder, os.W_OK | os.X_OK):
        read_only = hasattr(os, "statvfs") and os.statvfs(folder).f_flag & os.ST_RDONLY
        code = errno.EROFS if read_only else errno.EACCES
        raise place_error(named, OSError(code, os.strerror(code)), writing=True)


@contextmanager
def writing(target: Target) -> Iterator[Callable[[bytes], object]]:
    """A function that writes a file which is there, whole, when the block ends well.

    What is no regular file is written straight into. Raises InputError as `check`, OutputError where the place is full
    or may not be written to.
    """
    path, digest = check(target), hashlib.sha256()
    if is_straight(path):
        with writing_straight(path) as file:
            yield prompt_writer(file)
        return
    with replacing(path) as file:

        def write(data: bytes) -> None:
            digest.update(data)
            file.write(data)

        yield write
        if check(target) != path:  # again: a stage takes hours
            raise InputError(f"{target.path} leads to another file by now; {target.remedy}")
        note(digest.hexdigest(), target.store)


def prompt_writer(stream: IO[bytes]) -> Callable[[bytes], object]:
    """Returns a write that lets slow lines through at once and fast ones in blocks."""
    last = [0.0]

    def write(data: bytes) -> None:
        stream.write(data)
        now = time.monotonic()
        if now - last[0] > 0.05:
            stream.flush()
            last[0] = now

    return write


def write(target: Target, data: bytes) -> None:
    """Writes a file as `writing` does."""
    with writing(target) as file:
        file(data)


def note(sha256: str, store: Path) -> None:
    """Keeps the sha256 of what is about to be written: killed between the two, ltgc still knows its own.

    Where nothing can be kept, the file is taken for a person's the next time, which loses nothing.
    """
    if sha256 not in _noted(store):
        with suppress(OSError, LtgcError):
            make_folder(store)
            check_regular(store / FILE)
            with (store / FILE).open("ab", buffering=0) as file:
                file.write(f"\n{sha256}\n".encode())  # a line of its own, below a torn one too
                os.fsync(file.fileno())


def is_ours(path: Path, store: Path) -> bool:
    """Returns whether a file may be written over: it holds what ltgc wrote, or nothing, or is not there.

    What stages wrote is known by their artifacts too: files of earlier versions, and a shell's `> FILE`.
    """
    if not path.is_file():
        return not os.path.lexists(path)
    if not path.stat().st_mode & stat.S_IWUSR:
        return False  # a person made it so, for a reason; a new file in its place would get round that
    if not (size := path.stat().st_size):
        return True
    sha256 = sha256_file(path)
    if sha256 in _noted(store) or _beside(path) == sha256:
        return True
    if found := any(sha256_file(one) == sha256 for one in _artifacts(store, size)):
        note(sha256, store)  # the next run may replace that artifact
    return found


def _is_in_store(path: Path, store: Path) -> bool:
    """Returns whether a file is, or would be, among those of the store: what was paid for, and what was made of it."""
    folder = Path(os.path.realpath(store))
    return path.is_relative_to(folder) and bool(_STORE.intersection(path.relative_to(folder).parts[:1]))


def _is_same(given: Path, path: Path) -> bool:
    """Returns whether two paths name one file, by links too; it need not be there yet, as a recording may not."""
    try:
        return os.path.samefile(given, path)
    except OSError:
        return os.path.realpath(given) == str(path)


def _is_image_in(given: Path, path: Path) -> bool:
    """Returns whether a file is an image in a folder that was given."""
    return path.suffix.lower() in SUFFIXES and given.is_dir() and path.is_relative_to(os.path.realpath(given))


def _noted(store: Path) -> set[str]:
    try:
        return set(read_regular(store / FILE).decode().split())
    except (OSError, UnicodeDecodeError):
        return set()


def _beside(path: Path) -> str:
    try:
        return msgspec.json.decode(read_regular(path.parent / _BESIDE), type=dict[str, str]).get(path.name, "")
    except (OSError, msgspec.DecodeError):
        return ""


def _artifacts(store: Path, size: int) -> Iterator[Path]:
    """Returns the artifacts that are so many bytes long."""
    for path in store.glob("artifacts/*/*.jsonl"):
        with suppress(OSError):  # deleted meanwhile
            if path.is_file() and path.stat().st_size == size:
                yield path
