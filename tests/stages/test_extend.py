"""extend: Prompt 2 below what is known of a class; the new descriptions follow the class's own lines."""

from __future__ import annotations

import pytest
from fakes import a_class, a_description, an_image, of, says

from ltgc_cli import prompts as p
from ltgc_cli.errors import Refused, TooLong
from ltgc_cli.ports import Usage
from ltgc_cli.records import Description, Failure, Group, Made, Rejected, dump, evolve, parse
from ltgc_cli.stages.extend import SHOWN, extend

CRANE = a_class("crane", 3)
KNOWN = a_description(CRANE, "tall", origin="described")
GROUP = Group(CRANE, [CRANE, an_image(CRANE, "1.jpg"), KNOWN])
ANSWER = "1. A photo of the class crane, in flight.\n2. A photo of the class crane, dancing in snow."


def test_prompt_2_is_asked_below_the_descriptions_that_are_there():
    ask = says(ANSWER)
    extend(GROUP, ask=ask, model="gpt-4o", want=2)

    (question,) = ask.seen
    assert question.text == p.extend(p.PAPER, "crane", ["A photo of the class crane, tall."], 2)
    assert (question.model, question.task, question.want, question.images) == ("gpt-4o", "extend", 2, ())


def test_new_lines_follow_the_old_ones_in_the_order_of_the_answer():
    rows = extend(GROUP, ask=says(ANSWER), model="m", want=2)

    assert rows[:3] == GROUP.rows
    assert [row.text for row in rows[3:]] == [
        "A photo of the class crane, in flight.",
        "A photo of the class crane, dancing in snow.",
    ]


def test_a_new_description_says_where_it_comes_from_and_its_share_of_the_cost():
    usage = Usage(prompt_tokens=11, completion_tokens=4, dollars=0.5)
    *_, first, second = extend(GROUP, ask=says(ANSWER, usage=usage), model="gpt-4o", want=2)

    assert (first.label, first.class_, first.origin, first.parents) == (3, "crane", "extended", (KNOWN.id,))
    assert first.made == Made(
        model="gpt-4o", prompt="extend", usage=Usage(prompt_tokens=6, completion_tokens=2, dollars=0.25)
    )
    assert second.made.usage == Usage(prompt_tokens=5, completion_tokens=2, dollars=0.25)


def test_a_class_that_is_not_in_the_tail_passes_untouched_and_nothing_is_asked():
    line = '{"kind":"class","label":0,"class":"sparrow","tail":false,"mine":1}'
    head = parse(line)
    rows = extend(Group(head, [head]), ask=lambda _: 1 / 0, model="m", want=2)

    assert [dump(row) for row in rows] == [line]


def test_lines_of_other_kinds_pass_byte_for_byte():
    lines = ['{"kind": "note"}', '{"kind":"failure","stage":"describe","reason":"x","label":3,"class":"crane","z":[1]}']
    rows = extend(Group(CRANE, [*map(parse, lines), CRANE]), ask=says(ANSWER), model="m", want=2)

    assert [dump(row) for row in rows[:2]] == lines


def test_ids_are_the_same_in_every_run_and_differ_within_one():
    twice = "A photo of the class crane, in flight.\n" * 2
    runs = [extend(GROUP, ask=says(twice), model="m", want=2)[3:] for _ in range(2)]

    assert runs[0] == runs[1]
    assert len({row.id for row in runs[0]}) == 2


def test_a_long_list_is_asked_for_in_questions_that_do_not_wait_for_each_other():
    rounds = []

    def at_once(f, items):
        rounds.append(len(items))
        return [f(item) for item in reversed(items)][::-1]

    ask = says(lambda question: "\n".join(f"A photo of the class crane, n{n}." for n in range(question.want)))
    rows = extend(GROUP, ask=ask, model="m", want=95, at_once=at_once)[3:]

    assert rounds == [3] and [question.want for question in ask.seen] == [15, 40, 40]
    assert [row.text for row in rows] == [
        f"A photo of the class crane, n{n}." for want in (40, 40, 15) for n in range(want)
    ]
    assert len({row.id for row in rows}) == 95
    assert {row.made.attempt for row in rows} == {0}  # what reflect asks is told from it by its attempts


def test_the_first_question_of_several_is_the_one_that_is_asked_for_forty_and_the_others_are_led_elsewhere():
    ask = says(ANSWER)
    extend(GROUP, ask=ask, model="m", want=40)
    extend(GROUP, ask=ask, model="m", want=81)

    known = ["A photo of the class crane, tall."]
    assert ask.seen[0] == ask.seen[1]
    assert [question.text for question in ask.seen[2:]] == [
        p.extend(p.PAPER, "crane", known, 40, p.combined("crane", 1)),
        p.extend(p.PAPER, "crane", known, 1, p.combined("crane", 2)),
    ]


def test_a_question_of_several_that_is_refused_is_a_failure_and_the_lines_of_the_others_are_kept():
    ask = says(Refused("too many requests"), ANSWER, Refused("too many requests"))
    rows = extend(GROUP, ask=ask, model="m", want=100)[3:]

    assert [row.reason for row in of(Failure, rows)] == ["too many requests"] * 2
    assert len(of(Description, rows)) == 2
    assert len({row.id for row in rows}) == 4


