"""filter: a drawing passes when CLIP finds the class in it; what fails is rewritten, redrawn, and in the end rejected.

In these tests a picture is what its text says: the sha256 of a drawing is that of the text it was drawn from, and
`cosines` has the score of every text and of every original image by its name.
"""

from __future__ import annotations

import numpy
import pytest
from fakes import a_class, a_description, an_image, by_task, of, rates, says, sha

from ltgc_cli import prompts as p
from ltgc_cli.errors import InputError, Refused
from ltgc_cli.ports import Picture, Usage
from ltgc_cli.records import Failure, Group, Image, Made, Rejected, Step, Template, dump, evolve, identify, parse
from ltgc_cli.stages.bars import percentile, scaled
from ltgc_cli.stages.class_template import class_template
from ltgc_cli.stages.filter import Round, evaluate
from ltgc_cli.stages.render import seed
from ltgc_cli.stages.settings import THRESHOLDS, Judging, Style

CRANE = a_class("crane", 3)
SEAL = a_class("seal", 7, sense="marine mammal")
RED_CAP = "A photo of the class crane with a red cap."
CAPPED = says(RED_CAP)
COSINE = Judging(scale="cosine", threshold=0.3)


def sentence(features: str, cls=CRANE) -> str:
    return f"A photo of the class {cls.class_}, {features}."


def drawn(features: str, cls=CRANE) -> str:
    return f"A photo of {cls.subject}, {features}."


def a_drawing(features: str, cls=CRANE, **fields) -> Image:
    """What render makes of a description."""
    image = Image(
        label=cls.label,
        class_=cls.class_,
        sha256=sha(drawn(features, cls)),
        origin="generated",
        text=sentence(features, cls),
        made=Made(model="sd", seed=1),
        **fields,
    )
    return identify(image, features)


def group(*features: str, cls=CRANE, originals: int = 0) -> Group:
    photos = [an_image(cls, f"{cls.class_} {number}") for number in range(originals)]
    return Group(cls, [cls, *photos, *(a_drawing(feature, cls) for feature in features)])


def paint_as_told(drawings):
    return [Picture(sha256=sha(request.text)) for request in drawings]


def run(groups, cosines, *, settings=COSINE, template=CAPPED, refine=None, paint=paint_as_told, **options) -> list:
    """Returns the rows of all the classes."""
    by_sha = {sha(name): cosine for name, cosine in cosines.items()}
    ask = by_task(template=template, refine=refine or says(lambda q: pytest.fail("nothing is to be refined")))
    ports = {"ask": ask, "paint": paint, "score": rates(lambda match: by_sha[match.image])}
    ports |= {"llm": "m", "t2i": "sd", "clip": "clip", "settings": settings, "style": Style()}
    return [row for rows in evaluate(groups, **ports | options) for row in rows]


def accepted(rows) -> list[str]:
    return [row.text for row in of(Image, rows) if row.origin == "generated"]


# --- scores and bars


@pytest.mark.parametrize("cosine", [-1.0, -0.25, 0.0, 0.1, 0.3, 0.333333333333, 1.0])
def test_the_scales_are_what_they_say(cosine):
    reference = numpy.float64(cosine)

    assert scaled(cosine, "calibrated") == scaled(cosine, "cosine") == reference
    assert scaled(cosine, "paper") == reference + 0.5
    assert scaled(cosine, "clipscore") == 2.5 * numpy.maximum(reference, 0)


def test_the_default_threshold_of_the_paper_is_the_same_bar_as_that_of_the_cosine():
    assert scaled(THRESHOLDS["cosine"], "paper") == THRESHOLDS["paper"] == 0.8
    assert scaled(THRESHOLDS["cosine"], "clipscore") == THRESHOLDS["clipscore"] == 0.75


