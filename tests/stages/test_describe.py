"""describe: the vision-language model is shown the image itself, and its answer becomes one description."""

from __future__ import annotations

import pytest
from fakes import a_class, an_image, says, sha

from ltgc_cli import prompts as p
from ltgc_cli.answers import read as reading
from ltgc_cli.errors import ProviderError, Refused
from ltgc_cli.ports import Question, Usage
from ltgc_cli.records import Description, Failure, Made
from ltgc_cli.stages.describe import describe

CRANE = a_class("crane", 3)
PHOTO = an_image(CRANE, "birds/1.jpg")
TALL = "A photo of the class crane, tall."


def test_the_model_is_shown_the_image_with_prompt_1():
    ask = says(TALL)
    describe(PHOTO, CRANE, ask=ask, model="gpt-4o")

    assert ask.seen == [
        Question(
            model="gpt-4o",
            task="describe",
            subject="crane",
            text=p.describe(p.PAPER, "crane"),
            images=(sha("birds/1.jpg"),),
        )
    ]


def test_the_image_passes_and_its_description_follows():
    image, description = describe(
        PHOTO, CRANE, ask=says(TALL, usage=Usage(prompt_tokens=9, dollars=0.01)), model="gpt-4o"
    )

    assert image is PHOTO
    assert description == Description(
        id=description.id,
        label=3,
        class_="crane",
        text=TALL,
        origin="described",
        parents=(PHOTO.id,),
        made=Made(model="gpt-4o", prompt="describe", usage=Usage(prompt_tokens=9, dollars=0.01)),
    )


def test_a_class_with_a_sense_is_asked_for_by_its_sense_and_recorded_by_its_name():
    seal = a_class("seal", 7, sense="marine mammal")
    ask = says("A photo of the class seal (marine mammal), wet.")
    _, description = describe(an_image(seal, "1.jpg"), seal, ask=ask, model="m")

    assert "the class seal (marine mammal)." in ask.seen[0].text
    assert (description.class_, description.text) == ("seal", "A photo of the class seal, wet.")


def test_of_an_answer_with_several_sentences_the_first_that_can_be_used_is_taken():
    ask = says(f"Sure! Here it is:\n{TALL}\nA photo of the class crane, grey.", usage=Usage(dollars=0.01))
    _, description, *dropped = describe(PHOTO, CRANE, ask=ask, model="m")

    assert description.text == TALL
    assert [(row.text, row.reason, row.parents, row.made.usage) for row in dropped] == [
        ("Sure! Here it is:", "is talk around the list", (PHOTO.id,), Usage()),
        ("A photo of the class crane, grey.", "one sentence was asked for, and another is there", (PHOTO.id,), Usage()),
    ]
    assert description.made.usage == Usage(dollars=0.01)


def test_an_answer_that_the_reader_fails_on_is_a_failure_that_keeps_it_for_a_later_version(monkeypatch):
    monkeypatch.setattr(reading, "blocks", lambda text: 1 / 0)
    _, failure = describe(PHOTO, CRANE, ask=says("A photo of the class crane, tall and grey; odd."), model="m")

    assert isinstance(failure, Failure)
    assert failure.reason.startswith("birds/1.jpg: its answer cannot be read (ZeroDivisionError: division by zero)")
    assert failure.text == "A photo of the class crane, tall and grey; odd."


def test_a_refused_image_is_a_failure_with_its_reason_and_the_run_goes_on():
    image, failure = describe(PHOTO, CRANE, ask=says(Refused("content policy")), model="m")

    assert image is PHOTO
    assert (failure.stage, failure.reason, failure.text) == ("describe", "birds/1.jpg: content policy", "")
    assert (failure.label, failure.class_, failure.parents) == (3, "crane", (PHOTO.id,))


def test_an_answer_with_nothing_usable_in_it_is_a_failure_that_keeps_its_words():
    _, failure = describe(PHOTO, CRANE, ask=says("A photo of the class heron, tall.\nI hope this helps!"), model="m")

    assert isinstance(failure, Failure)
    assert failure.reason == "birds/1.jpg: no usable description: names another class; is talk around the list"
    assert failure.text == "A photo of the class heron, tall.\nI hope this helps!"


def test_an_empty_answer_is_a_failure_that_says_so():
    _, failure = describe(PHOTO, CRANE, ask=says(""), model="m")

    assert failure.reason == "birds/1.jpg: no usable description: the answer was empty"


def test_a_failure_that_cost_money_says_how_much():
    _, failure = describe(PHOTO, CRANE, ask=says("Sorry.", usage=Usage(dollars=0.01)), model="m")

    assert failure.made.usage.dollars == 0.01


def test_a_provider_that_cannot_be_used_at_all_stops_the_run():
    with pytest.raises(ProviderError, match="no key"):
        describe(PHOTO, CRANE, ask=says(ProviderError("no key")), model="m")


def test_the_same_image_and_answer_have_the_same_id_and_another_image_another():
    first, again, other = (
        describe(image, CRANE, ask=says(TALL), model="m")[1] for image in (PHOTO, PHOTO, an_image(CRANE, "birds/2.jpg"))
    )

    assert first == again
    assert first.id != other.id


def test_a_person_can_replace_the_prompt_and_the_record_says_so():
    mine = p.Prompts(describe="Describe [y].")
    ask = says(TALL)
    _, description = describe(PHOTO, CRANE, ask=ask, model="m", prompts=mine)

    assert "Describe crane." in ask.seen[0].text
    assert description.made.prompt == "describe@3b7f66f0"


def test_a_description_keeps_the_marks_of_the_linter():
    _, description = describe(PHOTO, CRANE, ask=says("A photo of the class crane, which might be asleep."), model="m")

    assert description.marks == ("hedging",)
