"""How far a judge can be trusted: what CLIP takes real images for, beside chance and beside blind guesses."""

from __future__ import annotations

import pytest

from ltgc_cli.records import Metric, dump, parse
from ltgc_cli.trial import TriedImage, doubt, metrics, of_all, of_class, trust, weak, wilson, without, words


def taken(**classes: str) -> list[TriedImage]:
    """The images of each class by what each was taken for: `crane="cccs"`, the first letter of a class."""
    names = {name[0]: name for name in ("crane", "seal", "tit")}
    return [
        TriedImage(label=label, class_=name, taken=names[one], margin=0.1 if one == name[0] else -0.1)
        for label, (name, guesses) in enumerate(classes.items())
        for one in guesses
    ]


def found(right: int, images: int, classes: int, blind: float = 0.0) -> Metric:
    low, high = (100 * end for end in wilson(right, images))
    about = {"chance": 100 / classes, "blind": blind, "classes": classes}
    shown = {"value": 100 * right / images, "low": low, "high": high, "images": images, "rest": about}
    return Metric(name="clip accuracy", group="all", **shown)


def test_a_trial_is_a_metric_of_each_class_of_each_confusion_and_last_of_all() -> None:
    rows = metrics(taken(crane="cccs", seal="ss"), 10, "clip@1")
    assert [(row.name, row.group, row.class_, row.value, row.images, row.predicted) for row in rows] == [
        ("clip accuracy", "class", "crane", 75.0, 4, ""),
        ("clip confusion", "pair", "crane", 25.0, 1, "seal"),
        ("clip accuracy", "class", "seal", 100.0, 2, ""),
        ("clip accuracy", "all", "", 83.33, 6, ""),
    ]
    assert rows[0].rest == {"margins": [0.1, 0.1, 0.1, -0.1]}
    assert rows[-1].rest == {"chance": 10.0, "blind": 50.0, "classes": 10, "clip": "clip@1"}
    assert len({row.id for row in rows}) == 4
    assert of_all([parse(dump(row)) for row in rows]) is not None
    assert without([*rows, Metric(name="questions", group="filter", value=1.0)]) == [
        Metric(name="questions", group="filter", value=1.0)
    ]


@pytest.mark.parametrize(
    ("right", "images", "classes", "expected"),
    [
        (22, 29, 10, "good"),
        (3, 29, 10, "poor"),  # chance, of as few originals as that
        (5, 29, 10, "poor"),
        (1, 3, 10, "unknown"),
        (0, 3, 10, "unknown"),
        (1, 5, 10, "unknown"),  # twice chance, but so would one lucky guess be
        (1, 1, 10, "unknown"),
        (3, 64, 1000, "good"),  # 5%, fifty times chance
        (0, 64, 1000, "poor"),
        (19, 20, 2, "good"),  # no judge of two classes is right twice as often as chance
        (10, 20, 2, "poor"),
        (6, 10, 2, "unknown"),
    ],
)
def test_twice_chance_is_wanted_and_too_few_images_are_said_to_be_too_few(right, images, classes, expected) -> None:
    assert trust(found(right, images, classes)) == expected


def test_a_judge_that_takes_all_for_the_class_with_most_images_is_not_good_because_of_that() -> None:
    row = metrics(taken(crane="c" * 27, seal="cc"), 10, "clip")[-1]
    assert (row.value, row.rest["blind"]) == (93.1, 93.1)
    assert trust(row) == "unknown", "so few of another class say nothing"
    row = metrics(taken(crane="c" * 20, seal="c" * 12, tit="c" * 8), 10, "clip")[-1]
    assert (row.value, trust(row)) == (50.0, "poor")
    assert "50% top-1, where chance is 10%, and 50% for guesses as its own without a look" in doubt(row)


def test_what_was_found_is_said_beside_chance_and_a_poor_judge_is_not_spared() -> None:
    good, poor, few = found(22, 29, 10), found(3, 29, 10), found(1, 3, 10)
    assert (
        words(good)
        == "CLIP puts 76% of 29 originals in their own class by its name (top-1, 95% interval 58 to 88%), chance 10%"
    )
    assert doubt(good) == ""
    assert doubt(poor).startswith(
        "CLIP cannot tell these classes apart (10% top-1, where chance is 10%): its threshold"
    )
    assert doubt(few) == "these are too few originals to tell how far CLIP's threshold can be trusted"
    assert words(found(3, 64, 1000)).endswith("(top-1, 95% interval 2 to 13%), chance 0.1%")


def test_a_record_that_somebody_cut_raises_nothing() -> None:
    assert trust(Metric(name="clip accuracy", group="all", value=None)) == "unknown"


def test_the_classes_whose_thresholds_can_be_trusted_less_are_named_with_what_they_are_taken_for() -> None:
    rows = metrics(taken(crane="cccccs", seal="ssccct", tit="s"), 10, "clip")
    assert weak(rows) == "seal (2 of 6 right, 3 taken for crane)", "one tit says nothing"
    assert of_class(rows, 0) == "5 of 6 right, 1 taken for seal"
    assert of_class(rows, 7) == ""