@pytest.mark.parametrize("count", [1, 2, 5, 6, 101])
@pytest.mark.parametrize("q", [0, 10, 33.3, 50, 90, 100])
def test_a_percentile_is_the_one_of_numpy(count, q):
    values = numpy.random.default_rng(count).normal(0.25, 0.05, count)

    assert percentile(values.tolist(), q) == pytest.approx(numpy.percentile(values, q), rel=1e-12)


@pytest.mark.parametrize(
    ("scale", "threshold", "reaching", "missing"),
    [("cosine", 0.3, 0.3, 0.299999), ("paper", 0.8, 0.3, 0.299999), ("clipscore", 0.75, 0.3, 0.299999)],
)
def test_a_drawing_passes_when_it_reaches_the_bar_and_fails_below_it(scale, threshold, reaching, missing):
    settings = Judging(scale=scale, threshold=threshold, mode="exclude")
    rows = run([group("good", "bad")], {drawn("good"): reaching, drawn("bad"): missing}, settings=settings)

    assert accepted(rows) == [sentence("good")]
    (image,), (rejected,), (template,) = of(Image, rows), of(Rejected, rows), of(Template, rows)
    assert image.bar == rejected.bar == template.bar == threshold
    assert (image.scale, rejected.scale) == (scale, scale)
    assert image.score == round(scaled(reaching, scale), 6)
    assert rejected.score == round(scaled(missing, scale), 6)


def test_an_image_and_the_class_are_compared_as_clip_reads_them_without_the_words_the_class():
    scores = rates(lambda match: 0.5)
    template = says("A photo of the class seal with whiskers.")
    evaluate(
        [group("wet", cls=SEAL)],
        ask=template,
        paint=paint_as_told,
        score=scores,
        llm="m",
        t2i="sd",
        clip="ViT-B-32/openai",
        settings=COSINE,
        style=Style(),
    )

    ((match,),) = scores.seen
    assert (match.model, match.image) == ("ViT-B-32/openai", sha("A photo of seal (marine mammal), wet."))
    assert match.text == "A photo of seal (marine mammal) with whiskers."


CALIBRATED = Judging(scale="calibrated", threshold=10, mode="exclude")


def test_the_calibrated_bar_is_what_nine_in_ten_of_the_class_s_own_images_reach():
    own = [0.31, 0.22, 0.27, 0.25, 0.24]
    cosines = {f"crane {number}": value for number, value in enumerate(own)} | {
        drawn("good"): 0.229,
        drawn("bad"): 0.227,
    }
    rows = run([group("good", "bad", originals=5)], cosines, settings=CALIBRATED)

    assert of(Template, rows)[0].bar == 0.228 == round(numpy.percentile(own, 10), 6)
    assert accepted(rows) == [sentence("good")]


def test_a_class_of_few_images_takes_the_bar_that_is_common_to_the_tail():
    wren = a_class("wren", 9)
    own = {
        "crane": [0.30, 0.31, 0.32, 0.33, 0.34],
        "seal": [0.10, 0.11, 0.12, 0.13],
        "wren": [],
    }
    groups = [group("x", cls=cls, originals=len(own[cls.class_])) for cls in (CRANE, SEAL, wren)]
    cosines = {f"{name} {number}": value for name, values in own.items() for number, value in enumerate(values)}
    template = says(lambda q: f"A photo of the class {q.subject} with legs.")
    rows = run(
        groups, cosines | {drawn("x", cls): 0.2 for cls in (CRANE, SEAL, wren)}, settings=CALIBRATED, template=template
    )

    common = round(numpy.percentile(own["crane"] + own["seal"], 10), 6)
    assert [(t.class_, t.bar) for t in of(Template, rows)] == [
        ("crane", round(numpy.percentile(own["crane"], 10), 6)),
        ("seal", common),
        ("wren", common),
    ]


def test_an_original_that_cannot_be_scored_is_left_out_of_the_bar():
    cosines = {f"crane {number}": 0.2 for number in range(5)} | {"crane 5": Refused("broken"), drawn("x"): 0.3}
    rows = run([group("x", originals=6)], cosines, settings=CALIBRATED)

    assert of(Template, rows)[0].bar == 0.2


