"""describe asks at once: originals are listed and looked for first, and stored when they are asked about."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from ltgc_cli import providers
from ltgc_cli.config import configure
from ltgc_cli.errors import InputError, Refused
from ltgc_cli.learn import datasets
from ltgc_cli.learn.datasets import Source
from ltgc_cli.pipeline import chain, originals
from ltgc_cli.pipeline.session import Asked, Session
from ltgc_cli.ports import Answer
from ltgc_cli.records import Image


@pytest.fixture
def photos(tmp_path):
    for number in range(30):
        folder = tmp_path / "photos" / ("crane", "seal")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:02}.jpg").write_bytes(b"photo %d" % number)
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
    assert sum(isinstance(record, Image) for record in made) == 30
    assert all(own for own, _ in seen) and seen[0][1] < 5


@pytest.mark.parametrize("gone", [FileNotFoundError(2, "No such file or directory"), KeyError("bytes"), MemoryError()])
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
