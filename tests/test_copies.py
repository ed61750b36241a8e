"""How many copies filter found, over all classes, in words."""

from __future__ import annotations

from fakes import a_class

from ltgc_cli.copies import metric, without, words

CRANE, SEAL = a_class("crane", 3), a_class("seal", 7)
ABOUT = {"percent": 1.0, "cosine": 0.98, "model": "clip"}


def test_the_copies_of_all_classes_are_added_up() -> None:
    rows = [metric(CRANE, 300, 2, **ABOUT), CRANE, metric(SEAL, 7, 1, **ABOUT)]

    assert words(rows) == (
        "3 of 307 generated images (1.0%) were, when first drawn, nearer to a real image of the class than 1% of the "
        "real ones are to each other"
    )
    assert without(rows) == [CRANE]


def test_of_what_nobody_counted_nothing_is_said() -> None:
    assert words([CRANE]) == ""
