"""Data folders are read as data: no link, list or table leads out of them unasked, and only files are read."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pictures import COLOUR, file

from ltgc_cli import image_formats
from ltgc_cli.errors import InputError, Unreadable
from ltgc_cli.learn import checks
from ltgc_cli.learn.datasets import Source, check_found, image_bytes, kept_image, open_data, splits
from ltgc_cli.learn.datasets.tree import worded

PNG = file(COLOUR, "PNG")
FOLLOW = "a link out of the data's folder, which --follow-links follows"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """photos/cat/1.png, and secret/2.png beside photos/."""
    for path in (tmp_path / "photos" / "cat" / "1.png", tmp_path / "secret" / "2.png"):
        path.parent.mkdir(parents=True)
        path.write_bytes(PNG)
    return tmp_path / "photos"


def listed(folder: Path, *paths: str | Path, name: str = "list.txt") -> str:
    (folder / name).write_text("".join(f"{path} 0\n" for path in paths))
    return str(folder / name)


# ---- folders


def test_links_out_of_a_folder_are_counted_in_one_line_that_names_the_flag(photos: Path) -> None:
    for number in range(1000):
        os.symlink(photos.parent / "secret" / "2.png", photos / "cat" / f"{number:04}.png")
    os.symlink(photos.parent / "secret", photos / "dog")
    os.symlink("1.png", photos / "cat" / "again.png")  # stays within
    os.symlink("cat", photos / "kitten")
    found = open_data(str(photos), "train")
    assert [(info.name, info.count) for info in found.classes] == [("cat", 2), ("kitten", 2)]
    said = worded(found.left_out)
    assert said.startswith("left out: dog, cat/0000.png, ") and said.count("\n") == 0
    assert said.endswith(f" and 1,996 more ({FOLLOW})")

    found = open_data(Source(str(photos), follow_links=True), "train")
    assert [info.count for info in found.classes] == [1002, 1, 1002]
    assert all(image_bytes(found, item) == PNG for item in found.items)


def test_a_folder_of_nothing_but_links_out_says_so_and_a_root_that_is_a_link_is_as_good(photos: Path) -> None:
    linked = photos.parent / "linked"
    (linked / "cat").mkdir(parents=True)
    os.symlink(photos / "cat" / "1.png", linked / "cat" / "1.png")
    with pytest.raises(InputError, match=rf"no image in any class folder.*cat/1.png \({FOLLOW}\)"):
        open_data(str(linked), "train")
    assert len(open_data(Source(str(linked), follow_links=True), "train").items) == 1
    os.symlink(photos, photos.parent / "data")
    found = open_data(str(photos.parent / "data"), "train")
    assert image_bytes(found, found.items[0]) == PNG


def test_a_link_to_the_whole_machine_is_not_walked_through(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.symlink("/", photos / "everything")
    os.symlink("/", photos / "train")
    real, seen = os.scandir, []
    monkeypatch.setattr(os, "scandir", lambda folder: seen.append(Path(folder)) or real(folder))
    assert splits(str(photos)) == ("train",)
    assert [info.name for info in open_data(str(photos), "train").classes] == ["cat"]
    assert all(folder.is_relative_to(photos) for folder in seen) and "/" not in {str(one.resolve()) for one in seen}


def test_a_file_that_becomes_a_link_or_a_pipe_after_it_was_listed_is_not_read(photos: Path) -> None:
    found = open_data(str(photos), "train")
    image = photos / "cat" / "1.png"
    image.unlink()
    os.symlink(photos.parent / "secret" / "2.png", image)
    with pytest.raises(
        InputError, match=r"cat/1.png: it lies outside of .*photos; --follow-links reads it all the same"
    ):
        image_bytes(found, found.items[0])
    image.unlink()
    os.mkfifo(image)
    with pytest.raises(InputError, match=r"cat/1.png: no regular file"):
        image_bytes(found, found.items[0])


def test_a_snapshot_of_the_hub_is_made_of_links_to_its_blobs(photos: Path) -> None:
    hub = photos.parent / "datasets--a--b"
    snapshot = hub / "snapshots" / "0123abc"
    (hub / "blobs").mkdir(parents=True)
    (snapshot / "cat").mkdir(parents=True)
    (hub / "blobs" / "f00").write_bytes(PNG)
    os.symlink("../../../blobs/f00", snapshot / "cat" / "1.png")
    os.symlink(photos.parent / "secret" / "2.png", snapshot / "cat" / "2.png")
    found = open_data(str(snapshot), "train")
    assert [item.name for item in found.items] == ["cat/1.png"] and image_bytes(found, found.items[0]) == PNG


def test_a_file_too_long_for_an_image_is_not_read(photos: Path) -> None:
    os.truncate(photos / "cat" / "1.png", image_formats.most_bytes() + 1)  # takes no room
    found = open_data(str(photos), "train")
    with pytest.raises(
        InputError, match="1.png: 445 MB are the most that are read of an image; save it smaller, or raise"
    ):
        image_bytes(found, found.items[0])


def test_folders_and_names_of_any_kind_are_read_or_named(photos: Path) -> None:
    for name in ("x.jpg", "new\nline", "\x1b[31mred", "CAT", "a" * 255):
        (photos / name).mkdir()
        (photos / name / f"{name[:200]}.png").write_bytes(PNG)
    (photos / "cat" / "y.jpg").mkdir()
    deep = photos / "deep"
    for _ in range(60):
        deep = deep / "down"
    deep.mkdir(parents=True)
    (photos / "deep" / "1.png").write_bytes(PNG)
    (deep / "2.png").write_bytes(PNG)
    found = open_data(str(photos), "train")
    assert sum(info.count for info in found.classes) == len(found.items) == 8
    assert all(image_bytes(found, item) == PNG for item in found.items)


# ---- lists and tables


PASSWD = "/etc/passwd"


@pytest.mark.parametrize("path", ["../../../../../../../../../etc/passwd", PASSWD, "cat/link.png"])
def test_a_list_leads_out_of_its_root_by_the_flag_alone(photos: Path, path: str) -> None:
    os.symlink(PASSWD, photos / "cat" / "link.png")
    spec = listed(photos, "cat/1.png", path)
    found = open_data(spec, "train")
    check_found(found)
    outside = rf"^{spec}:2: .*: it lies outside of {photos}; --follow-links reads it all the same$"
    with pytest.raises(InputError, match=outside):
        image_bytes(found, found.items[1])
    assert [one.problem == "" for one in checks.check_images(found, found.items)] == [True, False]

    followed = open_data(Source(spec, follow_links=True), "train")
    with pytest.raises(Unreadable, match="^not a whole image"):
        kept_image(followed, followed.items[1], keep=lambda data, file: pytest.fail("it was stored"))


@pytest.mark.parametrize(("name", "text"), [
    ("list.csv", "path,label\n{},0\n"),
    ("list.jsonl", '{{"path": "{}", "label": 0}}\n'),
    ("list.json", '{{"images": [{{"id":1, "file_name": "{}"}}], "annotations": [{{"image_id":1,"category_id": 3}}]}}'),
    ("metadata.csv", "file_name,label\n{},0\n"),
])  # fmt: skip
def test_where_all_images_of_a_list_lie_outside_one_sentence_says_what_to_do(
    photos: Path, name: str, text: str
) -> None:
    secret = photos.parent / "secret" / "2.png"
    (photos / name).write_text(text.format(secret))
    spec = str(photos if name == "metadata.csv" else photos / name)
    with pytest.raises(InputError, match=(
        rf"{name}: 1 of 1 images lie outside of {photos}, such as {secret}; "
        "name the folder that holds them with --root, or add --follow-links$"
    )):  # fmt: skip
        check_found(open_data(spec, "train"))
    for source in (Source(spec, root=photos.parent), Source(spec, follow_links=True)):
        found = open_data(source, "train")
        check_found(found)
        assert image_bytes(found, found.items[0]) == PNG


def test_what_is_no_file_is_named_with_its_line_and_nothing_waits_for_it(photos: Path, tmp_path: Path) -> None:
    os.mkfifo(photos / "pipe.png")
    os.symlink("pipe.png", photos / "to-pipe.png")
    os.symlink("loop.png", photos / "loop.png")
    os.symlink("nowhere", photos / "gone.png")
    lines = ["pipe.png", "to-pipe.png", "loop.png", "gone.png", "cat", "no\0name.png", "a" * 300 + ".png", "/dev/zero"]
    for source in (Source(listed(photos, "cat/1.png", *lines), follow_links=True), Source(str(photos / "list.txt"))):
        found = open_data(source, "train")
        problems = [one.problem for one in checks.check_images(found, found.items)]
        assert problems[0] == "" and all(problems[1:])
        assert all(f"list.txt:{number}: " in text for number, text in enumerate(problems[1:], start=2))
        assert all("\n" not in text for text in problems)
    half = photos / "half.jsonl"
    half.write_text('{"path": "cat/1.png", "label": 0}\n{"path": "no\\u0000name.png", "label": 0}\n')
    found = open_data(str(half), "train")
    with pytest.raises(InputError, match=r"half.jsonl:2: .*: no name that a file can have"):
        image_bytes(found, found.items[1])


@pytest.mark.parametrize("name", ["list.txt", "list.csv", "list.jsonl", "list.json", "train.parquet"])
def test_a_list_and_a_class_table_that_are_pipes_or_devices_are_refused(photos: Path, name: str) -> None:
    os.mkfifo(photos / name)
    with pytest.raises(InputError, match=rf"{name}: no regular file"):
        open_data(str(photos / name), "train")
    with pytest.raises(InputError, match=rf"{name}: no regular file"):
        open_data(Source(str(photos), classes=photos / name), "train")
    os.unlink(photos / name)
    os.symlink("/dev/zero", photos / name)
    with pytest.raises(InputError, match=rf"{name}: no regular file"):
        open_data(str(photos / name), "train")


# ---- columns


def test_a_path_in_a_row_leads_out_of_the_data_by_the_flag_alone(photos: Path) -> None:
    rows = {"file_name": ["cat/1.png", "../secret/2.png", "no\0name"], "label": [0, 0, 0]}
    pq.write_table(pa.table(rows), photos / "metadata.parquet")
    found = open_data(str(photos), "train")
    assert image_bytes(found, found.items[0]) == PNG
    for index, said in ((1, "it lies outside of .*photos; --follow-links"), (2, "no name that a file can have")):
        with pytest.raises(InputError, match=f"metadata.parquet: row {index} has no image bytes .*{said}"):
            image_bytes(found, found.items[index])
    found = open_data(Source(str(photos), follow_links=True), "train")
    assert image_bytes(found, found.items[1]) == PNG


def test_files_of_rows_lie_in_their_folder(photos: Path) -> None:
    table = pa.table({"image": [PNG], "label": ["cat"]})
    data = photos.parent / "rows"
    data.mkdir()
    pq.write_table(table, photos.parent / "train.parquet")
    os.symlink(photos.parent / "train.parquet", data / "train.parquet")
    with pytest.raises(InputError, match=r"rows/train.parquet: it lies outside of .*rows; --follow-links reads it"):
        open_data(str(data), "train")
    assert len(open_data(Source(str(data), follow_links=True), "train").items) == 1
    assert len(open_data(str(data / "train.parquet"), "train").items) == 1  # named itself
    (data / "state.json").write_text('{"_data_files": [{"filename": "../train.arrow"}]}')
    with pytest.raises(InputError, match=r"\.\./train.arrow: it lies outside"):
        open_data(str(data), "train")
    (data / "state.json").write_text('{"_data_files": [{"file": "x"}]}')
    with pytest.raises(InputError, match="state.json: "):
        open_data(str(data), "train")


def test_a_number_where_an_image_is_wanted_is_no_image_of_so_many_bytes(tmp_path: Path) -> None:
    pq.write_table(pa.table({"size": [10**12], "label": ["cat"]}), tmp_path / "train.parquet")
    found = open_data(Source(str(tmp_path), image_column="size", label_column="label"), "train")
    with pytest.raises(InputError, match="row 0 has no image bytes"):
        image_bytes(found, found.items[0])


def test_an_archive_is_no_data_and_says_to_unpack_it(photos: Path, tmp_path: Path) -> None:
    packed = shutil.make_archive(str(tmp_path / "birds"), "zip", photos)
    with pytest.raises(InputError, match=r"birds.zip: an archive; unpack it, and name the folder"):
        open_data(packed, "train")
