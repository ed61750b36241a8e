"""filter: a drawing passes when CLIP finds the class in it; what fails is rewritten, redrawn, at last rejected."""

from __future__ import annotations

import pytest
from fakes import a_class, of, says, sha
from judging import CRANE, RED_CAP, a_drawing, accepted, drawn, group, paint_as_told, run, sentence

from ltgc_cli import prompts as p
from ltgc_cli.errors import Refused
from ltgc_cli.ports import GeneratedImage, Usage
from ltgc_cli.records import Failure, Group, Image, Made, Metric, Rejected, Step, Template, dump, evolve, parse
from ltgc_cli.settings import Judging, Style
from ltgc_cli.stages.filter import useless
from ltgc_cli.stages.render import seed


def test_a_generated_image_that_passes_at_once_is_neither_refined_nor_regenerated():
    (image,) = of(Image, run([group("tall")], {drawn("tall"): 0.35}, generate=lambda _: 1 / 0))

    assert image == evolve(
        a_drawing("tall"),
        score=0.35,
        threshold=0.3,
        scale="cosine",
        history=(Step(text=sentence("tall"), sha256=sha(drawn("tall")), score=0.35),),
    )


def test_what_fails_is_refined_with_prompt_5_and_regenerated():
    refine = says(sentence("tall, with a red cap"))
    rows = run([group("tall")], {drawn("tall"): 0.1, drawn("tall, with a red cap"): 0.4}, refine=refine)

    (question,) = refine.seen
    assert question.text == p.refine(p.PAPER, "crane", sentence("tall"), RED_CAP)
    assert (question.task, question.subject, question.attempt) == ("refine", "crane", 1)
    (image,) = of(Image, rows)
    assert (image.text, image.sha256, image.score) == (
        sentence("tall, with a red cap"),
        sha(drawn("tall, with a red cap")),
        0.4,
    )


def test_each_refinement_is_of_the_latest_text_and_not_of_the_first():
    refine = says(sentence("second"), sentence("third"))
    cosines = {drawn("first"): 0.1, drawn("second"): 0.2, drawn("third"): 0.4}
    rows = run([group("first")], cosines, refine=refine)

    assert [question.text for question in refine.seen] == [
        p.refine(p.PAPER, "crane", sentence("first"), RED_CAP),
        p.refine(p.PAPER, "crane", sentence("second"), RED_CAP),
    ]
    assert accepted(rows) == [sentence("third")]


@pytest.mark.parametrize(("rounds", "redrawn"), [(1, 0), (2, 1), (3, 2), (5, 4)])
def test_rounds_count_the_first_image_and_the_regenerated_ones(rounds, redrawn):
    requests = []
    rows = run(
        [group("dark")],
        {drawn("dark"): 0.1},
        settings=Judging(scale="cosine", threshold=0.3, rounds=rounds),
        refine=says(sentence("dark")),
        generate=lambda drawings: requests.extend(drawings) or paint_as_told(drawings),
    )

    assert [(request.attempt, request.seed) for request in requests] == [
        (attempt, seed(a_drawing("dark").id, attempt)) for attempt in range(1, redrawn + 1)
    ]
    assert len(of(Rejected, rows)[0].history) == rounds


def test_only_what_fails_is_asked_again():
    requests = []
    cosines = {drawn("a"): 0.5, drawn("b"): 0.1, drawn("b2"): 0.5, drawn("c"): 0.1, drawn("c2"): 0.1, drawn("c3"): 0.5}
    refine = says(
        lambda q: next(sentence(new) for old, new in [("b", "b2"), ("c", "c2"), ("c2", "c3")] if f", {old}." in q.text)
    )
    rows = run(
        [group("a", "b", "c")],
        cosines,
        refine=refine,
        generate=lambda drawings: requests.append([request.text for request in drawings]) or paint_as_told(drawings),
    )

    assert requests == [[drawn("b2"), drawn("c2")], [drawn("c3")]]
    assert accepted(rows) == [sentence("a"), sentence("b2"), sentence("c3")]


