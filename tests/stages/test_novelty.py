"""filter --novelty: a generated image that is nearer to an original than originals are to each other is a copy."""

from __future__ import annotations

import json
import math
import random
import statistics

import pytest
from fakes import a_class, an_image, keeps, of, points, says, sha
from judging import CRANE, SEAL, accepted, drawn, group, run, sentence

from ltgc_cli.errors import InputError, Refused
from ltgc_cli.ports import Comparison, NearestClass
from ltgc_cli.records import Failure, Image, Metric, Rejected, Step, dump
from ltgc_cli.settings import Judging
from ltgc_cli.stages.novelty import SAME, copy_limit

NOVEL = Judging(scale="cosine", threshold=0.3, novelty=0.0, mode="exclude")
PHOTOS = [an_image(CRANE, f"crane {number}").sha256 for number in range(3)]


def found(cosines, real=0.8):
    """Each original's nearest other is as near as `real` says, each drawing's nearest original as `cosines` says."""
    near = {sha(name): cosine for name, cosine in cosines.items()}
    return points(lambda one: NearestClass(text=PHOTOS[0], cosine=near.get(one.image, real)))


def judged(groups, cosines, near, settings=NOVEL, **options):
    """Returns the rows, those of CLIP's trial left out."""
    scores = {name: cosine for cls in (CRANE, SEAL) for name, cosine in _photos(cls).items()} | cosines
    compare = near if callable(near) else found(near)
    rows = run(groups, scores, settings=settings, compare=compare, keep=keeps(), **options)
    return [row for row in rows if not (isinstance(row, Metric) and row.name.startswith("clip "))]


def _photos(cls):
    return {f"{cls.class_} {number}": 0.5 for number in range(3)}


@pytest.mark.parametrize(("near", "passes"), [(0.1, True), (0.8, True), (0.800001, False), (1.0, False)])
def test_an_image_nearer_to_an_original_than_originals_are_to_each_other_is_a_copy(near, passes):
    rows = judged([group("x", originals=3)], {drawn("x"): 0.4}, {drawn("x"): near})

    assert bool(accepted(rows)) == passes


def test_the_history_says_how_near_the_nearest_original_is_and_of_a_copy_which_one():
    rows = judged(
        [group("x", "y", originals=3)], {drawn("x"): 0.4, drawn("y"): 0.4}, {drawn("x"): 0.9, drawn("y"): 0.7}
    )

    (rejected,), generated = of(Rejected, rows), [row for row in of(Image, rows) if row.origin == "generated"]
    assert rejected.history == (
        Step(text=sentence("x"), sha256=sha(drawn("x")), score=0.4, alike=0.9, copy_of=PHOTOS[0]),
    )
    assert rejected.reason == (
        "a copy: nearer to an original image of its class (cosine 0.9) than originals to each other"
    )
    assert generated[0].history[0].alike == 0.7 and generated[0].history[0].copy_of == ""


def test_a_copy_is_rewritten_and_drawn_again():
    refine = says(sentence("second"))
    settings = Judging(scale="cosine", threshold=0.3, novelty=0.0)
    cosines = {drawn("first"): 0.9, drawn("second"): 0.4}
    near = {drawn("first"): 0.95, drawn("second"): 0.5}
    rows = judged([group("first", originals=3)], cosines, near, settings, refine=refine)

    assert accepted(rows) == [sentence("second")]
    assert [row.value for row in of(Metric, rows) if row.name == "copies"] == [100.0]


def test_what_is_a_copy_in_every_round_is_rejected_and_a_best_image_is_no_copy():
    refine = says(sentence("second"), sentence("third"))
    cosines = {drawn("first"): 0.9, drawn("second"): 0.2, drawn("third"): 0.8}
    near = {drawn("first"): 0.95, drawn("second"): 0.5, drawn("third"): 0.96}
    settings = Judging(scale="cosine", threshold=0.3, novelty=0.0)
    rows = judged([group("first", originals=3)], cosines, near, settings, refine=refine)
    (rejected,) = of(Rejected, rows)
    assert rejected.sha256 == sha(drawn("second"))
    assert rejected.reason == "was a copy or scored below the class's bar in each of its 3 drawings"

    best = Judging(scale="cosine", threshold=0.3, novelty=0.0, never_pass="best")
    refine = says(sentence("second"), sentence("third"))
    assert accepted(judged([group("first", originals=3)], cosines, near, best, refine=refine)) == [sentence("second")]
    all_copies = dict.fromkeys(near, 0.95)
    refine = says(sentence("second"), sentence("third"))
    rows = judged([group("first", originals=3)], cosines, all_copies, best, refine=refine)
    assert accepted(rows) == [] and "none of its 3 drawings passed" in of(Rejected, rows)[0].reason


def test_with_mode_score_copies_are_counted_and_kept():
    settings = Judging(scale="cosine", novelty=0.0, mode="score")
    names = {drawn("a"): 0.9, drawn("b"): 0.3, drawn("c"): 0.2}
    rows = judged([group("a", "b", "c", originals=3)], dict.fromkeys(names, 0.1), names, settings)

    (metric,) = [row for row in of(Metric, rows) if row.name == "copies"]
    assert (metric.label, metric.value, metric.images) == (3, 33.33, 3)
    assert metric.rest == {"novelty": 0.0, "cosine": 0.8, "clip": "clip"}
    assert len(accepted(rows)) == 3


def test_a_person_keeps_a_copy_that_is_none_to_them():
    rows = judged(
        [group("x", originals=3)], {drawn("x"): 0.4}, {drawn("x"): 0.9}, verdicts={(3, sha(drawn("x"))): "keep"}
    )

    assert accepted(rows) == [sentence("x")]


