"""describe asks at once: originals are listed and looked for first, and stored when they are asked about."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing

import pytest
from pictures import file
from PIL import Image

from ltgc_cli import providers
from ltgc_cli.config import configure
from ltgc_cli.errors import InputError, OutputError, Refused
from ltgc_cli.learn import datasets
from ltgc_cli.learn.datasets import Source
from ltgc_cli.pipeline import chain, originals
from ltgc_cli.pipeline.session import Asked, Session
from ltgc_cli.ports import Answer
from ltgc_cli.records import Failure
from ltgc_cli.records import Image as ImageRecord


@pytest.fixture
def photos(tmp_path):
    for number in range(30):
        folder = tmp_path / "photos" / ("crane", "seal")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:02}.jpg").write_bytes(file(Image.new("L", (8, 8), number), "PNG"))
    return tmp_path / "photos"


def test_listing_opens_each_image_of_a_tail_class_and_reads_none(photos, monkeypatch):
    monkeypatch.setattr(datasets, "image_bytes", lambda *_: 1 / 0)
    found = originals.listed(Source(str(photos)), 20)

    assert ([cls.class_ for cls in found.classes], found.total()) == (["crane", "seal"], 30)
    assert originals.listed(Source(str(photos)), 15).total() == 0  # no tail class


def test_an_image_that_cannot_be_read_stops_it_before_anything_is_asked(photos, tmp_path):
    rows = [f"{path.relative_to(photos)},{path.parent.name}" for path in sorted(photos.rglob("*.jpg"))]
    (tmp_path / "list.csv").write_text("\n".join(["path,label", *rows, "seal/gone.jpg,seal"]) + "\n")

    with pytest.raises(InputError, match=r"list.csv:32: .*seal/gone.jpg: No such file"):
        originals.listed(Source(str(tmp_path / "list.csv"), root=photos), 20)

    (tmp_path / "list.csv").write_text("path,label\ncrane/00.jpg,crane\n/etc/passwd,seal\n../x,seal\n")
    with pytest.raises(InputError, match=r"list.csv:3: /etc/passwd: it lies outside of .*; so it is with 2 images$"):
        originals.listed(Source(str(tmp_path / "list.csv"), root=photos), 20)


def test_an_image_that_goes_while_it_runs_is_refused_by_its_name(photos):
    found = originals.listed(Source(str(photos)), 20)
    (photos / "crane" / "00.jpg").unlink()

    with pytest.raises(Refused, match=r"crane/00.jpg: No such file or directory"):
        originals.read(found, found.classes[0], found.items[0][0], keep=lambda data, file: "0" * 64)


def test_the_first_questions_are_asked_before_the_last_images_are_stored_and_each_after_its_own(
    photos, tmp_path, monkeypatch
):
    seen = []
    session = Session(tmp_path / "store")

    def ask(question):
        (sha256,) = question.images
        stored = len(list((tmp_path / "store" / "objects").glob("*/*")))
        seen.append((session.store.object_path(sha256).is_file(), stored))
        return Answer(text="A photo of the class crane, at dusk.")

    with closing(session.store):
        monkeypatch.setattr(session, "ask", lambda *_: Asked("m", ask, lambda question: iter([question])))
        config = configure("describe", {"data": str(photos), "tail": "20", "concurrency": 1})
        made = list(chain.STAGES["describe"](session, config).run(iter(())))
    assert sum(isinstance(record, ImageRecord) for record in made) == 30
    assert all(own for own, _ in seen) and seen[0][1] < 5


def test_what_is_no_image_is_one_failure_and_is_neither_stored_nor_shown_to_a_model(photos, tmp_path, monkeypatch):
    bad = {
        "00.jpg": (b"root:x:0:0:root:/root:/bin/bash\n", "not a whole image (no image format that is read here)"),
        "02.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not a whole image (no image format that is read here)"),
        "04.jpg": (
            file(Image.new("1", (20_000, 20_000)), "PNG"),
            "20000 x 20000 pixels, and 100 megapixels are the most that are read; save it smaller, or raise "
            "--max-pixels",
        ),
    }
    for name, (data, _) in bad.items():
        (photos / "crane" / name).write_bytes(data)
    session, asked = Session(tmp_path / "store"), []

    def ask(question):
        asked.extend(question.images)
        return Answer(text=f"A photo of the class {question.subject}, at dusk.")

    with closing(session.store):
        monkeypatch.setattr(session, "ask", lambda *_: Asked("m", ask, lambda question: iter([question])))
        config = configure("describe", {"data": str(photos), "tail": "20"})
        made = list(chain.STAGES["describe"](session, config).run(iter(())))
    failures = [record.reason for record in made if isinstance(record, Failure)]
    assert failures == [f"crane/{name}: {reason}" for name, (_, reason) in bad.items()]
    assert sum(isinstance(record, ImageRecord) for record in made) == len(asked) == 27
    stored = {path.name for path in (tmp_path / "store" / "objects").glob("*/*")}
    assert stored == set(asked) and not stored & {hashlib.sha256(data).hexdigest() for data, _ in bad.values()}


def test_the_cap_changes_an_artifact_where_it_is_not_the_default_alone(photos, tmp_path):
    def hashed(**settings):
        session = Session(tmp_path / "store")
        config = configure("describe", {"data": str(photos), **settings}, environment={})
        return chain.STAGES["describe"](session, config).settings

    assert hashed() == hashed(max_pixels=100) and "max_pixels" not in hashed()
    assert hashed(max_pixels=200) == {**hashed(), "max_pixels": 200}


@pytest.mark.parametrize("gone", [FileNotFoundError(2, "No such file"), OutputError("a disk fails"), KeyError("bytes")])
def test_a_photo_that_goes_between_the_look_and_its_turn_is_a_failure_and_the_next_run_is_whole(
    inside, photos, monkeypatch, gone
):
    def ask(question):
        return Answer(text=f"A photo of the class {question.subject} with a red cap.")

    read = datasets.image_bytes

    def reads(dataset, item):
        if item.name == "seal/03.jpg":
            raise gone
        return read(dataset, item)

    monkeypatch.setattr(providers, "open_ask", lambda spec, **_: providers.Opened("m", ask))
    with monkeypatch.context() as patched:
        patched.setattr(datasets, "image_bytes", reads)
        first = inside("describe", "--data", photos, "--json", "--tail", 20)
    rows = [json.loads(line) for line in first.out.splitlines()]
    (failure,) = [row for row in rows if row["kind"] == "failure"]
    assert first.code == 1 and failure["class"] == "seal" and failure["reason"].startswith("seal/03.jpg: ")
    assert "29 questions asked" in first.err

    again = inside("describe", "--data", photos, "--json", "--tail", 20)
    assert again.code == 0 and "1 question asked, 29 of 30 questions from the store" in again.err
