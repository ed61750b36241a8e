import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fakes import sha

from ltgc_cli.manifest import Answers, Manifest
from ltgc_cli.pipeline import lineage as provenance
from ltgc_cli.pipeline.stage import ALONE
from ltgc_cli.ports import Match
from ltgc_cli.records import Checkpoint, Class, Image, Record, Template
from ltgc_cli.store import Store, key


def manifest(folder: Path, stage: str, source: str, output: str, **more: Any) -> Manifest:
    done = Manifest(stage=stage, flags=more.pop("flags", {}), input=source, kinds=more.pop("kinds", {}), output=output)
    done = msgspec.structs.replace(done, **more)
    path = folder / "artifacts" / stage / f"{output}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.encode(done))
    return done


def test_the_lineage_goes_from_a_stream_back_to_the_run_that_made_the_classes(tmp_path: Path) -> None:
    runs = [
        manifest(tmp_path, "describe", "data", "a", kinds={"class": 10}),
        manifest(tmp_path, "render", "a", "b"),
        manifest(tmp_path, "filter", "b", "c"),
    ]
    manifest(tmp_path, "render", "elsewhere", "d")
    assert provenance.trace("c", tmp_path) == (tuple(runs), "")


def test_training_on_the_data_alone_is_a_beginning(tmp_path: Path) -> None:
    manifest(tmp_path, "mix-train", ALONE, "a")
    assert provenance.trace("a", tmp_path).gap == ""


def test_where_the_lineage_breaks_off_it_says_so(tmp_path: Path) -> None:
    done = manifest(tmp_path, "eval", "three files put together", "a")
    runs, gap = provenance.trace("a", tmp_path)
    assert runs == (done,)
    assert gap.startswith("What eval read was written by no run in the store as it is")


def test_a_stream_from_elsewhere_has_no_runs(tmp_path: Path) -> None:
    runs, gap = provenance.trace("a", tmp_path)
    assert runs == () and gap.startswith("No run in the store wrote this stream as it is")


def test_a_stage_that_changed_nothing_is_in_the_lineage_too(tmp_path: Path) -> None:
    first = manifest(tmp_path, "extend", "names", "a", kinds={"class": 1})
    second = manifest(tmp_path, "reflect", "a", "a")
    assert provenance.trace("a", tmp_path) == ((first, second), "")


def test_runs_that_undo_each_other_do_not_go_round_for_ever(tmp_path: Path) -> None:
    manifest(tmp_path, "reflect", "b", "a")
    manifest(tmp_path, "extend", "a", "b")
    assert [done.stage for done in provenance.trace("a", tmp_path).runs] == ["extend", "reflect"]


def test_what_is_no_manifest_is_passed_over(tmp_path: Path) -> None:
    done = manifest(tmp_path, "extend", "x", "a", kinds={"class": 1})
    (tmp_path / "artifacts" / "extend" / "broken.json").write_text("{")
    (tmp_path / "artifacts" / "extend" / "other.json").write_text('{"stage": 3}')
    (tmp_path / "artifacts" / "extend" / "deep.json").write_text('{"flags": ' + "[" * 100_000)
    (tmp_path / "artifacts" / "extend" / "latin.json").write_bytes(b'{"stage": "\xff"}')
    (tmp_path / "artifacts" / "extend" / "folder.json").mkdir()
    (tmp_path / "artifacts" / "extend" / "dangling.json").symlink_to("nowhere")
    assert provenance.trace("a", tmp_path).runs == (done,)


def test_a_run_is_shown_with_its_settings_as_text(tmp_path: Path) -> None:
    done = manifest(
        tmp_path, "mix-train", "a", "b",
        flags={"name": "LTGC", "lr": 0.003, "val": None, "data": "ab" * 32, "api": "http://me:secret99@host/v1"},
        kinds={"checkpoint": 1, "class": 2}, answers={"Match": Answers(asked=3, found=2)}, seconds=4.5,
    )  # fmt: skip
    run = provenance.page_run(done)
    assert (run.stage, run.made, run.answers) == ("mix-train: LTGC", "1 checkpoint, 2 classes", {"Match": (3, 2, 0)})
    assert run.settings == {
        "name": "LTGC",
        "lr": "0.003",
        "val": "not set",
        "data": "abababababab…",
        "api": "http://…@host/v1",
    }


