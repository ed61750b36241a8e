"""filter's rounds: what is done while something else is waited for, and what does not depend on it."""

from __future__ import annotations

import threading

import pytest
from fakes import a_class, by_task, keeps, points, rates, says, sha
from judging import COSINE, SEAL, accepted, drawn, group, paint_as_told, run, sentence

from ltgc_cli.errors import BudgetError, Refused
from ltgc_cli.records import dump
from ltgc_cli.settings import Judging, Style
from ltgc_cli.stages.filter import Round, evaluate


def test_the_output_is_the_same_whatever_the_workers_and_the_batch():
    groups = [group("a", "b", "c"), group(cls=a_class("wren", 9)), group("d", "e", cls=SEAL, originals=2)]
    cosines = {f"seal {number}": 0.3 for number in range(2)}
    cosines |= {drawn(feature): 0.1 for feature in "abc"} | {drawn(feature, SEAL): 0.4 for feature in "de"}
    cosines |= {drawn(f"{feature} again"): 0.2 + number / 10 for number, feature in enumerate("abc")}

    def refined(question):
        old = question.text.splitlines()[1].removeprefix("1. ")
        return old if "again" in old else old.replace(".", " again.")

    def everything(workers: int, batch: int, held: int = 100) -> list[str]:
        template, refine = says(lambda q: f"A photo of the class {q.subject} with legs."), says(refined)
        rows = run(
            groups,
            cosines,
            settings=Judging(),
            template=template,
            refine=refine,
            workers=workers,
            batch=batch,
            held=held,
        )
        return [dump(row) for row in rows]

    expected = everything(workers=1, batch=64)
    assert len(expected) == 5 + 1 + 6 + 1  # one rewriting says what was tried before
    assert [everything(workers, batch) for workers, batch in [(1, 1), (8, 2), (3, 5)]] == [expected] * 3
    assert [everything(4, 64, held) for held in (1, 2, 3)] == [expected] * 3


def test_whoever_waits_is_told_after_each_round():
    said = []
    cosines = {drawn("a"): 0.5, drawn("b"): 0.1, drawn("c"): 0.1}
    run([group("a", "b")], cosines, refine=says(sentence("c")), on_round=said.append)

    assert said == [Round(1, 2, 1, 1), Round(2, 1, 0, 1), Round(3, 1, 0, 0)]


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_each_round_is_told_once_and_in_order_whatever_the_batches(batch):
    said = []
    features = "abcdefg"
    cosines = {drawn(feature): 0.1 for feature in features}
    # What is drawn from the b's and d's passes in the second round, from the others never.
    refine = says(lambda q: sentence("good") if ", b." in q.text or ", d." in q.text else sentence("a"))
    cosines |= {drawn("good"): 0.5}
    run([group(*features)], cosines, refine=refine, on_round=said.append, workers=3, batch=batch)

    assert said == [Round(1, 7, 0, 7), Round(2, 7, 2, 5), Round(3, 5, 0, 0)]


def test_what_cannot_be_scored_has_not_passed():
    found = []
    cosines = {drawn("a"): 0.5, drawn("b"): Refused("broken"), drawn("c"): Refused("broken")}
    run([group("a", "b", "c")], cosines, on_round=found.append)

    assert found[0] == Round(1, 1, 1, 0)


def test_what_cannot_be_compared_with_other_classes_has_not_passed():
    found = []
    settings = Judging(scale="cosine", threshold=0.3, margin=0.0)
    refuses = points(lambda comparison: Refused("broken"))
    groups = [group("a"), group("b", cls=SEAL)]
    cosines = {drawn("a"): 0.5, drawn("b", SEAL): 0.1}
    refine = says(sentence("b", SEAL))
    run(
        groups,
        cosines,
        settings=settings,
        compare=refuses,
        keep=keeps(),
        refine=refine,
        template=says(lambda q: f"A photo of the class {q.subject} with legs."),
        on_round=found.append,
    )

    assert found[0] == Round(1, 1, 0, 1)


def test_a_round_whose_images_are_all_refused_has_scored_none():
    said = []
    run(
        [group("a")],
        {drawn("a"): 0.1},
        refine=says(sentence("b")),
        generate=lambda drawings: [Refused("not safe") for _ in drawings],
        on_round=said.append,
    )

    assert said == [Round(1, 1, 0, 1), Round(2, 0, 0, 0)]


def test_nothing_is_rewritten_before_the_pass_rate_of_the_first_round_is_told():
    order = []
    refine = says(lambda q: order.append("refined") or sentence("b"))
    run(
        [group(*"cde")],
        {drawn(feature): 0.1 for feature in "bcde"},
        refine=refine,
        on_round=lambda found: order.append(found.number),
        workers=3,
    )

    assert order[0] == 1


def test_while_some_descriptions_are_rewritten_others_are_regenerated_and_scored():
    redrawn = threading.Event()

    def refined(question):
        if ", slow." in question.text:
            assert redrawn.wait(5)
            return sentence("late")
        return sentence("soon")

    def score(matches):
        if any(match.image == sha(drawn("soon")) for match in matches):
            redrawn.set()
        return [0.5 if match.image in (sha(drawn("soon")), sha(drawn("late"))) else 0.1 for match in matches]

    rows = run([group("slow", "x")], {}, refine=says(refined), score=score, workers=2, batch=1)

    assert accepted(rows) == [sentence("late"), sentence("soon")]


def test_an_error_of_the_language_model_ends_it_at_once():
    with pytest.raises(BudgetError, match="reached"):
        run([group("a", "b")], {drawn("a"): 0.1, drawn("b"): 0.1}, refine=says(BudgetError("the budget is reached")))


def test_no_more_is_generated_at_once_than_wanted():
    drawn_at_once = []

    def generate(drawings):
        drawn_at_once.append(len(drawings))
        return paint_as_told(drawings)

    settings = Judging(scale="cosine", threshold=0.3, rounds=2)
    groups = [group(*"abcde"), group(*"fg", cls=SEAL)]
    refine = says(Refused("busy"))
    run(groups, {}, settings=settings, refine=refine, generate=generate, score=lambda m: [0.1] * len(m), batch=3)

    assert sorted(drawn_at_once) == [1, 3, 3]


def test_of_a_long_stream_few_classes_are_held_at_a_time():
    readings: list[int] = []
    most = 0

    def groups():
        readings.append(0)
        for label in range(60):
            readings[-1] += 1
            yield group(f"good {label}", f"bad {label}", cls=a_class(f"bird {label}", label))

    def refined(question):
        return question.text.splitlines()[1].removeprefix("1. ").replace("bad", "good")

    ports = {
        "ask": by_task(template=says(lambda q: f"A photo of the class {q.subject} with legs."), refine=says(refined)),
        "generate": paint_as_told,
        "score": rates(lambda match: 0.5 if match.image in good else 0.1),
    }
    good = {sha(drawn(f"good {label}", a_class(f"bird {label}", label))) for label in range(60)}
    names = {"llm": "m", "t2i": "sd", "clip": "clip"}
    found = evaluate(groups, **ports, **names, settings=COSINE, style=Style(), batch=4, held=9)
    for done, rows in enumerate(found):
        assert len(accepted(rows)) == 2
        most = max(most, readings[-1] - done)

    assert readings == [60, 60, 60]  # for the classes, for the first round, for the later ones
    assert most <= 9 // 3 + 1  # of two images, and the class behind them