def test_without_an_original_image_there_is_nothing_to_calibrate_by_and_nothing_is_drawn_or_refined():
    with pytest.raises(InputError, match="filter has no original image .*ltgc describe --data.*--scale cosine"):
        run([group("x")], {drawn("x"): 0.3}, settings=Judging(), paint=lambda _: 1 / 0)


def test_without_an_original_image_nothing_is_asked_at_all():
    template = says(RED_CAP)
    with pytest.raises(InputError, match="filter has no original image"):
        run([group("x")], {drawn("x"): 0.3}, settings=Judging(), template=template)
    assert template.seen == []


# --- the class's features, C_y


def template_of(group, ask) -> Template:
    return class_template(group, ask=ask, model="gpt-4o")


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


@pytest.mark.parametrize("answer", [Refused("busy"), "", "A photo of the class heron with a crest."])
def test_where_the_answer_is_of_no_use_the_class_alone_is_its_template(answer):
    assert template_of(Group(CRANE, [CRANE]), says(answer)).text == "A photo of the class crane."


def test_a_template_of_the_stream_is_taken_as_it_is_and_nothing_is_asked():
    given = parse('{"kind":"template","id":"t","label":3,"class":"crane","text":"my crane","mine":1}')
    rows = run([Group(CRANE, [given, *group("x").rows])], {drawn("x"): 0.5}, template=lambda _: 1 / 0)

    assert [dump(row) for row in of(Template, rows)] == [
        '{"kind":"template","id":"t","label":3,"class":"crane","text":"my crane","bar":0.3,"mine":1}'
    ]


def test_the_template_follows_the_lines_of_its_class():
    rows = run([group("x")], {drawn("x"): 0.5})

    assert [type(row).__name__ for row in rows] == ["Class", "Image", "Template"]
    assert (rows[-1].text, rows[-1].bar) == (RED_CAP, 0.3)


# --- detection, refinement, regeneration


def test_a_drawing_that_passes_at_once_is_neither_refined_nor_redrawn():
    (image,) = of(Image, run([group("tall")], {drawn("tall"): 0.35}, paint=lambda _: 1 / 0))

    assert image == evolve(
        a_drawing("tall"),
        score=0.35,
        bar=0.3,
        scale="cosine",
        history=(Step(text=sentence("tall"), sha256=sha(drawn("tall")), score=0.35),),
    )


def test_what_fails_is_refined_with_prompt_5_and_redrawn():
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
def test_rounds_count_the_first_drawing_and_the_redrawn_ones(rounds, redrawn):
    requests = []
    rows = run(
        [group("dark")],
        {drawn("dark"): 0.1},
        settings=Judging(scale="cosine", threshold=0.3, rounds=rounds),
        refine=says(sentence("dark")),
        paint=lambda drawings: requests.extend(drawings) or paint_as_told(drawings),
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
        paint=lambda drawings: requests.append([request.text for request in drawings]) or paint_as_told(drawings),
    )

    assert requests == [[drawn("b2"), drawn("c2")], [drawn("c3")]]
    assert accepted(rows) == [sentence("a"), sentence("b2"), sentence("c3")]


@pytest.mark.parametrize("answer", [Refused("busy"), "", "A photo of the class heron, tall."])
def test_where_a_refinement_is_of_no_use_the_old_text_is_drawn_with_another_seed(answer):
    requests = []
    run(
        [group("dark")],
        {drawn("dark"): 0.1},
        refine=says(answer),
        paint=lambda drawings: requests.extend(drawings) or paint_as_told(drawings),
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
        bar=0.3,
        scale="cosine",
        history=(
            Step(text=sentence("first"), sha256=sha(drawn("first")), score=0.1),
            Step(text=sentence("second"), sha256=sha(drawn("second")), score=0.25),
            Step(text=sentence("third"), sha256=sha(drawn("third")), score=0.2),
        ),
        parents=(a_drawing("first").id,),
    )
    assert accepted(rows) == [] and of(Failure, rows) == []


