"""`ltgc cache import FOLDER`: another store is taken in, each thing checked; of two answers mine holds."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from filled_store import BYTES, DAMAGES, GENERATE, OURS, PAID, SHA, artifact, damage, fill, keys, plant, put

from ltgc_cli.cache import merge as module
from ltgc_cli.cache.merge import Merged, merge
from ltgc_cli.errors import InputError
from ltgc_cli.ports import Answer, GeneratedImage
from ltgc_cli.store import Store, key


@pytest.fixture
def other(tmp_path):
    fill(tmp_path / "other")
    return tmp_path / "other"


@pytest.fixture
def store(tmp_path):
    with closing(Store(tmp_path / "mine")) as store:
        yield store


def checkpoint(folder: Path, name: str = "cc" * 32) -> Path:
    trained = folder / "checkpoints" / name
    (trained / "adapter").mkdir(parents=True)
    (trained / "adapter" / "lora.safetensors").write_bytes(b"lora")
    (trained / "metrics.jsonl").write_bytes(b"{}\n")
    files = {"adapter/lora.safetensors": hashlib.sha256(b"lora").hexdigest()}
    (trained / "done.json").write_text(json.dumps({"clip": "c", "files": files}))
    return trained


def lines(folder: Path) -> dict[str, bytes]:
    """All files of a store but its database."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "answers" not in path.parts
    }


def test_all_of_it_is_there_byte_for_byte_and_a_second_time_nothing_is_new(store, other):
    checkpoint(other)

    assert merge(store, other) == Merged(answers=7, images=2, artifacts=1, checkpoints=1)
    assert lines(store.folder) == lines(other) and keys(store.folder) == keys(other)
    with closing(Store(other)) as theirs:
        assert [row.text for row in store.sorted_rows()] == [row.text for row in theirs.sorted_rows()]
    assert merge(store, other) == Merged(0, 0, 0, 0)


def test_of_two_answers_and_of_two_artifacts_mine_holds(store, other):
    put(store, PAID, Answer(text="Mine."))
    mine = artifact(store, "render", [])
    with closing(Store(other)) as theirs:
        artifact(theirs, "render", ['{"kind":"class"}'], name=mine.stem)

    assert merge(store, other) == Merged(answers=6, images=2, artifacts=1, checkpoints=0)
    assert store.get(key(PAID))["answer"]["text"] == "Mine." and mine.read_bytes() == b""


def test_shards_of_many_workers_come_together_in_one_store(store, tmp_path):
    for number in range(3):
        with closing(Store(tmp_path / f"worker-{number}")) as worker:
            put(worker, OURS, Answer(text="Legs."))  # they have one answer in common
            put(worker, PAID, Answer(text=f"by {number}"))
            put(worker, GENERATE, GeneratedImage(sha256=worker.put_object(BYTES)))
            worker.put_object(b"a photo %d" % number)  # an original: no answer names it
    found = [merge(store, tmp_path / f"worker-{number}") for number in range(3)]

    assert found == [Merged(3, 2, 0, 0), Merged(0, 1, 0, 0), Merged(0, 1, 0, 0)]
    assert store.get(key(PAID))["answer"]["text"] == "by 0"


@pytest.mark.parametrize("kind", [kind for kind in DAMAGES if kind not in ("no lines", "manifest")])
def test_what_is_damaged_is_not_taken_and_one_line_says_what_to_do(store, other, kind):
    damage(kind, other)

    with pytest.raises(InputError, match=f"{other}.*ltgc cache prune --damaged --cache-dir") as error:
        merge(store, other)
    assert "\n" not in str(error.value)
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() == path.name for path in _objects(store))
    assert not list(store.folder.glob("checkpoints/*/done.json"))
    assert all(path.with_suffix(".jsonl").is_file() for path in store.folder.glob("artifacts/*/*.json"))


def _objects(store: Store) -> list[Path]:
    return [path for path in (store.folder / "objects").glob("*/*") if len(path.name) == 64]


@pytest.mark.parametrize("kind", ["no lines", "manifest"])
def test_an_artifact_that_is_not_whole_is_left(store, other, kind):
    damage(kind, other)

    assert merge(store, other) == Merged(answers=7, images=2, artifacts=0, checkpoints=0)


def test_stopped_half_way_it_goes_on(store, other):
    damage("lines", other)
    with pytest.raises(InputError):
        merge(store, other)
    with closing(Store(other)) as theirs:
        for path in (other / "artifacts").glob("*/*"):
            path.unlink()
        artifact(theirs, "render", ['{"kind":"class"}'])

    assert merge(store, other) == Merged(answers=0, images=0, artifacts=1, checkpoints=0)


def test_what_a_run_stores_there_meanwhile_is_not_taken_for_damage(store, other, monkeypatch):
    copy = module._objects

    def while_it_draws(*given):
        copied = copy(*given)
        with closing(Store(other)) as theirs:
            put(theirs, msgspec.structs.replace(GENERATE, seed=99), GeneratedImage(sha256=theirs.put_object(b"later")))
            theirs.put_object(b"of no answer")
            artifact(theirs, "filter", ['{"kind":"class"}'])
        return copied

    monkeypatch.setattr(module, "_objects", while_it_draws)

    assert merge(store, other) == Merged(answers=8, images=3, artifacts=1, checkpoints=0)
    assert store.get_object(hashlib.sha256(b"later").hexdigest()) == b"later"


def test_an_answer_of_another_version_of_ltgc_comes_along_word_for_word(store, other):
    from ltgc_cli.keys import key_of

    asked = {"model": "m", "text": "t", "image": "ab" * 32, "colour": "red"}
    text = json.dumps({"request": {"type": "Match", **asked}, "answer": 0.5}, separators=(",", ":"))
    plant(other, key_of("Match", asked), text)

    assert merge(store, other).answers == 8
    assert store.get(key_of("Match", asked)) == json.loads(text)


def test_images_take_no_room_twice_on_one_disk(store, other):
    merge(store, other)

    mine, theirs = store.object_path(SHA), other / "objects" / SHA[:2] / SHA
    # A second name of the one file, where blocks cannot be shared: no store writes to an object that is there.
    assert mine.read_bytes() == theirs.read_bytes() == BYTES
    assert mine.stat().st_ino == theirs.stat().st_ino or mine.stat().st_nlink == 1


def test_the_command_says_what_was_new_and_refuses_what_is_no_store_in_a_line(inside, other, tmp_path):
    ran = inside("cache", "import", other, "--cache-dir", tmp_path / "mine")
    assert (ran.code, "7 answers, 2 images, 1 artifact and 0 checkpoints were new" in ran.err) == (0, True)

    (tmp_path / "empty").mkdir()
    for folder, message in (("empty", "a folder without a store"), ("mine", "is this store itself")):
        ran = inside("cache", "import", tmp_path / folder, "--cache-dir", tmp_path / "mine")
        assert (ran.code, ran.err.count("\n"), message in ran.err) == (2, 1, True), ran.err
