"""What predictions are worth, in percent: over groups of classes, over classes, over images, with their uncertainty.

A class is known by its label throughout, never by its position in a listing, and only classes that have test images
count: one that the test set lacks shifts nothing and is in no mean. Where every class has as many test images as any
other, the accuracy over a group's images and the mean over its classes are the same number; elsewhere they are not, so
both are measured. What is measured besides is what LIFT's evaluator prints (shijxcs/LIFT, `utils/evaluator.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import mean, stdev
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ltgc_cli.learn.datasets import shot
from ltgc_cli.records import GROUPS, ShotGroup
from ltgc_cli.trial import wilson

Measure = Literal["accuracy", "class_mean", "harmonic_mean", "geometric_mean", "worst_class", "macro_f1"]
Key = tuple[Measure, ShotGroup]

NO_CLASS = -1  # the predicted label of an image that was given no class at all; it is always wrong
NO_INTERVAL: frozenset[Measure] = frozenset(["worst_class"])
"""The lowest of many classes is lower still in most resamples: their percentiles would not be an interval around it."""
_RAREST = 5  # images at most of the classes that are a group of their own
_LEAST = 1e-5  # what a class without one right image counts as in the harmonic mean, as LIFT has it: 0.001%
_AT_ONCE = 2_000_000  # images drawn at once, over all resamples of a block

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Labels = Sequence[int] | NDArray[Any]


class ClassCounts(NamedTuple):
    """Counts of each class that has test images, by label, ascending: [classes] each, or [resamples, classes]."""

    labels: Ints
    images: Ints
    right: Ints
    guessed: Ints  # how many images, of any class, were given this label


def tally(labels: Labels, predictions: Labels) -> ClassCounts:
    """Returns the counts of each class: labels and predictions are the true and the predicted one of each image."""
    labels, predictions = _ints(labels), _ints(predictions)
    present, indices, images = np.unique(labels, return_inverse=True, return_counts=True)
    right = np.bincount(indices[labels == predictions], minlength=len(present))
    guessed = np.bincount(_indices(present, predictions), minlength=len(present) + 1)[:-1]
    return ClassCounts(present, images.astype(np.int64), right, guessed)


def measures(found: ClassCounts, counts: Mapping[int, int] | None) -> dict[Key, float | None]:
    """Returns every measure in percent; None for a group of which no class has test images.

    counts -- real *training* images of each label, which say what group a class is in; None where they are not known:
        then many, medium and few have no value. "At most 5" has none, not even None, where `members` lacks it
    """
    shares = _measures(found, members(found.labels, counts))
    return {key: None if value is None else float(value) * 100 for key, value in shares.items()}


def members(labels: Ints, counts: Mapping[int, int] | None) -> dict[ShotGroup, NDArray[np.bool_]]:
    """Returns which of the labels each group has, by the number of their training images.

    "At most 5" is there only where it is more than one class, whose accuracy is known anyway, and less than few.
    """
    shots = np.array(["" if counts is None else shot(counts[int(label)]) for label in labels], dtype="U6")
    few = shots == "few"
    rarest = np.array([counts is not None and counts[int(label)] <= _RAREST for label in labels], dtype=bool)
    found = {"many": shots == "many", "medium": shots == "medium", "few": few}
    found |= {"at most 5": rarest, "all": np.ones(len(labels), dtype=bool)}
    return {group: found[group] for group in GROUPS if group != "at most 5" or 1 < rarest.sum() < few.sum()}


def _measures(found: ClassCounts, groups: Mapping[ShotGroup, NDArray[np.bool_]]) -> dict[Key, Any]:
    """Returns every measure as a share, over the last axis of the counts: one number, or one for each resample."""
    accuracy = found.right / found.images
    values: dict[Key, Any] = {}
    for group, inside in groups.items():
        there = inside.any()
        right, images = found.right[..., inside].sum(-1), found.images[inside].sum()
        values["accuracy", group] = right / images if there else None
        values["class_mean", group] = accuracy[..., inside].mean(-1) if there else None
    whole = len(found.labels) > 0
    values["harmonic_mean", "all"] = 1 / (1 / np.maximum(accuracy, _LEAST)).mean(-1) if whole else None
    with np.errstate(divide="ignore"):  # a class without one right image makes it 0
        values["geometric_mean", "all"] = np.exp(np.log(accuracy).mean(-1)) if whole else None
    values["worst_class", "all"] = accuracy.min(-1) if whole else None
    # Over the classes that have test images, as LIFT's: what is mistaken for another class lowers precision here alone.
    values["macro_f1", "all"] = (2 * found.right / (found.images + found.guessed)).mean(-1) if whole else None
    return values


def worst_label(found: ClassCounts) -> int | None:
    """Returns the label of the class with the lowest accuracy, the lowest label of several; None for no class."""
    return int(found.labels[(found.right / found.images).argmin()]) if len(found.labels) else None


def accuracy_by_class(labels: Labels, predictions: Labels) -> dict[int, float]:
    """Returns the accuracy in percent of each label that has images."""
    found = tally(labels, predictions)
    return dict(zip(found.labels.tolist(), (100 * found.right / found.images).tolist(), strict=True))


def class_mean(by_class: Mapping[int, float]) -> float | None:
    """Returns the mean over classes, however many images each one has; None where there is no class."""
    return sum(by_class.values()) / len(by_class) if by_class else None


def calibration_error(confidences: Floats, right: NDArray[np.bool_], bins: int = 15) -> float | None:
    """Returns the expected calibration error in percent (Guo et al., ICML 2017): |accuracy - confidence|, by bins.

    confidences -- of the predicted class, in 0..1 [images]; bins -- of equal width, closed above
    """
    if not len(right):
        return None
    bin_of = np.digitize(confidences, np.linspace(0, 1, bins + 1)[1:-1], right=True)
    gaps = np.bincount(bin_of, weights=np.asarray(right, np.float64) - confidences, minlength=bins)
    return float(np.abs(gaps).sum() / len(right) * 100)


class Pair(NamedTuple):
    """A confusion: images of one class that were given another one's label, and their share of that class's images."""

    label: int
    predicted: int
    images: int
    share: float  # percent


def worst_pairs(labels: Labels, predictions: Labels, most: int = 10) -> list[Pair]:
    """Returns the confusions with the most images; of equal ones those of the smaller share come last."""
    labels, predictions = _ints(labels), _ints(predictions)
    present, totals = np.unique(labels, return_counts=True)
    wrong = labels != predictions
    pairs, images = np.unique(np.stack([labels[wrong], predictions[wrong]], 1), axis=0, return_counts=True)
    shares = 100 * images / totals[np.searchsorted(present, pairs[:, 0])]
    columns = (values.tolist() for values in (*pairs.T, images, shares))
    found = [Pair(*values) for values in zip(*columns, strict=True)]
    return sorted(found, key=lambda pair: (-pair.images, -pair.share, pair.label, pair.predicted))[:most]


def intervals(
    labels: Labels, predictions: Labels, counts: Mapping[int, int] | None, resamples: int = 1000, seed: int = 0
) -> dict[Key, tuple[float, float]]:
    """Returns 95% percentile bootstrap intervals in percent, of each measure with a value, NO_INTERVAL aside.

    Test images are resampled within their class (stratified): classes keep their numbers, as the test set was made.
    So an interval says what another draw of as many images of the same classes may give: nothing of other seeds of
    the training. The same images are resampled for every classifier that is measured on them.

    Where each class is all right or all wrong no resample differs from another, which is not to say that six right
    images of six are certainly 100%: accuracies have Wilson's interval there, other measures none.
    """
    once = tally(labels, predictions)
    groups = members(once.labels, counts)
    blocks = [_measures(block, groups) for block in _resampled(labels, predictions, resamples, seed)]
    found = {}
    for key in blocks[0] if blocks else ():
        measure, group = key
        if blocks[0][key] is None or measure in NO_INTERVAL:
            continue
        low, high = np.percentile(np.concatenate([block[key] for block in blocks]) * 100, [2.5, 97.5])
        if low < high:
            found[key] = (float(low), float(high))
        elif measure in ("accuracy", "class_mean"):
            inside = groups[group]
            ends = wilson(int(once.right[inside].sum()), int(once.images[inside].sum()))
            found[key] = (100 * ends[0], 100 * ends[1])
    return found


def _resampled(labels: Labels, predictions: Labels, resamples: int, seed: int) -> Iterator[ClassCounts]:
    """Returns tallies of resampled images, [resamples of the block, classes] each."""
    labels, predictions = _ints(labels), _ints(predictions)
    if not len(labels):
        return
    order = np.argsort(labels, kind="stable")
    labels, predictions = labels[order], predictions[order]
    present, starts, images = np.unique(labels, return_index=True, return_counts=True)
    guess = _indices(present, predictions)
    right = (labels == predictions).astype(np.int64)
    start, size = np.repeat(starts, images), np.repeat(images, images)
    rng = np.random.default_rng(seed)
    block = max(1, _AT_ONCE // len(labels))
    cells = len(present) + 1  # one more, for labels that are not present
    for done in range(0, resamples, block):
        rows = min(block, resamples - done)
        drawn = start + (rng.random((rows, len(labels))) * size).astype(np.int64)
        cell_of = guess[drawn] + np.arange(rows)[:, None] * cells
        guessed = np.bincount(cell_of.ravel(), minlength=rows * cells).reshape(rows, cells)[:, :-1]
        yield ClassCounts(present, images, np.add.reduceat(right[drawn], starts, axis=1), guessed)


def spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Returns the mean and the sample standard deviation over runs, which one run does not have.

    >>> spread([80.0, 82.0, 84.0]), spread([80.0])
    ((82.0, 2.0), (80.0, None))
    """
    return mean(values), stdev(values) if len(values) > 1 else None


def _ints(labels: Labels) -> Ints:
    return np.asarray(labels, dtype=np.int64)


def _indices(present: Ints, labels: Ints) -> Ints:
    """Returns where each label is among those that are present (ascending); len(present) for one that is not."""
    indices = np.searchsorted(present, labels)
    known = present[np.minimum(indices, len(present) - 1)] == labels if len(present) else np.zeros(len(labels), bool)
    return np.where(known, indices, len(present))
