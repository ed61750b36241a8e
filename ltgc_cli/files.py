"""Files as ltgc hashes and writes them: a file or folder is whole under its name, or it is not there."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from ltgc_cli.errors import InputError
from ltgc_cli.unfinished import TEMPORARY as TEMPORARY
from ltgc_cli.unfinished import unfinished as _unfinished


@contextmanager
def named_errors(path: Path | str) -> Iterator[None]:
    """Within it an OSError becomes an InputError that begins with the file's name."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def sha256_file(path: Path) -> str:
    """Returns the sha256 (hex) of a file's bytes. Raises InputError where it cannot be read."""
    with named_errors(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def regular(path: Path) -> Iterator[FileIO]:
    """A file to read. Raises OSError where it is a folder, a device or a named pipe: nothing is waited for."""
    with open(path, "rb", 0, opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "no regular file")
        yield file


def read_regular(path: Path) -> bytes:
    """Returns a file's bytes. Raises OSError as `regular`."""
    with regular(path) as file:
        return file.readall()


def hashing(lines: Iterable[bytes], digest: hashlib._Hash) -> Iterator[bytes]:
    """Returns the lines; the digest is the one of all that were taken."""
    for line in lines:
        digest.update(line)
        yield line


@contextmanager
def temporary(folder: Path) -> Iterator[Path]:
    """Returns a path in a folder for a file that is gone in the end, unless `put_in_place` gave it its name."""
    with _unfinished(folder) as path:
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)


def put_in_place(finished: Path, path: Path) -> None:
    """Syncs a finished file and renames it, in one folder. Raises InputError over what is no regular file."""
    check_regular(path)
    # A file that is linked from elsewhere may be nobody's to write to.
    with finished.open("rb" if os.name == "posix" else "r+b") as file:
        os.fsync(file.fileno())
    os.replace(finished, path)
    sync_folder(path.parent)


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

    with source.open("rb") as old, path.open("xb") as new:
        fcntl.ioctl(new.fileno(), _FICLONE, old.fileno())


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Returns a binary file that takes the place of `path` when the block ends well.

    Raises InputError where the path is no regular file (a device, a pipe, a folder), and for every error of files.
    """
    with named_errors(path), temporary(path.parent) as unfinished:
        check_regular(path)
        with unfinished.open("xb") as file:
            yield file
        put_in_place(unfinished, path)


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file that is whole and on the disk on return, its folders too. Raises InputError as `replacing`."""
    with named_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(data)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Returns an empty folder that is called `path` when the block ends well. Raises InputError where that is there."""
    if os.path.lexists(path):
        raise InputError(f"{path} is there already; name a new folder")
    with _unfinished(path.parent) as unfinished:
        try:
            with named_errors(path):
                unfinished.mkdir(parents=True)
                yield unfinished
                os.rename(unfinished, path)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def copy_folder(source: Path, out: Path) -> None:
    """Copies a folder to a new one. Raises InputError where that is there, or for an error of files."""
    with new_folder(out) as unfinished:
        shutil.copytree(source, unfinished, dirs_exist_ok=True)


def sync_folder(folder: Path) -> None:
    """Makes a rename durable: after a power failure the name is there, not only the bytes."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def check_regular(path: Path) -> None:
    """Raises InputError for a path where something is that is no regular file: a folder, a device, a pipe."""
    # A link to a file is replaced as a file is, but for those of /dev: /dev/stdout may lead to a file.
    if path.exists() and not path.is_file() or path.absolute().parent == Path("/dev"):
        raise InputError(f"{path} is no regular file (a folder, a device or a pipe); name a file")
