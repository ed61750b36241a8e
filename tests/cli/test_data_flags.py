"""--data, --root and --classes on the command line: what describe makes of a list with a class table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ltgc_cli.learn.datasets import image_bytes, open_data


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    """A list of two classes; the second has a photo that is none. Its images lie in another folder."""
    data = open_data("digits-lt", "test")
    (tmp_path / "images of birds").mkdir()
    for number in range(2):
        (tmp_path / "images of birds" / f"{number}.png").write_bytes(image_bytes(data, data.items[number]))
    (tmp_path / "images of birds" / "broken.png").write_bytes(b"no image")
    (tmp_path / "birds_train.txt").write_text("0.png 3\n1.png 3\nbroken.png 7\n")
    (tmp_path / "classes.csv").write_text("label,name,sense,synonyms\n3,crane,wading bird,Grus;big bird\n7,wren,,\n")
    return tmp_path


def test_senses_and_synonyms_of_the_class_table_reach_the_class_records(forked, birds):
    done = forked("describe", "--data", "birds_train.txt", "--root", "images of birds", "--classes", "classes.csv")
    rows = [json.loads(line) for line in done.out.splitlines()]
    classes = [row for row in rows if row["kind"] == "class"]
    assert [(row["label"], row["class"], row["count"], row.get("sense"), row.get("synonyms")) for row in classes] == [
        (3, "crane", 2, "wading bird", ["Grus", "big bird"]),
        (7, "wren", 1, None, None),
    ]
    texts = [row["text"] for row in rows if row["kind"] == "description"]
    assert len(texts) == 2
    # A photo that is none is a failure record, and the run goes on.
    (failure,) = [row for row in rows if row["kind"] == "failure"]
    assert done.code == 1 and failure["class"] == "wren"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--data", "birds_test.txt"], "ltgc: birds_test.txt: no list for 'train' beside it"),
        (["--data", "birds_train.txt", "--classes", "none.csv"], "none.csv"),
        (["--data", "birds_train.txt", "--root", "classes.csv"], "classes.csv"),
        (["--data", "birds_train.txt"], "ltgc: birds_train.txt: 3 of 3 images are missing under "),
        (["--data", "digits-lt", "--classes", "classes.csv"], "leave out --root and --classes"),
    ],
)
def test_data_that_cannot_be_opened_is_exit_2_in_one_line(forked, birds, flags, message):
    (birds / "birds_train.txt").rename(birds / "birds_test.txt") if "birds_test.txt" in flags else None
    done = forked("describe", *flags)
    assert done.code == 2 and message in done.err and "Traceback" not in done.err and done.out == ""


def test_classes_of_one_name_are_told_before_anything_is_paid_unless_senses_tell_them_apart(forked, birds):
    flags = ("describe", "--data", "birds_train.txt", "--root", "images of birds", "--classes", "cranes.csv")
    (birds / "cranes.csv").write_text("label,name,sense\n3,crane,\n7,crane,\n")
    told = "describe: labels 3 and 7 are called 'crane'"
    assert told in " ".join(forked(*flags, "--dry-run").err.split())
    (birds / "cranes.csv").write_text("label,name,sense\n3,crane,bird\n7,crane,machine\n")
    assert told not in " ".join(forked(*flags, "--dry-run").err.split())
