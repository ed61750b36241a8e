"""Files: hashed in one way, and written so that they are whole under their name or not there."""

import errno
import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from unittest.mock import Mock

import pytest

from ltgc_cli import files
from ltgc_cli.errors import InputError, OutputError, place_error
from ltgc_cli.files import (
    check_new_folder,
    copy_folder,
    hashing,
    new_folder,
    read_regular,
    replacing,
    sha256_file,
    whole_lines,
    write_atomically,
)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def no_room(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_file_is_hashed_by_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"data" * 100_000)
    assert sha256_file(tmp_path / "a") == hashlib.sha256(b"data" * 100_000).hexdigest()


def test_a_file_that_cannot_be_hashed_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="^.*/none: No such file or directory$"):
        sha256_file(tmp_path / "none")


def test_of_a_line_without_an_end_no_more_is_held_than_a_line_may_have() -> None:
    longest = b"x" * ((1 << 20) - 1) + b"\n"
    lines = whole_lines(BytesIO(b"a\n" + longest + b"x" + longest), "it", most=1 << 20)

    assert (next(lines), next(lines)) == (b"a\n", longest)
    with pytest.raises(InputError, match=r"^it:3: this line is longer than 1 MiB; ltgc reads JSONL, a record a line$"):
        next(lines)


def test_a_file_that_is_larger_than_memory_is_not_read_at_once(tmp_path: Path) -> None:
    with (tmp_path / "list.txt").open("wb") as file:
        file.truncate(3 << 30)

    with pytest.raises(OSError, match="larger than 2 GiB"):
        read_regular(tmp_path / "list.txt")


def test_lines_are_hashed_while_they_are_read() -> None:
    digest = hashlib.sha256()
    assert list(hashing([b"a\n", b"b\n"], digest)) == [b"a\n", b"b\n"]
    assert digest.hexdigest() == hashlib.sha256(b"a\nb\n").hexdigest()


def test_a_file_is_written_with_its_folders(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a" / "b", b"data")
    assert contents(tmp_path) == {"a/b": b"data"}


def test_a_file_is_whole_or_it_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomically(tmp_path / "there", b"old")
    monkeypatch.setattr(os, "replace", no_room)
    for name in ("there", "new"):
        with pytest.raises(OutputError, match=f"/{name}: No space left on device; make room, and run the same"):
            write_atomically(tmp_path / name, b"new")
    assert contents(tmp_path) == {"there": b"old"}


def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    write_atomically(tmp_path / "there", b"old")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "there") as file:
        file.write(b"half")
        1 / 0  # noqa: B018
    assert contents(tmp_path) == {"there": b"old"}


def test_a_process_that_is_killed_while_it_writes_leaves_what_was_there(tmp_path: Path) -> None:
    write_atomically(tmp_path / "there", b"old")
    script = (
        "import os, pathlib, signal; from ltgc_cli.files import replacing\n"
        f"with replacing(pathlib.Path({str(tmp_path / 'there')!r})) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == -9
    found = contents(tmp_path)
    assert found.pop("there") == b"old" and [name[:5] for name in found] == [files.TEMPORARY]


def test_bytes_are_synced_before_they_get_their_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def noted(name: str, function: Callable[..., object]) -> Callable[..., None]:
        def run(*args: object) -> None:
            order.append(name)
            function(*args)

        return run

    monkeypatch.setattr(os, "fsync", noted("sync", os.fsync))
    monkeypatch.setattr(os, "replace", noted("rename", os.replace))
    write_atomically(tmp_path / "b", b"data")
    assert order == ["sync", "rename", "sync"]  # the folder last


def test_only_a_regular_file_is_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "device").symlink_to("/dev/null")
    for name in ("pipe", "folder", "device"):
        with pytest.raises(InputError, match=f"{name} is no regular file") as error:
            write_atomically(tmp_path / name, b"data")
        assert "\n" not in str(error.value)
    assert (tmp_path / "pipe").is_fifo() and (tmp_path / "device").is_symlink() and contents(tmp_path) == {}


def test_a_file_that_is_replaced_keeps_its_mode(tmp_path: Path) -> None:
    for name, mode in (("secret", 0o600), ("shared", 0o664)):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
        write_atomically(tmp_path / name, b"new")
        assert (tmp_path / name).stat().st_mode & 0o777 == mode


def test_a_second_name_of_what_is_replaced_keeps_the_old_bytes(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"old")
    os.link(tmp_path / "one", tmp_path / "other")
    write_atomically(tmp_path / "one", b"new")
    assert contents(tmp_path) == {"one": b"new", "other": b"old"}


def test_new_folders_are_on_the_disk_with_what_lies_in_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(files, "sync_folder", synced.append)
    write_atomically(tmp_path / "a" / "b" / "c", b"data")
    assert {tmp_path, tmp_path / "a", tmp_path / "a" / "b"} <= set(synced)
    synced.clear()
    with new_folder(tmp_path / "out") as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "file").touch()
    assert synced == [folder, folder / "inner" / "file", folder / "inner", tmp_path]