@pytest.mark.parametrize("answer", [Refused("busy"), "", "A photo of the class heron, tall."])
def test_where_a_refinement_is_of_no_use_the_old_text_is_generated_with_another_seed(answer):
    requests = []
    run(
        [group("dark")],
        {drawn("dark"): 0.1},
        refine=says(answer),
        generate=lambda drawings: requests.extend(drawings) or paint_as_told(drawings),
    )

    assert [request.text for request in requests] == [drawn("dark")] * 2
    assert len({request.seed for request in requests}) == 2


def test_what_never_passes_is_rejected_with_its_whole_history():
    refine = says(sentence("second"), sentence("third"))
    cosines = {drawn("first"): 0.1, drawn("second"): 0.25, drawn("third"): 0.2}
    rows = run([group("first")], cosines, refine=refine)

    (rejected,) = of(Rejected, rows)
    assert evolve(rejected, id="", made=None) == Rejected(
        label=3,
        class_="crane",
        of="image",
        reason="scored below the class's bar in each of its 3 drawings",
        text=sentence("second"),
        sha256=sha(drawn("second")),
        score=0.25,
        threshold=0.3,
        scale="cosine",
        history=(
            Step(text=sentence("first"), sha256=sha(drawn("first")), score=0.1),
            Step(text=sentence("second"), sha256=sha(drawn("second")), score=0.25),
            Step(text=sentence("third"), sha256=sha(drawn("third")), score=0.2),
        ),
        parents=(a_drawing("first").id,),
    )
    assert accepted(rows) == [] and of(Failure, rows) == []


def test_a_person_who_wants_every_description_generated_gets_the_best_of_what_never_passed():
    refine = says(sentence("second"), sentence("third"))
    cosines = {drawn("first"): 0.1, drawn("second"): 0.25, drawn("third"): 0.2}
    settings = Judging(scale="cosine", threshold=0.3, never_pass="best")
    (image,) = of(Image, run([group("first")], cosines, refine=refine, settings=settings))

    assert (image.text, image.sha256, image.score, image.threshold) == (
        sentence("second"),
        sha(drawn("second")),
        0.25,
        0.3,
    )
    assert len(image.history) == 3


def test_mode_exclude_detects_and_rejects_but_neither_refines_nor_regenerates():
    rows = run(
        [group("good", "bad")],
        {drawn("good"): 0.5, drawn("bad"): 0.1},
        settings=Judging(scale="cosine", threshold=0.3, mode="exclude"),
        generate=lambda _: 1 / 0,
    )

    assert accepted(rows) == [sentence("good")]
    assert of(Rejected, rows)[0].reason == "scored below the class's bar in its one drawing"


def test_mode_score_keeps_everything_and_writes_the_score_beside_it():
    rows = run(
        [group("good", "bad")],
        {drawn("good"): 0.5, drawn("bad"): 0.1},
        settings=Judging(scale="cosine", threshold=0.3, mode="score"),
        generate=lambda _: 1 / 0,
    )

    assert [(image.text, image.score) for image in of(Image, rows)] == [(sentence("good"), 0.5), (sentence("bad"), 0.1)]


def test_mode_score_needs_no_original_image():
    rows = run([group("x")], {drawn("x"): 0.1}, settings=Judging(mode="score"))

    assert [(image.score, image.scale) for image in of(Image, rows)] == [(0.1, "calibrated")]


def test_mode_score_on_the_calibrated_scale_has_no_threshold():
    rows = run([group("x")], {drawn("x"): 0.1}, settings=Judging(mode="score"))

    assert (of(Image, rows)[0].threshold, of(Template, rows)[0].threshold) == (None, None)


# --- provenance


def test_a_regenerated_image_says_with_which_seed_and_attempt_it_was_generated():
    refine = says(sentence("red cap"))
    (image,) = of(Image, run([group("dark")], {drawn("dark"): 0.1, drawn("red cap"): 0.4}, refine=refine))

    assert (image.made.attempt, image.made.seed) == (1, seed(a_drawing("dark").id, 1))


@pytest.mark.parametrize("never_pass", ["reject", "best"])
def test_the_best_of_what_never_passed_says_with_which_seed_and_attempt_it_was_generated(never_pass):
    rows = run(
        [group("first")],
        {drawn("first"): 0.1, drawn("second"): 0.25, drawn("third"): 0.2},
        refine=says(sentence("second"), sentence("third")),
        settings=Judging(scale="cosine", threshold=0.3, never_pass=never_pass),
    )

    assert rows[1].sha256 == sha(drawn("second"))
    assert (rows[1].made.attempt, rows[1].made.seed) == (1, seed(a_drawing("first").id, 1))


