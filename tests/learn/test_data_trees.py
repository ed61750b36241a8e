"""Photo folders as cameras, Kaggle, Windows, Macs and network disks leave them: splits, classes, and neither."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from PIL import Image

from ltgc_cli.errors import InputError
from ltgc_cli.learn.datasets import Source, fingerprint, image_bytes, open_data, splits
from ltgc_cli.learn.datasets.tree import worded


def png(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), (255, 0, 0)).save(path)
    return path


def names(folder: Path, split: str = "train") -> list[str]:
    return [info.name for info in open_data(str(folder), split).classes]  # type: ignore[arg-type]


# ---- splits


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("Training", "Validation", "Testing"),
        ("TRAIN", "VAL", "TEST"),
        ("train", "valid", "evaluation"),
        ("training", "dev", "Eval"),
    ],
)
def test_splits_are_called_by_the_usual_words_in_any_case(tmp_path: Path, train: str, val: str, test: str) -> None:
    for folder, photos in ((train, 3), (val, 1), (test, 2)):
        for number in range(photos):
            png(tmp_path / folder / "cat" / f"{number}.png")
            png(tmp_path / folder / "dog" / f"{number}.png")
    assert splits(str(tmp_path)) == ("train", "val", "test")
    found = open_data(str(tmp_path), "test")
    assert [(info.name, info.count) for info in found.classes] == [("cat", 3), ("dog", 3)]
    assert [item.name for item in found.items] == [f"{test}/{name}/{n}.png" for name in ("cat", "dog") for n in (0, 1)]


def test_two_folders_for_one_split_are_an_error_that_names_both(tmp_path: Path) -> None:
    png(tmp_path / "Train" / "cat" / "1.png")
    png(tmp_path / "training" / "cat" / "1.png")
    with pytest.raises(InputError, match="Train/ and training/ may both hold the train images; rename or move one"):
        open_data(str(tmp_path), "train")


def test_splits_that_lie_one_folder_further_down_or_more_are_asked_about(tmp_path: Path) -> None:
    png(tmp_path / "outer" / "photos" / "train" / "cat" / "1.png")
    png(tmp_path / "outer" / "photos" / "test" / "cat" / "1.png")
    (tmp_path / "outer" / "__MACOSX").mkdir()
    photos = tmp_path / "outer" / "photos"
    for folder in (tmp_path / "outer", tmp_path):
        with pytest.raises(InputError, match=rf"^{photos} has train/ and test/: did you mean --data {photos}\?$"):
            open_data(str(folder), "train")
        with pytest.raises(InputError, match="did you mean"):
            fingerprint(str(folder), "train")


def test_classes_that_lie_one_folder_further_down_are_asked_about(tmp_path: Path) -> None:
    for name in ("ant", "bee", "cow", "dog", "eel"):
        png(tmp_path / "photos" / name / "1.png")
    with pytest.raises(InputError, match=r"photos has ant/, bee/, cow/ and 2 more: did you mean --data .*photos\?$"):
        open_data(str(tmp_path), "train")


@pytest.mark.parametrize("name", ["train", "test", "dev", "Eval"])
def test_a_class_that_is_called_as_a_split_is_a_class_where_its_folder_holds_images(tmp_path: Path, name: str) -> None:
    for folder in ("bus", "car", name):
        png(tmp_path / folder / "1.png")
    png(tmp_path / name / "close up" / "2.png")
    assert splits(str(tmp_path)) == ("train",)
    found = open_data(str(tmp_path), "train")
    assert {info.name: info.count for info in found.classes} == {"bus": 1, "car": 1, name: 2}


def test_an_image_that_strayed_into_a_split_changes_nothing_and_is_named(tmp_path: Path) -> None:
    png(tmp_path / "train" / "cat" / "1.png")
    png(tmp_path / "train" / "overview.png")
    png(tmp_path / "test" / "cat" / "1.png")
    found = open_data(str(tmp_path), "train")
    assert [item.name for item in found.items] == ["train/cat/1.png"]
    assert worded(found.left_out) == "left out: train/overview.png (in no class folder)"


def test_what_lies_beside_the_splits_is_named(tmp_path: Path) -> None:
    png(tmp_path / "train" / "cat" / "1.png")
    png(tmp_path / "samples" / "1.png")
    png(tmp_path / "test" / "unlabelled.png")  # as Kaggle has it
    (tmp_path / "val").mkdir()
    (tmp_path / "README.md").write_text("")
    found = open_data(str(tmp_path), "train")
    assert worded(found.left_out) == ("left out: samples, test (no split), val (no image in it); 1 file skipped: 1 .md")
    with pytest.raises(InputError, match=r"no folder 'test', only train \(.*test holds no folders of images, one per"):
        open_data(str(tmp_path), "test")


@pytest.mark.parametrize(
    ("training", "testing"),
    [
        ("training_set", "test_set"),
        ("train_images", "test_images"),
        ("train2017", "test2017"),
        ("seg_train", "seg_test"),
        ("train_mini", "test"),
        ("train/train", "test/test"),
        ("seg_train/seg_train", "seg_test/seg_test"),
    ],
)
def test_splits_may_have_more_in_their_names_and_lie_in_one_another_as_kaggle_has_them(
    tmp_path: Path, training: str, testing: str
) -> None:
    for folder in (training, testing):
        for name in ("cat", "dog"):
            png(tmp_path / folder / name / "1.png")
    assert splits(str(tmp_path)) == ("train", "test")
    found = open_data(str(tmp_path), "train")
    assert [item.name for item in found.items] == [f"{training}/cat/1.png", f"{training}/dog/1.png"]
    assert not found.left_out
    assert [item.name for item in open_data(str(tmp_path), "test").items][0] == f"{testing}/cat/1.png"


def test_a_split_s_own_word_goes_before_a_longer_name(tmp_path: Path) -> None:
    png(tmp_path / "train" / "cat" / "1.png")
    png(tmp_path / "train_masks" / "cat" / "1.png")
    assert worded(open_data(str(tmp_path), "train").left_out) == "left out: train_masks (no split)"


def test_classes_whose_names_have_a_split_s_word_in_them_are_classes(tmp_path: Path) -> None:
    png(tmp_path / "steam train" / "1.png")
    png(tmp_path / "test tube" / "1.png")
    assert names(tmp_path) == ["steam train", "test tube"]
    png(tmp_path / "bullet train" / "2020" / "1.png")
    with pytest.raises(InputError, match="bullet train: a class's folder holds images, and this one only folders"):
        open_data(str(tmp_path), "train")


@pytest.mark.parametrize(
    "folders",
    [
        ("test", "train"),
        ("test1", "train"),
        ("cars_test", "cars_train"),
        ("images",),
        ("images", "masks"),
        ("train/images", "train/labels"),
    ],
)
def test_splits_without_any_class_and_stores_of_images_and_masks_are_no_classes(
    tmp_path: Path, folders: tuple[str, ...]
) -> None:
    for folder in folders:
        png(tmp_path / folder / "1.png")
    with pytest.raises(InputError, match="images and no folders of them, so no class is known; images belong in one"):
        open_data(str(tmp_path), "train")


def test_where_no_class_is_known_what_lies_there_is_said_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "photos.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"one folder per class; 1 file skipped: 1 \.zip; unpack photos\.zip$"):
        open_data(str(tmp_path), "train")
    with pytest.raises(InputError, match="an archive; unpack it, and name the folder$"):
        open_data(str(tmp_path / "photos.zip"), "train")
    png(tmp_path / "cat.png")
    with pytest.raises(InputError, match="one folder per class; 1 image in it; 1 file skipped"):
        open_data(str(tmp_path), "train")
    png(tmp_path / r"cat\1.png")  # Windows' archive, unpacked elsewhere
    with pytest.raises(
        InputError, match=r"; cat\\1\.png is a path in a file's name: unpack the archive with a program"
    ):
        open_data(str(tmp_path), "train")


# ---- classes


def test_a_class_that_holds_nothing_but_folders_stops_the_run(tmp_path: Path) -> None:
    png(tmp_path / "cat" / "1.png")
    png(tmp_path / "dog" / "2019" / "1.png")
    png(tmp_path / "dog" / "2020" / "1.png")
    dog = tmp_path / "dog"
    told = rf"^{dog}: a class's folder holds images, and this one only folders \(2019/ and 2020/\); move its images up"
    with pytest.raises(InputError, match=told):
        open_data(str(tmp_path), "train")
    png(dog / "0.png")
    assert [item.name for item in open_data(str(tmp_path), "train").items] == [
        "cat/1.png",
        "dog/0.png",
        "dog/2019/1.png",
        "dog/2020/1.png",
    ]


def test_an_empty_folder_is_no_class_unless_a_class_table_names_it(tmp_path: Path) -> None:
    png(tmp_path / "photos" / "cat" / "1.png")
    (tmp_path / "photos" / "ant").mkdir()
    (tmp_path / "photos" / "bee" / "cropped").mkdir(parents=True)
    (tmp_path / "photos" / "bee" / "notes.txt").write_text("")
    found = open_data(str(tmp_path / "photos"), "train")
    assert [(info.label, info.name) for info in found.classes] == [(0, "cat")]
    assert worded(found.left_out) == "left out: ant, bee (no image in it); 1 file skipped: 1 .txt"
    (tmp_path / "classes.txt").write_text("0 ant\n1 cat\n")
    named = open_data(Source(str(tmp_path / "photos"), classes=tmp_path / "classes.txt"), "train")
    assert [(info.label, info.name, info.count) for info in named.classes] == [(0, "ant", 0), (1, "cat", 1)]


def test_what_systems_and_programs_leave_is_no_class_and_no_image(tmp_path: Path) -> None:
    png(tmp_path / "cat" / "1.png")
    for name in ("__MACOSX", "@eaDir", ".ipynb_checkpoints", "#recycle", "$RECYCLE.BIN", "System Volume Information"):
        png(tmp_path / name / "cat" / "1.png")
        png(tmp_path / "cat" / name / "1.png")
    for name in ("lost+found", ".git", ".thumbnails"):
        png(tmp_path / name / "1.png")
    for name in ("._1.png", ".DS_Store", "Thumbs.db", "desktop.ini"):
        (tmp_path / "cat" / name).write_bytes(b"x")
    found = open_data(str(tmp_path), "train")
    assert [(info.name, info.count) for info in found.classes] == [("cat", 1)]
    said = worded(found.left_out)
    assert "2 __MACOSX" in said and "2 @eaDir" in said and "(left by a system)" in said
    assert "2 .ipynb_checkpoints" in said and "._*" in said and "(hidden)" in said and "skipped" not in said


def test_folders_of_thumbnails_are_no_classes_and_what_is_in_them_counts_for_none(tmp_path: Path) -> None:
    png(tmp_path / "cat" / "1.png")
    for folder in ("Thumbnails", "thumbs", "@__thumb", "cat/thumbnails"):
        png(tmp_path / folder / "1.png")
    found = open_data(str(tmp_path), "train")
    assert [(info.name, info.count) for info in found.classes] == [("cat", 1)]
    assert worded(found.left_out) == "left out: @__thumb, Thumbnails, thumbs, thumbnails (left by a system)"


def test_links_and_pipes_are_named_and_nothing_waits_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cat, elsewhere = tmp_path / "photos" / "cat", tmp_path / "elsewhere"
    png(cat / "1.png")
    png(elsewhere / "2.png")
    os.symlink(elsewhere / "2.png", cat / "2.png")  # as good as a file
    os.symlink(elsewhere, tmp_path / "photos" / "dog")  # as good as a folder
    os.symlink("nowhere.png", cat / "gone.png")
    os.symlink("self.png", cat / "self.png")
    os.symlink(elsewhere, cat / "more")
    os.symlink("..", cat / "up")
    os.symlink(".", tmp_path / "photos" / "all")
    os.mkfifo(cat / "pipe.png")
    os.symlink("pipe.png", cat / "to-pipe.png")
    os.symlink("/dev/zero", cat / "zero.png")
    monkeypatch.chdir(cat)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket.png")
    photos = str(tmp_path / "photos")
    found = open_data(Source(photos, follow_links=True), "train")
    assert [(info.name, info.count) for info in found.classes] == [("cat", 2), ("dog", 1)]
    assert all(image_bytes(found, item).startswith(b"\x89PNG") for item in found.items)
    left_out = {
        ("all", "a link back to a folder that it lies in"),
        ("cat/up", "a link back to a folder that it lies in"),
        ("cat/more", "a link to a folder"),
        ("cat/gone.png", "a link to nothing"),
        ("cat/self.png", "a link to itself"),
        ("cat/pipe.png", "a named pipe"),
        ("cat/to-pipe.png", "a link to a named pipe"),
        ("cat/zero.png", "a link to a device"),
        ("cat/socket.png", "a socket"),
    }
    assert {(one.path.as_posix(), one.why) for one in found.left_out} == left_out

    found = open_data(photos, "train")
    assert [(info.name, info.count) for info in found.classes] == [("cat", 1)]
    out = "a link out of the data's folder, which --follow-links follows"
    assert {(one.path.as_posix(), one.why) for one in found.left_out} == {
        *(left_out - {("cat/more", "a link to a folder")}),
        *((name, out) for name in ("dog", "cat/2.png", "cat/more")),
    }
    assert fingerprint(photos, "train") != fingerprint(Source(photos, follow_links=True), "train")


def test_a_pipe_that_a_list_names_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "list.txt").write_text("pipe.png 0\n")
    found = open_data(str(tmp_path / "list.txt"), "train")
    with pytest.raises(InputError, match=r"list\.txt:1: .*pipe\.png: no regular file"):
        image_bytes(found, found.items[0])


def test_files_of_other_kinds_are_counted_by_their_suffixes_as_they_are_spelled(tmp_path: Path) -> None:
    png(tmp_path / "cat" / "1.png")
    for number, suffix in enumerate([".MOV"] * 3 + [".txt"] * 2 + [".mov", ".AAE", ".xmp", ".json", ".csv", ""]):
        (tmp_path / "cat" / f"{number}{suffix}").write_bytes(b"")
    assert worded(open_data(str(tmp_path), "train").left_out) == (
        "11 files skipped: 3 .MOV, 2 .txt, 1 without a suffix, 1 .mov, 1 .AAE and 3 more kinds"
    )


def test_a_folder_without_any_image_says_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.CR2").write_bytes(b"")
    with pytest.raises(
        InputError, match=r"no image in any class folder.*cat \(no image in it\); 1 file skipped: 1 \.CR2"
    ):
        open_data(str(tmp_path), "train")


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    png(tmp_path / "cat" / "1.png")
    real = os.scandir

    def scandir(folder: Path):  # type: ignore[no-untyped-def]
        if Path(folder).name == "cat":
            raise PermissionError(13, "Permission denied")
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(InputError, match="cat: Permission denied"):
        open_data(str(tmp_path), "train")


def test_folders_named_by_numbers_are_the_classes_that_are_there_in_the_order_of_image_folders(tmp_path: Path) -> None:
    for name in ("2", "7", "12"):
        png(tmp_path / name / "1.png")
    found = open_data(str(tmp_path), "train")
    assert [(info.label, info.name) for info in found.classes] == [(0, "12"), (1, "2"), (2, "7")]