def test_the_error_of_a_block_is_not_the_files(tmp_path: Path) -> None:
    for function in (replacing, new_folder):
        with pytest.raises(OSError, match="No space"), function(tmp_path / "mine"):
            no_room()
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("number", "reading", "writing"),
    [("ENOENT", 2, 2), ("EISDIR", 2, 2), ("EACCES", 2, 3), ("ENOSPC", 3, 3), ("EDQUOT", 3, 3), ("EROFS", 3, 3),
     ("EIO", 3, 3), ("EFBIG", 3, 3), ("ESTALE", 3, 3), ("ENAMETOOLONG", 2, 2)],
)  # fmt: skip
def test_a_place_at_fault_is_told_from_a_name_at_fault(number: str, reading: int, writing: int) -> None:
    error = OSError(getattr(errno, number), "it said")
    assert place_error("a/b", error).exit_code == reading
    told = place_error("a/b", error, writing=True)
    assert told.exit_code == writing and str(told).startswith("a/b: it said") and "\n" not in str(told)


# --- what is written straight into


def test_what_is_no_regular_file_is_written_straight_into(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    for name, target in (("to-file", "file"), ("to-pipe", "pipe"), ("dangling", "none")):
        (tmp_path / name).symlink_to(target)
    with (tmp_path / "file").open("ab") as held:
        straight = [f"/dev/fd/{held.fileno()}", f"/proc/self/fd/{held.fileno()}", "/dev/stdout", "/dev/null"]
        (tmp_path / "to-descriptor").symlink_to(straight[0])
        names = (*straight, "pipe", "to-pipe", "to-descriptor")
        assert [name for name in names if not files.is_straight(tmp_path / name)] == []
    assert not any(files.is_straight(tmp_path / name) for name in ("file", "to-file", "dangling", "none"))


def test_a_folder_a_socket_and_a_circle_of_links_are_nothing_to_write_into(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "circle").symlink_to("circle")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(tmp_path / "socket"))  # its full name may be too long
    for name, why in (("folder", " is a folder; name a file"), ("socket", " is a socket"), ("circle", ": Too many")):
        with pytest.raises(InputError, match=f"/{name}{why}"):
            files.is_straight(tmp_path / name)


def test_a_descriptor_is_written_to_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"before\n")
    with (tmp_path / "log").open("ab") as log, files.writing_straight(Path(f"/dev/fd/{log.fileno()}")) as file:
        file.write(b"lines\n")
    assert (tmp_path / "log").read_bytes() == b"before\nlines\n"


def test_a_link_gives_way_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"old")
    for name, target in (("link", "mine"), ("dangling", "none")):
        (tmp_path / name).symlink_to(target)
        write_atomically(tmp_path / name, b"new")
    assert contents(tmp_path) == {"mine": b"old", "link": b"new", "dangling": b"new"}


@pytest.mark.parametrize("name", ["missing/out", "file/out", "x" * 300])
def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=f"/{name}: "), replacing(tmp_path / name):
        pass


def test_a_folder_is_copied_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomically(tmp_path / "source" / "a" / "b", b"data")
    copy_folder(tmp_path / "source", tmp_path / "copies" / "out")
    assert contents(tmp_path / "copies") == {"out/a/b": b"data"}

    monkeypatch.setattr(files.shutil, "copyfile", no_room)
    with pytest.raises(OutputError, match="/other: .*No space left on device"):
        copy_folder(tmp_path / "source", tmp_path / "copies" / "other")
    assert [path.name for path in (tmp_path / "copies").iterdir()] == ["out"]


def test_whether_a_folder_can_be_made_is_told_before_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("mine")
    check_new_folder(tmp_path / "new" / "below")
    assert contents(tmp_path) == {"file": b"mine"}
    with pytest.raises(InputError, match="/file is there already; name a new folder"):
        check_new_folder(tmp_path / "file")
    with pytest.raises(InputError, match="/file/below: Not a directory"):
        check_new_folder(tmp_path / "file" / "below")

    read_only = OSError(errno.EROFS, os.strerror(errno.EROFS))
    monkeypatch.setattr(files.tempfile, "mkdtemp", Mock(side_effect=read_only))
    with pytest.raises(OutputError, match="/new: Read-only file system"):
        check_new_folder(tmp_path / "new")


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to("none")
    for path in (tmp_path, tmp_path / "dangling"):
        with pytest.raises(InputError, match="is there already; name a new folder"), new_folder(path):
            pass


# --- files that share their blocks


def test_a_copy_shares_its_blocks_where_the_file_system_can(tmp_path, monkeypatch):
    (tmp_path / "mine").write_bytes(b"a picture")

    def clone(source, path):
        path.write_bytes(source.read_bytes())

    monkeypatch.setattr(files, "_clone", clone)
    assert files.shared(tmp_path / "mine", tmp_path / "new", hashlib.sha256(b"a picture").hexdigest())
    assert (tmp_path / "new").read_bytes() == b"a picture"
    # it was written to since it was read
    assert not files.shared(tmp_path / "mine", tmp_path / "other", hashlib.sha256(b"a pict").hexdigest())
    assert not (tmp_path / "other").exists()


def test_only_a_file_that_changes_no_more_gets_a_second_name(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_clone", Mock(side_effect=OSError))
    sha256 = hashlib.sha256(b"a picture").hexdigest()
    blob, seen = tmp_path / "blobs" / sha256, tmp_path / "snapshots" / "1.jpg"  # as the hub's cache lays them out
    for path in (blob, seen):
        path.parent.mkdir()
    blob.write_bytes(b"a picture")
    seen.symlink_to(blob)
    (tmp_path / "mine.jpg").write_bytes(b"a picture")

    assert files.shared(seen, tmp_path / "new", sha256) and (tmp_path / "new").samefile(blob)
    assert not files.shared(tmp_path / "mine.jpg", tmp_path / "other", sha256)
    assert not (tmp_path / "other").exists()
    assert files.shared(tmp_path / "mine.jpg", tmp_path / "other", sha256, fixed=True)
