"""predict: images in, the likeliest classes out, and what is broken does not hold up the rest."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from trained import checkpoint, digits

from ltgc_cli.errors import InputError
from ltgc_cli.learn import checkpoints, datasets, evaluate
from ltgc_cli.learn.datasets import ClassInfo
from ltgc_cli.pipeline.evaluation.own_clip import clip_of
from ltgc_cli.pipeline.evaluation.predict import image_files, predict, true_classes
from ltgc_cli.pipeline.session import Session
from ltgc_cli.providers import torch_setup
from ltgc_cli.providers.clip import open_clip
from ltgc_cli.settings import Predict


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits(tmp_path_factory.mktemp("digits") / "digits")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A checkpoint's folder."""
    session = Session(tmp_path_factory.mktemp("store"))
    return session.store.folder / "checkpoints" / checkpoint(session, data).sha256


def test_the_likeliest_classes_come_first_with_the_probabilities_that_eval_measures(data, trained):
    files = image_files([data / "test"])
    rows = list(predict(files, Predict(checkpoint=trained, top=2)))
    clip = open_clip.load("embedded", torch_setup.device())
    saved = checkpoints.load(trained, clip)
    samples = datasets.samples(datasets.open_data(str(data), "test"))
    logits = evaluate.predict(saved.classifier, clip, samples)
    assert [row["image"] for row in rows] == [
        str(data / "test" / sample.name.removeprefix("test/")) for sample in samples
    ]
    assert [row["top"][0]["label"] for row in rows] == evaluate.predicted_labels(logits, [0, 1, 2]).tolist()
    sure = evaluate.confidences(logits)
    assert [row["top"][0]["probability"] for row in rows] == pytest.approx(sure.tolist(), abs=1e-5)
    assert all(len(row["top"]) == 2 and row["top"][0]["probability"] >= row["top"][1]["probability"] for row in rows)


def test_five_crops_are_averaged_here_too(data, trained):
    files = image_files([data / "test"])[:3]
    one, five = (list(predict(files, Predict(checkpoint=trained, top=3, tte=tte))) for tte in (False, True))
    assert one != five and [row["image"] for row in one] == [row["image"] for row in five]


def test_more_images_than_a_batch_stay_in_order(data, trained, tmp_path):
    image = next((data / "test" / "zero").iterdir())
    for number in range(130):
        shutil.copy(image, tmp_path / f"{number:03}.png")
    (tmp_path / "064.png").write_bytes(b"no image")
    rows = list(predict(image_files([tmp_path]), Predict(checkpoint=trained, top=1)))
    assert [row["image"] for row in rows] == [str(tmp_path / f"{number:03}.png") for number in range(130)]
    assert [row["kind"] for row in rows].index("failure") == 64


