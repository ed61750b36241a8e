"""reflect: no description twice, and enough of them; what it takes away it keeps with the reason."""

from __future__ import annotations

import itertools
from functools import partial

import pytest
from fakes import a_class, a_description, an_image, by_task, of, says

from ltgc_cli import prompts as p
from ltgc_cli.answers.names import words
from ltgc_cli.errors import Refused, TooLong
from ltgc_cli.ports import Usage
from ltgc_cli.records import Description, Failure, Group, Metric, Rejected, dump, evolve, identify, parse
from ltgc_cli.stages.reflect import DescriptionCount, more_than_wanted, reflect, repeats, summary
from ltgc_cli.store import key

CRANE = a_class("crane", 3)
NONE = says("none")
NEVER = says(lambda question: pytest.fail(f"{question.task} is not to be asked"))


def group(*features: str, origin: str = "extended") -> Group:
    return Group(CRANE, [CRANE, *(a_description(CRANE, feature, origin, n) for n, feature in enumerate(features))])


def run(of_group: Group, *, extend=NEVER, check=NONE, k=3, rounds=3, near=0.8) -> list:
    return reflect(of_group, ask=by_task(extend=extend, reflect=check), model="m", k=k, rounds=rounds, near=near)


def kept(rows) -> list[str]:
    """What the descriptions say of the crane."""
    return [row.text.removeprefix("A photo of the class crane, ").removesuffix(".") for row in of(Description, rows)]


def reasons(rows) -> dict[str, str]:
    return {
        row.text.removeprefix("A photo of the class crane, ").removesuffix("."): row.reason
        for row in of(Rejected, rows)
    }


def new(*features: str) -> str:
    return "\n".join(f"A photo of the class crane, {feature}." for feature in features)


def endless():
    """A language model that never says the same twice: numbered words, three to a description."""
    numbers = itertools.count()
    return says(lambda q: new(*(f"w{next(numbers)} x{next(numbers)} y{next(numbers)}" for _ in range(q.want))))


# --- the repetition check


def test_of_descriptions_that_say_the_same_the_first_is_kept():
    rows = run(group("tall in a marsh", "in a marsh, tall", "grey"), k=2)

    assert kept(rows) == ["tall in a marsh", "grey"]
    assert reasons(rows) == {"in a marsh, tall": "says the same as another"}


def test_a_near_duplicate_is_one_from_the_given_similarity_of_words_on():
    features = ["one two three four", "one two three five", "six"]  # Jaccard 3/5

    assert kept(run(group(*features), k=2, near=0.6)) == ["one two three four", "six"]
    assert reasons(run(group(*features), k=2, near=0.6)) == {
        "one two three five": "nearly the same as another (Jaccard 0.60)"
    }
    assert kept(run(group(*features), k=3, near=0.61)) == features


def test_prompt_3_is_asked_of_what_the_local_check_leaves():
    check = says("none")
    run(group("tall", "tall", "grey", "in flight"), check=check)

    (question,) = check.seen
    assert question.text == p.reflect(
        p.PAPER, "crane", [f"A photo of the class crane, {feature}." for feature in ("tall", "grey", "in flight")]
    )
    assert (question.task, question.temperature) == ("reflect", 0.0)


def test_the_numbers_that_prompt_3_answers_with_are_excluded():
    rows = run(group("tall", "grey", "of great height"), check=says("3"), k=2)

    assert kept(rows) == ["tall", "grey"]
    assert reasons(rows) == {"of great height": "repetitive, says the language model"}


def test_in_a_long_list_the_numbers_mean_the_part_that_was_shown():
    features = [f"number {number}" for number in range(60)]
    rows = run(group(*features), check=says("2", "1, 20"), k=57, near=1.0)

    assert list(reasons(rows)) == ["number 1", "number 40", "number 59"]


def test_a_single_description_is_not_compared_with_itself():
    assert kept(run(group("tall"), check=NEVER, k=1)) == ["tall"]


def test_a_refused_check_excludes_nothing():
    assert kept(run(group("tall", "grey", "old"), check=says(Refused("busy")))) == ["tall", "grey", "old"]


def test_an_answer_in_prose_excludes_nothing():
    assert kept(run(group("tall", "grey", "old"), check=says("I think 2 of the 3 are fine."))) == [
        "tall",
        "grey",
        "old",
    ]