def test_a_person_who_wants_every_description_drawn_gets_the_best_of_what_never_passed():
    refine = says(sentence("second"), sentence("third"))
    cosines = {drawn("first"): 0.1, drawn("second"): 0.25, drawn("third"): 0.2}
    settings = Judging(scale="cosine", threshold=0.3, never_pass="best")
    (image,) = of(Image, run([group("first")], cosines, refine=refine, settings=settings))

    assert (image.text, image.sha256, image.score, image.bar) == (
        sentence("second"),
        sha(drawn("second")),
        0.25,
        0.3,
    )
    assert len(image.history) == 3


def test_mode_exclude_detects_and_rejects_but_neither_refines_nor_redraws():
    rows = run(
        [group("good", "bad")],
        {drawn("good"): 0.5, drawn("bad"): 0.1},
        settings=Judging(scale="cosine", threshold=0.3, mode="exclude"),
        paint=lambda _: 1 / 0,
    )

    assert accepted(rows) == [sentence("good")]
    assert of(Rejected, rows)[0].reason == "scored below the class's bar in its one drawing"


def test_mode_score_keeps_everything_and_writes_the_score_beside_it():
    rows = run(
        [group("good", "bad")],
        {drawn("good"): 0.5, drawn("bad"): 0.1},
        settings=Judging(scale="cosine", threshold=0.3, mode="score"),
        paint=lambda _: 1 / 0,
    )

    assert [(image.text, image.score) for image in of(Image, rows)] == [(sentence("good"), 0.5), (sentence("bad"), 0.1)]


def test_mode_score_needs_no_original_image():
    rows = run([group("x")], {drawn("x"): 0.1}, settings=Judging(mode="score"))

    assert [(image.score, image.scale) for image in of(Image, rows)] == [(0.1, "calibrated")]


def test_mode_score_on_the_calibrated_scale_has_no_bar():
    rows = run([group("x")], {drawn("x"): 0.1}, settings=Judging(mode="score"))

    assert (of(Image, rows)[0].bar, of(Template, rows)[0].bar) == (None, None)


# --- provenance


def test_a_redrawn_image_says_with_which_seed_and_attempt_it_was_drawn():
    refine = says(sentence("red cap"))
    (image,) = of(Image, run([group("dark")], {drawn("dark"): 0.1, drawn("red cap"): 0.4}, refine=refine))

    assert (image.made.attempt, image.made.seed) == (1, seed(a_drawing("dark").id, 1))


@pytest.mark.parametrize("never_pass", ["reject", "best"])
def test_the_best_of_what_never_passed_says_with_which_seed_and_attempt_it_was_drawn(never_pass):
    rows = run(
        [group("first")],
        {drawn("first"): 0.1, drawn("second"): 0.25, drawn("third"): 0.2},
        refine=says(sentence("second"), sentence("third")),
        settings=Judging(scale="cosine", threshold=0.3, never_pass=never_pass),
    )

    assert rows[1].sha256 == sha(drawn("second"))
    assert (rows[1].made.attempt, rows[1].made.seed) == (1, seed(a_drawing("first").id, 1))