def test_curves_are_read_from_the_checkpoints_numbers_alone(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints" / ("a" * 64)
    folder.mkdir(parents=True)
    rows = [{"step": 10, "stage": "mix", "loss": 1.5}, {"step": 20, "stage": "mix", "loss": 0.5, "val": 80.0}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    checkpoints = [
        Checkpoint(id="k1", sha256="a" * 64, method="LTGC", settings={"seed": 0}),
        Checkpoint(id="k2", sha256="b" * 64, method="gone"),
        Checkpoint(id="k3", sha256="../" * 21 + "x", method="no hash"),
    ]
    assert provenance.curves(checkpoints, tmp_path) == {
        "LTGC": [{"step": 10.0, "loss": 1.5}, {"step": 20.0, "loss": 0.5, "val": 80.0}]
    }


@pytest.mark.parametrize("damaged", ["", "{", "[1]\n", '"x"\n'])
def test_a_damaged_curve_is_no_curve(tmp_path: Path, damaged: str) -> None:
    folder = tmp_path / "checkpoints" / ("a" * 64)
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text(damaged)
    assert provenance.curves([Checkpoint(id="k", sha256="a" * 64, method="LTGC")], tmp_path) == {}


CRANE: list[Record] = [
    Class(label=0, class_="crane", tail=True, sense="wading bird"),
    Image(label=0, class_="crane", sha256=sha("real"), origin="original"),
    Image(label=0, class_="crane", sha256=sha("not asked"), origin="original"),
    Image(label=0, class_="crane", sha256=sha("drawn"), origin="generated", score=0.8, scale="paper"),
    Template(label=0, class_="crane", text="A photo of the class crane with long legs.", threshold=0.7),
]


def test_real_images_get_the_scores_that_filter_asked_for(tmp_path: Path) -> None:
    store = Store(tmp_path)
    match = Match(model="clip", image=sha("real"), text="A photo of crane (wading bird) with long legs.")
    store.add(key(match), {"request": {}, "answer": 0.25})
    done = Manifest(stage="filter", flags={"clip": "clip"}, input="", kinds={})
    assert provenance.real_scores(CRANE, store, [done]) == {0: [0.75]}
    store.close()


def test_without_the_judges_name_no_score_is_looked_for(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert provenance.real_scores(CRANE, store, []) == {}
    store.close()


def test_the_strength_of_from_original_is_shown_once_by_the_flags_name() -> None:
    flags = {"t2i": "sd-turbo", "strength": 0.6, "from-original": 0.6}
    settings = provenance.page_run(Manifest(stage="render", flags=flags, input="a", kinds={})).settings
    assert settings == {"t2i": "sd-turbo", "from-original": "0.6"}


def test_the_adapter_of_the_image_model_scored_nothing_and_has_no_curve(tmp_path: Path) -> None:
    rows: list[Record] = [
        Checkpoint(id="a", sha256="a" * 64, method="adapt", of="t2i", settings={"t2i": "sd"}),
        Checkpoint(id="b", sha256="b" * 64, method="LTGC", settings={"clip": "ViT"}),
    ]
    for one in rows:
        folder = tmp_path / "checkpoints" / one.sha256
        folder.mkdir(parents=True)
        (folder / "metrics.jsonl").write_text('{"step":1,"loss":2.5}\n')
    assert provenance.judge_of(rows, "cosine", []).clip == "ViT"
    assert provenance.curves(rows, tmp_path) == {"LTGC": [{"step": 1.0, "loss": 2.5}]}