@pytest.mark.parametrize(
    ("answer", "text", "reason"),
    [
        (Refused("busy"), "", "Prompt 3 was refused, so nothing is excluded: busy"),
        ("They are fine.", "They are fine.", "an answer to Prompt 3 that lists no numbers, so nothing is excluded"),
        ("1, 2, 3", "1, 2, 3", "an answer to Prompt 3 that excludes everything, so nothing is excluded"),
    ],
)
def test_an_answer_that_excludes_nothing_unasked_is_a_record(answer, text, reason):
    rows = run(group("tall", "grey", "old"), check=says(answer))

    assert [(row.text, row.reason) for row in of(Rejected, rows)] == [(text, reason)]
    assert of(Rejected, run(group("tall", "grey", "old"), check=says("None of them repeats another."))) == []


def test_a_rejected_description_names_its_parent_and_keeps_what_it_had():
    line = '{"kind":"description","id":"2","label":3,"class":"crane","text":"A photo of the class crane, tall.",'
    line += '"origin":"extended","made":{"model":"gpt-4o"},"mine":1}'
    rows = run(Group(CRANE, [a_description(CRANE, "tall"), parse(line)]), k=1)

    (rejected,) = of(Rejected, rows)
    assert (rejected.parents, rejected.made.model, rejected.rest) == (("2",), "gpt-4o", {"mine": 1})
    assert (rejected.of, rejected.label, rejected.class_) == ("description", 3, "crane")


def test_a_rejection_stands_where_its_description_stood():
    rows = run(group("tall", "tall", "grey"), k=2)

    assert [type(row).__name__ for row in rows] == ["Class", "Description", "Rejected", "Description"]


def test_of_two_lines_with_one_id_one_is_kept():
    rows = [a_description(CRANE, "tall"), a_description(CRANE, "tall")]  # as `cat a.jsonl a.jsonl` makes them

    assert rows[0] == rows[1] and kept(run(Group(CRANE, rows), k=1)) == ["tall"]


def test_lines_that_a_person_wrote_without_ids_are_told_apart():
    rows = [evolve(row, id="") for row in group("tall", "tall", "grey").rows[1:]]

    assert kept(run(Group(CRANE, rows), k=2)) == ["tall", "grey"]


def test_repeats_are_found_among_new_ones_and_against_known_ones():
    texts = [f"A photo of the class crane, {feature}." for feature in ("in flight", "tall", "flight in", "grey")]

    assert repeats(texts, ["A photo of the class crane, very tall."], partial(words, name="crane"), 0.5) == {
        1: "nearly the same as another (Jaccard 0.50)",
        2: "says the same as another",
    }


# --- the number check


def test_what_is_missing_is_asked_for_with_prompt_2_showing_what_is_there():
    extend = says(new("in flight", "dancing"))
    rows = run(group("tall"), extend=extend, k=3)

    assert kept(rows) == ["tall", "in flight", "dancing"]
    (question,) = extend.seen
    assert (question.want, question.attempt) == (2, 1)
    assert question.text == p.extend(p.PAPER, "crane", ["A photo of the class crane, tall."], 2)


def test_it_asks_until_there_are_k_of_them():
    extend = says(new("b"), new("c"), new("b", "d"), new("e", "f"))
    rows = run(group("z"), extend=extend, k=6, near=1.0)

    assert kept(rows) == ["z", "b", "c", "d", "e", "f"]
    assert [(q.want, q.attempt) for q in extend.seen] == [(5, 1), (4, 2), (3, 3), (2, 4)]
    assert of(Failure, rows) == []


def test_new_descriptions_are_checked_for_repeats_like_the_old_ones():
    extend = says(new("tall", "in flight", "flight in"), new("dancing"))
    rows = run(group("tall"), extend=extend, k=3)

    assert kept(rows) == ["tall", "in flight", "dancing"]
    assert reasons(rows) == {"tall": "says the same as another", "flight in": "says the same as another"}


def test_a_class_that_has_enough_asks_for_no_more():
    assert len(of(Description, run(group("tall", "grey", "old"), k=3))) == 3


def test_long_lists_are_asked_for_in_parts_because_long_answers_get_cut_off():
    extend = endless()
    run(group("tall"), extend=extend, k=101)

    assert [question.want for question in extend.seen] == [40, 40, 24]  # a few more, as some may repeat others


def spread(seen):
    """Work that is done at once, the last of it first; in `seen` is how much it was each time."""

    def at_once(f, items):
        seen.append(len(items))
        return [f(item) for item in reversed(items)][::-1]

    return at_once


