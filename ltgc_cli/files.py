"""Files as ltgc hashes and writes them: a file or folder is whole under its name, or it is not there."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from io import BufferedIOBase, BufferedWriter, FileIO, RawIOBase
from pathlib import Path
from typing import IO, Any, BinaryIO

from ltgc_cli.errors import InputError, place_error
from ltgc_cli.unfinished import TEMPORARY as TEMPORARY
from ltgc_cli.unfinished import unfinished as _unfinished


@contextmanager
def named_errors(path: Path | str, *, writing: bool = False) -> Iterator[None]:
    """Within it an OSError becomes what `place_error` makes of it, but for a closed pipe, whose reader has enough."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise place_error(path, error, writing=writing) from None


class NamedFile(FileIO):
    """A file to write whose errors name it: a buffer writes when it is full, whoever is at work then."""

    def __init__(self, file: Path | int, mode: str, named: Path | str, *, closefd: bool = True) -> None:
        with named_errors(named, writing=True):
            super().__init__(file, mode, closefd)
        self.named = named

    def write(self, data: Any) -> Any:
        with named_errors(self.named, writing=True):
            return super().write(data)


def named_file(path: Path, named: Path | str, mode: str = "xb") -> BufferedWriter:
    """Returns a new file to write, whose errors say how it will be called. Raises as `named_errors`."""
    return BufferedWriter(NamedFile(path, mode, named), 1 << 16)


def sha256_file(path: Path) -> str:
    """Returns the sha256 (hex) of a file's bytes. Raises InputError where it cannot be read."""
    with named_errors(path), regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def regular(path: Path) -> Iterator[FileIO]:
    """A file to read. Raises OSError where it is a folder, a device or a named pipe: nothing is waited for."""
    with open(path, "rb", 0, opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "no regular file", str(path))
        yield file


def read_regular(path: Path) -> bytes:
    """Returns a file's bytes. Raises OSError as `regular`, and for one that is too large to be held."""
    with regular(path) as file:
        if os.fstat(file.fileno()).st_size > _LARGEST:
            raise OSError(errno.EINVAL, f"larger than {_LARGEST >> 30} GiB, more than is read at once", str(path))
        return file.readall()


_LARGEST = 2 << 30  # bytes of a file that is read whole: the lists of the largest data sets have some hundred MB


LONGEST_LINE = 16 << 20
"""Bytes of a record's line at most; ltgc's own have some thousand."""


def whole_lines(
    stream: IO[bytes] | RawIOBase | BufferedIOBase, name: Path | str, most: int = LONGEST_LINE
) -> Iterator[bytes]:
    """Returns a stream's lines as they come.

    Raises InputError, with its number, for one that is longer: of what ends nowhere no more than that is held.
    """
    for number, line in enumerate(iter(partial(stream.readline, most + 1), b""), start=1):
        if len(line) > most:
            raise InputError(
                f"{name}:{number}: this line is longer than {most >> 20} MiB; ltgc reads JSONL, a record a line"
            )
        yield line


def hashing(lines: Iterable[bytes], digest: hashlib._Hash) -> Iterator[bytes]:
    """Returns the lines; the digest is the one of all that were taken."""
    for line in lines:
        digest.update(line)
        yield line


def place_for_scratch(folder: Path) -> Path:
    """Returns where a command keeps what it reads twice: in the folder, elsewhere where that may not be written to."""
    return folder if folder.is_dir() and os.access(folder, os.W_OK) else Path(tempfile.gettempdir())


def check_room(folder: Path, named: Path | str) -> None:
    """Raises OutputError where a folder's disk has no room for the first block of a file, or may not be written to."""
    with named_errors(named, writing=True), temporary(folder) as path:
        path.write_bytes(bytes(4096))


@contextmanager
def temporary(folder: Path) -> Iterator[Path]:
    """Returns a path in a folder for a file that is gone in the end, unless `put_in_place` gave it its name."""
    with _unfinished(folder) as path:
        try:
            yield path
        finally:
            with suppress(OSError):  # of a folder that is read-only, which has another error under way
                path.unlink(missing_ok=True)


def put_in_place(finished: Path, path: Path) -> None:
    """Syncs a finished file and renames it, in one folder; it gets the mode and the owner of what was there.

    A link gives way as a file does. Raises InputError over what is no regular file.
    """
    check_regular(path)
    with suppress(OSError):
        _as_before(finished, path.lstat())
    # A file that is linked from elsewhere may be nobody's to write to.
    with finished.open("rb" if os.name == "posix" else "r+b") as file:
        os.fsync(file.fileno())
    os.replace(finished, path)
    sync_folder(path.parent)


def _as_before(finished: Path, there: os.stat_result) -> None:
    new = finished.stat()
    if stat.S_ISREG(there.st_mode) and new.st_nlink == 1:  # one that is linked from elsewhere is not ours to change
        if hasattr(os, "chown") and (new.st_uid, new.st_gid) != (there.st_uid, there.st_gid):
            os.chown(finished, there.st_uid, there.st_gid)
        os.chmod(finished, stat.S_IMODE(there.st_mode))


def shared(source: Path, path: Path, sha256: str, *, fixed: bool = False) -> bool:
    """Returns whether `path` is now a new file with the bytes of that hash that takes no room, as `source` has them.

    That is one with the same blocks, where the file system has such copies: a change to either leaves the other as it
    is. A file that a cache keeps under its own hash (the Hugging Face hub's `blobs/`) changes no more, and gets a
    second name, as one does that is `fixed`. No other file does: a person may write to it in place.
    """
    try:
        _clone(source, path)
        if sha256_file(path) == sha256:  # else it was changed since it was read
            return True
    except (OSError, ImportError, InputError):
        pass
    path.unlink(missing_ok=True)
    blob = source.resolve()
    if fixed or (blob.parent.name == "blobs" and blob.name == sha256):
        with suppress(OSError):  # another disk, say
            os.link(blob, path)
            return True
    return False


