"""filter --scale margin: the score is how much closer an image is to its own class than to the nearest other one."""

from __future__ import annotations

import json

import pytest
from fakes import a_class, keeps, of, points, rates, says, sha
from judging import RED_CAP, accepted, drawn, group, run, sentence

from ltgc_cli.errors import InputError, Refused
from ltgc_cli.ports import NearestClass
from ltgc_cli.records import Failure, Group, Image, Metric, Rejected, Step
from ltgc_cli.settings import Judging
from ltgc_cli.stages.overview import overview
from ltgc_cli.stages.preview import preview

HERON = a_class("heron", 1, tail=False)
CRANES = "A photo of crane.\nA photo of crane with a red cap."
MARGIN = Judging(scale="margin", mode="exclude")


def judged(cosines, other=0.35, settings=MARGIN, **options):
    """Each drawing's cosine with its own class is given; that with the heron is `other`."""
    compare = other if callable(other) else points(lambda one: NearestClass(text="A photo of heron.", cosine=other))
    keep = keeps()
    groups = [Group(HERON, [HERON]), group(*cosines)]
    by_sentence = {drawn(name): cosine for name, cosine in cosines.items()}
    rows = run(groups, by_sentence, settings=settings, compare=compare, keep=keep, **options)
    return [row for row in rows if not isinstance(row, Metric)], keep.kept, compare


@pytest.mark.parametrize(("cosine", "passes"), [(0.35, True), (0.349999, False), (0.9, True), (-0.2, False)])
def test_what_is_nearest_to_its_own_class_passes(cosine, passes):
    rows, _, _ = judged({"x": cosine})

    assert bool(accepted(rows)) == passes


def test_the_score_is_the_margin_and_the_history_has_the_nearest_class():
    rows, _, _ = judged({"x": 0.4, "y": 0.2})
    (image,), (rejected,) = (of(kind, rows) for kind in (Image, Rejected))

    assert (image.score, image.threshold, image.scale) == (0.05, 0.0, "margin")
    assert image.history == (
        Step(text=sentence("x"), sha256=sha(drawn("x")), score=0.05, nearest="heron", margin=0.05),
    )
    assert rejected.reason == "closer to class heron than to its own, by 0.15"


def test_the_threshold_is_the_margin_that_is_wanted():
    rows, _, _ = judged({"x": 0.4, "y": 0.36}, settings=Judging(scale="margin", threshold=0.02, mode="exclude"))

    assert accepted(rows) == [sentence("x")]
    assert of(Rejected, rows)[0].reason == "only 0.01 closer to its own class than to heron; 0.02 is wanted"


def test_a_class_is_its_name_and_its_template_together_and_by_its_name_alone_without_one():
    scores = rates(lambda match: 0.5)
    _, kept, compare = judged({"x": 0.5}, score=scores)
    lists = [json.loads(data) for data in kept.values()]

    assert [CRANES, "A photo of heron."] in lists
    assert [match.text for part in scores.seen for match in part] == [CRANES]
    assert [one.own for part in compare.seen for one in part] == [CRANES]


def test_an_image_that_cannot_be_compared_is_rejected_and_the_failure_said():
    rows, _, _ = judged({"x": 0.5}, other=points(lambda one: Refused("broken")))

    assert of(Failure, rows)[0].reason == "could not be compared with other classes: broken"
    assert accepted(rows) == []


def test_what_fails_is_rewritten_and_drawn_again():
    refine = says(sentence("second"))
    rows, _, _ = judged({"first": 0.1}, settings=Judging(scale="margin"), refine=refine, score=_by_round)

    assert accepted(rows) == [sentence("second")]


def _by_round(matches):
    return [0.1 if match.image == sha(drawn("first")) else 0.6 for match in matches]


def test_with_mode_score_all_are_kept_with_their_margin():
    rows, _, _ = judged({"x": 0.1}, settings=Judging(scale="margin", mode="score"))
    (image,) = of(Image, rows)

    assert (image.score, image.threshold) == (-0.25, None)


def test_one_class_alone_has_nothing_to_be_compared_with_and_nothing_is_asked():
    with pytest.raises(InputError, match="one only; choose another scale"):
        run([group("x")], {drawn("x"): 0.5}, settings=MARGIN, template=lambda question: 1 / 0)


def test_the_preview_shows_margins():
    groups = [Group(HERON, [HERON]), group("x", "y", originals=1)]
    cosines = {drawn("x"): 0.4, drawn("y"): 0.3, "crane 0": 0.5}
    by_sha = {sha(name): cosine for name, cosine in cosines.items()}
    crane, _ = preview(
        overview(groups),
        lambda: groups,
        ask=says(RED_CAP),
        score=rates(lambda match: by_sha[match.image]),
        compare=points(lambda one: NearestClass(text="A photo of heron.", cosine=0.35)),
        keep=keeps(),
        llm="m",
        clip="clip",
        settings=MARGIN,
    )

    assert (crane.real, crane.generated) == ((0.15,), (0.05, -0.05))
    assert {one.threshold: one.passed for one in crane.passing}[0.0] == 1