def test_folders_give_their_images_sorted_and_each_file_once(tmp_path):
    for name in ("b/2.png", "b/1.JPG", "a.webp", ".hidden/3.png", "b/.4.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    files = image_files([tmp_path / "b" / "2.png", tmp_path, tmp_path / "notes.txt"])
    assert [str(file.relative_to(tmp_path)) for file in files] == ["b/2.png", "a.webp", "b/1.JPG", "notes.txt"]


def test_links_out_of_a_folder_are_followed_by_the_flag_alone_and_a_link_that_is_named_is_read(tmp_path):
    folder, elsewhere = tmp_path / "photos", tmp_path / "elsewhere.png"
    folder.mkdir()
    elsewhere.write_bytes(b"")
    (folder / "1.png").write_bytes(b"")
    os.symlink(elsewhere, folder / "2.png")
    assert image_files([folder]) == [folder / "1.png"]
    assert image_files([folder], follow_links=True) == [folder / "1.png", folder / "2.png"]
    assert image_files([folder / "2.png"]) == [folder / "2.png"]


def test_a_path_that_is_not_there_and_a_folder_without_images_are_refused_at_once(tmp_path):
    with pytest.raises(InputError, match="birds: no such file or folder"):
        image_files([tmp_path, tmp_path / "birds"][1:])
    with pytest.raises(InputError, match="no image in it"):
        image_files([tmp_path])


@pytest.mark.parametrize(
    ("identity", "spec"),
    [
        ("embedded/clip@0123456789ab", "embedded"),
        ("ViT-B-32/laion2b_s34b_b79k", "ViT-B-32/laion2b_s34b_b79k"),
        ("hf-hub:me/mine", "hf-hub:me/mine"),
    ],
)
def test_a_checkpoint_names_its_clip(tmp_path, identity, spec):
    (tmp_path / "done.json").write_text(json.dumps({"clip": identity, "files": {}}))
    assert clip_of(tmp_path) == spec


@pytest.mark.parametrize(
    ("identity", "spec"), [("clip@0123456789ab", "local-dir:{}"), ("ViT-B-32@0123456789ab", "ViT-B-32={}/weights.pt")]
)
def test_a_checkpoint_remembers_where_its_clip_lies(tmp_path, identity, spec):
    where = spec.format(tmp_path / "a = b")
    (tmp_path / "a = b").mkdir()
    (tmp_path / "a = b" / "weights.pt").touch()
    (tmp_path / "done.json").write_text(json.dumps({"clip": identity, "files": {}, "lies_at": where}))
    assert clip_of(tmp_path) == where
    shutil.rmtree(tmp_path / "a = b")
    with pytest.raises(InputError, match=rf"is no longer at .*a = b.* \({identity}\); pass it as --clip"):
        clip_of(tmp_path)


def test_a_clip_of_which_an_older_version_did_not_say_where_it_lay_must_be_named(tmp_path):
    (tmp_path / "done.json").write_text('{"clip": "clip@0123456789ab"}')
    with pytest.raises(InputError, match=r"lay in a folder \(clip@0123456789ab\); pass that as --clip local-dir:PATH"):
        clip_of(tmp_path)
    with pytest.raises(InputError, match="no whole checkpoint is in it; name what mix-train --out wrote"):
        clip_of(tmp_path / "nowhere")


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_file_in_the_place_of_done_json_is_not_waited_for(tmp_path, kind):
    done = tmp_path / "done.json"
    {"pipe": os.mkfifo, "folder": os.mkdir, "device": lambda path: path.symlink_to("/dev/zero")}[kind](done)
    with pytest.raises(InputError, match="no whole checkpoint is in it; name what mix-train --out wrote"):
        clip_of(tmp_path)


def test_a_checkpoint_of_a_newer_version_is_refused(tmp_path):
    (tmp_path / "done.json").write_text('{"schema": 2, "model": "embedded"}')
    with pytest.raises(InputError, match=r"done.json was written by a newer ltgc \(schema 2, this one reads up to 1\)"):
        clip_of(tmp_path)


def test_images_are_classified_with_the_clip_where_it_lay_and_not_with_one_that_was_changed(data, tmp_path):
    folder = shutil.copytree(open_clip.EMBEDDED, tmp_path / "clip")
    session = Session(tmp_path / "store")
    trained = session.store.folder / "checkpoints" / checkpoint(session, data, clip=f"local-dir:{folder}").sha256
    files = image_files([data / "test"])[:2]

    assert [row["kind"] for row in predict(files, Predict(checkpoint=trained))] == ["prediction"] * 2
    config = folder / "open_clip_config.json"
    config.write_text(config.read_text() + "\n")
    with pytest.raises(InputError, match=f"its CLIP model at local-dir:{folder} was changed since .* as --clip"):
        list(predict(files, Predict(checkpoint=trained)))


def test_in_folders_of_classes_the_accuracy_is_said_and_each_line_has_its_class(forked, data, trained, tmp_path):
    shutil.copytree(data / "test", tmp_path / "my test")
    (tmp_path / "my test" / "001.One").mkdir()
    shutil.move(tmp_path / "my test" / "one", tmp_path / "my test" / "001.One" / "more")
    (tmp_path / "my test" / "loose").mkdir()
    shutil.copy(next((data / "test" / "zero").iterdir()), tmp_path / "my test" / "loose" / "a.png")
    done = forked("predict", "--checkpoint", trained, "my test", "--top", 1)
    assert done.code == 0, done.err
    rows = [json.loads(line) for line in done.out.splitlines()]
    true = {row["image"].split("/")[1]: (row.get("label"), row.get("class")) for row in rows}
    assert true == {"001.One": (0, "one"), "two": (1, "two"), "zero": (2, "zero"), "loose": (None, None)}
    judged = [row for row in rows if "label" in row]
    right = 100 * sum(row["top"][0]["label"] == row["label"] for row in judged) / len(judged)
    assert f"predict: {right:.1f}% of {len(judged)} images right (class mean " in done.err
    assert ", few " in done.err and done.err.endswith("; 1 image in no class's folder\n")


def test_a_single_photo_has_no_class_by_its_folder(forked, data, trained):
    done = forked("predict", "--checkpoint", trained, next((data / "test" / "zero").iterdir()))
    assert done.code == 0 and "label" not in json.loads(done.out) and "right" not in done.err


def test_folders_are_classes_however_they_are_written():
    classes = [
        ClassInfo(label=3, name="Trogon rufus"),
        ClassInfo(label=7, name="golden retriever", synonyms=("n02099601",)),
        ClassInfo(label=8, name="crane", sense="bird"),
        ClassInfo(label=9, name="crane", sense="machine"),
        ClassInfo(label=42, name="café"),
    ]
    names = {
        "0003_trogon_rufus": 3,
        "Golden-Retriever": 7,
        "001.golden_retriever": 7,
        "n02099601": 7,
        "crane": None,  # it may be either
        "crane (machine)": 9,
        "cafe\u0301": 42,
        "0042": 42,
        "dog": None,
        "test/golden_retriever/2024": 7,
    }
    for name, label in names.items():
        file = Path("birds", name, "a.jpg")
        found = true_classes([file], [Path("birds")], classes).get(file)
        assert (found.label if found else None) == label, name
    assert true_classes([Path("café/a.jpg")], [Path("café")], classes) == {Path("café/a.jpg"): classes[-1]}
    assert true_classes([Path("café/x/a.jpg")], [Path("café/x")], classes) == {}  # it was not named


def test_a_probability_that_is_no_number_is_in_no_record(forked, data, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "huge")
    head = tmp_path / "huge" / "head.safetensors"
    save_file({name: torch.full_like(value, 3e38) for name, value in load_file(head).items()}, head)
    done = json.loads((tmp_path / "huge" / "done.json").read_bytes())
    done["files"]["head.safetensors"] = hashlib.sha256(head.read_bytes()).hexdigest()
    (tmp_path / "huge" / "done.json").write_text(json.dumps(done))
    found = forked("predict", "--checkpoint", "huge", next((data / "test" / "zero").iterdir()))
    assert (found.code, found.out) == (2, "") and found.err.count("\n") == 1
    assert "what the classifier makes of an image is no number (NaN, inf): its weights are too large" in found.err


def test_a_broken_image_is_one_line_and_the_rest_goes_on(forked, data, trained, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    image = next((data / "test" / "zero").iterdir())
    done = forked("predict", "--checkpoint", trained, "broken.png", image, "--top", 1)
    first, second = map(json.loads, done.out.splitlines())
    assert done.code == 1
    assert first == {"kind": "failure", "image": "broken.png", "stage": "predict", "reason": first["reason"]}
    assert done.err == f"ltgc: {first['reason']}\n" and "broken.png: not a whole image" in done.err
    assert second["image"] == str(image) and set(second["top"][0]) == {"label", "class", "probability"}
    os.mkfifo(tmp_path / "pipe.png")
    done = forked("predict", "--checkpoint", trained, "pipe.png")
    assert (done.code, done.err) == (1, "ltgc: pipe.png: no regular file\n")
