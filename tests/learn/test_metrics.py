"""Each measure beside a naive one, image by image, in float64."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from sklearn.metrics import f1_score

from ltgc_cli.learn import metrics
from ltgc_cli.learn.datasets import shot

GROUPS = ("many", "medium", "few", "all")


def naive(labels: list[int], predictions: list[int], counts: dict[int, int]) -> dict[tuple[str, str], float | None]:
    found: dict[tuple[str, str], float | None] = {}
    pairs = list(zip(labels, predictions, strict=True))
    seen = sorted({counts[label] for label in labels if counts[label] < 20})
    rare = ["at most 5"] if sum(counts[label] <= 5 for label in set(labels)) > 1 and seen[-1] > 5 else []
    for group in (*rare, *GROUPS):
        inside = [pair for pair in pairs if group in ("all", shot(counts[pair[0]]))]
        if group == "at most 5":
            inside = [pair for pair in pairs if counts[pair[0]] <= 5]
        right = sum(label == prediction for label, prediction in inside)
        found["accuracy", group] = 100 * right / len(inside) if inside else None
        classes = sorted({label for label, _ in inside})
        own = [[label == prediction for label, prediction in inside if label == cls] for cls in classes]
        shares = [sum(one) / len(one) for one in own]
        found["class_mean", group] = 100 * sum(shares) / len(shares) if shares else None
    found["harmonic_mean", "all"] = 100 * len(shares) / sum(1 / max(share, 1e-5) for share in shares)
    found["geometric_mean", "all"] = 100 * math.prod(shares) ** (1 / len(shares))
    found["worst_class", "all"] = 100 * min(shares)
    scores = []
    for cls in classes:
        right = sum(label == prediction == cls for label, prediction in pairs)
        scores.append(2 * right / (labels.count(cls) + predictions.count(cls)))
    found["macro_f1", "all"] = 100 * sum(scores) / len(scores)
    return found


def some(seed: int, classes: int = 12, images: int = 400) -> tuple[list[int], list[int], dict[int, int]]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, images)
    predictions = np.where(rng.random(images) < 0.6, labels, rng.integers(0, classes + 2, images))
    counts = {label: int(count) for label, count in enumerate(rng.integers(1, 200, classes + 2))}
    return labels.tolist(), predictions.tolist(), counts


@pytest.mark.parametrize("seed", range(5))
def test_every_measure_equals_a_naive_count(seed):
    labels, predictions, counts = some(seed)
    found, expected = metrics.measures(metrics.tally(labels, predictions), counts), naive(labels, predictions, counts)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key] == (None if value is None else pytest.approx(value, rel=1e-12)), key


def test_macro_f1_is_scikit_learns_over_the_classes_that_have_images():
    labels, predictions, _ = some(7)
    expected = 100 * f1_score(labels, predictions, average="macro", labels=np.unique(labels))
    found = metrics.measures(metrics.tally(labels, predictions), None)
    assert found["macro_f1", "all"] == pytest.approx(expected, rel=1e-12)


def test_accuracy_is_over_images_and_the_class_mean_over_classes():
    counts = {0: 500, 1: 100, 2: 19, 3: 7}
    found = metrics.measures(metrics.tally([0, 0, 1, 1, 1, 2, 3, 3], [0, 1, 1, 1, 0, 2, 3, 0]), counts)
    assert found["accuracy", "few"] == pytest.approx(200 / 3)
    assert found["class_mean", "few"] == 75.0
    assert found["accuracy", "all"] == 62.5


@pytest.mark.parametrize(
    ("counts", "rarest"),
    [
        ({0: 110, 1: 24, 2: 6, 3: 5, 4: 1}, [3, 4]),
        ({0: 110, 1: 24, 2: 9, 3: 6, 4: 6}, None),  # none is as rare
        ({0: 110, 1: 24, 2: 9, 3: 6, 4: 4}, None),  # one alone is measured as a class
        ({0: 110, 1: 24, 2: 5, 3: 3, 4: 1}, None),  # few-shot classes all are: it would be few once more
        (None, None),
    ],
)
def test_classes_of_at_most_five_images_are_a_group_of_their_own_where_others_have_more(counts, rarest):
    groups = metrics.members(np.arange(5), counts)
    assert ("at most 5" in groups) == (rarest is not None)
    assert rarest is None or np.flatnonzero(groups["at most 5"]).tolist() == rarest
    measured = metrics.measures(metrics.tally([0, 1, 2, 3, 4], [0, 1, 2, 3, 0]), counts)
    assert measured.get(("accuracy", "at most 5")) == (50.0 if rarest else None)


def test_a_group_without_images_has_no_value_and_neither_has_one_of_unknown_counts():
    found = metrics.measures(metrics.tally([0], [0]), {0: 5})
    assert (found["accuracy", "many"], found["class_mean", "medium"], found["accuracy", "few"]) == (None, None, 100.0)
    unknown = metrics.measures(metrics.tally([0], [0]), None)
    assert (unknown["accuracy", "few"], unknown["accuracy", "all"]) == (None, 100.0)
    assert set(metrics.measures(metrics.tally([], []), {}).values()) == {None}


def test_classes_that_the_test_set_lacks_shift_nothing():
    """Tail folders 70..99 were once trained as labels 0..29."""
    counts = {label: 200 - 2 * label for label in range(100)}
    found = metrics.measures(metrics.tally([70, 99], [70, 29]), counts)
    assert (found["class_mean", "all"], found["macro_f1", "all"]) == (50.0, 50.0)
    assert metrics.accuracy_by_class([70, 99], [70, 29]) == {70: 100.0, 99: 0.0}


def test_a_class_without_one_right_image_makes_the_harmonic_mean_small_and_the_geometric_mean_zero():
    found = metrics.measures(metrics.tally([0, 1], [0, 0]), {0: 5, 1: 5})
    assert found["harmonic_mean", "all"] == pytest.approx(2 / (1 + 1e5) * 100)
    assert found["geometric_mean", "all"] == 0.0


def test_the_geometric_mean_of_thousands_of_classes_does_not_vanish():
    labels = np.repeat(np.arange(8142), 2)
    predictions = np.where(np.arange(2 * 8142) % 2, labels, -1)  # half of each class; 0.5 ** 8142 is 0
    found = metrics.measures(metrics.tally(labels, predictions), None)
    assert found["geometric_mean", "all"] == pytest.approx(50.0)


def test_an_image_that_was_given_no_class_is_wrong():
    found = metrics.measures(metrics.tally([3, 3], [3, metrics.NO_CLASS]), {3: 5})
    assert (found["accuracy", "all"], found["macro_f1", "all"]) == (50.0, pytest.approx(200 / 3))


def test_the_worst_class_is_named():
    assert metrics.worst_label(metrics.tally([4, 4, 7, 7, 9], [4, 4, 7, 0, 0])) == 9
    assert metrics.worst_label(metrics.tally([], [])) is None


def test_the_mean_over_classes_counts_each_class_once():
    by_class = metrics.accuracy_by_class([0, 0, 0, 1], [0, 0, 1, 0])
    assert by_class == {0: pytest.approx(200 / 3), 1: 0.0}
    assert metrics.class_mean(by_class) == pytest.approx(100 / 3)
    assert metrics.class_mean({}) is None


def naive_calibration_error(confidences: list[float], right: list[bool], bins: int) -> float:
    total = 0.0
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        inside = [place for place, c in enumerate(confidences) if low < c <= high or (number == 0 and c == 0)]
        if inside:
            accuracy = sum(right[place] for place in inside) / len(inside)
            confidence = sum(confidences[place] for place in inside) / len(inside)
            total += len(inside) / len(right) * abs(accuracy - confidence)
    return 100 * total


def test_the_calibration_error_equals_a_naive_one():
    rng = np.random.default_rng(0)
    confidences = rng.random(500)
    right = rng.random(500) < confidences**2
    expected = naive_calibration_error(confidences.tolist(), right.tolist(), 15)
    assert metrics.calibration_error(confidences, right) == pytest.approx(expected, rel=1e-10)


def test_who_is_as_often_right_as_sure_has_no_calibration_error():
    confidences, right = np.full(4, 0.75), np.array([True, True, True, False])
    assert metrics.calibration_error(confidences, right) == pytest.approx(0.0)
    assert metrics.calibration_error(np.ones(4), right) == pytest.approx(25.0)
    assert metrics.calibration_error(np.ones(0), np.ones(0, bool)) is None


def test_the_worst_confusions_are_those_with_the_most_images():
    labels, predictions, _ = some(1)
    pairs = Counter((a, b) for a, b in zip(labels, predictions, strict=True) if a != b)
    totals = Counter(labels)
    expected = [(a, b, n, 100 * n / totals[a]) for (a, b), n in pairs.items()]
    expected.sort(key=lambda row: (-row[2], -row[3], row[0], row[1]))
    assert metrics.worst_pairs(labels, predictions, 7) == expected[:7]
    assert metrics.worst_pairs([1, 2], [1, 2]) == []


def test_intervals_are_those_of_a_naive_bootstrap():
    labels, predictions, counts = some(2, classes=4, images=80)
    rng = np.random.default_rng(5)
    values: dict[tuple[str, str], list[float]] = {}
    for _ in range(1000):
        chosen: list[int] = []
        for cls in sorted(set(labels)):
            own = [place for place, label in enumerate(labels) if label == cls]
            chosen += rng.choice(own, len(own)).tolist()
        drawn = naive([labels[place] for place in chosen], [predictions[place] for place in chosen], counts)
        for key, value in drawn.items():
            if value is not None:
                values.setdefault(key, []).append(value)
    found = metrics.intervals(labels, predictions, counts, resamples=2000)
    assert found.keys() == values.keys() - {("worst_class", "all")}
    for key, interval in found.items():
        # One image of the smallest group is three percent.
        assert list(interval) == pytest.approx(np.percentile(values[key], [2.5, 97.5]).tolist(), abs=3.2), key


def test_an_interval_is_as_wide_as_the_number_of_images_says():
    labels = np.repeat([0, 1], 5000)
    predictions = np.where(np.arange(10_000) % 5 == 0, 7, labels)  # 80% of each class
    low, high = metrics.intervals(labels, predictions, None)["accuracy", "all"]
    half = 196 * math.sqrt(0.8 * 0.2 / 10_000)
    assert (low, high) == pytest.approx((80 - half, 80 + half), abs=0.15)


def test_six_right_images_of_six_are_not_certainly_all():
    labels, predictions = [0] * 6 + [1] * 6, [0] * 6 + [0] * 6  # one class all right, the other all wrong
    found = metrics.intervals(labels, predictions, {0: 200, 1: 3})
    assert found["accuracy", "many"] == pytest.approx((60.97, 100), abs=0.01)
    assert found["class_mean", "few"] == pytest.approx((0, 39.03), abs=0.01)
    assert found["accuracy", "all"] == pytest.approx((25.38, 74.62), abs=0.01)
    assert {("macro_f1", "all"), ("harmonic_mean", "all")}.isdisjoint(found), "there is no telling"


def test_intervals_are_the_same_each_time_and_do_not_depend_on_the_order_of_the_classes():
    labels, predictions, counts = some(3)
    once = metrics.intervals(labels, predictions, counts)
    assert metrics.intervals(labels, predictions, counts) == once
    assert metrics.intervals(labels, predictions, counts, seed=1) != once
    by_label = sorted(range(len(labels)), key=lambda place: labels[place])
    again = metrics.intervals([labels[p] for p in by_label], [predictions[p] for p in by_label], counts)
    assert again == once
    assert metrics.intervals([], [], {}) == {}


def test_blocks_of_resamples_change_nothing(monkeypatch):
    labels, predictions, counts = some(4)
    whole = metrics.intervals(labels, predictions, counts, resamples=60)
    monkeypatch.setattr(metrics, "_AT_ONCE", 7 * len(labels))
    assert metrics.intervals(labels, predictions, counts, resamples=60) == whole
