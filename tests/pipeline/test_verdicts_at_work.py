"""--verdicts at the command line: read before anything is asked, and what filter and mix-train make of them."""

from __future__ import annotations

import json

import pytest
from fakes import sha

from ltgc_cli.config import configure
from ltgc_cli.pipeline import stage as runner
from ltgc_cli.pipeline.chain import STAGES
from ltgc_cli.pipeline.session import Session

CLASSES = "".join(
    f'{{"kind":"class","label":{label},"class":"{name}","tail":true,"sense":"written digit"}}\n'
    for label, name in ((3, "three"), (7, "seven"))
)
STRICT = ("--scale", "cosine", "--threshold", 0.99, "--mode", "exclude", "--t2i", "blank")
FEW = ("--data", "digits-lt", "--steps", 2, "--batch", 4)


@pytest.fixture
def rendered(inside, tmp_path):
    """A file with drawings (colour fields) of two classes, that no bar would pass."""
    stream = inside("render", "--t2i", "blank", input=inside("extend", "-n", 2, input=CLASSES).out)
    (tmp_path / "rendered.jsonl").write_text(stream.out)
    return rows_of(stream.out)


def rows_of(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def images(rows: list[dict], kind: str = "image") -> list[dict]:
    return [row for row in rows if row["kind"] == kind]


def say(path, *said: tuple[dict, str]) -> None:
    lines = [
        {"kind": "verdict", "label": row["label"], "class": row["class"], "sha256": row["sha256"], "verdict": verdict}
        for row, verdict in said
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_what_a_person_says_goes_before_the_score_from_filter_to_the_checkpoint(inside, rendered, tmp_path):
    one, two, three, four = images(rendered)
    file = tmp_path / "verdicts.jsonl"
    say(file, (one, "keep"), (two, "keep"), (three, "none"), (two, "reject"), ({**four, "sha256": sha("x")}, "keep"))

    strict = inside("filter", "-i", "rendered.jsonl", *STRICT)
    (tmp_path / "filtered.jsonl").write_text(strict.out)
    assert len(images(rows_of(strict.out), "rejected")) == 4

    by_hand = inside("filter", "-i", "rendered.jsonl", *STRICT, "--verdicts", file)
    assert [row["sha256"] for row in images(rows_of(by_hand.out))] == [one["sha256"]]
    reasons = {row["sha256"]: row["reason"] for row in images(rows_of(by_hand.out), "rejected")}
    assert reasons.pop(two["sha256"]) == "rejected by hand"
    assert set(reasons.values()) == {"scored below the class's bar in its one drawing"}
    said = "2 of 3 verdicts apply (1 kept, 1 rejected); 1 is on an image that is not in the stream"
    assert f"filter: {said}\n" in by_hand.err
    assert "(asked because" not in by_hand.err  # the store has all the scores

    # What is said again, and comes to the same, is the same artifact; what is said otherwise is another.
    say(file, (two, "reject"), (one, "keep"), ({**four, "sha256": sha("x")}, "keep"))
    assert "answered by" in inside("filter", "-i", "rendered.jsonl", *STRICT, "--verdicts", file).err
    assert "answered by" in inside("filter", "-i", "rendered.jsonl", *STRICT).err

    trained = inside("mix-train", "-i", "filtered.jsonl", *FEW, "--verdicts", file)
    assert trained.code == 0, trained.err
    assert f"mix-train: {said}\n" in trained.err
    *passed, checkpoint = rows_of(trained.out)
    assert passed == rows_of(strict.out)  # the lines pass through as they are
    assert checkpoint["settings"]["images"] == 1

    # It is told apart by what it is trained on: the same drawings are the same checkpoint, however they were chosen.
    say(file, (one, "keep"))
    again = inside("mix-train", "-i", "filtered.jsonl", *FEW, "--verdicts", file)
    assert rows_of(again.out)[-1]["sha256"] == checkpoint["sha256"]
    say(file, (two, "keep"))
    other = inside("mix-train", "-i", "filtered.jsonl", *FEW, "--verdicts", file)
    assert rows_of(other.out)[-1]["sha256"] != checkpoint["sha256"]


@pytest.mark.parametrize("command", [("filter", *STRICT), ("mix-train", *FEW)])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\nnonsense\n", "verdicts.jsonl:2: not JSON"),
        (CLASSES, "verdicts.jsonl:1: a class record in a file of verdicts"),
        (None, "verdicts.jsonl: No such file or directory"),
    ],
)
def test_a_bad_file_stops_the_run_before_anything_is_asked(inside, rendered, store, tmp_path, command, text, said):
    if text is not None:
        (tmp_path / "verdicts.jsonl").write_text(text)
    done = inside(*command, "-i", "rendered.jsonl", "--verdicts", "verdicts.jsonl")

    assert (done.code, done.out) == (2, "")
    assert said in done.err and "Traceback" not in done.err
    assert not (store / "artifacts" / command[0]).exists()


def test_the_preview_says_that_it_leaves_verdicts_out(inside, rendered, tmp_path):
    (tmp_path / "verdicts.jsonl").write_text("")
    done = inside("filter", "-i", "rendered.jsonl", *STRICT, "--preview", "--verdicts", "verdicts.jsonl")
    assert "filter: --preview shows what the scores say; --verdicts is left out\n" in done.err


def test_the_names_of_artifacts_are_pinned_and_verdicts_and_plain_images_change_them(tmp_path):
    session = Session(tmp_path)

    def artifact(stage, **settings):
        config = configure(stage, {"t2i": "blank", "batch": 3, **settings}, environment={})
        return runner._hash(STAGES[stage](session, config), "0" * 64)

    assert artifact("render") == "4e73c36648f31c5bf05076f9bc0f48f6"
    assert artifact("render", plain=4) != artifact("render")

    models = {"llm": "gpt-4o", "clip": "ViT-B-32/openai"}
    none, one = tmp_path / "none.jsonl", tmp_path / "one.jsonl"
    none.write_text("")
    one.write_text(json.dumps({"kind": "verdict", "label": 3, "class": "a", "sha256": "a" * 64, "verdict": "keep"}))
    assert artifact("filter", **models) == "6e6d327e425b4685569ac017467ff89d"
    assert len({artifact("filter", **models, verdicts=file) for file in (None, none, one)}) == 3


def test_plain_drawings_go_through_every_stage_untouched(inside, tmp_path):
    stream = inside("render", "--t2i", "blank", "--plain", 3, input=inside("extend", "-n", 2, input=CLASSES).out)
    plain = [line for line in stream.out.splitlines() if '"origin":"plain"' in line]
    assert len(plain) == 6
    assert '"text":"A photo of the class three"' in plain[0]

    kept = inside("filter", "--scale", "cosine", "--mode", "score", input=stream.out)
    assert [line for line in kept.out.splitlines() if line in plain] == plain
    (tmp_path / "filtered.jsonl").write_text(kept.out)

    trained = inside("mix-train", "-i", "filtered.jsonl", *FEW)
    assert rows_of(trained.out)[-1]["settings"]["images"] == 4
    assert [line for line in trained.out.splitlines() if line in plain] == plain

    exported = inside("export", "-i", "filtered.jsonl", "--out", "drawn")
    assert "export: 4 images of 2 classes" in exported.err

    again = inside("render", "--t2i", "blank", "--plain", 3, "-i", "filtered.jsonl")
    assert again.out == kept.out and "no new lines" in again.err
    more = inside("render", "--t2i", "blank", "--plain", 4, "-i", "filtered.jsonl")
    assert [row["origin"] for row in images(rows_of(more.out))].count("plain") == 8
    assert "render: 2 images; 2 images asked" in more.err
