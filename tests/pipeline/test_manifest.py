"""The note beside an artifact says what a report needs: the way back to earlier stages, answers, dollars, versions."""

import hashlib
import json
from pathlib import Path

from ltgc_cli.config import configure
from ltgc_cli.pipeline.chain import STAGES
from ltgc_cli.pipeline.session import Session


def note(store: Path, stage: str) -> tuple[Path, dict]:
    (found,) = (store / "artifacts" / stage).glob("*.json")
    return found.with_suffix(".jsonl"), json.loads(found.read_text())


def test_a_note_has_the_sha256_of_what_was_written_and_the_next_stage_that_of_what_it_read(inside, store, tmp_path):
    inside("extend", "--class", "crane", "-n", 4, "-o", "extended.jsonl")
    inside("reflect", "-k", 4, "-i", "extended.jsonl", "-o", "reflected.jsonl")
    artifact, extended = note(store, "extend")
    _, reflected = note(store, "reflect")
    assert extended["output"] == hashlib.sha256((tmp_path / "extended.jsonl").read_bytes()).hexdigest()
    assert extended["output"] == hashlib.sha256(artifact.read_bytes()).hexdigest()
    assert reflected["input"] == extended["output"]


def test_a_note_says_what_was_asked_and_what_was_found_in_the_store(inside, store):
    inside("extend", "--class", "crane", "-n", 4)
    inside("extend", "--class", "crane", "--class", "seal", "-n", 4, "-q")
    notes = [json.loads(path.read_text()) for path in (store / "artifacts" / "extend").glob("*.json")]
    assert sorted((one["answers"]["Question"]["asked"], one["answers"]["Question"]["found"]) for one in notes) == [
        (1, 0),
        (1, 1),
    ]


def test_a_note_says_what_could_not_be_drawn(inside, store, tmp_path):
    (tmp_path / "in.jsonl").write_text(
        '{"kind":"description","label":0,"class":"crane","text":"A photo of the class crane, at night.",'
        '"origin":"extended"}\n'
    )
    done = inside("render", "--from-original", 0.5, "-i", "in.jsonl")
    assert done.code == 1
    _, rendered = note(store, "render")
    assert rendered["shortfalls"] == ["crane: its class has no original image to draw over; leave --from-original out"]


def test_of_many_failures_a_note_spells_out_a_hundred_and_counts_all(inside, store, tmp_path):
    line = (
        '{"kind":"description","label":0,"class":"crane","text":"A photo of the class crane, %d.","origin":"extended"}'
    )
    (tmp_path / "in.jsonl").write_text("\n".join(line % number for number in range(130)))
    done = inside("render", "--from-original", 0.5, "-i", "in.jsonl")
    _, rendered = note(store, "render")

    assert (len(rendered["shortfalls"]), rendered["kinds"]["failure"]) == (100, 130)
    assert "render: and 110 more" in done.err


def test_a_note_names_versions_and_is_read_without_what_older_ones_lack(inside, store):
    inside("extend", "--class", "crane", "-n", 4)
    artifact, extended = note(store, "extend")
    assert {"python", "ltgc", "torch", "litellm"} <= extended["versions"].keys()
    old = {key: extended[key] for key in ("stage", "flags", "input", "kinds", "shortfalls")}
    artifact.with_suffix(".json").write_text(json.dumps(old))
    assert "answered by" in inside("extend", "--class", "crane", "-n", 4).err


def test_where_one_question_is_not_enough_what_an_earlier_version_made_of_one_does_not_answer(tmp_path):
    def settings(n: int) -> dict:
        given = {"class_": ["crane"], "n": n}
        return STAGES["extend"](Session(tmp_path / "store"), configure("extend", given, environment={})).settings

    assert "parts" not in settings(40) and settings(41)["parts"] == 1
