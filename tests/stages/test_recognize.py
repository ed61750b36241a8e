"""A vision-language model is asked which class an image shows, and its answer is matched with one class or none."""

from __future__ import annotations

import pytest

from ltgc_cli.errors import Refused, TooLong
from ltgc_cli.ports import Answer, Question
from ltgc_cli.records import Class
from ltgc_cli.stages.recognize import label_of, recognize, table


def classes(*names: str | tuple[str, str, tuple[str, ...]]) -> list[Class]:
    rows = [(name, "", ()) if isinstance(name, str) else name for name in names]
    return [
        Class(label=10 + number, class_=name, sense=sense, synonyms=synonyms, tail=True)
        for number, (name, sense, synonyms) in enumerate(rows)
    ]


BIRDS = table(
    classes(
        ("crane", "bird", ()),
        ("crane", "machine", ("tower crane",)),
        "tench, Tinca tinca",
        "Gold_fish",
        ("seal", "marine mammal", ("phoca",)),
        "Trogon rufus",
        "Trogon rufus var. major",
        "C++",
        "C",
        "église",
        "the sea",
    )
)


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("crane (bird)", 10),
        ("Crane (Machine).", 11),
        ("tower crane", 11),
        ("crane", None),  # two classes are called so
        ("tench", 12),
        ("Tinca tinca", 12),
        ("**goldfish**", 13),
        ("a gold fish", 13),
        ("phoca", 14),
        ("SEAL", 14),
        ("The photo shows a seal on a rock.", 14),
        ('{"name": "seal (marine mammal)"}', 14),
        ('```json\n{"name": "phoca"}\n```', 14),
        ("<think>It may be a trogon.</think>\nseal", 14),
        ("Answer:\nTrogon rufus", 15),
        ("It is Trogon rufus var. major", 16),  # the longest name, not the one within it
        ("T. rufus", 15),
        ("Trogon ruffus", 15),
        ("C++", 17),
        ("c", 18),
        ("eglise", 19),
        ("sea", 20),
        ("either a seal or a goldfish", None),
        ("a pelican", None),
        ("I cannot tell.", None),
        ("", None),
        ("??", None),
    ],
)
def test_an_answer_names_one_class_or_none(answer, label):
    assert label_of(answer, BIRDS) == label


def test_json_nested_without_end_names_no_class():
    assert label_of('{"name":' * 5000 + "1" + "}" * 5000, BIRDS) is None


def test_the_question_shows_the_image_and_lists_every_name_whatever_their_order():
    asked: list[Question] = []

    def ask(question: Question) -> Answer:
        asked.append(question)
        return Answer(text="heron")

    rows = classes("crane", "heron")
    for order in (rows, rows[::-1]):
        assert recognize("ab", table(order), ask=ask, model="gpt-4o").label == 11
    assert asked[0] == asked[1]
    assert (asked[0].images, asked[0].task, asked[0].temperature) == (("ab",), "recognize", 0.0)
    assert asked[0].text == (
        "Which of these classes does the photo show?\n\n- crane\n- heron\n\n"
        "Answer with one name of the list, word for word, and nothing else."
    )


def test_names_too_many_to_list_are_asked_for_openly_with_some_as_examples():
    many = table(classes(*(f"Species number{number:04}" for number in range(3000))))
    (question,) = many.questions
    assert len(question) < 1000 and "Species number0000; Species number0250" in question
    assert label_of("Species number1234", many) == 1244


def test_a_list_too_long_for_the_model_is_left_out_of_a_second_question():
    def short(question: Question) -> Answer:
        if "- heron" in question.text:
            raise TooLong("4,096 tokens at most")
        return Answer(text="heron")

    assert recognize("ab", table(classes("crane", "heron")), ask=short, model="small").label == 11


def test_a_refusal_is_no_answer():
    def refuses(question: Question) -> Answer:
        raise Refused("no people")

    with pytest.raises(Refused, match="no people"):
        recognize("ab", table(classes("crane", "heron")), ask=refuses, model="shy")
