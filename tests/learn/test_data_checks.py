from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ltgc_cli.learn.checks import Checked, check_images, check_table, duplicates, some, two_labels
from ltgc_cli.learn.datasets import ClassInfo, Item, open_data


def picture(path: Path, seed: int, size: int = 32) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (size, size, 3), np.uint8)).save(path)
    return path


def checked(spec: Path | str) -> list[Checked]:
    data = open_data(str(spec), "train")
    return check_images(data, data.items)


def test_every_image_of_a_split_gets_the_hash_of_its_file_in_order(tmp_path: Path) -> None:
    files = [picture(tmp_path / "cat" / "1.png", 1), picture(tmp_path / "cat" / "2.jpg", 2)]
    seen: list[None] = []
    data = open_data(str(tmp_path), "train")
    found = check_images(data, data.items, lambda: seen.append(None))
    assert found == [Checked(hashlib.sha256(file.read_bytes()).digest()[:16]) for file in files]
    assert len(seen) == 2


def test_files_that_are_no_image_are_all_named_however_they_are_broken(tmp_path: Path) -> None:
    picture(tmp_path / "cat" / "good.jpg", 0)
    (tmp_path / "cat" / "page.jpg").write_text("<html>404</html>")
    (tmp_path / "cat" / "empty.png").touch()
    for name, size in [("cut.jpg", 64), ("cut.png", 64)]:
        data = picture(tmp_path / "cat" / name, 1, size).read_bytes()
        (tmp_path / "cat" / name).write_bytes(data[: len(data) * 3 // 4])
    found = checked(tmp_path)
    assert [one.hash != b"" for one in found] == [False, False, False, True, False]
    lines = [one.problem for one in found if one.problem]
    assert [line.partition(":")[0] for line in lines] == ["cat/cut.jpg", "cat/cut.png", "cat/empty.png", "cat/page.jpg"]
    assert all("not a whole image" in line for line in lines)


def test_of_many_broken_files_ten_are_named_and_the_rest_counted_with_the_lines_of_their_list(tmp_path: Path) -> None:
    picture(tmp_path / "good.png", 0)
    (tmp_path / "bad.png").write_bytes(b"no image")
    names = ["good.png", "bad.png", *(f"gone {n}.png" for n in range(30))]
    (tmp_path / "list.txt").write_text("".join(f"{name} 0\n" for name in names))
    lines = some([one.problem for one in checked(tmp_path / "list.txt") if one.problem])
    assert (
        lines[0] == f"{tmp_path}/list.txt:2: {tmp_path}/bad.png: not a whole image (no image format that is read here)"
    )
    assert lines[1] == f"{tmp_path}/list.txt:3: {tmp_path}/gone 0.png: No such file or directory"
    assert len(lines) == 11 and lines[-1] == "and 21 more like that"


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "LA", "I;16"])
def test_images_of_every_mode_are_images(tmp_path: Path, mode: str) -> None:
    (tmp_path / "cat").mkdir()
    Image.new(mode, (9, 5)).save(tmp_path / "cat" / ("a.tiff" if mode == "CMYK" else "a.png"))
    assert [one.problem for one in checked(tmp_path)] == [""]


def test_two_classes_with_one_name_are_a_problem_whatever_their_case() -> None:
    table = [ClassInfo(label=134, name="crane"), ClassInfo(label=7, name="seal"), ClassInfo(label=517, name="Crane")]
    (problem,) = check_table(table)
    assert problem.startswith("labels 134 and 517 are called 'crane'; give each a name of its own")
    assert check_table(table[:2]) == []


def items(*names: str, label: int = 0) -> list[Item]:
    return [Item(label=label, name=name) for name in names]


def test_what_is_left_out_as_a_duplicate_comes_with_its_reason() -> None:
    train = [*items("a", "b", "c", "d"), *items("e", "f", label=1)]
    hashes = [b"1", b"1", b"2", b"3", b"3", b"4"]
    assert duplicates(hashes, train, {b"2": "test image x"}) == {
        1: "b is a again",  # of copies under one label the first is kept
        2: "c is the test image x",  # the test set stays what it is
        3: "d is there under the labels 0, 1",  # and nobody knows which is right
        4: "e is there under the labels 0, 1",
    }
    assert duplicates([b"", b""], items("gone", "too"), {}) == {}


def test_one_picture_twice_is_told_only_where_its_labels_differ() -> None:
    same = [Item(label=0, name="a"), Item(label=0, name="b"), Item(label=1, name="c")]
    assert two_labels([b"1", b"1", b"1"], same) == ["c (label 1) and a (label 0)"]


def test_digits_can_be_checked_like_files() -> None:
    dataset = open_data("digits-lt", "train")
    assert len({one.hash for one in checked("digits-lt")}) == len(dataset.items) == Counter(dataset.items).total()


def test_classes_of_one_name_are_told_apart_by_their_senses() -> None:
    senses = ["bird", "machine"]
    cranes = [ClassInfo(label=label, name="crane", sense=sense) for label, sense in enumerate(senses)]
    assert check_table(cranes) == []
    assert len(check_table([*cranes, ClassInfo(label=2, name="crane")])) == 1
    assert len(check_table([*cranes, ClassInfo(label=2, name="Crane", sense="Bird")])) == 1


def test_a_name_is_one_name_whether_macos_or_windows_wrote_its_accents() -> None:
    cafes = [ClassInfo(label=0, name="caf\u00e9"), ClassInfo(label=1, name="cafe\u0301")]
    assert len(check_table(cafes)) == 1
