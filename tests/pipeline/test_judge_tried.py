"""A CLIP that knows the classes, and one that does not, as a person meets them: on digits, and on photos."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from ltgc_cli.learn.datasets import open_data
from ltgc_cli.pipeline.class_table import class_record
from ltgc_cli.pipeline.look import look
from ltgc_cli.trial import trust

NAMES = ["crane", "seal", "toaster", "violin", "mushroom", "tractor", "canoe", "lighthouse", "parrot", "anvil"]
WARNING = "WARNING: filter: CLIP cannot tell these classes apart ("


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Parts of two photographs under names that have nothing to do with them."""
    chance = np.random.default_rng(0)
    for number, name in enumerate(NAMES):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for image in range(4):
            whole = load_sample_images().images[number % 2]
            y, x = chance.integers(0, 427 - 96), chance.integers(0, 640 - 96)
            Image.fromarray(whole[y : y + 96, x : x + 96]).save(tmp_path / "photos" / name / f"{image}.png")
    return tmp_path


def looked(spec: str):  # type: ignore[no-untyped-def]
    data = open_data(spec, "train")
    return look(data, [class_record(info, 100) for info in data.classes], "embedded")


def test_the_embedded_clip_knows_digits_and_not_what_it_never_saw(photos, store) -> None:
    digits, pictures = looked("digits-lt"), looked(str(photos / "photos"))
    assert digits and pictures
    assert (digits.images, trust(digits)) == (64, "good")
    assert (pictures.images, trust(pictures)) == (40, "poor")


def test_a_clip_that_must_be_downloaded_first_is_not_tried(store, monkeypatch) -> None:
    monkeypatch.setattr("ltgc_cli.doctor.models.on_disk", lambda spec: False)
    assert looked("digits-lt") is None


def test_filter_warns_before_it_rewrites_under_its_summary_and_again_where_it_only_answers(inside, photos) -> None:
    inside("describe", "--data", "photos", "-o", "described.jsonl", "-q")
    inside("render", "-i", "described.jsonl", "--t2i", "blank", "-o", "rendered.jsonl", "-q")
    ran = inside("filter", "-i", "rendered.jsonl", "--t2i", "blank", "-o", "filtered.jsonl", "--rounds", 2)
    assert ran.code in (0, 1), ran.err
    said = ran.err.splitlines()
    warnings = [number for number, line in enumerate(said) if line.startswith(WARNING)]
    (first,) = (number for number, line in enumerate(said) if line.startswith("filter: round 1"))
    (summary,) = (number for number, line in enumerate(said) if "scores asked" in line and "images, " in line)
    assert warnings[0] < first < summary < warnings[1], ran.err
    *_, last = (photos / "filtered.jsonl").read_text().splitlines()
    metric = json.loads(last)
    assert (metric["name"], metric["group"], metric["images"], metric["chance"]) == ("clip accuracy", "all", 40, 10.0)

    again = inside("filter", "-i", "rendered.jsonl", "--t2i", "blank", "--rounds", 2, "-q")
    assert [line.startswith(WARNING) for line in again.err.splitlines()] == [True], again.err
    inside("report", "-i", "filtered.jsonl", "-o", "report.html")
    page = (photos / "report.html").read_text()
    assert '<p class="alarm" role="alert"><strong>Warning.</strong> CLIP cannot tell these classes apart' in page


def test_init_tries_clip_and_writes_what_it_found_into_the_settings(inside, photos) -> None:
    ran = inside("init", "--data", "photos")
    assert ran.code == 0, ran.err
    assert (
        " of 40 originals in their own class by its name (top-1" in ran.err and "WARNING: CLIP cannot tell" in ran.err
    )
    assert " of 40 originals in their own class by its name (top-1" in (photos / "ltgc.toml").read_text()
