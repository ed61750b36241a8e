"""ltgc export: generated images for other programs, read back by ours, by torchvision and by Hugging Face."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import datasets as hf
import pytest

from ltgc_cli.learn.datasets import Source, image_bytes, open_data, pixels
from ltgc_cli.providers.torch_setup import mend_torchvision

CRANE = {"label": 3, "class": "crane (bird)"}
STREAM = [
    {"kind": "class", "label": 0, "class": "cat", "count": 200, "tail": False},
    {"kind": "class", **CRANE, "count": 4, "tail": True, "sense": "wading bird", "synonyms": ["Grus", "crane"]},
    {"kind": "description", **CRANE, "text": "A photo of a crane, in fog.", "origin": "extended"},
    {"kind": "description", **CRANE, "text": "A photo of a crane, at dawn.", "origin": "extended"},
    {"kind": "class", "label": 11, "class": "../x", "count": 1, "tail": True},
    {"kind": "description", "label": 11, "class": "../x", "text": "A photo of ../x, wet.", "origin": "extended"},
    {"kind": "class", "label": 12, "class": "eel", "count": 0, "tail": True},
]


@pytest.fixture
def drawn(forked, tmp_path) -> Path:
    """A stream of four classes, of which two have drawings: labels 3 (two images) and 11 (one)."""
    text = "".join(json.dumps(row) + "\n" for row in STREAM)
    done = forked("render", "--t2i", "blank", "-o", "drawn.jsonl", input=text)
    assert done.code == 0, done.err
    return tmp_path / "drawn.jsonl"


def labels(dataset) -> Counter[int]:
    for item in dataset.items:
        pixels(image_bytes(dataset, item), item.name)
    return Counter(item.label for item in dataset.items)


def test_an_imagefolder_has_a_folder_for_every_label_so_that_no_reader_can_shift_them(forked, drawn, tmp_path):
    done = forked("export", "-i", drawn, "--out", "out")
    assert (done.code, done.out) == (0, "")
    assert "export: 3 images of 2 classes in out, with classes.csv" in done.err
    folders = sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_dir())
    assert folders == [f"{label:04d}" for label in range(13)]

    mend_torchvision()
    from torchvision.datasets import ImageFolder

    folder = ImageFolder(str(tmp_path / "out"), allow_empty=True)
    assert Counter(folder.targets) == {3: 2, 11: 1}
    with pytest.raises(FileNotFoundError):  # and not labels 0 and 1
        ImageFolder(str(tmp_path / "out"))

    source = Source(str(tmp_path / "out"), classes=tmp_path / "out" / "classes.csv")
    # Labels 0, 3, 11 and 12 are classes of the table; the folders between are not.
    for label in set(range(13)) - {0, 3, 11, 12}:
        (tmp_path / "out" / f"{label:04d}").rmdir()
    assert labels(open_data(source, "train")) == {3: 2, 11: 1}


def test_without_its_table_an_imagefolders_labels_are_the_same(forked, drawn, tmp_path):
    forked("export", "-i", drawn, "--out", "out")
    assert labels(open_data(str(tmp_path / "out"), "train")) == {3: 2, 11: 1}


def test_a_list_is_read_back_with_its_labels_and_names(forked, drawn, tmp_path):
    assert forked("export", "-i", drawn, "--out", "out", "--format", "list").code == 0
    source = Source(str(tmp_path / "out" / "list.txt"), classes=tmp_path / "out" / "classes.csv")
    data = open_data(source, "train")
    assert labels(data) == {3: 2, 11: 1}
    assert [(info.label, info.name, info.sense, info.synonyms) for info in data.classes] == [
        (0, "cat", "", ()),
        (3, "crane (bird)", "wading bird", ("Grus", "crane")),
        (11, "../x", "", ()),
        (12, "eel", "", ()),
    ]


def test_metadata_is_read_back_by_ltgc_and_by_hugging_face(forked, drawn, tmp_path):
    assert forked("export", "--out", "out", "--format", "metadata", input=drawn.read_text()).code == 0
    assert labels(open_data(str(tmp_path / "out" / "metadata.jsonl"), "train")) == {3: 2, 11: 1}
    hf.disable_progress_bars()
    loaded = hf.load_dataset(
        "imagefolder", data_dir=str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "hf")
    )
    rows = {(row["label"], row["class"], row["text"]) for row in loaded}
    assert rows == {
        (3, "crane (bird)", "A photo of a crane, in fog."),
        (3, "crane (bird)", "A photo of a crane, at dawn."),
        (11, "../x", "A photo of ../x, wet."),
    }
    assert all(row["image"].size[0] > 0 and row["id"] for row in loaded)


def test_the_class_table_has_counts_of_real_images_and_files_are_named_by_hashes(forked, drawn, tmp_path):
    forked("export", "-i", drawn, "--out", "out", "--format", "list")
    with (tmp_path / "out" / "classes.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["label", "name", "sense", "synonyms", "count"]
    assert rows[2] == ["3", "crane (bird)", "wading bird", "Grus;crane", "4"]
    names = [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert all(len(name.partition(".")[0]) == 64 for name in names if name not in ("classes.csv", "list.txt"))


def image(label: int, sha256: str, **more) -> str:
    row = {"kind": "image", "label": label, "class": f"c{label}", "sha256": sha256, "origin": "generated", **more}
    return json.dumps(row) + "\n"


def test_one_picture_is_written_once_in_a_class_and_keeps_both_labels_in_two(forked, drawn, tmp_path):
    (sha, *_) = [row["sha256"] for row in map(json.loads, drawn.read_text().splitlines()) if row["kind"] == "image"]
    stream = image(0, sha) + image(0, sha) + image(1, sha)
    for format, name in [("list", "list.txt"), ("metadata", "metadata.jsonl"), ("imagefolder", "")]:
        done = forked("export", "--out", format, "--format", format, input=stream)
        assert "1 image was there twice in a class" in done.err
        data = open_data(str(tmp_path / format / name), "train")
        assert labels(data) == {0: 1, 1: 1} and len({item.path for item in data.items}) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "export found no generated image in its input"),
        (image(0, "../../../etc/passwd"), "is no sha256"),
        (image(0, "0" * 64), "is not in the store"),
        (image(0, "0" * 64, format="/../../x"), "has the format '/../../x'; export needs a label and png"),
        (image(-1, "0" * 64), "has no label"),
        (image(0, "0" * 64, imagined=True), "comes from a --dry-run"),
        ("nonsense\n", "stdin:1: not JSON"),
    ],
)
def test_what_cannot_be_exported_leaves_nothing_behind(forked, tmp_path, store, line, message):
    done = forked("export", "--out", "out", input=line)
    assert done.code == 2 and message in done.err and done.err.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} <= {"store"}


def test_a_folder_that_is_there_is_left_alone(forked, drawn, tmp_path):
    (tmp_path / "out").mkdir()
    done = forked("export", "-i", drawn, "--out", "out")
    assert done.code == 2 and "out is there already; name a new folder" in done.err
    assert list((tmp_path / "out").iterdir()) == []


def test_export_has_help_with_an_example(forked):
    assert "ltgc export -i filtered.jsonl --out new/" in forked("export", "--help").out
