from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from ltgc_cli.errors import InputError
from ltgc_cli.learn import evaluate
from ltgc_cli.learn.datasets import Sample, open_data, pixels, samples
from ltgc_cli.learn.model import zero_shot
from ltgc_cli.providers.clip.open_clip import Loaded, encode_images, encode_texts

DATA = open_data("digits-lt", "test")
FEW = samples(DATA)[::97]


def test_a_prediction_is_the_label_of_the_highest_column() -> None:
    logits = np.array([[0.1, 2.0, 0.3], [5.0, 1.0, 1.0]], dtype=np.float32)
    assert evaluate.predicted_labels(logits, [70, 85, 99]).tolist() == [85, 70]


def test_a_confidence_is_the_softmax_of_the_highest_column() -> None:
    logits = np.array([[0.0, 0.0], [100.0, -100.0], [0.0, math.log(3)]], dtype=np.float32)
    assert evaluate.confidences(logits).tolist() == pytest.approx([0.5, 1.0, 0.75])


def test_zero_shot_logits_are_25_times_the_cosine_of_image_and_text(clip: Loaded) -> None:
    told: list[int] = []
    logits = evaluate.predict(zero_shot(clip, DATA.classes), clip, FEW, on_batch=told.append)
    images = encode_images(clip, [pixels(sample.read(), sample.name) for sample in FEW]).double().numpy()
    texts = encode_texts(clip, ["A photo of zero (written digit).", "A photo of nine (written digit)."])
    np.testing.assert_allclose(logits[:, [0, 9]], 25 * images @ texts.double().numpy().T, atol=2e-4)
    assert sum(told) == len(FEW)


def test_five_crops_are_cut_from_an_image_a_ninth_larger_and_their_logits_averaged(clip: Loaded) -> None:
    classifier = zero_shot(clip, DATA.classes)
    logits = evaluate.predict(classifier, clip, FEW, tte=True)
    normalize = clip.preprocess.transforms[-1]  # type: ignore[attr-defined]
    expected = []
    for sample in FEW:
        image = pixels(sample.read(), sample.name).resize((35, 35), Image.Resampling.BICUBIC)  # 32 + 24 / 224 * 32
        places = [(0, 0), (3, 0), (0, 3), (3, 3), (2, 2)]
        cut = [np.array(image.crop((left, top, left + 32, top + 32))) for left, top in places]
        crops = [torch.from_numpy(one).permute(2, 0, 1) / 255 for one in cut]
        with torch.no_grad():
            expected.append(classifier(torch.stack([normalize(one) for one in crops])).mean(0).numpy())
    np.testing.assert_allclose(logits, np.stack(expected), atol=1e-4)


def test_five_crops_of_a_wide_image_reach_its_ends(clip: Loaded) -> None:
    image = Image.new("RGB", (96, 32))
    image.paste((255, 255, 255), (90, 0, 96, 32))  # only the right end is white
    crops = evaluate.frame_of(clip, tte=True).crop(image)
    assert crops.shape == (5, 3, 32, 32)
    assert [bool((one > 0.9).any()) for one in crops] == [False, True, False, True, False]


def test_a_model_that_resizes_otherwise_has_no_five_crops(clip: Loaded) -> None:
    class Other:
        transforms = clip.preprocess.transforms[1:]  # type: ignore[attr-defined]

    with pytest.raises(InputError, match="--tte: this CLIP model does not resize"):
        evaluate.frame_of(clip._replace(preprocess=Other()), tte=True)  # type: ignore[arg-type]


def test_a_broken_image_is_named(clip: Loaded) -> None:
    with pytest.raises(InputError, match=r"birds/7\.jpg: not a whole image"):
        evaluate.predict(zero_shot(clip, DATA.classes), clip, [*FEW, Sample(0, lambda: b"GIF89a", "birds/7.jpg")])


def test_adjusted_logits_are_less_tau_log_prior() -> None:
    logits = np.array([[1.0, 2.0, 3.0]], dtype=np.float32)
    found = evaluate.adjusted(logits, np.array([8, 1, 1]), 0.5)
    assert found[0].tolist() == pytest.approx(
        [1 - 0.5 * math.log(0.8), 2 - 0.5 * math.log(0.1), 3 - 0.5 * math.log(0.1)]
    )
    assert evaluate.adjusted(logits, np.array([8, 1, 1]), 0.0).tolist() == logits.tolist()


def test_a_class_that_training_never_saw_counts_as_the_rarest_that_it_saw() -> None:
    logits = np.zeros((1, 3), dtype=np.float32)
    assert evaluate.adjusted(logits, np.array([6, 2, 0]), 1.0)[0].tolist() == pytest.approx(
        [-math.log(0.75), -math.log(0.25), -math.log(0.25)]
    )
    assert evaluate.adjusted(logits, np.zeros(3), 1.0).tolist() == logits.tolist()


def test_tau_is_the_smallest_with_the_best_class_mean_on_validation_images() -> None:
    # The rare class (label 9) is 1.0 behind where it is right: tau · log(0.9 / 0.1) passes that from 0.5 on.
    logits = np.array([[2.0, 1.0], [2.0, 1.0], [4.0, 1.0]], dtype=np.float32)
    best = evaluate.choose_tau(logits, [9, 9, 5], [5, 9], np.array([90, 10]))
    assert best == (0.5, 100.0)
    assert evaluate.choose_tau(logits, [5, 5, 5], [5, 9], np.array([90, 10])).tau == 0.0
