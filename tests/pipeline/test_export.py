"""ltgc export: generated images for other programs, read back by ours, by torchvision and by Hugging Face."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import datasets as hf
import numpy as np
import pytest
from pictures import COLOUR, GREY, pictures
from PIL import Image as PIL

from ltgc_cli.files import sha256_file
from ltgc_cli.learn.datasets import Source, image_bytes, open_data, pixels
from ltgc_cli.pipeline.export import folder_name
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
    names = {0: "_cat", 3: "_crane_bird", 11: "_x", 12: "_eel"}
    assert folders == [f"{label:04d}{names.get(label, '')}" for label in range(13)]

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


def test_without_its_table_an_imagefolders_classes_are_those_that_hold_images(forked, drawn, tmp_path):
    forked("export", "-i", drawn, "--out", "out")
    data = open_data(str(tmp_path / "out"), "train")
    assert [(info.synonyms[0], info.count) for info in data.classes] == [("0003_crane_bird", 2), ("0011_x", 1)]


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
        assert "1 image left out that the class has already" in done.err
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


# ---- folders by name


NAMES = [
    "Con",
    "con",
    "a/b\\c",
    "..",
    "Trogon rufus. ",
    "é" * 200,
    "e\u0301 ①",
    "हिन्दी",
    "🐟",
    "NUL",
    "\u202eevil\n",
    "K",
    "k",
]


def test_a_folder_is_called_as_every_file_system_takes_it():
    names = [folder_name(label, name) for label, name in enumerate(NAMES)]
    assert names[:5] == ["0000_con", "0001_con", "0002_a_b_c", "0003", "0004_trogon_rufus"]
    assert names[6:10] == ["0006_é_1", "0007_हिन्दी", "0008", "0009_nul"] and names[10] == "0010_evil"
    assert all(len(name.encode()) <= 100 and name[-1] not in ". _" for name in names)
    assert len({name.casefold() for name in names}) == len(NAMES)


def test_folders_of_any_name_are_read_back_with_their_labels(forked, drawn, tmp_path):
    (sha, *_) = [row["sha256"] for row in map(json.loads, drawn.read_text().splitlines()) if row["kind"] == "image"]
    names = [name for name in NAMES if name.isprintable() and ";" not in name]
    rows = []
    for label, name in enumerate(names):
        named = {"label": label, "class": name.strip()}
        rows.append({"kind": "class", **named, "count": 1, "tail": True})
        rows.append({"kind": "image", **named, "sha256": sha, "origin": "generated"})
    done = forked("export", "--out", "out", input="".join(json.dumps(row) + "\n" for row in rows))
    assert done.code == 0, done.err
    source = Source(str(tmp_path / "out"), classes=tmp_path / "out" / "classes.csv")
    assert labels(open_data(source, "train")) == dict.fromkeys(range(len(names)), 1)


# ---- with the originals


@pytest.fixture
def photos(tmp_path) -> Path:
    """A folder of two classes: three photos of cats (one of them turned, one broken), two of eels."""
    for name in ("cat/plain.png", "cat/turned.png", "eel/grey.tif", "eel/again.jpg"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
    every = pictures()
    (tmp_path / "photos/cat/plain.png").write_bytes(every["PNG"].data)
    (tmp_path / "photos/cat/turned.png").write_bytes(every["png turned 6"].data)
    (tmp_path / "photos/cat/broken.jpg").write_bytes(b"no image")
    (tmp_path / "photos/eel/grey.tif").write_bytes(every["grey tiff of 16 bits"].data)
    (tmp_path / "photos/eel/heic.heic").write_bytes(every["heic"].data)
    return tmp_path / "photos"


@pytest.fixture
def eels(forked, photos, tmp_path) -> Path:
    """A stream whose one tail class, the eel, has a description and an image for each of its two photos."""
    assert forked("describe", "--data", photos, "--tail", "3", "-o", "eels.jsonl").code == 0
    done = forked("render", "--t2i", "blank", "-i", "eels.jsonl", "-o", "rendered.jsonl")
    assert done.code == 0, done.err
    return tmp_path / "rendered.jsonl"


def test_harmonising_calls_an_original_that_is_no_image_by_its_file(forked, photos, eels, tmp_path):
    done = forked("export", "-i", eels, "--data", photos, "--harmonise", "--out", "out")
    assert done.code == 2 and "one is broken: cat/broken.jpg; take it out" in " ".join(done.err.split())
    assert not (tmp_path / "out").exists()


def test_all_originals_of_the_data_are_written_as_everyone_here_sees_them(forked, photos, eels, tmp_path):
    done = forked("export", "-i", eels, "--data", photos, "--with-originals", "--out", "out")
    assert done.code == 1, done.err
    assert "export: 2 generated and 4 original images of 2 classes in out, with classes.csv\n" in done.err
    assert "left out: cat/broken.jpg: not a whole image (no image format that is read here)\n" in done.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0000_cat", "0001_eel", "classes.csv"]
    assert labels(open_data(Source(str(tmp_path / "out"), classes=tmp_path / "out/classes.csv"), "train")) == {
        0: 2,
        1: 4,
    }

    plain = photos / "cat/plain.png"
    assert (tmp_path / "out/0000_cat" / f"{sha256_file(plain)}.png").read_bytes() == plain.read_bytes()
    for name, kind, seen in [
        ("cat/turned.png", "png", COLOUR),
        ("eel/grey.tif", "png", GREY),
        ("eel/heic.heic", "jpg", COLOUR),
    ]:
        (written,) = (tmp_path / "out").rglob(f"{sha256_file(photos / name)}.{kind}")
        with PIL.open(written) as image:  # as any other program opens it
            assert np.abs(np.asarray(image.convert("RGB")).astype(int) - seen).max() <= (24 if kind == "jpg" else 0)


def test_without_the_data_those_of_the_stream_are_written_and_the_rest_is_counted(forked, eels, tmp_path):
    done = forked("export", "-i", eels, "--with-originals", "--format", "metadata", "--out", "out")
    assert done.code == 0 and "export: 2 generated and 2 original images of 1 class in out" in done.err
    assert (
        "export: 3 originals of its classes are not in the stream" in done.err and "--data DATA takes all" in done.err
    )
    rows = [json.loads(line) for line in (tmp_path / "out/metadata.jsonl").read_text().splitlines()]
    assert Counter(row["origin"] for row in rows) == {"generated": 2, "original": 2}
    assert all((tmp_path / "out" / row["file_name"]).is_file() for row in rows)


def test_originals_of_other_data_are_refused(forked, photos, eels, tmp_path):
    (photos / "eel").rename(photos / "ant")
    done = forked("export", "-i", eels, "--data", photos, "--with-originals", "--out", "out")
    assert done.code == 2 and "label 0 is 'cat' in the stream and is 'ant' in --data" in done.err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_there_is_left_alone(forked, drawn, tmp_path):
    (tmp_path / "out").mkdir()
    done = forked("export", "-i", drawn, "--out", "out")
    assert done.code == 2 and "out is there already; name a new folder" in done.err
    assert list((tmp_path / "out").iterdir()) == []


def test_export_has_help_with_an_example(forked):
    assert "ltgc export -i filtered.jsonl --out new/" in forked("export", "--help").out


# ---- harmonised


@pytest.fixture
def cranes(tmp_path) -> Path:
    """Real images: nine cranes in green, none of the other classes; they are called as in the stream."""
    (tmp_path / "real/crane (bird)").mkdir(parents=True)
    noise = np.random.default_rng(0)
    for number in range(9):
        green = np.array([60, 150, 60]) + noise.integers(-20, 21, (40, 30, 1)) + number
        PIL.fromarray(green.astype(np.uint8)).save(tmp_path / f"real/crane (bird)/{number}.png")
    (tmp_path / "names.csv").write_text("label,name\n0,cat\n3,crane (bird)\n11,../x\n12,eel\n")
    return tmp_path / "real"


def test_harmonised_images_have_the_colours_of_the_real_ones_and_the_hash_of_what_is_written(forked, drawn, cranes):
    data = ("--data", cranes, "--classes", cranes.parent / "names.csv")
    done = forked("export", "-i", drawn, "--out", "out", "--harmonise", *data, "--format", "metadata")
    assert done.code == 0, done.err
    rows = [json.loads(line) for line in (cranes.parent / "out/metadata.jsonl").read_text().splitlines()]
    assert [row["label"] for row in rows] == [3, 3, 11] and {row["origin"] for row in rows} == {"generated"}
    for row in rows:
        path = cranes.parent / "out" / row["file_name"]
        assert path.stem == sha256_file(path)
        if row["label"] == 3:
            mean = np.asarray(PIL.open(path)).mean((0, 1))
            assert mean == pytest.approx([64, 154, 64], abs=12)
    plain = forked("export", "-i", drawn, "--out", "plain", "--format", "metadata")
    before = [json.loads(line) for line in (cranes.parent / "plain/metadata.jsonl").read_text().splitlines()]
    assert plain.code == 0 and [row["id"] for row in before] == [row["id"] for row in rows]
    assert not {row["file_name"] for row in before} & {row["file_name"] for row in rows[:2]}


def test_there_is_nothing_to_harmonise_with_where_no_original_is(forked, drawn, tmp_path):
    done = forked("export", "-i", drawn, "--out", "out", "--harmonise")
    assert done.code == 2 and not (tmp_path / "out").exists()
    assert "export --harmonise needs original images, and the stream has none: add --data DATA" in done.err
