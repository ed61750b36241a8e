"""`ltgc cache prune`: what is deleted, and that nothing else is."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import sqlite3
import sys
from contextlib import closing

import pytest
from filled_store import (
    AGAIN,
    BOUGHT,
    COMPARISON,
    DAMAGES,
    GENERATE,
    MATCH,
    OURS,
    PAID,
    RECORDS,
    SHA,
    artifact,
    damage,
    keys,
    old,
    put,
)

from ltgc_cli import console
from ltgc_cli.cache.prune import delete, to_delete
from ltgc_cli.cache.verify import verify
from ltgc_cli.ports import (
    GeneratedImage,
    ImageRequest,
    Usage,
)
from ltgc_cli.records import dump
from ltgc_cli.settings import CachePrune, Choice
from ltgc_cli.store import Store, key


def test_an_image_that_has_the_file_of_an_old_data_set_is_as_new_as_its_name_here(store, tmp_path):
    sha256 = hashlib.sha256(b"a crane").hexdigest()
    blob = tmp_path / "hub" / "blobs" / sha256
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"a crane")
    old(blob)

    with closing(Store(store)) as mine:
        mine.put_object(b"a crane", blob)  # a run has just stored it, and asks about it next
        assert to_delete(mine, CachePrune(unused=True), Choice()) == []


def test_what_is_damaged_is_listed_by_kind_with_its_price(filled, inside):
    """A generated image that was bought lost its bytes, and an answer that was bought its question."""
    seal = hashlib.sha256(b"a seal").hexdigest()
    (filled / "objects" / seal[:2] / seal).write_bytes(b"a se")
    damage("swapped", filled)
    with closing(Store(filled)) as opened:
        opened.put_object(b"named by nobody")
    old(*(filled / "objects").glob("*/*"))
    shown = inside("cache", "prune", "--damaged", "--unused", "--dry-run").err
    assert re.sub(r" \([\d.]+ MB\)|would delete: ", "", shown).splitlines() == [
        "2 damaged answers: 1 to buy again, for US dollars: unknown; 1 of unknown price; "
        "1 that cannot be read, whatever they cost",
        "1 damaged object: no longer what was stored; generated, or read from the data, again when it is wanted",
        "1 object: named by no answer and no artifact of this store; records that you keep elsewhere may name them",
    ]


def test_a_damaged_answer_that_was_paid_for_has_its_price(filled, inside):
    with closing(Store(filled)) as opened:
        bought = GeneratedImage(sha256=opened.put_object(b"lost"), usage=Usage(dollars=0.04))
        put(opened, ImageRequest(model="litellm:gpt-image-1", text="A seal.", seed=1), bought)
    (filled / "objects" / bought.sha256[:2] / bought.sha256).unlink()
    ran = inside("cache", "prune", "--damaged", "--dry-run")
    assert "1 damaged answer (0.000 MB): 1 to buy again, for US dollars: 0.04" in ran.err


def test_nothing_is_deleted_where_nobody_can_be_asked(filled, inside):
    before = keys(filled)
    ran = inside("cache", "prune", "--stage", "extend")
    assert (ran.code, "nothing was deleted" in ran.err, keys(filled)) == (1, True, before)


def test_a_dry_run_shows_what_it_would_cost_to_buy_again_and_deletes_nothing(filled, inside):
    before = keys(filled)
    ran = inside("cache", "prune", "--older-than", 0, "--dry-run")
    assert ran.code == 0 and keys(filled) == before
    assert "7 answers" in ran.err
    assert "3 to buy again, for US dollars: at least 0.25; 2 of unknown price" in ran.err
    assert "1 answer, 1 generated image, 1 score, 1 comparison to compute again, for nothing but time" in ran.err


@pytest.mark.parametrize(
    ("typed", "gone"), [("y\n", True), ("yes\n", True), ("\n", False), ("no\n", False), ("", False)]
)
def test_a_person_is_asked_and_only_yes_is_yes(filled, inside, monkeypatch, typed, gone):

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    assert console.agreed("Delete?") is gone
    assert sys.stderr.getvalue() == "Delete? [y/N] "


@pytest.mark.parametrize(
    ("flags", "left"),
    [
        (["--stage", "render"], [PAID, AGAIN, OURS, MATCH, COMPARISON]),
        (["--model", "gpt-4o"], [OURS, GENERATE, BOUGHT, MATCH, COMPARISON]),
        (["--model", "gpt-4o", "--stage", "reflect"], [PAID, OURS, GENERATE, BOUGHT, MATCH, COMPARISON]),
        (["--older-than", "1"], [PAID, AGAIN, OURS, GENERATE, BOUGHT, MATCH, COMPARISON]),
        (["--artifacts"], [PAID, AGAIN, OURS, GENERATE, BOUGHT, MATCH, COMPARISON]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value[0] if value else "", str) else "",
)
def test_only_what_is_meant_is_deleted(filled, inside, flags, left):
    assert inside("cache", "prune", *flags, "--yes").code == 0
    assert keys(filled) == {key(request) for request in left}
    assert inside("cache", "verify").code == 0


def test_answers_that_are_old_enough_are_deleted(filled, inside):
    with closing(sqlite3.connect(filled / "answers" / "cache.db")) as connection, connection:
        connection.execute("UPDATE Cache SET store_time = store_time - 10 * 86400 WHERE key = ?", (key(PAID),))
    inside("cache", "prune", "--older-than", "9.5", "--yes")
    assert keys(filled) == {key(request) for request in (AGAIN, OURS, GENERATE, BOUGHT, MATCH, COMPARISON)}


def test_an_image_stays_as_long_as_an_artifact_or_an_answer_names_it(filled, inside):
    images = filled / "objects"
    old(*images.glob("*/*"))
    with closing(Store(filled)) as opened:
        artifact(opened, "mix-train", [dump(record) for record in RECORDS])
    inside("cache", "prune", "--stage", "render", "--answers", "--unused", "--yes")
    assert [path.name for path in images.glob("*/*")] == [SHA]  # the artifact names it; the seal was named by nobody
    inside("cache", "prune", "--artifacts", "--unused", "--yes")
    assert list(images.glob("*/*")) == [] and list((filled / "artifacts").rglob("*.json*")) == []
    assert inside("cache", "verify").code == 0


def test_what_a_run_may_be_about_to_name_is_left(filled, inside):
    with closing(Store(filled)) as opened:
        fresh = opened.put_object(b"an image whose answer is on its way")
    inside("cache", "prune", "--unused", "--yes")
    assert (filled / "objects" / fresh[:2] / fresh).exists()


def test_a_file_that_a_person_put_among_the_artifacts_is_left(filled, inside):
    mine = [filled / "artifacts" / "mine.jsonl", filled / "artifacts" / "render" / "mine" / "a.jsonl"]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    assert inside("cache", "prune", "--artifacts", "--yes").code == 0
    assert all(path.exists() for path in mine) and not list((filled / "artifacts" / "render").glob("*.json*"))


def test_files_that_are_not_ours_are_left_and_half_written_ones_go(filled, inside):
    mine, half = filled / "objects" / SHA[:2] / "notes.txt", filled / "artifacts" / "render" / ".tmp-1"
    mine.write_text("mine")
    half.write_text("half")
    old(mine, half)
    inside("cache", "prune", "--unused", "--yes")
    assert (mine.exists(), half.exists()) == (True, False)


def test_a_checkpoint_goes_with_the_artifacts_that_would_keep_it_from_being_trained_again(filled, inside):
    name, other = "cc" * 32, "bb" * 32
    for sha in (name, other):
        (filled / "checkpoints" / sha).mkdir(parents=True)
        (filled / "checkpoints" / sha / "done.json").write_text('{"clip":"c","files":{}}')
    line = '{"kind":"checkpoint","id":"1","sha256":"%s"}'
    with closing(Store(filled)) as opened:
        gone = artifact(opened, "mix-train", [line % name])
        measured = artifact(opened, "eval", [line % name])
    old(*(filled / "checkpoints" / name).iterdir(), filled / "checkpoints" / name)
    ran = inside("cache", "prune", "--checkpoints", "--older-than", 1, "--yes")
    assert "trained again" in ran.err
    assert [path.name for path in (filled / "checkpoints").iterdir()] == [other]
    assert (gone.exists(), gone.with_suffix(".json").exists(), measured.exists()) == (False, False, True)


def test_a_checkpoint_in_training_is_left(filled, inside):
    (filled / "checkpoints" / ("cc" * 32)).mkdir(parents=True)
    (filled / "checkpoints" / ("cc" * 32) / "state.safetensors").write_bytes(b"step 7")
    inside("cache", "prune", "--checkpoints", "--yes")
    assert (filled / "checkpoints" / ("cc" * 32) / "state.safetensors").exists()


def test_no_link_leads_out_of_the_store(filled, inside, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in ("a.jsonl", "a.json", SHA):
        (mine / name).write_text("mine")
        old(mine / name)
    (filled / "artifacts" / "extend").symlink_to(mine)
    (filled / "artifacts" / "render" / "b.jsonl").symlink_to(mine / "a.jsonl")
    (filled / "objects" / "zz").symlink_to(mine)
    (filled / "checkpoints").mkdir()
    (filled / "checkpoints" / ("cc" * 32)).symlink_to(mine)
    inside("cache", "prune", "--artifacts", "--unused", "--checkpoints", "--damaged", "--yes")
    assert sorted(path.name for path in mine.iterdir()) == sorted(["a.jsonl", "a.json", SHA])

    shutil.move(filled / "objects", tmp_path / "objects")
    (filled / "objects").symlink_to(tmp_path / "objects")
    ran = inside("cache", "prune", "--unused", "--yes")
    assert (ran.code, "is a link" in ran.err) == (2, True)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "say what to delete"),
        (["--unused", "--model", "gpt-4o"], "--model chooses answers"),
        (["--checkpoints", "--stage", "render"], "--stage chooses answers and artifacts"),
        (["--damaged", "--older-than", "3"], "leave --older-than out"),
    ],
    ids=str,
)
def test_flags_that_say_nothing_of_each_other_are_refused(filled, inside, flags, message):
    ran = inside("cache", "prune", *flags, "--yes")
    assert (ran.code, message in ran.err, len(keys(filled))) == (2, True, 7)


@pytest.mark.parametrize("broken", ["", "lost", "bytes"])
def test_killed_after_any_step_it_leaves_a_store_that_is_no_worse_and_goes_on(filled, tmp_path, broken):
    old(*(filled / "objects").glob("*/*"))
    damage(broken, filled)
    trained = filled / "checkpoints" / ("cc" * 32)
    trained.mkdir(parents=True)
    (trained / "done.json").write_text('{"clip":"c","files":{}}')
    everything = CachePrune(answers=True, artifacts=True, checkpoints=True, unused=True, damaged=True)
    for steps in range(20):
        copy = tmp_path / str(steps)
        shutil.copytree(filled, copy)
        with closing(Store(copy)) as store:
            going = delete(store, to_delete(store, everything, Choice()))
            done = [count for count, _ in zip(going, range(steps), strict=False)]
            going.close()  # as a kill does
            damages = {one.line()["what"] for one in verify(store).damages}
            assert damages <= (DAMAGES[broken] if broken else set())
            for _ in delete(store, to_delete(store, everything, Choice())):
                pass
            assert verify(store).damages == [] and len(store) == 0
        if len(done) < steps:
            return
    raise AssertionError("it never came to an end")


def test_a_damaged_image_is_not_reported_as_one_that_nothing_names(filled, inside):
    path = next(path for path in (filled / "objects").rglob("*") if path.is_file())
    path.write_bytes(b"rot")
    shown = inside("cache", "prune", "--damaged", "--dry-run").err
    assert "1 damaged object" in shown and "named by no answer" not in shown


def test_an_answer_of_another_version_of_ltgc_is_no_damage_and_is_not_deleted_as_one(tmp_path):
    asked = {"type": "Question", "model": "gpt-9", "text": "?", "mood": "kind"}
    text = json.dumps(
        [1, "Question", {k: v for k, v in asked.items() if k != "type"}], sort_keys=True, separators=(",", ":")
    )
    theirs = hashlib.sha256(text.encode()).hexdigest()
    with closing(Store(tmp_path / "store")) as store:
        store.add(theirs, {"request": asked, "answer": {"text": "Yes."}})
        found = verify(store)
        assert (found.damages, found.others) == ([], 1)
        assert to_delete(store, CachePrune(damaged=True), Choice()) == []


# ---- what is deleted is asked again


@pytest.fixture
def two_classes(inside):
    """extend and reflect of two classes, as artifacts; each class's answers."""
    made = inside("extend", "--class", "crane", "--class", "seal", "-n", 2, "-o", "extended.jsonl")
    alone = inside("extend", "--class", "heron", "-n", 2)
    assert "2 questions asked" in made.err and "1 question asked" in alone.err
    inside("reflect", "-k", 3, "-i", "extended.jsonl")


