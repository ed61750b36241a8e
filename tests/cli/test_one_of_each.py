"""What commands say of one thing is in the singular, and a summary is shown wherever the records go."""

from __future__ import annotations

import re

import pytest

from ltgc_cli import console

_WRONG = re.compile(r"(?<![\d.,])1 (?!class\b)(?:[a-z]+ )?[a-z]*[^s\W]s\b(?! of)")
"""One of several: "1 questions"."""


def said(ran) -> str:
    assert ran.code in (0, 1), ran.err
    return ran.err


def test_of_one_class_with_one_description_and_image_all_is_said_in_the_singular(inside):
    chain = [
        "extend --class crane -n 1 -o e.jsonl",
        "extend --class crane -n 1 --llm gpt-4o --dry-run",
        "reflect -k 1 -i e.jsonl -o r.jsonl",
        "render --t2i blank -i r.jsonl -o i.jsonl",
        "filter --rounds 1 --scale cosine --threshold 0.1 --t2i blank -i i.jsonl -o f.jsonl",
        "export -i i.jsonl --out out",
        "report -i i.jsonl",
        "cost -i f.jsonl",
        "cache info",
        "cache verify",
        "cache export answers.tar --stage extend",
        "cache import answers.tar --cache-dir other",
        "cache prune --stage extend --dry-run",
    ]
    text = "".join(said(inside(*line.split())) for line in chain)
    assert "extend: 1 description; 1 question asked" in text and "render: 1 image; 1 image asked" in text
    assert "reflect: crane: 1 description\n" in text
    assert not _WRONG.findall(text), text


def test_the_table_is_shown_on_a_terminal_wherever_the_records_go(inside, monkeypatch, tmp_path):
    monkeypatch.setattr(console, "is_terminal", lambda: True)
    ran = inside("extend", "--class", "crane", "-n", 1, "-o", "e.jsonl")
    assert "A photo of the class crane" in ran.out and '{"kind"' not in ran.out
    assert ran.err.splitlines()[-1] == "extend: all of it is in e.jsonl"
    assert (tmp_path / "e.jsonl").read_text().startswith('{"kind":"description"')


@pytest.mark.parametrize("more", [["-o", "eval.jsonl"], []], ids=["into a file", "into a pipe"])
def test_what_eval_measured_is_shown_beside_the_records_without_a_terminal_too(inside, more):
    ran = inside("eval", "--data", "digits-lt", "--zero-shot", *more)
    assert "accuracy, % (± half a 95% interval)" in ran.err and "zero-shot CLIP" in ran.err
    assert "accuracy, %" not in ran.out and bool(ran.out) == (not more)
    assert "accuracy" not in inside("eval", "--data", "digits-lt", "--zero-shot", "-q", *more).err