def test_all_that_is_missing_is_asked_for_at_once_and_so_is_which_of_it_repeats():
    rounds = []
    ask = by_task(extend=endless(), reflect=says("none"))
    of_group = group(*(f"m{number}" for number in range(45)))
    rows = reflect(of_group, ask=ask, model="m", k=201, rounds=3, near=0.8, at_once=spread(rounds))

    assert len(of(Description, rows)) == 201
    assert rounds == [2, 4, 4]  # the list that is there, the questions, their answers


def test_the_questions_of_a_round_show_the_same_list_and_all_but_the_first_are_led_elsewhere():
    extend = endless()
    run(group("tall"), extend=extend, k=101)

    known = ["A photo of the class crane, tall."]
    assert [question.text for question in extend.seen] == [
        p.extend(p.PAPER, "crane", known, 40),
        p.extend(p.PAPER, "crane", known, 40, p.combined("crane", 2)),
        p.extend(p.PAPER, "crane", known, 24, p.combined("crane", 3)),
    ]
    assert [question.attempt for question in extend.seen] == [1, 2, 3]


def test_rows_come_in_the_order_of_the_questions_whichever_was_answered_first():
    def answers(question) -> str:
        return new(*(f"q{question.attempt} n{number}" for number in range(question.want)))

    ask = by_task(extend=says(answers), reflect=says("none"))
    at_once = [
        reflect(group("tall"), ask=ask, model="m", k=101, rounds=3, near=1.0, at_once=spread([])),
        reflect(group("tall"), ask=ask, model="m", k=101, rounds=3, near=1.0),
    ]

    assert at_once[0] == at_once[1]
    assert [kept(at_once[0])[at] for at in (1, 41, 81)] == ["q1 n0", "q2 n0", "q3 n0"]


def test_what_two_questions_of_a_round_both_bring_is_kept_once():
    extend = says(lambda question: new(*(f"w{number}" for number in range(question.want))))
    rows = run(group("tall"), extend=extend, k=81, rounds=1)

    assert kept(rows) == ["tall", *(f"w{number}" for number in range(40))]
    assert set(reasons(rows).values()) == {"says the same as another"}


def test_prompt_3_is_asked_of_each_answer_of_a_round_by_itself():
    numbers = itertools.count()
    extend = says(lambda question: new(*(f"w{next(numbers)}" for _ in range(question.want - 15))))
    check = says("none")
    run(group("tall"), extend=extend, check=check, k=81, rounds=1)

    assert [question.text.count(". A photo of the class crane, w") for question in check.seen] == [25, 25, 25]


def test_a_refused_question_of_a_round_is_a_failure_and_the_lines_of_the_others_are_kept():
    def answers(question) -> str:
        if question.attempt == 2:
            raise Refused("too many requests")
        return new(*(f"q{question.attempt} n{number}" for number in range(question.want)))

    rows = run(group("tall"), extend=says(answers), k=101, near=1.0)

    (failure,) = of(Failure, rows)
    assert (failure.reason, failure.made.attempt) == ("too many requests", 2)
    assert len(kept(rows)) == 101


