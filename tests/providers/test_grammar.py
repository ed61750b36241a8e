"""The embedded language model."""

from __future__ import annotations

import doctest
import hashlib
from itertools import combinations

import pytest

from ltgc_cli import prompts as p
from ltgc_cli.embedded.banks import WRITTEN
from ltgc_cli.embedded.general_bank import GENERAL
from ltgc_cli.errors import ProviderError
from ltgc_cli.ports import Question
from ltgc_cli.providers.llm import embedded as grammar

BIRD = "Trogon rufus"
THREE = "three (written digit)"


def ask(task: str, text: str, subject: str = BIRD, **options) -> str:
    return grammar.ask(Question(model=grammar.MODEL, task=task, subject=subject, text=text, **options)).text


def extended(subject: str = BIRD, want: int = 20, known: tuple[str, ...] = (), **options) -> list[str]:
    answer = ask("extend", p.extend(p.PAPER, subject, known, want), subject, want=want, **options)
    numbers, texts = zip(*(line.split(". ", 1) for line in answer.splitlines()), strict=True)
    assert numbers == tuple(str(n) for n in range(1, len(texts) + 1))
    return list(texts)


@pytest.mark.parametrize("subject", [BIRD, THREE, "crane (bird)", "../../etc", "<b>", "ا ب", "x" * 300, "[y]", "a.b,c"])
def test_it_extends_by_as_many_sentences_in_template_1_as_are_wanted(subject):
    texts = extended(subject, want=30)

    assert len(texts) == 30 == len(set(texts))
    for text in texts:
        assert text.startswith(f"A photo of the class {subject}, ") and text.endswith(".")
        assert "{" not in text and "[y]" not in text.replace(subject, "")
        assert 2 <= len(grammar.features(text, grammar.banks_for(subject))) <= 5


def test_the_same_question_has_the_same_answer_and_another_attempt_another():
    assert extended() == extended()
    assert not set(extended()) & set(extended(attempt=1))


def test_what_is_listed_already_is_not_said_again():
    first = extended(THREE, want=100)
    then = extended(THREE, want=100, known=tuple(first))

    def said(texts):
        return {frozenset(grammar.features(text, WRITTEN).values()) for text in texts}

    assert len(said(first)) == len(said(then)) == 100
    assert not said(first) & said(then)


def test_banks_that_are_used_up_give_fewer(monkeypatch):
    small = {"slant": ("upright", "slanted"), "weight": ("thin", "bold")}
    monkeypatch.setattr(grammar, "banks_for", lambda subject: small)

    texts = extended(want=10)

    assert len(texts) == 4 == len(set(texts))


@pytest.mark.parametrize(
    ("subject", "banks"),
    [
        (THREE, WRITTEN),
        ("b (handwritten letter)", WRITTEN),
        ("stop (traffic signs)", WRITTEN),
        ("three", GENERAL),
        ("digit", GENERAL),
        ("crane (machine)", GENERAL),
        ("lettuce (letterhead plant)", GENERAL),
    ],
)
def test_the_sense_decides_which_banks_suit(subject, banks):
    assert grammar.banks_for(subject) is banks


def test_repetition_is_found_by_what_is_said_and_answered_by_number():
    texts = [
        "A photo of the class Trogon rufus, seen from the side, in dim light.",
        "A photo of the class Trogon rufus, in dim light, seen from the side.",
        "A photo of the class Trogon rufus, in dim light.",
        "A photo of the class Trogon rufus, perched on a mossy branch.",
        "A photo of the class Trogon rufus, perched on a mossy branch.",
    ]

    assert ask("reflect", p.reflect(p.PAPER, BIRD, texts)) == "2, 5"
    assert ask("reflect", p.reflect(p.PAPER, BIRD, texts[2:4])) == "none"


def test_the_template_names_what_occurs_most_often_in_the_classs_own_images():
    seen = ["with thin strokes, slanted to the right, on a black ground"] * 3
    seen += ["with bold strokes, upright, on a black ground, tall and narrow"]
    text = p.template(p.PAPER, THREE, [f"A photo of the class three, {features}." for features in seen])

    assert ask("template", text, THREE) == (
        "A photo of the class three (written digit) with thin strokes, slanted to the right, on a black ground."
    )


def test_the_template_of_a_class_without_images_is_the_class_alone():
    assert ask("template", p.template(p.PAPER, BIRD, [])) == "A photo of the class Trogon rufus."


def test_refining_moves_towards_the_template_and_never_repeats_what_failed():
    failed = "A photo of the class three, with bold strokes, upright, in a wavy style."
    aim = "A photo of the class three (written digit) with thin strokes, slanted to the right, on a black ground."
    text = p.refine(p.PAPER, THREE, failed, aim)

    answers = {ask("refine", text, THREE, attempt=attempt) for attempt in range(20)}
    near = set(grammar.features(aim, WRITTEN).values())
    found = [set(grammar.features(answer, WRITTEN).values()) for answer in answers]

    assert len(answers) > 5
    assert set(grammar.features(failed, WRITTEN).values()) not in found
    assert sum(bool(features & near) for features in found) > len(found) / 2


@pytest.mark.parametrize("failed", ["A photo of the class Trogon rufus.", "Something else.", ""])
def test_refining_what_says_nothing_says_something(failed):
    text = p.refine(p.PAPER, BIRD, failed, "A photo of the class Trogon rufus.")

    assert len(grammar.features(ask("refine", text), GENERAL)) >= 2


def test_it_has_no_eyes():
    with pytest.raises(ProviderError, match="--lmm"):
        ask("describe", "…")


@pytest.mark.parametrize("banks", [WRITTEN, GENERAL], ids=["written", "general"])
def test_phrases_can_be_told_apart_in_a_sentence(banks):
    phrases = [phrase for bank in banks.values() for phrase in bank]

    assert len(phrases) == len(set(phrases))
    assert not any(mark in phrase for phrase in phrases for mark in ",.;{}[]\n")
    assert not [(a, b) for a, b in combinations(phrases, 2) if f" {a}".endswith(f" {b}") or f" {b}".endswith(f" {a}")]
    for phrase in phrases:
        assert list(grammar.features(grammar.sentence("x", [phrase]), banks).values()) == [phrase]


def test_answers_are_what_they_were_or_the_model_has_a_new_name():
    # Whoever changes an answer must rename the model (grammar.MODEL): stores are keyed by its name.
    answer = "\n".join(extended("crane (machine)", want=5))

    assert grammar.MODEL == "embedded/grammar-1"
    assert hashlib.sha256(answer.encode()).hexdigest()[:12] == "a255b56ca4e7"


def test_the_examples_in_the_docstrings_hold():
    from ltgc_cli.providers import images
    from ltgc_cli.providers.llm import embedded_lmm

    assert [doctest.testmod(module).failed for module in (grammar, images, embedded_lmm)] == [0, 0, 0]
