"""What version 1 left on a disk is read by this version and by later ones; what a newer one wrote is refused."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import filled_store
import pytest
import safetensors.torch
import torch
from commands import Ltgc

from ltgc_cli import manifest, records, settings_file
from ltgc_cli.cache import archive
from ltgc_cli.cache.verify import verify
from ltgc_cli.errors import InputError
from ltgc_cli.learn import checkpoint_files
from ltgc_cli.learn.state import TrainingState
from ltgc_cli.providers import replay
from ltgc_cli.providers.llm import batches, no_schema
from ltgc_cli.review import verdict_file
from ltgc_cli.store import Store, entry, existing

WRITTEN = Path(__file__).parent / "fixtures" / "version_1"
NEWER = r" was written by a newer ltgc \(schema 2, this one reads up to 1\); upgrade ltgc$"


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A copy of what version 1 wrote: a store, and files beside it."""
    return Path(shutil.copytree(WRITTEN, tmp_path / "disk"))


def checkpoint(disk: Path) -> Path:
    (folder,) = (disk / "store" / "checkpoints").iterdir()
    return folder


def rewritten(path: Path, **keys: Any) -> Path:
    """A file of JSON with some keys more."""
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))
    return path


def marked(path: Path, line: int = 0) -> Path:
    """A file of JSON lines of which one has the schema of a newer version."""
    lines = path.read_text().splitlines()
    lines[line] = json.dumps(json.loads(lines[line]) | {"schema": 2})
    path.write_text("\n".join(lines) + "\n")
    return path


def training_state() -> TrainingState:
    weight = torch.nn.Parameter(torch.zeros(2))
    return TrainingState({"a": weight}, torch.optim.AdamW([weight]), {})


# ---- what version 1 wrote


def test_its_store_is_whole_and_every_answer_in_it_is_read(disk):
    with closing(Store(disk / "store")) as store:
        found = verify(store)
        read = [entry(row.key, row.text) for row in store.rows()]
    assert (found.damages, found.others) == ([], 0)
    assert {type(one.request).__name__ for one in read} == {"Question", "ImageRequest", "Match", "Comparison"}
    assert filled_store.PAID in [one.request for one in read]


@pytest.mark.parametrize("how", ["the artifact is streamed", "the answers are found"])
def test_the_command_that_it_was_asked_with_gives_the_same_bytes_and_asks_nothing(disk, ltgc: Ltgc, how):
    store = disk / "store"
    if how == "the answers are found":
        shutil.rmtree(store / "artifacts")
    ran = ltgc("extend", "-i", str(disk / "crane.jsonl"), "-n", "3", "--json", LTGC_CACHE_DIR=str(store))
    assert (ran.code, ran.out) == (0, (disk / "described.jsonl").read_text())
    (made,) = (store / "artifacts" / "extend").glob("*.json")
    asked = json.loads(made.read_text())["answers"]["Question"]["asked"]
    assert asked == (1 if how == "the artifact is streamed" else 0)  # streamed: the manifest is still the first run's


def test_its_records_of_each_kind_are_written_back_byte_for_byte(disk):
    lines = (disk / "records.jsonl").read_text().splitlines()
    read = [records.parse(line) for line in lines]
    assert {records.kind_of(record) for record in read} == {*records.KINDS, "note"}
    assert [records.dump(record) for record in read] == lines
    anew = [records.evolve(record) for record in read if records.kind_of(record) != "note"]
    assert [records.dump(record) for record in anew] == lines[:-1]


def test_its_checkpoint_is_whole(disk):
    folder = checkpoint(disk)
    done = checkpoint_files.whole(folder)
    checkpoint_files.check(folder, done)
    assert [one.name for one in checkpoint_files.classes(folder)] == ["one", "two", "zero"]
    assert checkpoint_files.settings(folder).tune == "head"


def test_its_training_goes_on(disk):
    found = training_state()
    found.load(disk / "state.safetensors", "run", 10)
    assert (found.step, found.weights["a"].tolist()) == (7, [1, 1])


