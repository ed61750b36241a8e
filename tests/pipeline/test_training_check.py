"""The check before any training: what it says, what it stops on, and that it looks once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

from ltgc_cli.errors import InputError
from ltgc_cli.learn import checks
from ltgc_cli.learn.datasets import Source
from ltgc_cli.pipeline.session import Session
from ltgc_cli.pipeline.training import check
from ltgc_cli.pipeline.training.check import Dropped, before_a_run
from ltgc_cli.records import Class, Image


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path / "store")


def picture(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pil.fromarray(np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)).save(path)
    return path


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    """Lists of 21 cats and one eel, a validation image and a test image."""
    for seed in range(24):
        picture(tmp_path / "images" / f"{seed}.png", seed)
    train = [f"images/{n}.png 0" for n in range(21)] + ["images/21.png 1"]
    (tmp_path / "a_train.txt").write_text("\n".join(train))
    (tmp_path / "a_val.txt").write_text("images/22.png 0\n")
    (tmp_path / "a_test.txt").write_text("images/23.png 1\n")
    (tmp_path / "classes.csv").write_text("label,name\n0,cat\n1,eel\n2,newt\n")
    return tmp_path


def source(animals: Path) -> Source:
    return Source(str(animals / "a_train.txt"), classes=animals / "classes.csv")


def generated(session: Session, label: int, data: bytes = b"an image") -> Image:
    return Image(id="i1", label=label, class_="?", sha256=session.keep(data), origin="generated")


def before_training(session, data, classes, made, val=None, drop=check.NOTHING):
    """Returns the hashes of the training images, as mix-train checks them."""
    found = check.images(session, data, val, None, drop)
    check.before_training(session, classes, made, found)
    return found.train.hashes


CLASSES = [
    Class(label=0, class_="cat", count=21, tail=False),
    Class(label=1, class_="eel", count=1, tail=True),
    Class(label=2, class_="newt", count=0, tail=True),
]


def test_counts_per_shot_are_said_and_the_hashes_of_the_training_images_come_back(session, animals, capsys):
    hashes = before_training(session, source(animals), CLASSES, [generated(session, 1), generated(session, 2)])
    assert len(hashes) == 22
    assert hashes[0] == checks.content_hash((animals / "images" / "0.png").read_bytes())
    said = capsys.readouterr()
    assert said.out == ""
    assert (
        "medium 1 class, 21 images; few 2 classes, 1 image (and 2 generated); "
        "all 3 classes, 22 images (and 2 generated)"
    ) in said.err
    assert "data: classes without a training image: 1 (newt)" in said.err


def test_images_are_looked_at_once_and_again_when_a_list_changes(session, animals, monkeypatch):
    looked: list[str] = []
    real = checks.check_images
    monkeypatch.setattr(checks, "check_images", lambda data, *more: looked.append(data.split) or real(data, *more))
    first = before_training(session, source(animals), CLASSES, [])
    assert before_training(session, source(animals), CLASSES, []) == first
    assert looked == ["train", "val", "test"]
    with (animals / "a_val.txt").open("a") as file:
        file.write("images/22.png 0\n")
    before_training(session, source(animals), CLASSES, [])
    assert looked == ["train", "val", "test", "val"]


def test_everything_that_is_wrong_is_said_at_once_one_a_line(session, animals, capsys):
    (animals / "classes.csv").write_text("label,name\n0,cat\n1,eel\n2,Eel\n")
    (animals / "a_test.txt").write_text("images/23.png 1\nimages/3.png 0\n")
    (animals / "images" / "22.png").write_text("no image")
    lost = Image(id="i2", label=1, class_="eel", sha256="0" * 64, origin="generated")
    with pytest.raises(InputError, match="^nothing was trained: the data has the problems above; --drop-duplicates tr"):
        before_training(session, source(animals), CLASSES, [generated(session, 0), generated(session, 9), lost])
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ltgc: ")]
    assert [line.removeprefix("ltgc: ") for line in lines] == [
        "labels 1 and 2 are called 'eel'; give each a name of its own in a class table (--classes), "
        "such as 'crane (bird)', or a sense there or with describe --senses",
        "generated images (1) would change 'cat' (label 0), which is no tail class; leave them out of the stream",
        f"label 9, of generated images (1), is not in the class table of {animals}/a_train.txt",
        f"the generated image 000000000000… is not in the store {animals}/store",
        "the test image images/3.png is the training image images/3.png",
    ]


def test_one_problem_is_the_error_itself(session, animals):
    (animals / "images" / "21.png").unlink()
    with pytest.raises(
        InputError, match=r"a_train\.txt:22: .*21\.png: No such file or directory; --drop-broken goes on"
    ):
        before_training(session, source(animals), CLASSES, [])


def test_a_split_that_training_does_not_need_stops_nothing_and_is_said(session, animals, capsys):
    """A test list beside the training list may name images that are not here, or may be no list at all."""
    (animals / "a_test.txt").write_text("test/1.png 1\ntest/2.png 0\n")
    (animals / "images" / "22.png").write_text("no image")
    assert len(before_training(session, source(animals), CLASSES, [])) == 22
    said = capsys.readouterr().err
    missing = f"{animals}/a_test.txt: 2 of 2 images are missing under {animals}, such as test/2.png"
    assert f"data: the test images are not compared with the training's: {missing}" in said
    assert f"data: not compared with the training images: {animals}/a_val.txt:1: {animals}/images/22.png: not a" in said
    (animals / "a_test.txt").write_text("id,name\n")
    before_training(session, source(animals), CLASSES, [])
    assert (
        "not compared with the training's: " + f"{animals}/a_test.txt:1: 'id,name' is no path"
        in capsys.readouterr().err
    )
    with pytest.raises(InputError, match=r"a_val\.txt:1: .*22\.png: not a whole image"):  # where it is measured on
        before_training(session, source(animals), CLASSES, [], source(animals))


def test_broken_and_missing_images_are_left_out_where_that_is_wanted_with_their_number(session, animals, capsys):
    (animals / "images" / "3.png").write_text("no image")
    (animals / "images" / "21.png").unlink()
    found = check.images(session, source(animals), None, None, Dropped(broken=True))
    assert found.left_out == ("train images/3.png", "train images/21.png")
    assert [info.count for info in found.train.dataset.classes] == [20, 0, 0] and len(found.train.hashes) == 20
    check.before_training(session, CLASSES, [], found)
    said = capsys.readouterr().err
    assert f"data: 2 of 22 train images left out (--drop-broken): {animals}/a_train.txt:4: " in said
    picture(animals / "images" / "3.png", 3)  # mended: it is trained on again
    assert check.images(session, source(animals), None, None, Dropped(broken=True)).left_out == ("train images/21.png",)


def test_duplicates_are_left_out_of_the_training_never_of_the_test_set(session, animals, capsys):
    with (animals / "a_train.txt").open("a") as file:
        file.write("\nimages/23.png 1\nimages/5.png 1\nimages/7.png 0\n")
    other = animals / "other.txt"
    other.write_text("images/9.png 0\n")
    found = check.images(session, source(animals), None, Source(str(other)), Dropped(duplicates=True))
    # 23 is a test image, 9 one of the other test data, 5 is there under two labels, 7 twice under one.
    assert found.left_out == tuple(f"train images/{name}.png" for name in (5, 9, 7, 23, 5))
    assert len(found.train.hashes) == 20 and [len(other.hashes) for other in found.others] == [1, 1, 1]
    check.before_training(session, CLASSES, [], found)
    said = capsys.readouterr().err
    assert (
        "data: 5 of 25 train images left out (--drop-duplicates): images/5.png is there under the labels 0, 1; "
        "images/9.png is the test image images/9.png; images/7.png is images/7.png again; …" in said
    )


def test_where_nothing_is_left_the_run_stops(session, tmp_path):
    picture(tmp_path / "1.png", 1)
    (tmp_path / "x.txt").write_text("1.png 0\n1.png 1\n")
    with pytest.raises(InputError, match=r"x\.txt: no image is left to train on$"):
        check.images(session, Source(str(tmp_path / "x.txt")), None, None, Dropped(duplicates=True))


def test_a_generated_image_that_is_a_test_image_is_found(session, animals):
    copy = generated(session, 1, (animals / "images" / "23.png").read_bytes())
    with pytest.raises(InputError, match=r"^the test image images/23\.png is the generated image i1$"):
        before_training(session, source(animals), CLASSES, [copy])


def test_one_image_under_two_labels_of_training_is_only_said(session, animals, capsys):
    with (animals / "a_train.txt").open("a") as file:
        file.write("\nimages/5.png 1\nimages/5.png 0\n")
    assert len(before_training(session, source(animals), CLASSES, [])) == 24
    assert "one image under two labels in training: 1 time: images/5.png (label 1) and images/5.png (label 0)" in (
        capsys.readouterr().err
    )


def test_a_folder_without_splits_is_not_compared_with_itself(session, tmp_path):
    picture(tmp_path / "data" / "cat" / "1.png", 0)
    assert len(before_training(session, Source(str(tmp_path / "data")), [], [])) == 1


def test_digits_pass(session):
    assert len(before_training(session, Source("digits-lt"), [], [])) == 347


def test_before_a_run_broken_files_and_shared_images_of_every_split_and_of_other_test_data_are_said_at_once(
    session, animals, capsys
):
    (animals / "images" / "3.png").write_bytes(b"no image")
    (animals / "images" / "22.png").write_bytes((animals / "images" / "5.png").read_bytes())
    other = animals / "other.txt"
    other.write_text("images/23.png 1\nimages/4.png 1\n")
    needed = [(Source(str(other)), "test")]
    with pytest.raises(
        InputError, match="^nothing was asked: .* above; --drop-broken goes on .*; --drop-duplicates tr"
    ):
        before_a_run(session, source(animals), needed)
    said = capsys.readouterr().err
    assert "images/3.png: not a whole image" in said
    assert "the val image images/22.png is the training image images/5.png" in said
    assert "the test image images/4.png is the training image images/4.png" in said
    before_a_run(session, source(animals), needed, Dropped(broken=True, duplicates=True))


def test_before_a_run_data_that_is_whole_is_looked_at_once(session, animals, monkeypatch):
    before_a_run(session, source(animals), [])
    monkeypatch.setattr(checks, "check_images", lambda *_: pytest.fail("looked at again"))
    before_a_run(session, source(animals), [])
