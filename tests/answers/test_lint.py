"""The linter: which marks a description gets, which are fatal, and that no phrase of the embedded models has any."""

from __future__ import annotations

import itertools

import pytest

from ltgc_cli.answers import clip_tokens
from ltgc_cli.answers.lint import RULES, fatal, lint
from ltgc_cli.answers.read import read
from ltgc_cli.answers.spelling import words
from ltgc_cli.embedded.banks import WRITTEN
from ltgc_cli.embedded.general_bank import GENERAL
from ltgc_cli.providers.llm.embedded import sentence


def crane(features: str) -> str:
    return f"A photo of the class crane, {features}"


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        (crane("standing in a marsh."), ()),
        ("A photo of the class heron, tall.", ("wrong class",)),
        ("A photo of the class cranefly, tall.", ("wrong class",)),
        (crane("a bird that is not a crane."), ("wrong class",)),
        (crane("with distinctive features, in a specific scene."), ("placeholder echo",)),
        (crane("with [distinctive features]."), ("placeholder echo",)),
        ("A photo of the class crane with {feature 1}.", ("placeholder echo",)),
        (crane("with distinctive features like a red cap."), ()),
        (crane("with students in a classroom."), ("class taken as a subject",)),
        (crane("the class is posing for its yearbook."), ("class taken as a subject",)),
        (crane("in the university's lecture."), ("class taken as a subject",)),
        (crane("with children on a bank."), ()),
        (crane("with a long neck and"), ("truncated",)),
        (crane("with a long neck and a."), ("truncated",)),
        (crane("standing in"), ("truncated",)),
        (crane("looked at."), ()),
        (crane("a painting of a crane on silk."), ("medium leaked",)),
        (crane("in the style of a cartoon."), ("medium leaked",)),
        (crane("drawn in charcoal."), ("medium leaked",)),
        (crane("with a painting on the wall behind it."), ()),
        (crane("with a varied call."), ("nothing visible",)),
        (crane("known for its loyalty, native to Asia."), ("nothing visible",)),
        (crane("with a red cap, a varied call."), ("non-visual",)),
        (crane("perhaps in a zoo."), ("hedging",)),
        (crane("which seems to be asleep."), ("hedging",)),
        (crane(f"{'very ' * 80}tall."), ("over 77 tokens",)),
        (crane("possibly with a painted sign and"), ("truncated", "hedging")),
    ],
)
def test_a_description_gets_the_marks_that_it_deserves(text, marks):
    assert lint(text, "crane", "crane") == marks


def test_a_repeat_of_what_is_there_is_marked():
    there = {words(crane("tall, in a marsh."), "crane")}

    assert lint(crane("in a marsh, tall."), "crane", "crane", others=there) == ("duplicate",)
    assert lint(crane("in a marsh."), "crane", "crane", others=there) == ()


@pytest.mark.parametrize(
    ("name", "features"),
    [
        ("desk", "in an empty classroom"),
        ("school_bus", "with students boarding it"),
        ("coffee_shop", "with students at their laptops"),
        ("stained glass", "a mosaic of blue and red"),
        ("comic book", "with a cartoon of a cat on its cover"),
    ],
)
def test_what_is_at_home_in_a_class_may_be_said_of_it(name, features):
    assert lint(f"A photo of the class {name}, {features}.", name, name) == ()


def test_a_class_is_known_by_its_sense_and_its_synonyms():
    assert lint("A photo of the class seal, wet.", "seal", "seal (marine mammal)") == ()
    assert lint("A photo of a sea dog, wet.", "seal", "seal") == ("wrong class",)
    assert lint("A photo of a sea dog, wet.", "seal", "seal", ["sea dog"]) == ()


def test_the_first_fatal_mark_of_the_table_is_the_reason():
    assert fatal(("placeholder echo", "hedging")) == "echoes the template's placeholders"
    assert fatal(("hedging", "over 77 tokens", "duplicate", "non-visual")) == ""


def test_what_is_only_marked_can_still_be_drawn():
    assert {mark for mark, rule in RULES.items() if not rule.fatal} == {
        "non-visual",
        "hedging",
        "over 77 tokens",
        "duplicate",
    }


# --- CLIP's tokens


@pytest.mark.parametrize(
    "text",
    [
        "A photo of seal (marine mammal), standing on 3 rocks at dawn.",
        "Tinca tinca, Xylocopa violacea; isn't it the crane's?",
        "“quoted” — naïve l'été 鶴 🙂 &amp; it's 12,345 #1 ice_cream",
        "qwrtpsdfg zyzzyva bxqz",
        "UPPER Case\tand  spaces\n",
        "",
    ],
)
def test_tokens_are_counted_as_open_clip_counts_them(text):
    from ltgc_cli.providers.torch_setup import mend_torchvision

    mend_torchvision()
    from open_clip.tokenizer import SimpleTokenizer

    assert clip_tokens.count(text) == len(SimpleTokenizer().encode(text)) + 2


def test_77_tokens_fit_and_78_do_not():
    assert clip_tokens.count("very " * 75) == 77
    assert not clip_tokens.over("very " * 75)
    assert clip_tokens.over("very " * 76)


def test_a_short_text_is_not_counted_at_all(monkeypatch):
    monkeypatch.setattr(clip_tokens, "count", lambda text: pytest.fail("counted"))

    assert not clip_tokens.over(crane("standing in shallow water with its neck stretched out, next to green reeds."))


def test_what_counts_is_what_is_drawn():
    name, sense = "seal", "marine mammal of the family Phocidae"
    fits = f"A photo of the class {name}, {'very ' * 65}wet."

    assert lint(fits, name, name) == ()
    assert lint(fits, name, f"{name} ({sense})") == ("over 77 tokens",)


# --- the embedded models


@pytest.mark.parametrize(
    ("banks", "name", "sense"),
    [
        (WRITTEN, "three", "written digit"),
        (WRITTEN, "3", "digit"),
        (GENERAL, "crane", ""),
        (GENERAL, "tench, Tinca tinca", ""),
        (GENERAL, "ice_cream_parlor", ""),
        (GENERAL, "scratch", "defect on metal"),
    ],
)
def test_the_embedded_grammar_is_read_word_for_word_and_gets_no_mark(banks, name, sense):
    subject = f"{name} ({sense})" if sense else name
    phrases = [phrase for bank in banks.values() for phrase in bank]
    said = [[one] for one in phrases] + [[*two] for two in itertools.combinations(phrases, 2)]
    texts = [sentence(subject, each) for each in said]
    texts += [text.replace(f"{subject}, with ", f"{subject} with ") for text in texts if f"{subject}, with " in text]
    expected = [text.replace(subject, name, 1) for text in texts]
    numbered = "\n".join(f"{number}. {text}" for number, text in enumerate(texts, start=1))

    assert read(numbered, name, subject)[:2] == (expected, [])
    assert read(texts[0], name, subject)[:2] == (expected[:1], [])
    assert all(lint(text, name, subject) == () for text in expected)