def test_each_image_is_compared_with_the_originals_of_its_own_class_and_an_original_with_the_others():
    near, keep = found({}), keeps()
    photos = _photos(CRANE) | {"seal 0": 0.5}
    groups = [group("x", originals=3), group("y", cls=SEAL, originals=1)]
    run(groups, photos | {drawn("x"): 0.5, drawn("y", SEAL): 0.5}, settings=NOVEL, compare=near, keep=keep)

    seals = [an_image(SEAL, "seal 0").sha256]
    lists = {tuple(json.loads(data)): name for name, data in keep.kept.items()}
    cranes, of_seals = lists[tuple(PHOTOS)], lists[tuple(seals)]
    asked = [one for part in near.seen for one in part if one.of == "images"]
    assert asked == [
        *(Comparison(model="clip", image=photo, own=photo, among=cranes, of="images") for photo in PHOTOS),
        Comparison(model="clip", image=sha(drawn("x")), own=sha(drawn("x")), among=cranes, of="images"),
        Comparison(model="clip", image=sha(drawn("y", SEAL)), own=sha(drawn("y", SEAL)), among=of_seals, of="images"),
    ]


def test_an_originals_own_file_is_a_copy_without_a_question():
    one = group("x", originals=3)
    rows = [row if getattr(row, "origin", "") != "generated" else _as(row, PHOTOS[1]) for row in one.rows]
    near = found({})
    result = judged([type(one)(one.cls, rows)], {"crane 1": 0.9}, near)

    assert of(Rejected, result)[0].history[0].copy_of == PHOTOS[1]
    assert [c.image for part in near.seen for c in part if c.of == "images"] == PHOTOS


def _as(image, sha256):
    from ltgc_cli.records import evolve

    return evolve(image, sha256=sha256)


def test_a_class_without_originals_has_no_copies():
    groups = [group("x", originals=3), group("y", cls=SEAL)]
    rows = judged(groups, {drawn("x"): 0.4, drawn("y", SEAL): 0.4}, found({}, real=0.8))

    assert len(accepted(rows)) == 2
    assert [row.label for row in of(Metric, rows) if row.name == "copies"] == [3]
    assert "alike" not in dump(next(row for row in of(Image, rows) if row.label == 7))


def test_an_image_that_cannot_be_compared_is_rejected_and_the_failure_said():
    broken = points(
        lambda one: Refused("broken") if one.image == sha(drawn("x")) else NearestClass(text=PHOTOS[0], cosine=0.8)
    )
    rows = judged([group("x", originals=3)], {drawn("x"): 0.5}, broken)

    assert of(Failure, rows)[0].reason == "could not be compared with original images: broken"
    assert accepted(rows) == []


@pytest.mark.parametrize("originals", [0, 1])
def test_where_no_class_has_two_originals_nothing_is_asked_and_the_user_is_told(originals):
    with pytest.raises(InputError, match="no class with two different original images"):
        judged([group("x", originals=originals)], {}, found({}), template=lambda question: 1 / 0)


def test_without_the_setting_nothing_is_compared_and_no_record_changes():
    settings = Judging(scale="cosine", threshold=0.3, mode="exclude")
    near = found({})
    rows = judged([group("x", originals=3)], {drawn("x"): 0.4}, near, settings)

    assert not any(one.of == "images" for part in near.seen for one in part)
    assert not any('"alike"' in dump(row) or '"copies"' in dump(row) for row in rows)


def test_the_counts_of_an_earlier_filter_are_replaced():
    old = Metric(label=3, class_="crane", name="copies", group="class", value=77.0, images=9)
    one = group("x", originals=3)
    rows = judged([type(one)(one.cls, [*one.rows, old])], {drawn("x"): 0.4}, {drawn("x"): 0.2})

    assert [row.value for row in of(Metric, rows) if row.name == "copies"] == [0.0]


@pytest.mark.parametrize("percent", [0.0, 1.0, 5.0, 50.0, 100.0])
def test_the_limit_is_the_percentile_of_a_plain_sort(percent):
    rng = random.Random(1)
    real = [rng.uniform(0.2, 0.99) for _ in range(237)]
    ordered = sorted(1 - cosine for cosine in real)  # distances, the nearest first
    position = (len(ordered) - 1) * percent / 100
    low = ordered[math.floor(position)]
    distance = low + (ordered[math.ceil(position)] - low) * (position - math.floor(position))

    assert copy_limit(real, percent) == pytest.approx(1 - distance, abs=1e-6)


def test_pictures_that_the_data_has_twice_say_nothing_of_how_near_different_ones_are():
    assert copy_limit([0.5, 0.6, 0.7, 1.0, 1.0, 0.99999], 50.0) == pytest.approx(statistics.median([0.5, 0.6, 0.7]))
    assert copy_limit([0.5, 1.0], 0.0) < SAME
    with pytest.raises(InputError, match="two different"):
        copy_limit([1.0, 1.0], 1.0)


def test_a_head_class_is_not_asked_about():
    owl = a_class("owl", 5, tail=False)
    near = found({})
    rows = judged([group("x", originals=3), type(group())(owl, [owl])], {drawn("x"): 0.4}, near)

    assert len(accepted(rows)) == 1


def test_where_no_original_can_be_compared_no_image_passes_and_the_failures_say_why():
    rows = judged([group("one", originals=3)], {drawn("one"): 0.9}, points(lambda one: Refused("CLIP is ill")))
    (failure,) = of(Failure, rows)
    assert failure.reason == (
        "could not be compared with original images: no original image could be compared with another (CLIP is ill)"
    )
    assert len(of(Rejected, rows)) == 1
