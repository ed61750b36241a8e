"""filter --margin: a drawing that looks more like another class is turned down, though it reaches its bar."""

from __future__ import annotations

import json

import pytest
from fakes import a_class, keeps, of, points, says, sha
from judging import RED_CAP, SEAL, accepted, drawn, group, run, sentence

from ltgc_cli.errors import Refused
from ltgc_cli.ports import Comparison, NearestClass
from ltgc_cli.records import Failure, Group, Image, Rejected, Step, dump, parse
from ltgc_cli.settings import Judging

HERON = a_class("heron", 1, tail=False)
HERON_TEXT = "A photo of heron."
TO_HERON = points(lambda rival: NearestClass(text=HERON_TEXT, cosine=0.35))
TEXTS = {"crane": RED_CAP, "seal (marine mammal)": "A photo of the class seal with whiskers."}
MARGIN = Judging(scale="cosine", threshold=0.3, margin=0.02, mode="exclude")


def compared(groups, cosines, nearest=TO_HERON, settings=MARGIN, **options):
    keep = keeps()
    template = says(lambda question: TEXTS[question.subject])
    rows = run(groups, cosines, settings=settings, template=template, compare=nearest, keep=keep, **options)
    return rows, keep.kept


def herons(*groups) -> list[Group]:
    return [Group(HERON, [HERON]), *groups]


@pytest.mark.parametrize(
    ("cosine", "passes"), [(0.4, True), (0.37, True), (0.369999, False), (0.36, False), (0.3, False)]
)
def test_a_generated_image_passes_when_it_is_as_much_closer_to_its_class_as_the_margin_says(cosine, passes):
    rows, _ = compared(herons(group("x")), {drawn("x"): cosine})

    assert bool(accepted(rows)) == passes


def test_the_history_says_which_class_is_the_nearest_and_how_far_it_is():
    (image,), (rejected,) = (
        of(kind, compared(herons(group("x")), {drawn("x"): cosine})[0])
        for kind, cosine in [(Image, 0.4), (Rejected, 0.32)]
    )

    step = Step(text=sentence("x"), sha256=sha(drawn("x")), score=0.4, nearest="heron", margin=0.05)
    assert image.history == (step,)
    assert (rejected.history[0].nearest, rejected.history[0].margin) == ("heron", -0.03)
    assert '"score":0.32,"rival":"heron","margin":-0.03}]' in dump(rejected)


@pytest.mark.parametrize(
    ("cosine", "reason"),
    [
        (0.32, "closer to class heron than to its own, by 0.03"),
        (0.355, "only 0.005 closer to its own class than to heron; 0.02 is wanted"),
        (0.29, "scored below the class's bar in its one drawing"),
    ],
)
def test_the_reason_says_which_class_it_is_closer_to(cosine, reason):
    rows, _ = compared(herons(group("x")), {drawn("x"): cosine})

    assert of(Rejected, rows)[0].reason == reason


def test_what_is_closer_to_another_class_is_refined_and_regenerated_like_any_other_failure():
    refine = says(sentence("second"), sentence("third"))
    cosines = {drawn("first"): 0.33, drawn("second"): 0.2, drawn("third"): 0.34}
    settings = Judging(scale="cosine", threshold=0.3, margin=0.0)
    rows, _ = compared(herons(group("first")), cosines, refine=refine, settings=settings)

    (rejected,) = of(Rejected, rows)
    assert rejected.reason == "closer to class heron than to its own, by 0.01; none of its 3 drawings passed"
    assert [step.margin for step in rejected.history] == [-0.02, None, -0.01]


