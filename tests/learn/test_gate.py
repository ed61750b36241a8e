from __future__ import annotations

import pytest

from ltgc_cli.errors import InputError
from ltgc_cli.learn.datasets import Sample, open_data, samples
from ltgc_cli.learn.gate import harmful
from ltgc_cli.learn.settings import Settings
from ltgc_cli.providers.clip.open_clip import Loaded, load

DATA = open_data("digits-lt", "train")
REAL, VAL = samples(DATA), samples(open_data("digits-lt", "val"))
COUNTS = [info.count for info in DATA.classes]
HEAD, FEWEST = COUNTS.index(max(COUNTS)), COUNTS.index(min(COUNTS))
DIGITS: dict[int, list[Sample]] = {label: [] for label in range(10)}
for sample in samples(open_data("digits-lt", "test")):
    DIGITS[sample.label].append(sample)


@pytest.fixture(scope="module")
def digits_clip() -> Loaded:
    return load("embedded")


def drawn_as(label: int, pictured: int) -> list[Sample]:
    """Images of one digit under another's label, as a generator that got it wrong draws them."""
    return [sample._replace(label=label) for sample in DIGITS[pictured][:40]]


GOOD = [*drawn_as(2, 2), *drawn_as(9, 9), *drawn_as(3, 3)]


def test_a_class_whose_generated_images_show_another_is_gated_and_no_other(digits_clip: Loaded) -> None:
    assert FEWEST not in (2, 9, 3, HEAD)
    found = harmful(digits_clip, DATA.classes, REAL, [*GOOD, *drawn_as(FEWEST, HEAD)], VAL, Settings())
    assert list(found) == [FEWEST]
    with_them, without = found[FEWEST]
    assert with_them <= without - 10
    assert harmful(digits_clip, DATA.classes, REAL, GOOD, VAL, Settings()) == {}


def test_one_seed_gives_one_answer(digits_clip: Loaded) -> None:
    generated = drawn_as(FEWEST, HEAD)
    once, again = (harmful(digits_clip, DATA.classes, REAL, generated, VAL, Settings(seed=3)) for _ in range(2))
    assert once == again


def test_labels_are_the_tables_whatever_its_order(digits_clip: Loaded) -> None:
    table = [*reversed(DATA.classes)]
    assert list(harmful(digits_clip, table, REAL, drawn_as(FEWEST, HEAD), VAL, Settings())) == [FEWEST]


def test_a_class_without_validation_images_is_not_gated(digits_clip: Loaded) -> None:
    val = [sample for sample in VAL if sample.label != FEWEST]
    assert FEWEST not in harmful(digits_clip, DATA.classes, REAL, drawn_as(FEWEST, HEAD), val, Settings())


def test_without_generated_images_nothing_is_gated_and_nothing_is_read(digits_clip: Loaded) -> None:
    def unread() -> bytes:
        raise AssertionError

    assert harmful(digits_clip, DATA.classes, [Sample(0, unread)], [], [], Settings()) == {}


def test_validation_images_are_needed(digits_clip: Loaded) -> None:
    with pytest.raises(InputError, match="^the gate compares accuracies on validation images, and the data has none"):
        harmful(digits_clip, DATA.classes, REAL, GOOD, [], Settings())


def test_a_label_outside_the_table_is_refused(digits_clip: Loaded) -> None:
    with pytest.raises(InputError, match="^digits/0001: the class table has no label 10"):
        harmful(digits_clip, DATA.classes, REAL, [DIGITS[1][0]._replace(label=10, name="digits/0001")], VAL, Settings())
