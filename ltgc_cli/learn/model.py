"""The classifier: CLIP's vision tower and a head, and what training starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ltgc_cli.learn import evaluate, heads, tuning
from ltgc_cli.learn.attention import blocks
from ltgc_cli.learn.datasets import ClassInfo, Sample, class_indices
from ltgc_cli.learn.heads import CosineHead
from ltgc_cli.providers.clip.open_clip import Loaded
from ltgc_cli.settings import Training


class Classifier(nn.Module):
    """A vision tower and a head: images [batch, 3, height, width], preprocessed, to logits [batch, classes].

    Its first `below` parts (tuning.parts) are frozen: they run without gradients and as in evaluation, always, so
    what they make of an image can be kept: forward(x) is tuned(frozen(x)), bit for bit.
    """

    def __init__(self, visual: nn.Module, head: nn.Module, below: int = 0) -> None:
        super().__init__()
        self.visual = visual
        self.head = head
        self.below = below

    def forward(self, images: Tensor) -> Tensor:
        return self.tuned(self.frozen(images))

    def frozen(self, images: Tensor) -> Tensor:
        """Returns what the frozen parts make of images: [batch, tokens, width], or the images or their features."""
        with torch.no_grad():
            for part in tuning.parts(self.visual)[: self.below]:
                images = part(images)
        return images

    def tuned(self, hidden: Tensor) -> Tensor:
        """Returns the logits of what `frozen` gave."""
        for part in tuning.parts(self.visual)[self.below :]:
            hidden = part(hidden)
        return self.head(hidden)

    def train(self, mode: bool = True) -> Classifier:
        """Returns itself, set to train or evaluate. Frozen parts always evaluate, and so does batch norm.

        Batch norm would learn from the mixes' statistics, which no image at test time has.
        """
        super().train(mode)
        if self.below:
            self.visual.eval()
            for block in blocks(self.visual)[self.below - 1 :]:
                block.train(mode)
        for module in self.visual.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self


def zero_shot(clip: Loaded, classes: Sequence[ClassInfo], scale: float = Training().scale) -> Classifier:
    """Returns CLIP itself as a classifier: nothing is trained, the head is the text features of the classes."""
    texts = heads.from_texts(clip, classes).to(clip.device)
    return Classifier(clip.model.visual, CosineHead(texts, scale)).eval()


def start(
    clip: Loaded,
    classes: Sequence[ClassInfo],
    settings: Training,
    *,
    texts: Mapping[int, Sequence[str]] | None = None,
    real: Sequence[Sample] = (),
) -> Classifier:
    """Returns the classifier that training starts from: the tower's own features, what is tuned and the head trainable.

    settings -- resolved
    texts -- sentences that describe a label, as an image generator gets them, for head_init "descriptions"
    real -- the originals, for head_init "means"
    Raises InputError for a tower that cannot be tuned so, or bytes that are no image.
    """
    rows = first_rows(clip, classes, settings, texts or {}, real).to(clip.device)
    head = heads.HEADS[settings.head](rows, settings.scale)
    visual = tuning.adapt(clip.model.visual, settings)
    return Classifier(visual, head, tuning.frozen_parts(visual, settings)).eval()


def first_rows(
    clip: Loaded,
    classes: Sequence[ClassInfo],
    settings: Training,
    texts: Mapping[int, Sequence[str]],
    real: Sequence[Sample],
) -> Tensor:
    """Returns what the head's rows start from: [classes, width], each of length 1, on the CPU."""
    if settings.head_init == "descriptions":
        return heads.from_texts(clip, classes, texts)
    names = heads.from_texts(clip, classes)
    if settings.head_init == "random":
        return heads.at_random(len(names), names.shape[1], settings.seed)
    if settings.head_init == "name" or not real:
        return names
    tower = Classifier(clip.model.visual, nn.Identity())
    features = evaluate.predict(tower, clip, real)
    return heads.from_means(features, class_indices(real, classes), otherwise=names)


def groups(classifier: Classifier, settings: Training) -> list[dict[str, Any]]:
    """Returns what is trained as an optimiser takes it: what is tuned of the tower, then the head.

    Weight decay is for the tower's matrices alone: not for biases, norms and scales, nor for the head, whose rows'
    lengths do not matter.
    """
    tuned = [weight for weight in classifier.visual.parameters() if weight.requires_grad]
    head = [weight for weight in classifier.head.parameters() if weight.requires_grad]
    found = (
        ([weight for weight in tuned if weight.ndim > 1], settings.weight_decay),
        ([weight for weight in tuned if weight.ndim <= 1], 0.0),
        (head, 0.0),
    )
    return [{"params": params, "weight_decay": decay} for params, decay in found if params]
