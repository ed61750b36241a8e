"""A name that means several things gets a sense: a person's, or the one that the class's own images show."""

import pytest
from fakes import a_class, an_image, of, says

from ltgc_cli.errors import Refused
from ltgc_cli.ports import Usage
from ltgc_cli.records import Class, Failure, Group
from ltgc_cli.stages import senses
from ltgc_cli.stages.senses import NameInfo


def a_group(name: str, label: int = 3, images: int = 5, **fields) -> Group:
    cls = a_class(name, label, **fields)
    return Group(cls, [cls, *(an_image(cls, f"{name}/{number}.jpg") for number in range(images))])


@pytest.mark.parametrize(
    ("answer", "sense"),
    [
        ("marine mammal", "marine mammal"),
        ("Marine mammal.", "Marine mammal"),
        ('"marine mammal"', "marine mammal"),
        ("**marine mammal**", "marine mammal"),
        ("seal (marine mammal)", "marine mammal"),
        ("Seal: marine mammal", "marine mammal"),
        ("Sense: marine mammal", "marine mammal"),
        ('{"sense": "marine mammal"}', "marine mammal"),
        ("<think>It has flippers.</think>\nmarine mammal", "marine mammal"),
        ("marine mammal\n\nThe photos show flippers.", "marine mammal"),
        ("", ""),
        ("none", ""),
        ("seal", ""),
        ('{"sense": ""}', ""),
        ('```json\n{"sense": "marine mammal"}\n```', "marine mammal"),
        ('Here it is: {"sense": "marine mammal", "confidence": 0.9}', "marine mammal"),
        ('{"sense": "marine mam', ""),
        ('{"sense": null}', ""),
        ('{"sense": "caf\\u00e9 chair"}', "café chair"),
        ('{"sense": "half \\ud83d a character"}', ""),
        ("Sure! The answer is: marine mammal", "marine mammal"),
        ("Marine mammal (pinniped)", "Marine mammal"),
        ("I cannot tell", ""),
        ("unclear", ""),
        ("The class seal", ""),
        ("The photos show an animal with flippers lying on a rocky beach by the sea.", ""),
        ("marine\x1b[2Jmammal", ""),
    ],
)
def test_an_answer_is_read_for_a_few_words(answer, sense):
    assert senses.read(answer, "seal") == sense


def test_names_of_one_word_and_names_that_two_classes_share_are_ambiguous():
    classes = [
        a_class("seal", 0),
        a_class("Trogon rufus", 1),
        a_class("water tower", 2),
        a_class("Water Tower", 3),
        a_class("crane", 4, sense="machine"),
        a_class("nail", 5, tail=False),
    ]
    assert senses.ambiguous(classes) == {0, 2, 3}


def test_the_question_shows_up_to_four_images_of_the_class_and_the_answer_is_kept_in_its_record():
    ask = says("marine mammal", usage=Usage(prompt_tokens=9))
    group = a_group("seal")
    (found,) = senses.with_senses([group], ask=ask, model="gpt-4o")
    (question,) = ask.seen
    assert question.task == "sense"
    assert question.images == tuple(row.sha256 for row in group.rows[1:5])
    assert "photos of the class seal" in question.text
    assert found.cls.subject == "seal (marine mammal)"
    assert found.rows[0] is found.cls
    assert found.rows[1:] == group.rows[1:]
    assert (found.cls.made.model, found.cls.made.prompt, found.cls.made.usage.prompt_tokens) == ("gpt-4o", "sense", 9)


def test_one_question_is_asked_per_ambiguous_name_and_none_for_the_others():
    ask = says("bird")
    groups = [a_group("crane", 0), a_group("Trogon rufus", 1), a_group("heron", 2, images=0)]
    found = senses.with_senses(groups, ask=ask, model="m")
    assert [group.cls.subject for group in found] == ["crane (bird)", "Trogon rufus", "heron"]
    assert [question.subject for question in ask.seen] == ["crane"]


@pytest.mark.parametrize("said", [Refused("no"), "I cannot tell from these photos what is meant by it here"])
def test_a_class_whose_sense_is_not_told_stays_as_it_is_with_a_failure(said):
    (found,) = senses.with_senses([a_group("crane")], ask=says(said), model="m")
    assert found.cls.subject == "crane"
    (failure,) = of(Failure, found.rows)
    assert failure.stage == "senses"
    assert len(of(Class, found.rows)) == 1


def test_what_a_person_says_is_laid_over_the_class_and_changes_its_id():
    group = a_group("crane", 7)
    (found,) = senses.with_names([group], {7: NameInfo(sense="machine", synonyms=("hoist",))})
    assert (found.cls.sense, found.cls.synonyms) == ("machine", ("hoist",))
    assert found.cls.id != group.cls.id
    assert senses.with_names([group], {8: NameInfo(sense="bird")}) == [group]