def test_classes_are_known_by_their_template_and_those_without_one_by_their_name():
    owl = a_class("owl", 5, tail=False, sense="bird")
    given = parse('{"kind":"template","label":9,"class":"wren","text":"A photo of the class wren with a short tail."}')
    wren = Group(a_class("wren", 9), [given])
    groups = [Group(HERON, [HERON]), group("x"), Group(owl, [owl]), group("y", cls=SEAL), wren]
    nearest = points(lambda rival: NearestClass(text=HERON_TEXT, cosine=0.1))
    rows, kept = compared(groups, {drawn("x"): 0.5, drawn("y", SEAL): 0.5}, nearest)

    ((among, texts),) = kept.items()
    assert json.loads(texts) == [
        "A photo of crane with a red cap.",
        "A photo of heron.",
        "A photo of owl (bird).",
        "A photo of seal (marine mammal) with whiskers.",
        "A photo of wren with a short tail.",
    ]
    assert nearest.seen == [
        [
            Comparison(model="clip", image=sha(drawn("x")), own="A photo of crane with a red cap.", among=among),
            Comparison(
                model="clip",
                image=sha(drawn("y", SEAL)),
                own="A photo of seal (marine mammal) with whiskers.",
                among=among,
            ),
        ]
    ]
    assert len(accepted(rows)) == 2


def test_only_what_reaches_its_threshold_is_compared():
    nearest = points(lambda rival: NearestClass(text=HERON_TEXT, cosine=0.1))
    compared(herons(group("good", "bad")), {drawn("good"): 0.4, drawn("bad"): 0.2}, nearest)

    assert [rival.image for part in nearest.seen for rival in part] == [sha(drawn("good"))]


def test_the_margin_is_of_the_raw_cosine_on_every_scale():
    settings = Judging(scale="clipscore", threshold=0.75, margin=0.02, mode="exclude")
    rows, _ = compared(herons(group("x")), {drawn("x"): 0.371}, settings=settings)

    assert of(Image, rows)[0].history[0].margin == 0.021


def test_an_image_that_cannot_be_compared_is_rejected_and_the_failure_said():
    rows, _ = compared(herons(group("x")), {drawn("x"): 0.5}, points(lambda rival: Refused("broken")))

    (rejected,), (failure,) = of(Rejected, rows), of(Failure, rows)
    assert rejected.reason == failure.reason == "could not be compared with other classes: broken"
    assert rejected.score == 0.5


@pytest.mark.parametrize(
    ("groups", "settings"),
    [
        ([group("x")], MARGIN),
        (herons(group("x")), Judging(scale="cosine", threshold=0.3, mode="score", margin=0.02)),
        (herons(group("x")), Judging(scale="cosine", threshold=0.3, mode="exclude")),
    ],
    ids=["one class", "mode score", "no margin"],
)
def test_where_there_is_nothing_to_compare_with_or_no_need_to_nothing_is_compared(groups, settings):
    rows, kept = compared(groups, {drawn("x"): 0.5}, nearest=lambda rivals: 1 / 0, settings=settings)

    assert accepted(rows) == [sentence("x")] and kept == {}
    assert of(Image, rows)[0].history[0] == Step(text=sentence("x"), sha256=sha(drawn("x")), score=0.5)


def test_a_margin_without_the_ports_that_it_needs_is_an_error():
    with pytest.raises(ValueError, match="needs the ports"):
        run(herons(group("x")), {drawn("x"): 0.5}, settings=MARGIN)


def test_a_class_of_the_same_template_as_another_is_the_same_to_clip():
    twin = a_class("crane", 4)
    rows, kept = compared([group("x"), group("y", cls=twin)], {drawn("x"): 0.5, drawn("y"): 0.5}, lambda rivals: 1 / 0)

    assert len(accepted(rows)) == 2 and kept == {}


def test_what_a_dry_run_imagines_as_the_nearest_class_is_no_class_of_the_stream():
    imagined = points(lambda comparison: NearestClass(text="", cosine=1.0))
    rows, _ = compared(herons(group("x")), {drawn("x"): 0.4}, imagined)

    (rejected,) = of(Rejected, rows)
    assert (rejected.history[0].nearest, rejected.history[0].margin) == ("", -0.6)
