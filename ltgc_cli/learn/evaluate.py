"""The predictions that accuracy is measured on: one look at each image or five, and logits adjusted afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ltgc_cli.errors import InputError
from ltgc_cli.learn import images, loading
from ltgc_cli.learn.datasets import ClassInfo, Sample, class_indices
from ltgc_cli.learn.images import Frame
from ltgc_cli.learn.metrics import accuracy_by_class, class_mean
from ltgc_cli.learn.processes import Processes
from ltgc_cli.providers import torch_setup
from ltgc_cli.providers.clip.open_clip import Loaded

_BATCH = 128
MOST_BYTES = 3 * 448 * 448  # of a frame: few models see images larger
_ROWS = 4096  # images whose logits are worked on at once: eight thousand classes are many columns
_EXPAND = 24 / 224  # how much wider than its input the model sees five crops of: 24 pixels for 224, as LIFT does
TAUS = tuple(round(0.1 * step, 1) for step in range(21))  # strengths of post-hoc logit adjustment that are tried (ours)

Logits = NDArray[np.float32]


def predict(
    classifier: nn.Module,
    clip: Loaded,
    samples: Sequence[Sample],
    *,
    tte: bool = False,
    on_batch: Callable[[int], None] = lambda _: None,
) -> Logits:
    """Returns the logits of samples [samples, classes], a column for each row of the classifier's class table.

    clip -- for its preprocessing and device; tte -- the mean of the logits of five crops
    on_batch -- called with the number of images of each batch
    Raises InputError for bytes that are no image.
    """
    frame = frame_of(clip, tte=tte)
    size = _BATCH // 5 if tte else _BATCH
    parts = [samples[start : start + size] for start in range(0, len(samples), size)]
    by = loading.readers(clip.device, len(parts), _BATCH * MOST_BYTES)
    found = []
    for frames in loading.ahead(lambda part: images.decode_all(part, frame), parts, depth=2, by=by):
        found.append(logits(classifier, clip, frames, frame))
        on_batch(len(frames))
    return np.concatenate(found)


def frame_of(clip: Loaded, *, tte: bool = False) -> Frame:
    """Returns how an image becomes what the model takes: one frame [3, h, w], or with `tte` five crops [5, 3, h, w].

    Test-time ensembling as in LIFT (Shi et al., ICML 2024): the image is resized a little larger than
    the model's input, and its four corners and its centre are cut out. Raises InputError where the model's
    preprocessing does not end in such a cut.
    """
    plain = images.frame(clip.preprocess)
    if not tte:
        return plain
    crop, larger = _five_crops(clip.preprocess)
    return plain._replace(crop=crop, least=2 * max(larger))


def _five_crops(preprocess: Any) -> tuple[Callable[[Any], Tensor], list[int]]:
    """Returns a function from a PIL image to its five crops in 0..1, for any size of input; and what it resizes to."""
    torch_setup.mend_torchvision()
    from torchvision import transforms

    resize, *rest, _ = preprocess.transforms
    if not isinstance(resize, transforms.Resize):
        raise InputError("--tte: this CLIP model does not resize images as five crops need it; leave it out")
    side = np.array(resize.size).ravel()
    larger = (side + np.maximum(1, np.rint(side * _EXPAND))).astype(int).tolist()
    expand = transforms.Resize(larger, resize.interpolation, antialias=resize.antialias)
    cut = transforms.FiveCrop(side.tolist())
    after = [step for step in rest if not isinstance(step, transforms.CenterCrop)]
    return lambda image: torch.stack([images.transformed(crop, after) for crop in cut(expand(image))]), larger


def logits(classifier: nn.Module, clip: Loaded, frames: Tensor, frame: Frame) -> Logits:
    """Returns the logits [batch, classes] of frames [batch, 3, h, w], or the mean over crops [batch, crops, 3, h, w].

    On CUDA the tower runs in bfloat16. Raises InputError where any is no number: what follows from it is nothing.
    """
    cuda = clip.device.startswith("cuda")
    classifier.eval()
    with torch.inference_mode(), torch.autocast("cuda" if cuda else "cpu", torch.bfloat16, enabled=cuda):
        found = classifier(images.normalized(frames.to(clip.device, non_blocking=True), frame).flatten(0, -4)).float()
    if not found.isfinite().all():
        raise InputError(
            "what the classifier makes of an image is no number (NaN, inf): its weights are too large; "
            "train it again with a lower --lr, or name another checkpoint"
        )
    return found.view(len(frames), -1, found.shape[-1]).mean(1).cpu().numpy()


def predicted_labels(logits: Logits, classes: Sequence[int]) -> NDArray[np.int64]:
    """Returns the label of the highest logit of each image [images]; classes has the label of each column."""
    return np.asarray(classes, dtype=np.int64)[logits.argmax(axis=1)]


def confidences(logits: Logits) -> NDArray[np.float64]:
    """Returns the softmax of the highest logit of each image [images]."""
    parts = (logits[start : start + _ROWS].astype(np.float64) for start in range(0, len(logits), _ROWS))
    return np.concatenate([1 / np.exp(part - part.max(1, keepdims=True)).sum(1) for part in parts])


def validation_accuracy(
    classifier: nn.Module, clip: Loaded, classes: Sequence[ClassInfo], val: Sequence[Sample], here: Processes
) -> float:
    """Returns the class-mean accuracy on validation images in percent; each process classifies its share of them."""
    true = torch.tensor(class_indices(val, classes))
    own = true[here.rank :: here.size]
    hits = torch.zeros(len(classes))  # float32 counts to 16 million, and not every device has float64
    if len(own):
        guesses = torch.from_numpy(predict(classifier, clip, val[here.rank :: here.size]).argmax(axis=1))
        hits += torch.bincount(own[guesses == own], minlength=len(classes))
    hits = here.total(hits.to(clip.device)).cpu().double()
    images_of = torch.bincount(true, minlength=len(classes))
    there = images_of > 0
    return float((hits[there] / images_of[there]).mean() * 100)


# ---- logits adjusted after the training


class Adjusted(NamedTuple):
    """Post-hoc logit adjustment: its strength, and the class-mean accuracy that it was chosen for, in percent."""

    tau: float
    accuracy: float


def adjusted(logits: Logits, prior: NDArray[Any], tau: float) -> Logits:
    """Returns logits - tau · log(prior) (Menon et al., ICLR 2021).

    prior -- [classes] of what was trained on, in any unit; a class that it never saw counts as the rarest that it saw
    """
    prior = np.asarray(prior, dtype=np.float64)
    seen = prior[prior > 0]
    if not len(seen):
        return logits
    log = np.log(np.maximum(prior, seen.min()) / prior.sum())
    return logits - (tau * log).astype(np.float32)


def choose_tau(logits: Logits, labels: Sequence[int], classes: Sequence[int], prior: NDArray[Any]) -> Adjusted:
    """Returns the strength with the best class-mean accuracy on validation images; of equal ones the smallest.

    logits, labels -- of the validation images; classes -- the label of each column; prior -- as for `adjusted`
    """

    def accuracy(tau: float) -> float:
        parts = (logits[start : start + _ROWS] for start in range(0, len(logits), _ROWS))
        guesses = [predicted_labels(adjusted(part, prior, tau), classes) for part in parts]
        return class_mean(accuracy_by_class(labels, np.concatenate(guesses))) or 0.0

    return max((Adjusted(tau, accuracy(tau)) for tau in TAUS), key=lambda found: (found.accuracy, -found.tau))