def test_a_redrawn_image_says_its_own_format():
    (image,) = of(
        Image,
        run(
            [group("dark")],
            {drawn("dark"): 0.1, drawn("red cap"): 0.4},
            refine=says(sentence("red cap")),
            paint=lambda drawings: [Picture(sha256=sha(request.text), format="webp") for request in drawings],
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


# --- failures


def test_an_image_that_cannot_be_scored_is_rejected_and_the_failure_said():
    rows = run([group("x", "y")], {drawn("x"): Refused("broken image"), drawn("y"): 0.5})

    assert [type(row).__name__ for row in rows] == ["Class", "Rejected", "Failure", "Image", "Template"]
    assert rows[1].reason == rows[2].reason == "could not be scored: broken image"
    assert (rows[1].score, rows[1].history, rows[2].stage) == (None, (), "filter")
    assert rows[1].parents == rows[2].parents == (a_drawing("x").id,)


def test_a_redrawing_that_is_refused_is_rejected_with_what_was_known_of_it():
    rows = run(
        [group("x")],
        {drawn("x"): 0.1},
        refine=says(sentence("y")),
        paint=lambda drawings: [Refused("not safe") for _ in drawings],
    )

    (rejected,), (failure,) = of(Rejected, rows), of(Failure, rows)
    assert rejected.reason == failure.reason == "could not be redrawn: not safe"
    assert failure.text == sentence("y")
    assert [step.score for step in rejected.history] == [0.1]


def test_the_best_of_what_never_passed_is_taken_though_a_redrawing_was_refused():
    rows = run(
        [group("x")],
        {drawn("x"): 0.1},
        settings=Judging(scale="cosine", threshold=0.3, never_pass="best"),
        refine=says(sentence("y")),
        paint=lambda drawings: [Refused("not safe") for _ in drawings],
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
    rows = run(groups, {}, settings=Judging(), template=lambda _: 1 / 0, paint=lambda _: 1 / 0)

    assert rows == [row for each in groups for row in each.rows]


def test_an_empty_stream_is_empty():
    assert run([], {}, settings=Judging()) == []


# --- the order of things


def test_the_output_is_the_same_whatever_the_workers_and_the_batch():
    groups = [group("a", "b", "c"), group(cls=a_class("wren", 9)), group("d", "e", cls=SEAL, originals=2)]
    cosines = {f"seal {number}": 0.3 for number in range(2)}
    cosines |= {drawn(feature): 0.1 for feature in "abc"} | {drawn(feature, SEAL): 0.4 for feature in "de"}
    cosines |= {drawn(f"{feature} again"): 0.2 + number / 10 for number, feature in enumerate("abc")}

    def refined(question):
        old = question.text.splitlines()[1].removeprefix("1. ")
        return old if "again" in old else old.replace(".", " again.")

    def everything(workers: int, batch: int) -> list[str]:
        template = says(lambda q: f"A photo of the class {q.subject} with legs.")
        rows = run(
            groups, cosines, settings=Judging(), template=template, refine=says(refined), workers=workers, batch=batch
        )
        return [dump(row) for row in rows]

    expected = everything(workers=1, batch=64)
    assert len(expected) == 5 + 1 + 6
    assert [everything(workers, batch) for workers, batch in [(1, 1), (8, 2), (3, 5)]] == [expected] * 3


def test_whoever_waits_is_told_after_each_round():
    said = []
    cosines = {drawn("a"): 0.5, drawn("b"): 0.1, drawn("c"): 0.1}
    run([group("a", "b")], cosines, refine=says(sentence("c")), on_round=said.append)

    assert said == [Round(1, 2, 1, 1), Round(2, 1, 0, 1), Round(3, 1, 0, 0)]


def test_no_batch_is_larger_than_wanted():
    sizes = {"drawn": [], "scored": []}

    def paint(drawings):
        sizes["drawn"].append(len(drawings))
        return paint_as_told(drawings)

    def score(matches):
        sizes["scored"].append(len(matches))
        return [0.1] * len(matches)

    settings = Judging(scale="cosine", threshold=0.3, rounds=2)
    run(
        [group(*"abcde"), group(*"fg", cls=SEAL)],
        {},
        settings=settings,
        refine=says(Refused("busy")),
        paint=paint,
        score=score,
        batch=3,
    )

    assert sizes == {"drawn": [3, 3, 1], "scored": [3, 3, 1] * 2}
