"""Answers as language and vision models really give them: what is kept of each, and of the rest why not.

They stand in two tables beside this file: one with what becomes of every line, and one, written when the rules were
done, with what a person would keep and drop.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from ltgc_cli.answers import read as reading
from ltgc_cli.answers.read import read


def table(name):
    return tomllib.loads((Path(__file__).parent / name).read_text(encoding="utf-8"))["answer"]


ROWS = table("answers_of_models.toml")
MORE = table("more_answers.toml")


def title(row):
    return f"{row['class']}: {row['text'][:40]}"


@pytest.mark.parametrize("row", ROWS, ids=title)
def test_what_a_person_would_keep_is_kept_and_of_the_rest_is_said_why_not(row):
    found = read(row["text"], row["class"], row["class"])

    assert [text.removeprefix(f"A photo of the class {row['class']}") for text in found.texts] == row["keep"]
    assert [reason for _, reason in found.dropped] == row["drop"]


def test_the_table_is_as_wide_as_it_should_be():
    assert len(ROWS) >= 100 and len({row["class"] for row in ROWS}) >= 25


@pytest.mark.parametrize("row", MORE, ids=title)
def test_answers_that_no_rule_was_made_for_are_read_as_a_person_reads_them(row):
    kept = "\n".join(read(row["text"], row["class"], row["class"]).texts)

    assert [words for words in row["keep"] if words not in kept] == []
    assert [words for words in row["drop"] if words in kept] == []


def test_every_text_that_is_kept_is_read_again_as_it_is():
    for row in [*ROWS, *MORE]:
        for text in read(row["text"], row["class"], row["class"]).texts:
            assert read(text, row["class"], row["class"]).texts == [text]


def test_the_shortcut_for_plain_sentences_changes_nothing(monkeypatch):
    short = [read(row["text"], row["class"], row["class"]) for row in [*ROWS, *MORE]]
    monkeypatch.setattr(reading, "_plain", lambda text, cls: "")

    assert [read(row["text"], row["class"], row["class"]) for row in [*ROWS, *MORE]] == short


def test_synonyms_name_the_class_and_its_own_name_is_written():
    answer = "A photo of the class Grus grus, tall.\nA photo of a common crane, grey."

    assert read(answer, "crane", "crane").texts == ["A photo of the class crane, common, grey."]
    assert read(answer, "crane", "crane", ["Grus grus", "common crane"]).texts == [
        "A photo of the class crane, tall.",
        "A photo of the class crane, grey.",
    ]
