"""C_y, the class's features: asked once per class, unless the stream has it."""

from __future__ import annotations

import pytest
from fakes import a_description, of, says
from judging import CRANE, RED_CAP, drawn, group, run, sentence

from ltgc_cli import prompts as p
from ltgc_cli.errors import Refused, TooLong
from ltgc_cli.ports import Usage
from ltgc_cli.records import Failure, Group, Made, Template, dump, parse
from ltgc_cli.stages.class_template import class_template


def template_of(group, ask) -> Template:
    return class_template(group, ask=ask, model="gpt-4o").template


def test_prompt_4_is_asked_below_the_descriptions_of_the_class_s_own_images():
    described = a_description(CRANE, "tall", origin="described")
    ask = says(RED_CAP, usage=Usage(dollars=0.01))
    template = template_of(Group(CRANE, [CRANE, described, a_description(CRANE, "invented")]), ask)

    (question,) = ask.seen
    assert question.text == p.template(p.PAPER, "crane", [sentence("tall")])
    assert (question.task, question.temperature) == ("template", 0.0)
    assert template == Template(
        id=template.id,
        label=3,
        class_="crane",
        text=RED_CAP,
        parents=(described.id,),
        made=Made(model="gpt-4o", prompt="template", usage=Usage(dollars=0.01)),
    )


def test_where_no_image_was_described_the_invented_descriptions_are_shown_and_no_more_than_twenty():
    ask = says(RED_CAP)
    template_of(Group(CRANE, [a_description(CRANE, f"n{number}") for number in range(50)]), ask)

    assert ask.seen[0].text == p.template(p.PAPER, "crane", [sentence(f"n{number}") for number in range(20)])


NO_FEATURES = "the answer to Prompt 4 names no features"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Refused("busy"), "busy"),
        ("", NO_FEATURES),
        ("A photo of the class heron with a crest.", f"{NO_FEATURES} (names another class)"),
        ("A photo of the class crane with a unique design.", f"{NO_FEATURES} (says nothing of the class)"),
    ],
)
def test_where_the_answer_is_of_no_use_the_class_alone_is_its_template_marked_so_and_a_failure_keeps_the_answer(
    answer, why
):
    template, rows = class_template(Group(CRANE, [CRANE]), ask=says(answer), model="gpt-4o")

    assert (template.text, template.marks) == ("A photo of the class crane.", ("bare name",))
    (failure,) = rows
    assert failure.reason == f"its images are judged by its bare name: {why}"
    assert failure.text == (answer if isinstance(answer, str) else "")


@pytest.mark.parametrize(
    "answer",
    [
        "The most distinctive features of the class crane are its long neck, a red cap and black legs.",
        "Key features of the crane include its long neck, a red cap and black legs",
        "A photo of the class crane with:\n- its long neck\n- a red cap\n- black legs",
        "- its long neck\n- a red cap\n- black legs",
        "A photo of the class crane with {its long neck}{a red cap}{black legs}.",
        "**Distinctive features:** its long neck, a red cap and black legs",
    ],
)
def test_features_are_found_in_whatever_words_they_come(answer):
    template, rows = class_template(Group(CRANE, [CRANE]), ask=says(answer), model="gpt-4o")

    said = template.text.removeprefix("A photo of the class crane").replace(" and ", ", ")
    assert [words for words in ("long neck", "a red cap", "black legs") if words not in said] == []
    assert template.marks == () and not of(Failure, rows)


def test_what_of_the_answer_was_dropped_is_a_record_with_its_reason_and_costs_nothing():
    answer = f"Sure!\n{RED_CAP} I hope this helps!"
    _, rows = class_template(Group(CRANE, [CRANE]), ask=says(answer, usage=Usage(dollars=0.01)), model="gpt-4o")

    assert [(row.text, row.reason) for row in rows] == [
        ("Sure!", "is talk around the list"),
        ("I hope this helps!", "is talk around the list"),
    ]
    assert all(row.made.usage == Usage() for row in rows)


def test_a_template_of_the_stream_is_taken_as_it_is_and_nothing_is_asked():
    given = parse('{"kind":"template","id":"t","label":3,"class":"crane","text":"my crane","mine":1}')
    rows = run([Group(CRANE, [given, *group("x").rows])], {drawn("x"): 0.5}, template=lambda _: 1 / 0)

    assert [dump(row) for row in of(Template, rows)] == [
        '{"kind":"template","id":"t","label":3,"class":"crane","text":"my crane","bar":0.3,"mine":1}'
    ]


def test_the_template_follows_the_lines_of_its_class():
    rows = run([group("x")], {drawn("x"): 0.5})

    assert [type(row).__name__ for row in rows] == ["Class", "Image", "Template"]
    assert (rows[-1].text, rows[-1].threshold) == (RED_CAP, 0.3)


def too_long_for(most: int):
    """An Ask that reads no more than so many descriptions."""

    def answer(question):
        if question.text.count("A photo of the class crane, n") > most:
            raise TooLong("the question is too long")
        return RED_CAP

    return says(answer)


@pytest.mark.parametrize(("most", "shown"), [(20, 20), (19, 10), (3, 2), (0, 0)])
def test_where_the_question_is_too_long_it_is_asked_with_half_of_the_descriptions(most, shown):
    rows = [a_description(CRANE, f"n{number}") for number in range(20)]
    template = template_of(Group(CRANE, rows), too_long_for(most))

    assert template.text == RED_CAP
    assert template.parents == tuple(row.id for row in rows[:shown])


def test_where_the_question_is_too_long_without_any_the_class_alone_is_its_template():
    template = template_of(Group(CRANE, [a_description(CRANE, "tall")]), says(TooLong("no")))

    assert (template.text, template.parents) == ("A photo of the class crane.", ())


def test_a_template_of_no_use_says_what_its_question_used():
    template = template_of(Group(CRANE, [CRANE]), says("Sorry.", usage=Usage(prompt_tokens=9, dollars=0.01)))

    assert template.made.usage == Usage(prompt_tokens=9, dollars=0.01)
