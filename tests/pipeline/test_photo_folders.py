"""Photo folders as they come, through every command that reads them: what is left out is said, codes are no names."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ltgc_cli.learn.datasets import image_bytes, open_data

LEFT_OUT = (
    "data: photos: left out: Training/empty (no image in it), Training/golden_retriever/gone.png (a link to nothing), "
    "Training/golden_retriever/pipe.png (a named pipe), __MACOSX (left by a system), 2 .DS_Store (hidden); "
    "2 files skipped: 2 .MOV"
)
NOT_HERE = "ViT-B-32/laion2b_s34b_b79k"  # so init does not try it
FEW_STEPS = ("--no-generated", "--steps", 2, "--min-steps", 1, "--batch", 2)


def photos(root: Path, *classes: str) -> None:
    """Two photos a class: digits, which the embedded models know."""
    data = open_data("digits-lt", "test")
    for label, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        digits = [item for item in data.items if item.label == label]
        for item in digits[:2] if "est" not in root.name else digits[2:4]:
            (root / name / f"{item.name.rpartition('/')[2]}.png").write_bytes(image_bytes(data, item))


@pytest.fixture
def messy(tmp_path: Path) -> Path:
    """Splits as Kaggle calls them, what a Mac leaves, a film beside a photo, a link to nothing, a pipe."""
    classes = ("001.Black_footed_Albatross", "golden_retriever", "n02123045")
    photos(tmp_path / "photos" / "Training", *classes)
    photos(tmp_path / "photos" / "Testing", *classes)
    training = tmp_path / "photos" / "Training"
    (tmp_path / "photos" / "__MACOSX").mkdir()
    (training / "empty").mkdir()
    for name in classes[:2]:
        (training / name / ".DS_Store").write_bytes(b"")
        (training / name / "1.MOV").write_bytes(b"")
    os.symlink("nowhere.png", training / "golden_retriever" / "gone.png")
    os.mkfifo(training / "golden_retriever" / "pipe.png")
    return tmp_path


def test_every_command_says_once_what_it_leaves_out_and_goes_on_and_names_are_read_as_people_write_them(forked, messy):
    commands = [
        ("init", "--data", "photos", "--tail", "few", "-k", 2, "--clip", NOT_HERE, "-o", "new.toml"),
        ("describe", "--data", "photos", "--dry-run"),
        ("describe", "--data", "photos", "-o", "described.jsonl"),
        ("mix-train", "--data", "photos", "-o", "trained.jsonl", "--out", "checkpoint", *FEW_STEPS),
        ("run", "new.toml", "--until", "describe", "--dry-run"),
        ("eval", "--data", "photos", "-i", "trained.jsonl", "-o", "eval.jsonl"),
    ]
    said = ""
    for command in commands:
        ran = forked(*command)
        said += ran.err
        assert ran.code == 0, ran.err
        said_of = LEFT_OUT.replace("photos:", "photos (test):") if command[0] == "eval" else LEFT_OUT
        assert ran.err.count(said_of) == ran.err.count("left out") == 1, (command, ran.err)
    assert (
        "Classes read as: 001.Black_footed_Albatross → Black footed Albatross, golden_retriever → golden retriever, "
        "n02123045 → tabby cat."
    ) in said
    rows = [json.loads(line) for line in (messy / "described.jsonl").read_text().splitlines()]
    assert [(row["class"], row["synonyms"]) for row in rows if row["kind"] == "class"] == [
        ("Black footed Albatross", ["001.Black_footed_Albatross"]),
        ("golden retriever", ["golden_retriever"]),
        ("tabby cat", ["n02123045"]),
    ]
    texts = [row["text"] for row in rows if row["kind"] == "description"]
    assert len(texts) == 6 and not any("_" in text for text in texts)
    predicted = forked("predict", "--checkpoint", "checkpoint", "photos/Training/golden_retriever", "--json")
    assert predicted.code == 0 and len(predicted.out.splitlines()) == 2
    assert "gone.png (a link to nothing)" in predicted.err and "1 file skipped: 1 .MOV" in predicted.err


@pytest.mark.slow
def test_senses_and_streams_of_an_older_version_name_a_class_as_its_folder_is_called(forked, messy):
    (messy / "senses.toml").write_text('n02123045 = "pet"\n"golden retriever" = "dog"\n')
    described = forked("describe", "--data", "photos", "--senses", "senses.toml")
    senses = [row.get("sense") for line in described.out.splitlines() if (row := json.loads(line))["kind"] == "class"]
    assert senses == [None, "dog", "pet"]
    older = [
        {"kind": "class", "id": f"{label:016}", "label": label, "class": name, "count": 2, "tail": True}
        for label, name in enumerate(("001.Black_footed_Albatross", "golden_retriever", "n02123045"))
    ]
    (messy / "older.jsonl").write_text("".join(json.dumps(row) + "\n" for row in older))
    ran = forked("mix-train", "--data", "photos", "-i", "older.jsonl", "-o", "trained.jsonl", *FEW_STEPS)
    assert ran.code == 0, ran.err
    ran = forked("eval", "--data", "photos", "-i", "trained.jsonl", "-o", "eval.jsonl")
    assert ran.code == 0, ran.err


def test_data_that_has_mostly_numbers_or_codes_for_names_is_refused_before_a_model_is_asked(forked, tmp_path):
    photos(tmp_path / "photos", "0001", "0002", "cat")
    refused = (
        "ltgc: these are no names: 0001, 0002: gpt-4o knows nothing of a class called 0001; --classes FILE gives names"
    )
    (tmp_path / "ltgc.toml").write_text('data = "photos"\n[describe]\nlmm = "gpt-4o"\n')
    for command in (["describe", "--data", "photos"], ["run", "--until", "extend", "--dry-run"]):
        ran = forked(*command, OPENAI_API_KEY="none")
        assert ran.code == 2 and refused in " ".join(ran.err.split()), ran.err
    (tmp_path / "ltgc.toml").write_text('data = "photos"\nllm = "gpt-4o"\n')  # paid for in a later stage alone
    ran = forked("run", "--until", "describe", "--dry-run")
    assert ran.code == 0, ran.err
    ran = forked("run", "--until", "extend", OPENAI_API_KEY="none")
    assert ran.code == 2 and refused in " ".join(ran.err.split()), ran.err
    said = forked("init", "--data", "photos", "-k", 2, "--clip", NOT_HERE, "-o", "new.toml").err
    assert "These are no names, and models know nothing of a class called 0001: 0001, 0002. Give names with" in said
    # A person who names a class 777 means it, and so does who has some such class among others.
    (tmp_path / "classes.csv").write_text("label,name\n1,777\n2,heron\n0,cat\n")
    ran = forked("describe", "--data", "photos", "--classes", "classes.csv", "--dry-run", LTGC_LMM="gpt-4o")
    assert ran.code == 0 and ran.err.count("may be no names: 777: gpt-4o knows nothing of a class called 777") == 1


def test_lists_without_names_are_refused_as_well_and_digits_are_not(forked, tmp_path):
    photos(tmp_path, "a")
    image = next((tmp_path / "a").iterdir()).name
    (tmp_path / "list.txt").write_text(f"a/{image} 7\n")
    ran = forked("describe", "--data", "list.txt", "--lmm", "gpt-4o", "--dry-run")
    assert ran.code == 2 and "these are no names: 7: gpt-4o" in ran.err
    ran = forked("describe", "--data", "digits-lt", "--lmm", "gpt-4o", "--tail", 7, "--dry-run")
    assert ran.code == 0 and "no names" not in ran.err


def test_typed_names_are_read_as_people_write_them_and_codes_among_them_are_said(forked):
    ran = forked("extend", "--class", "golden_retriever", "--class", "n02123045", "-n", 2)
    assert {json.loads(line)["class"] for line in ran.out.splitlines()} == {"golden retriever", "tabby cat"}
    ran = forked("extend", "--class", "n12345678", "--class", "class_3", "--llm", "gpt-4o", "--dry-run")
    assert ran.code == 0 and ran.err.count("may be no names: n12345678, class_3: gpt-4o knows nothing") == 1