def test_behind_a_round_of_several_more_is_asked_for_where_much_of_it_was_said_already():
    numbers = itertools.count()
    half = says(lambda question: new(*(f"w{next(numbers)}" for _ in range(question.want // 2))))
    run(group("tall"), extend=half, k=81)

    assert [question.want for question in half.seen] == [
        40,
        40,
        4,
        40,
        40,
    ]  # for the 38 still missing twice as many, and a few


def test_a_round_behind_one_that_added_too_little_is_one_question():
    extend = says(new("tall"))
    run(group("tall"), extend=extend, k=801, rounds=3)

    assert [question.attempt for question in extend.seen] == list(range(1, 24))


def test_after_some_rounds_in_a_row_that_add_nothing_it_gives_up_and_says_so():
    extend = says(new("b"), new("z"), new("c"), new("z"))
    rows = run(group("z"), extend=extend, k=9, rounds=3, near=1.0)

    assert [question.attempt for question in extend.seen] == [1, 2, 3, 4, 5, 6]  # the third began the count anew
    assert kept(rows) == ["z", "b", "c"]
    (failure,) = of(Failure, rows)
    assert (failure.stage, failure.label, failure.class_) == ("reflect", 3, "crane")
    assert failure.reason == (
        "3 of 9 descriptions: the last 3 rounds added nothing new; try another --llm or raise --rounds"
    )


def test_a_model_that_brings_one_new_line_a_round_is_given_up_after_a_handful_of_questions():
    numbers = itertools.count()
    extend = says(lambda q: new("tall", "in flight", f"w{next(numbers)}"))
    rows = run(group("tall", "in flight"), extend=extend, k=160, rounds=3)

    assert [question.want for question in extend.seen] == [40, 40, 40, 40, 2, 40, 40]  # of three rounds
    (failure,) = of(Failure, rows)
    assert failure.reason.startswith("9 of 160 descriptions: the last 3 rounds added only 7 new ones; ")


@pytest.mark.parametrize(("missing", "gain", "questions"), [(40, 4, 10), (40, 3, 3), (10, 1, 10), (1, 1, 1)])
def test_a_round_counts_as_one_that_adds_too_little_under_a_tenth_of_what_it_asks_for(missing, gain, questions):
    numbers = itertools.count()
    extend = says(lambda q: new(*(f"w{next(numbers)}" for _ in range(gain))))
    run(group("tall"), extend=extend, k=1 + missing, rounds=3)

    assert len(extend.seen) == questions


def test_a_model_that_repeats_itself_is_asked_to_combine_until_it_brings_enough_again():
    numbers = itertools.count()

    def stubborn(question) -> str:
        return new(*(f"w{next(numbers)}" for _ in range(8))) if "combine a view" in question.text else new("tall")

    extend = says(stubborn)
    rows = run(group("tall"), extend=extend, k=25, rounds=2)

    assert len(kept(rows)) == 25 and of(Failure, rows) == []
    asked = [question.text for question in extend.seen]
    assert ["combine a view" in text for text in asked] == [False, True] * 3
    known = [f"A photo of the class crane, {feature}." for feature in kept(rows)]
    assert asked[0] == p.extend(p.PAPER, "crane", known[:1], 24)
    assert asked[1] == p.extend(p.PAPER, "crane", known[:1], 24, p.combined("crane", 2))


def test_each_round_that_asks_to_combine_names_other_examples():
    assert len({p.combined("crane", attempt) for attempt in range(1, 51)}) == 50
    extend = says(new("tall"))
    run(group("tall"), extend=extend, k=9, rounds=4)
    assert [p.combined("crane", n) in question.text for n, question in enumerate(extend.seen, 1)] == [False] + [
        True
    ] * 3


def test_the_first_rounds_key_is_pinned_because_another_would_make_every_user_pay_again():
    extend = says(new("in flight", "dancing"))
    run(group("tall"), extend=extend, k=3)

    (question,) = extend.seen
    assert key(question) == "2cc235d34847c68799190106993224d7916f3302097a2794a34240338e9dddcf"


def test_each_round_is_another_question_so_that_the_store_does_not_answer_it_with_the_last():
    extend = says(new("z"))
    run(group("z"), extend=extend, k=2, rounds=3)

    assert len(extend.seen) == len(set(extend.seen)) == 3


def test_rounds_that_are_refused_count_as_rounds_that_add_nothing():
    rows = run(group("z"), extend=says(Refused("busy")), k=2, rounds=2)

    assert [row.reason for row in of(Failure, rows)][:2] == ["busy", "busy"]
    assert "1 of 2 descriptions" in of(Failure, rows)[-1].reason


def test_no_two_records_of_a_class_have_one_id():
    rows = run(group("z"), extend=says("Sure!\n" + new("z"), "Sure!\n" + new("y"), Refused("busy")), k=4, rounds=2)

    assert len({row.id for row in rows}) == len(rows)


def test_without_rounds_nothing_is_asked_and_the_shortfall_is_said():
    (failure,) = of(Failure, run(group("z"), k=2, rounds=0))

    assert failure.reason.startswith("1 of 2 descriptions")


def test_descriptions_of_original_images_are_never_cut_to_reach_k():
    described = group("a1", "b1", "c1", "d1", origin="described").rows
    rows = run(Group(CRANE, [*described, a_description(CRANE, "e1"), a_description(CRANE, "f1")]), k=2)

    assert kept(rows) == ["a1", "b1", "c1", "d1"]
    assert reasons(rows) == {"e1": "more than the 2 wanted", "f1": "more than the 2 wanted"}


def test_what_is_more_than_k_is_cut_from_the_end():
    rows = run(group("a1", "b1", "c1", "d1"), k=2)

    assert kept(rows) == ["a1", "b1"]
    assert reasons(rows) == {"c1": "more than the 2 wanted", "d1": "more than the 2 wanted"}


def test_an_answer_of_more_than_was_asked_for_is_cut_to_k():
    rows = run(group("a1"), extend=says(new("b1", "c1", "d1")), k=2)

    assert kept(rows) == ["a1", "b1"] and list(reasons(rows)) == ["c1", "d1"]


def test_lines_that_are_no_descriptions_are_kept_with_their_reason():
    rows = run(group("z"), extend=says("Sure!\n" + new("y")), k=2)

    assert reasons(rows) == {"Sure!": "is talk around the list"}


@pytest.mark.parametrize("k", [40, 400])
def test_it_reaches_k_exactly(k):
    rows = run(group("tall"), extend=endless(), k=k)

    assert len(of(Description, rows)) == k and of(Failure, rows) == []


def test_what_a_kept_description_costs_does_not_grow_with_k():
    def characters(k: int) -> float:
        extend, check = endless(), says("none")
        run(group(*(f"m{number}" for number in range(20)), origin="described"), extend=extend, check=check, k=20 + k)
        return sum(len(question.text) for question in [*extend.seen, *check.seen]) / k

    assert characters(400) < characters(40)
    assert characters(600) == pytest.approx(characters(400), rel=0.02)


# --- what it leaves alone


def test_a_class_that_is_not_in_the_tail_passes_untouched():
    head = a_class("sparrow", 0, tail=False)
    rows = [head, a_description(head, "small"), a_description(head, "small")]

    assert run(Group(head, rows), check=NEVER) is rows


def test_lines_of_other_kinds_pass_byte_for_byte():
    lines = ['{"kind": "note"}', '{"kind":"template","label":3,"class":"crane","text":"a","mine":[1]}']
    photo = an_image(CRANE, "1.jpg")
    rows = run(Group(CRANE, [CRANE, *map(parse, lines), photo, *group("a1", "b1", "c1").rows[1:]]))

    assert [dump(row) for row in rows[1:3]] == lines and rows[3] is photo


def test_reflecting_on_what_was_reflected_changes_nothing():
    once = run(group("tall", "tall", "grey"), extend=says(new("old")), k=3)
    twice = run(Group(CRANE, once), k=3)

    assert twice == once


def test_ids_are_the_same_in_every_run():
    assert run(group("z"), extend=says(new("y", "x")), k=3) == run(group("z"), extend=says(new("y", "x")), k=3)
    assert identify(CRANE, "crane").id == CRANE.id


def test_a_list_longer_than_the_model_reads_is_checked_in_parts():
    def check(question):
        if question.text.count("A photo of the class crane, ") > 2:
            raise TooLong("the context is two descriptions")
        return says("1" if "1. A photo of the class crane, c." in question.text else "none")(question)

    rows = run(group("a", "b", "c", "d"), check=check, k=3)
    assert kept(rows) == ["a", "b", "d"]
    assert reasons(rows) == {"c": "repetitive, says the language model"}


def test_what_the_checks_cost_is_a_record_of_its_own_and_free_checks_leave_none():
    paid = says("none", usage=Usage(prompt_tokens=50, dollars=0.25))
    more = says(new("d", "e"), usage=Usage(prompt_tokens=7, dollars=1.0))
    rows = run(group("a", "b", "c"), extend=more, check=paid, k=5)
    (cost,) = of(Metric, rows)
    assert (cost.name, cost.group, cost.value, cost.label) == ("questions", "reflect", 2.0, CRANE.label)
    assert cost.made.usage == Usage(prompt_tokens=100, dollars=0.5)
    assert of(Metric, run(group("a", "b", "c"))) == []


def counts(*sizes: int) -> list[DescriptionCount]:
    return [DescriptionCount(f"bird {number}", True, 0, size) for number, size in enumerate(sizes)]


def test_of_many_classes_the_spread_is_said_and_which_fell_short():
    assert summary(counts(*[20] * 12, 26), 20) == ["the 13 tail classes have from 20 to 26 descriptions, the median 20"]
    assert summary(counts(*[20] * 12, 9), 20) == [
        "the 13 tail classes have from 9 to 20 descriptions, the median 20; 1 has fewer than the 20 wanted: bird 12 (9)"
    ]


def test_why_a_class_gets_more_than_k_is_said_in_one_line():
    assert more_than_wanted({"owl": 3}, 8) == []
    assert more_than_wanted({"crane": 29, "owl": 3}, 8) == [
        "-k 8: crane keeps 29 descriptions and gets an image from each: its original images are all described, and "
        "none of their descriptions is dropped to reach -k"
    ]
    assert more_than_wanted({"crane": 29, "owl": 30}, 8)[0].startswith("-k 8: 2 classes keep up to 30 descriptions")
