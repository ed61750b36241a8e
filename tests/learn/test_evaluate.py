from __future__ import annotations

import numpy as np
import pytest

from ltgc_cli.learn.datasets import open_data, samples, shot
from ltgc_cli.learn.evaluate import accuracy_by_class, accuracy_by_shot, class_mean, predict, predicted_labels
from ltgc_cli.learn.model import zero_shot
from ltgc_cli.providers.clip.open_clip import Loaded


def naive_by_shot(labels: list[int], predictions: list[int], counts: dict[int, int]) -> dict[str, float | None]:
    result: dict[str, float | None] = {}
    for group in ("many", "medium", "few", "all"):
        right = total = 0
        for label, prediction in zip(labels, predictions, strict=True):
            if group == "all" or shot(counts[label]) == group:
                total += 1
                right += label == prediction
        result[group] = 100 * right / total if total else None
    return result


def test_a_groups_accuracy_is_the_mean_over_its_images() -> None:
    counts = {0: 500, 1: 100, 2: 19}
    accuracy = accuracy_by_shot([0, 0, 1, 1, 1, 2], [0, 1, 1, 1, 0, 2], counts)
    assert accuracy == {
        "many": 50.0,
        "medium": pytest.approx(200 / 3),
        "few": 100.0,
        "all": pytest.approx(400 / 6),
    }


def test_accuracies_equal_a_naive_count_on_random_data() -> None:
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(0, 12, 400), rng.integers(0, 12, 400)
    counts = {label: int(count) for label, count in enumerate(rng.integers(0, 200, 12))}
    expected = naive_by_shot(labels.tolist(), predictions.tolist(), counts)
    assert accuracy_by_shot(labels, predictions, counts) == pytest.approx(expected)


def test_a_group_without_images_has_no_accuracy() -> None:
    assert accuracy_by_shot([0], [0], {0: 5}) == {"many": None, "medium": None, "few": 100.0, "all": 100.0}
    assert accuracy_by_shot([], [], {}) == {"many": None, "medium": None, "few": None, "all": None}


def test_classes_that_the_test_set_lacks_shift_nothing() -> None:
    """Tail folders 70..99 were once trained as labels 0..29."""
    counts = {label: 200 - 2 * label for label in range(100)}
    assert accuracy_by_shot([70, 99], [70, 29], counts)["all"] == 50.0
    assert accuracy_by_class([70, 99], [70, 29]) == {70: 100.0, 99: 0.0}


def test_the_mean_over_classes_counts_each_class_once() -> None:
    by_class = accuracy_by_class([0, 0, 0, 1], [0, 0, 1, 0])
    assert by_class == {0: pytest.approx(200 / 3), 1: 0.0}
    assert class_mean(by_class) == pytest.approx(100 / 3)
    assert class_mean({}) is None


def test_a_prediction_is_the_label_of_the_highest_column() -> None:
    logits = np.array([[0.1, 2.0, 0.3], [5.0, 1.0, 1.0]], dtype=np.float32)
    assert predicted_labels(logits, [70, 85, 99]).tolist() == [85, 70]


def test_zero_shot_logits_are_25_times_the_cosine_of_image_and_text(clip: Loaded) -> None:
    from ltgc_cli.learn.datasets import pixels
    from ltgc_cli.providers.clip.open_clip import encode_images, encode_texts

    data = open_data("digits-lt", "test")
    few = samples(data)[::97]
    logits = predict(zero_shot(clip, data.classes), clip, few)
    images = encode_images(clip, [pixels(sample.read(), sample.name) for sample in few]).double().numpy()
    texts = encode_texts(clip, ["A photo of zero (written digit).", "A photo of nine (written digit)."])
    np.testing.assert_allclose(logits[:, [0, 9]], 25 * images @ texts.double().numpy().T, atol=2e-4)