def of_class(inside, name):
    return [row["key"] for row in map(json.loads, inside("cache", "show", "--class", name).out.splitlines())]


def test_a_class_is_asked_for_again_and_the_others_are_not(inside, two_classes):
    ran = inside("cache", "prune", "--class", "crane", "--yes")
    assert "outputs (" in ran.err and "would keep them from being asked again" in ran.err
    assert (
        "1 question asked, 1 of 2 questions from the store"
        in inside("extend", "--class", "crane", "--class", "seal", "-n", 2, "-o", "extended.jsonl").err
    )
    assert "answered by" in inside("extend", "--class", "heron", "-n", 2).err
    assert "from the store" in inside("reflect", "-k", 3, "-i", "extended.jsonl").err


@pytest.mark.parametrize("length", [4, 64])
def test_one_answer_is_deleted_by_its_key_and_asked_again(inside, two_classes, length):
    (heron,) = of_class(inside, "heron")
    assert inside("cache", "prune", heron[:length], "--yes").code == 0
    assert of_class(inside, "heron") == [] and of_class(inside, "seal")
    assert "1 question asked" in inside("extend", "--class", "heron", "-n", 2).err
    assert "answered by" in inside("extend", "--class", "crane", "--class", "seal", "-n", 2).err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ab"], "'ab': give an answer's key, or at least 4 characters of it: ltgc cache show"),
        (["zzzz"], "has this key: ltgc cache show lists them"),
        ([key(PAID), "--class", "crane"], "a KEY names one answer; leave out what chooses among them"),
        ([key(PAID), "--artifacts"], "a KEY names one answer; leave out what chooses among them"),
        ([key(PAID), "none of it"], "none of it: no answer in"),
    ],
    ids=str,
)
def test_a_key_that_names_no_one_answer_deletes_nothing(filled, inside, words, message):
    ran = inside("cache", "prune", *words, "--yes")
    assert (ran.code, message in ran.err, len(keys(filled))) == (2, True, 7), ran.err


def test_several_keys_and_their_price_are_said_first(filled, inside):
    ran = inside("cache", "prune", key(PAID), key(BOUGHT), "--dry-run")
    assert "would delete: 2 answers" in ran.err and "at least 0.25; 1 of unknown price" in ran.err, ran.err
    assert len(keys(filled)) == 7


def test_an_image_that_is_deleted_is_generated_again(inside, tmp_path):
    (tmp_path / "in.jsonl").write_text(inside("extend", "--class", "crane", "-n", 2).out)
    inside("render", "--t2i", "blank", "-i", "in.jsonl")
    (first, *_) = [row["key"] for row in map(json.loads, inside("cache", "show", "--stage", "render").out.splitlines())]
    inside("cache", "prune", first, "--yes")
    assert "1 image asked, 1 of 2 images from the store" in inside("render", "--t2i", "blank", "-i", "in.jsonl").err