def test_its_recording_verdicts_batches_and_settings_are_read(disk):
    (exchange,) = replay.read(disk / "recording.jsonl").values()
    assert exchange.answer.text == "At dusk."
    assert list(verdict_file.load(disk / "verdicts.jsonl").values()) == ["keep"]
    assert len(batches.waited_for(disk / "store" / "batches")) == 1
    assert no_schema.known(disk / "store" / no_schema.FILE) == {"ollama/llama3.1"}
    assert settings_file.load(disk / "ltgc.toml")["mix-train"] == {"loss": "la", "steps": 100}


def test_its_export_is_imported(disk, tmp_path):
    with closing(Store(tmp_path / "store")) as store:
        assert archive.unpack(store, disk / "export.tar")[:2] == (8, 2)


# ---- what a newer version writes


def newer_store(disk: Path) -> None:
    with closing(sqlite3.connect(disk / "store" / "answers" / "cache.db")) as database:
        database.execute("PRAGMA user_version = 2")


@pytest.mark.parametrize("opening", [Store, existing])
def test_the_store_of_a_newer_version_is_refused_and_left_as_it_is(disk, opening):
    newer_store(disk)
    before = (disk / "store" / "answers" / "cache.db").read_bytes()
    with pytest.raises(InputError, match=f"^{disk / 'store'}{NEWER}"):
        opening(disk / "store")
    assert (disk / "store" / "answers" / "cache.db").read_bytes() == before


def test_a_command_says_so_in_one_line(disk, ltgc: Ltgc):
    newer_store(disk)
    ran = ltgc("cache", "info", LTGC_CACHE_DIR=str(disk / "store"))
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 1)
    assert "upgrade ltgc" in ran.err


def test_a_record_of_a_newer_version_is_refused_with_its_line(disk):
    path = marked(disk / "records.jsonl", line=3)
    with path.open() as lines, pytest.raises(InputError, match=rf"records.jsonl:4: the line{NEWER}"):
        list(records.read(lines, str(path)))


@pytest.mark.parametrize("line", ['{"kind":"note","schema":2}', '{"kind":"class","label":1,"tail":true,"schema":"my"}'])
def test_lines_of_other_kinds_and_keys_of_other_programs_pass_through(line):
    assert records.dump(records.parse(line)) == line


def newer_export(disk: Path) -> None:
    path = disk / "export.tar"
    with tarfile.open(path) as tar:
        members = [(info, tar.extractfile(info).read()) for info in tar]
    with tarfile.open(path, "w") as tar:
        for info, data in members:
            if info.name == "answers.jsonl":
                data = data.replace(b'{"key"', b'{"schema":2,"key"')
                info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    with closing(Store(disk / "another")) as store:
        archive.unpack(store, path)


def newer_state(disk: Path) -> None:
    path = disk / "state.safetensors"
    safetensors.torch.save_file({"weights:a": torch.ones(2)}, path, {"run": "otherwise", "facts": '{"schema":2}'})
    training_state().load(path, "run", 10)


def newer_manifest(disk: Path) -> None:
    (path,) = (disk / "store" / "artifacts" / "extend").glob("*.json")
    manifest.read(rewritten(path, schema=2).with_suffix(".jsonl"))


def newer_batch(disk: Path) -> None:
    (path,) = (disk / "store" / "batches").iterdir()
    batches.waited_for(rewritten(path, schema=2).parent)


@pytest.mark.parametrize(
    "read",
    [
        newer_export,
        newer_state,
        newer_manifest,
        newer_batch,
        lambda disk: checkpoint_files.whole(rewritten(checkpoint(disk) / "done.json", schema=2, files=1).parent),
        lambda disk: checkpoint_files.settings(rewritten(checkpoint(disk) / "settings.json", schema=2).parent),
        lambda disk: replay.read(marked(disk / "recording.jsonl")),
        lambda disk: verdict_file.load(marked(disk / "verdicts.jsonl")),
    ],
    ids=["export", "state", "manifest", "batch", "checkpoint", "its settings", "recording", "verdict"],
)
def test_what_a_newer_version_wrote_is_refused_with_a_sentence(disk, read):
    with pytest.raises(InputError, match=NEWER):
        read(disk)