_FICLONE = 0x40049409  # of Linux's ioctl, for Btrfs, XFS and others


def _clone(source: Path, path: Path) -> None:
    import fcntl

    with regular(source) as old, path.open("xb") as new:
        fcntl.ioctl(new.fileno(), _FICLONE, old.fileno())


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Returns a binary file that takes the place of `path` when the block ends well.

    Raises InputError where the path is no regular file (a device, a pipe, a folder), and as `named_errors` for its own
    errors of files: those of the block are another file's.
    """
    with named_errors(path):
        check_regular(path)
    with temporary(path.parent) as unfinished:
        with named_file(unfinished, path) as file:
            yield file
        with named_errors(path, writing=True):
            put_in_place(unfinished, path)


@contextmanager
def writing_straight(path: Path) -> Iterator[BinaryIO]:
    """Returns what writes into a device, a pipe or a descriptor, as a shell's `> FILE` does: nothing is replaced.

    A descriptor of this process (/dev/stdout, /dev/fd/3) is written to where it stands, behind what others wrote.
    """
    with named_errors(path, writing=True):
        own = _own_descriptor(path)
        descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_NOCTTY", 0)) if own is None else os.dup(own)
    with BufferedWriter(NamedFile(descriptor, "wb", path), 1 << 16) as file:
        yield file


def is_straight(path: Path) -> bool:
    """Returns whether a path, or what its links lead to, is written straight into: what a rename would replace.

    That is what is there and no regular file, and what the links of /dev lead to, be it a file.
    Raises InputError for a folder, a disk and a socket, and for links in a circle.
    """
    with named_errors(path):
        if _descriptor(path) is not None:
            return True
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            return False
    if stat.S_ISDIR(mode) or stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a disk" if stat.S_ISBLK(mode) else "a socket"
        raise InputError(f"{path} is {kind}; name a file")
    return not stat.S_ISREG(mode)


_DESCRIPTORS = re.compile(r"/dev/fd|/proc/(\d+)(?:/task/\d+)?/fd")
_MOST_LINKS = 40


def _descriptor(path: Path) -> tuple[str, str] | None:
    """Returns the process (empty: this one) and the number of the descriptor that links lead to, None for a file."""
    for _ in range(_MOST_LINKS):
        parent = os.path.realpath(path.parent)
        if found := _DESCRIPTORS.fullmatch(parent):
            return found[1] or "", path.name
        if not path.is_symlink():
            return None
        path = Path(parent, os.readlink(path))
    return None


def _own_descriptor(path: Path) -> int | None:
    process, number = _descriptor(path) or ("", "")
    return int(number) if number.isdecimal() and process in ("", str(os.getpid())) else None


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file that is whole and on the disk on return, its folders too. Raises as `replacing`."""
    make_folder(path.parent)
    with replacing(path) as file:
        file.write(data)


def make_folder(path: Path, named: str = "") -> None:
    """Makes a folder that is not there, those above it too; all of them are on the disk. Raises as `named_errors`."""
    with named_errors(named or path, writing=True):
        if path.is_dir():
            return
        new = [one for one in (path, *path.parents) if not one.exists()]
        path.mkdir(parents=True, exist_ok=True)
        for one in new:
            sync_folder(one.parent)


def check_new_folder(path: Path) -> None:
    """Returns nothing where a folder can be made at a path. Raises as `new_folder` would.

    The nearest folder above it is tried: permissions alone do not tell of a disk that cannot be written to.
    """
    if os.path.lexists(path):
        raise InputError(f"{path} is there already; name a new folder")
    above = next(one for one in path.absolute().parents if os.path.lexists(one))
    with named_errors(path, writing=True), tempfile.TemporaryDirectory(prefix=".ltgc-", dir=above):
        pass


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Returns an empty folder that is called `path` when the block ends well, all in it on the disk.

    Raises InputError where that is there, and as `named_errors` for what goes wrong with the folder itself.
    """
    if os.path.lexists(path):
        raise InputError(f"{path} is there already; name a new folder")
    make_folder(path.parent)
    with _unfinished(path.parent) as unfinished:
        try:
            with named_errors(path, writing=True):
                unfinished.mkdir(parents=True)
            yield unfinished
            with named_errors(path, writing=True):
                _sync_all(unfinished)
                os.rename(unfinished, path)
                sync_folder(path.parent)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def _sync_all(folder: Path) -> None:
    """Makes the files of a folder and of those below durable."""
    for place, _, names in os.walk(folder) if os.name == "posix" else ():
        for path in (*(Path(place, name) for name in names), Path(place)):
            if not path.is_symlink():
                sync_folder(path)


def copy_folder(source: Path, out: Path) -> None:
    """Copies a folder to a new one. Raises InputError where that is there, or for an error of files."""
    with new_folder(out) as unfinished, named_errors(out, writing=True):
        for place, _, names in os.walk(source):
            copies = unfinished / Path(place).relative_to(source)
            copies.mkdir(exist_ok=True)
            for name in names:
                shutil.copy2(Path(place, name), copies / name)


def sync_folder(folder: Path) -> None:
    """Makes a rename durable: after a power failure the name is there, not only the bytes. A file's bytes likewise."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def check_regular(path: Path) -> None:
    """Raises InputError for a path where something is that is no regular file: a folder, a device, a pipe."""
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is no regular file (a folder, a device or a pipe); name a file")