def test_a_regenerated_image_says_its_own_format():
    (image,) = of(
        Image,
        run(
            [group("dark")],
            {drawn("dark"): 0.1, drawn("red cap"): 0.4},
            refine=says(sentence("red cap")),
            generate=lambda drawings: [GeneratedImage(sha256=sha(request.text), format="webp") for request in drawings],
        ),
    )

    assert image.format == "webp"


def test_accepted_and_rejected_keep_the_keys_that_ltgc_does_not_know():
    rows = [a_drawing(feature, rest={"mine": feature}) for feature in ("good", "bad")]
    settings = Judging(scale="cosine", threshold=0.3, mode="exclude")
    judged = run([Group(CRANE, [CRANE, *rows])], {drawn("good"): 0.5, drawn("bad"): 0.1}, settings=settings)

    assert [row.rest for row in judged[1:3]] == [{"mine": "good"}, {"mine": "bad"}]


def test_images_that_a_person_wrote_without_ids_are_told_apart():
    images = [evolve(a_drawing(feature), id="") for feature in ("tall", "grey")]
    rows = run([Group(CRANE, [CRANE, *images])], {drawn("tall"): 0.5, drawn("grey"): 0.5})

    assert accepted(rows) == [sentence("tall"), sentence("grey")]


def test_an_image_says_what_all_its_images_used_those_that_were_replaced_too():
    prices = iter([Usage(dollars=0.25), Usage(dollars=0.125)])
    rows = run(
        [group("first")],
        {drawn("first"): 0.1, drawn("second"): 0.25, drawn("third"): 0.4},
        refine=says(sentence("second"), sentence("third")),
        generate=lambda drawings: [
            GeneratedImage(sha256=sha(request.text), usage=next(prices)) for request in drawings
        ],
    )

    (image,) = of(Image, rows)
    assert (image.made.attempt, image.made.usage) == (2, Usage(dollars=0.375))


@pytest.mark.parametrize(("first", "sum"), [(Usage(dollars=0.5), 1.0), (Usage(), 0.5)])
@pytest.mark.parametrize("never_pass", ["reject", "best"])
def test_a_first_image_that_is_the_best_says_what_the_others_used(first, sum, never_pass):
    image = evolve(a_drawing("first"), made=Made(model="dall-e", usage=first))
    rows = run(
        [Group(CRANE, [CRANE, image])],
        {drawn("first"): 0.2, drawn("second"): 0.1},
        settings=Judging(scale="cosine", threshold=0.3, never_pass=never_pass),
        refine=says(sentence("second")),
        generate=lambda drawings: [GeneratedImage(sha256=sha(d.text), usage=Usage(dollars=0.25)) for d in drawings],
    )

    assert (rows[1].sha256, rows[1].made) == (image.sha256, Made(model="dall-e", usage=Usage(dollars=sum)))


@pytest.mark.parametrize(
    ("usage", "made"), [(Usage(), None), (Usage(dollars=0.5), Made(model="", usage=Usage(dollars=1.0)))]
)
def test_an_image_of_an_unknown_maker_stays_so_but_for_what_was_paid_to_regenerate_it(usage, made):
    rows = run(
        [Group(CRANE, [CRANE, evolve(a_drawing("first"), made=None)])],
        {drawn("first"): 0.2, drawn("second"): 0.1},
        refine=says(sentence("second")),
        generate=lambda drawings: [GeneratedImage(sha256=sha(request.text), usage=usage) for request in drawings],
    )

    assert of(Rejected, rows)[0].made == made


def test_what_refining_used_is_a_record_of_the_class_behind_its_lines():
    refine = says(sentence("b"), "Sorry.", sentence("d"), usage=Usage(prompt_tokens=7, dollars=0.25))
    wren = a_class("wren", 9)
    cosines = {drawn(feature): 0.1 for feature in "abd"} | {drawn("x", wren): 0.5}
    rows = run([group("a"), group("x", cls=wren)], cosines, refine=refine)

    assert [type(row).__name__ for row in rows] == [
        "Class",
        "Rejected",
        "Rejected",
        "Template",
        "Metric",
        "Class",
        "Image",
        "Failure",  # the answer for the wren names the crane
        "Template",
    ]
    assert useless(rows) == 1
    assert [(row.of, row.text, row.reason) for row in of(Rejected, rows)][1] == (
        "description",
        "Sorry.",
        "a refinement names nothing usable, so its text stayed",
    )
    (metric,) = of(Metric, rows)
    assert (metric.class_, metric.name, metric.group, metric.value) == ("crane", "questions", "filter", 2.0)
    assert metric.made == Made(model="m", prompt="refine", usage=Usage(prompt_tokens=14, dollars=0.5))