def test_a_class_without_any_description_is_asked_for_all_the_same():
    ask = says(ANSWER)
    rows = extend(Group(CRANE, [CRANE]), ask=ask, model="m", want=2)

    assert ask.seen[0].text == p.extend(p.PAPER, "crane", [], 2)
    assert len(of(Description, rows)) == 2


def test_no_more_descriptions_are_shown_than_keep_a_question_short():
    known = [a_description(CRANE, f"number {number}") for number in range(100)]
    ask = says(ANSWER)
    extend(Group(CRANE, [CRANE, *known]), ask=ask, model="m", want=2)

    assert SHOWN == 20
    assert ask.seen[0].text == p.extend(p.PAPER, "crane", [row.text for row in known[-20:]], 2)


def test_no_class_gets_the_sentences_of_another():
    rows = extend(GROUP, ask=says("A photo of the class heron, tall.\n" + ANSWER), model="m", want=3)

    assert all("crane" in row.text and row.label == 3 for row in of(Description, rows))
    (dropped,) = of(Rejected, rows)
    assert (dropped.label, dropped.of, dropped.reason) == (3, "description", "names another class")
    assert dropped.text == "A photo of the class heron, tall."


def test_classes_one_after_another_do_not_mix():
    seal = a_class("seal", 7)
    ask = says(ANSWER, "A photo of the class seal, wet.")
    extend(GROUP, ask=ask, model="m", want=2)
    rows = extend(Group(seal, [seal]), ask=ask, model="m", want=1)

    assert "crane" not in ask.seen[1].text
    assert [(row.label, row.class_, row.text) for row in of(Description, rows)] == [
        (7, "seal", "A photo of the class seal, wet.")
    ]


def test_every_line_that_is_no_description_is_kept_with_its_reason():
    rows = extend(GROUP, ask=says(f"Sure!\n{ANSWER}\n3. A photo of the class crane."), model="m", want=2)

    assert [(row.text, row.reason) for row in of(Rejected, rows)] == [
        ("Sure!", "is talk around the list"),
        ("A photo of the class crane.", "says nothing of the class"),
    ]


def test_a_refused_question_is_a_failure_and_the_lines_of_the_class_are_still_there():
    rows = extend(GROUP, ask=says(Refused("too many requests")), model="m", want=2)

    assert rows[:3] == GROUP.rows
    (failure,) = rows[3:]
    assert (failure.stage, failure.reason, failure.text) == ("extend", "too many requests", "")
    assert (failure.label, failure.class_) == (3, "crane")


@pytest.mark.parametrize("answer", ["", "I cannot do that.", "A photo of the class heron, tall."])
def test_an_answer_with_nothing_usable_in_it_is_a_failure_that_keeps_its_words(answer):
    (failure,) = extend(GROUP, ask=says(answer), model="m", want=2)[3:]

    assert (failure.stage, failure.reason, failure.text) == (
        "extend",
        "the answer holds no usable description",
        answer,
    )


def test_a_class_with_a_sense_is_asked_for_by_its_sense():
    seal = a_class("seal", 7, sense="marine mammal")
    ask = says("A photo of the class seal (marine mammal), wet.")
    rows = extend(Group(seal, [seal]), ask=ask, model="m", want=1)

    assert "the class seal (marine mammal)." in ask.seen[0].text
    assert rows[1].text == "A photo of the class seal, wet."


def test_a_question_longer_than_the_model_reads_is_asked_in_parts():
    cls = a_class()
    known = [a_description(cls, f"standing on rock {number}", number=number) for number in range(8)]

    def short_sighted(question):
        if len(question.text) > 450:
            raise TooLong("the context is 450 characters")
        return "1. A photo of the class crane, in flight."

    ask = says(short_sighted)
    rows = extend(Group(cls, [cls, *known]), ask=ask, model="m", want=12)
    assert [row.text for row in rows[9:]] == ["A photo of the class crane, in flight."]
    assert [question.want for question in ask.seen] == [12, 6, 3]
    assert rows[9].parents == tuple(row.id for row in known[-len(rows[9].parents) :])


def test_a_model_that_reads_not_even_the_shortest_question_gives_a_failure():
    cls = a_class()
    (_, failure) = extend(Group(cls, [cls]), ask=says(TooLong("the context is 9 tokens")), model="m", want=4)
    assert failure.reason == "the context is 9 tokens"


def test_a_description_keeps_the_marks_of_the_linter_and_one_that_it_calls_fatal_is_rejected():
    answer = "\n".join(
        [
            "A photo of the class crane, which might be asleep.",
            "A photo of the class crane, with students in a classroom.",
            "A photo of the class crane, in flight.",
            "A photo of the class crane, in a flight.",
        ]
    )
    rows = extend(GROUP, ask=says(answer), model="m", want=4)[3:]

    assert [(row.text, row.marks) for row in of(Description, rows)] == [
        ("A photo of the class crane, which might be asleep.", ("hedging",)),
        ("A photo of the class crane, in flight.", ()),
        ("A photo of the class crane, in a flight.", ("duplicate",)),
    ]
    assert [row.reason for row in of(Rejected, rows)] == ["takes the word class for a school class"]


def test_a_class_is_known_by_its_synonyms():
    crane = evolve(CRANE, synonyms=("Grus grus",))
    rows = extend(Group(crane, [crane]), ask=says("A photo of Grus grus, tall."), model="m", want=1)

    assert [row.text for row in of(Description, rows)] == ["A photo of the class crane, tall."]
