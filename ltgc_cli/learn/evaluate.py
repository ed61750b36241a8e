"""Accuracy over many-, medium- and few-shot classes, and the predictions that it is measured on.

A class is told by its label throughout, never by its place in a listing, so classes that the test set or the
table lacks shift nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ltgc_cli.learn.datasets import Sample, shot

if TYPE_CHECKING:
    from ltgc_cli.learn.model import Classifier
    from ltgc_cli.providers.clip.open_clip import Loaded

_BATCH = 128

Group = Literal["many", "medium", "few", "all"]
GROUPS: tuple[Group, ...] = ("many", "medium", "few", "all")


def accuracy_by_shot(
    labels: Sequence[int] | NDArray[Any], predictions: Sequence[int] | NDArray[Any], counts: Mapping[int, int]
) -> dict[Group, float | None]:
    """Returns the accuracy in percent over the images of each group of classes; None for a group without images.

    labels, predictions -- the true and the predicted label of each image [images]
    counts -- training images of each label; it says which group a class is in
    """
    labels = np.asarray(labels, dtype=np.int64)
    right = labels == np.asarray(predictions)
    groups = np.array([shot(counts[int(label)]) for label in labels], dtype="U6")
    return {group: _percent(right if group == "all" else right[groups == group]) for group in GROUPS}


def accuracy_by_class(
    labels: Sequence[int] | NDArray[Any], predictions: Sequence[int] | NDArray[Any]
) -> dict[int, float]:
    """Returns the accuracy in percent of each label that has images."""
    labels = np.asarray(labels, dtype=np.int64)
    right = labels == np.asarray(predictions)
    return {int(label): float(right[labels == label].mean() * 100) for label in np.unique(labels)}


def class_mean(by_class: Mapping[int, float]) -> float | None:
    """Returns the mean over classes, however many images each one has; None where there is no class."""
    return sum(by_class.values()) / len(by_class) if by_class else None


def predicted_labels(logits: NDArray[np.float32], classes: Sequence[int]) -> NDArray[np.int64]:
    """Returns the label of the highest logit of each image [images].

    logits -- [images, classes]; classes -- the label that each column stands for
    """
    return np.asarray(classes, dtype=np.int64)[logits.argmax(axis=1)]


def predict(classifier: Classifier, clip: Loaded, samples: Sequence[Sample]) -> NDArray[np.float32]:
    """Returns the logits of samples [samples, classes], a column for each row of the classifier's class table.

    clip -- for its preprocessing and device. Raises InputError for bytes that are no image.
    """
    import torch

    from ltgc_cli.learn import images

    frame = images.frame(clip.preprocess)
    parts = (samples[start : start + _BATCH] for start in range(0, len(samples), _BATCH))
    batches = images.ahead(lambda part: images.decode_all(part, frame), parts, depth=2)
    classifier.eval()
    with torch.inference_mode():
        logits = [classifier(images.normalized(batch.to(clip.device), frame)).cpu().numpy() for batch in batches]
    return np.concatenate(logits)


def _percent(right: NDArray[np.bool_]) -> float | None:
    return float(right.mean() * 100) if len(right) else None