def test_what_refining_used_is_no_record_where_it_was_free():
    refine = says(sentence("b"), usage=Usage(dollars=0.0))

    assert of(Metric, run([group("a")], {drawn(f): 0.1 for f in "ab"}, refine=refine)) == []


def test_an_image_that_was_generated_from_an_original_is_regenerated_over_it():
    requests = []
    image = evolve(a_drawing("dark"), original="ab" * 32)
    run(
        [Group(CRANE, [CRANE, image])],
        {drawn("dark"): 0.1},
        refine=says(sentence("dark")),
        style=Style(from_original=0.6),
        generate=lambda drawings: requests.extend(drawings) or paint_as_told(drawings),
    )

    assert [(request.original, request.strength) for request in requests] == [("ab" * 32, 0.6)] * 2


# --- failures


def test_an_image_that_cannot_be_scored_is_rejected_and_the_failure_said():
    rows = run([group("x", "y")], {drawn("x"): Refused("broken image"), drawn("y"): 0.5})

    assert [type(row).__name__ for row in rows] == ["Class", "Rejected", "Failure", "Image", "Template"]
    assert rows[1].reason == rows[2].reason == "could not be scored: broken image"
    assert (rows[1].score, rows[1].history, rows[2].stage) == (None, (), "filter")
    assert rows[1].parents == rows[2].parents == (a_drawing("x").id,)


def test_a_regeneration_that_is_refused_is_rejected_with_what_was_known_of_it():
    rows = run(
        [group("x")],
        {drawn("x"): 0.1},
        refine=says(sentence("y")),
        generate=lambda drawings: [Refused("not safe") for _ in drawings],
    )

    (rejected,), (failure,) = of(Rejected, rows), of(Failure, rows)
    assert rejected.reason == failure.reason == "could not be redrawn: not safe"
    assert failure.text == sentence("y")
    assert [step.score for step in rejected.history] == [0.1]


def test_the_best_of_what_never_passed_is_taken_though_a_regeneration_was_refused():
    rows = run(
        [group("x")],
        {drawn("x"): 0.1},
        settings=Judging(scale="cosine", threshold=0.3, never_pass="best"),
        refine=says(sentence("y")),
        generate=lambda drawings: [Refused("not safe") for _ in drawings],
    )

    assert accepted(rows) == [sentence("x")]
    assert [failure.reason for failure in of(Failure, rows)] == ["could not be redrawn: not safe"]


# --- what it leaves alone


def test_other_lines_and_original_images_pass_byte_for_byte():
    lines = [
        '{"kind": "note"}',
        '{"kind":"description","label":3,"class":"crane","text":"a","origin":"extended","mine":[1]}',
        '{"kind":"image","id":"o","label":3,"class":"crane","sha256":"ab","origin":"original"}',
        '{"kind":"rejected","label":3,"class":"crane","of":"description","reason":"x"}',
    ]
    rows = run([Group(CRANE, [*map(parse, lines), *group("x").rows])], {drawn("x"): 0.5})

    assert [dump(row) for row in rows[:4]] == lines


def test_classes_with_nothing_to_judge_pass_untouched_and_nothing_is_asked():
    head = a_class("sparrow", 0, tail=False)
    unlabelled = Group(a_class("", -1, tail=False), [parse('{"kind": "checkpoint", "sha256": "ab"}')])
    groups = [group("x", cls=head, originals=2), group(originals=3), unlabelled]
    rows = run(groups, {}, settings=Judging(), template=lambda _: 1 / 0, generate=lambda _: 1 / 0)

    assert rows == [row for each in groups for row in each.rows]


def test_an_empty_stream_is_empty():
    assert run([], {}, settings=Judging()) == []
