"""The scales and the bar: what a score means, and what a drawing has to reach."""

from __future__ import annotations

import numpy
import pytest
from fakes import a_class, of, rates, says, sha
from judging import COSINE, CRANE, RED_CAP, SEAL, accepted, drawn, group, paint_as_told, run, sentence

from ltgc_cli.errors import InputError, Refused
from ltgc_cli.records import Failure, Image, Rejected, Template
from ltgc_cli.settings import THRESHOLDS, Judging, Style
from ltgc_cli.stages.filter import evaluate
from ltgc_cli.stages.thresholds import percentile, scaled


@pytest.mark.parametrize("cosine", [-1.0, -0.25, 0.0, 0.1, 0.3, 0.333333333333, 1.0])
def test_the_scales_are_what_they_say(cosine):
    reference = numpy.float64(cosine)

    assert scaled(cosine, "calibrated") == scaled(cosine, "cosine") == reference
    assert scaled(cosine, "paper") == reference + 0.5
    assert scaled(cosine, "clipscore") == 2.5 * numpy.maximum(reference, 0)


def test_the_default_threshold_of_the_paper_is_the_same_as_that_of_the_cosine():
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
def test_a_generated_image_passes_when_it_reaches_the_threshold_and_fails_below_it(scale, threshold, reaching, missing):
    settings = Judging(scale=scale, threshold=threshold, mode="exclude")
    rows = run([group("good", "bad")], {drawn("good"): reaching, drawn("bad"): missing}, settings=settings)

    assert accepted(rows) == [sentence("good")]
    (image,), (rejected,), (template,) = of(Image, rows), of(Rejected, rows), of(Template, rows)
    assert image.threshold == rejected.threshold == template.threshold == threshold
    assert (image.scale, rejected.scale) == (scale, scale)
    assert image.score == round(scaled(reaching, scale), 6)
    assert rejected.score == round(scaled(missing, scale), 6)


def test_an_image_and_the_class_are_compared_as_clip_reads_them_without_the_words_the_class():
    scores = rates(lambda match: 0.5)
    template = says("A photo of the class seal with whiskers.")
    rows = evaluate(
        lambda: [group("wet", cls=SEAL)],
        ask=template,
        generate=paint_as_told,
        score=scores,
        llm="m",
        t2i="sd",
        clip="ViT-B-32/openai",
        settings=COSINE,
        style=Style(),
    )

    assert len(list(rows)) == 1
    ((match,),) = scores.seen
    assert (match.model, match.image) == ("ViT-B-32/openai", sha("A photo of seal (marine mammal), wet."))
    assert match.text == "A photo of seal (marine mammal) with whiskers."


CALIBRATED = Judging(scale="calibrated", threshold=10, mode="exclude")


def test_the_calibrated_threshold_is_what_nine_in_ten_of_the_class_s_own_images_reach():
    own = [0.31, 0.22, 0.27, 0.25, 0.24]
    cosines = {f"crane {number}": value for number, value in enumerate(own)} | {
        drawn("good"): 0.229,
        drawn("bad"): 0.227,
    }
    rows = run([group("good", "bad", originals=5)], cosines, settings=CALIBRATED)

    assert of(Template, rows)[0].threshold == 0.228 == round(numpy.percentile(own, 10), 6)
    assert accepted(rows) == [sentence("good")]


def test_a_class_of_few_images_takes_the_threshold_that_is_common_to_the_tail():
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
    assert [(t.class_, t.threshold) for t in of(Template, rows)] == [
        ("crane", round(numpy.percentile(own["crane"], 10), 6)),
        ("seal", common),
        ("wren", common),
    ]


def test_an_original_that_cannot_be_scored_is_left_out_of_the_threshold():
    cosines = {f"crane {number}": 0.2 for number in range(5)} | {"crane 5": Refused("broken"), drawn("x"): 0.3}
    rows = run([group("x", originals=6)], cosines, settings=CALIBRATED)

    assert of(Template, rows)[0].threshold == 0.2


def test_where_no_original_can_be_scored_no_image_is_judged_and_none_is_drawn_again():
    cosines = {"crane 0": Refused("broken"), "crane 1": Refused("broken"), drawn("x"): 0.3}
    rows = run([group("x", originals=2)], cosines, settings=Judging(), generate=lambda _: 1 / 0)

    (failure,) = of(Failure, rows)
    said = "could not be scored: no original image could be scored, by which its class's bar is set"
    assert failure.reason == said and of(Rejected, rows)[0].reason == said


def test_without_an_original_image_there_is_nothing_to_calibrate_by_and_nothing_is_generated_or_refined():
    with pytest.raises(InputError, match="filter has no original image .*ltgc describe --data.*--scale cosine"):
        run([group("x")], {drawn("x"): 0.3}, settings=Judging(), generate=lambda _: 1 / 0)


def test_without_an_original_image_nothing_is_asked_at_all():
    template = says(RED_CAP)
    with pytest.raises(InputError, match="filter has no original image"):
        run([group("x")], {drawn("x"): 0.3}, settings=Judging(), template=template)
    assert template.seen == []
