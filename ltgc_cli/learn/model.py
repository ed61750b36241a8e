"""The classifier: CLIP's vision tower and a head, a row of weights for each class, and what training starts from."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ltgc_cli.learn import evaluate, tuning
from ltgc_cli.learn.attention import blocks
from ltgc_cli.learn.datasets import ClassInfo, Sample, class_indices
from ltgc_cli.providers.clip.open_clip import Loaded, encode_texts
from ltgc_cli.settings import Training

Texts = Mapping[int, Sequence[str]]  # descriptions, by label
_TEXTS = 4096  # texts whose features are in memory at once


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
            # A tower of one part is frozen as a whole.
            tuned = blocks(self.visual)[self.below - 1 :] if len(tuning.parts(self.visual)) > 1 else []
            for block in tuned:
                block.train(mode)
        for module in self.visual.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self


def zero_shot(clip: Loaded, classes: Sequence[ClassInfo], scale: float = Training().scale) -> Classifier:
    """Returns CLIP itself as a classifier: nothing is trained, the head is the text features of the classes."""
    texts = from_texts(clip, classes).to(clip.device)
    return Classifier(clip.model.visual, CosineHead(texts, scale)).eval()


def start(
    clip: Loaded,
    classes: Sequence[ClassInfo],
    settings: Training,
    *,
    texts: Texts | None = None,
    real: Sequence[Sample] = (),
) -> Classifier:
    """Returns the classifier that training starts from: the tower's own features, what is tuned and the head trainable.

    settings -- resolved
    texts -- sentences that describe a label, as an image generator gets them, for head_init "descriptions"
    real -- the originals, for head_init "means"
    Raises InputError for a tower that cannot be tuned so, or bytes that are no image.
    """
    rows = _first_rows(clip, classes, settings, texts or {}, real).to(clip.device)
    head = HEADS[settings.head](rows, settings.scale)
    visual = tuning.adapt(clip.model.visual, settings)
    return Classifier(visual, head, tuning.frozen_parts(visual, settings)).eval()


def groups(classifier: Classifier, settings: Training) -> list[dict[str, Any]]:
    """Returns what is trained as an optimiser takes it: what is tuned of the tower, then the head.

    Weight decay is for the tower's matrices alone: not for biases, norms and scales, nor for the head, whose rows'
    lengths do not matter.
    """
    tuned = [weight for weight in classifier.visual.parameters() if weight.requires_grad]
    head = [weight for weight in classifier.head.parameters() if weight.requires_grad]
    matrices, others = [weight for weight in tuned if weight.ndim > 1], [weight for weight in tuned if weight.ndim <= 1]
    found = ((matrices, settings.weight_decay), (others, 0.0), (head, 0.0))
    return [{"params": params, "weight_decay": decay} for params, decay in found if params]


# ---- heads


class CosineHead(nn.Module):
    """scale · cosine(feature, class weight): features [batch, width] to logits [batch, classes], float32."""

    def __init__(self, weight: Tensor, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().float().clone())
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        # A bfloat16 logit of 25 is right to a tenth only, so autocast ends here.
        with torch.autocast(features.device.type, enabled=False):
            return self.scale * F.linear(F.normalize(features.float(), dim=-1), F.normalize(self.weight, dim=-1))


class LinearHead(nn.Module):
    """A linear layer on features of length `scale`: features [batch, width] to logits [batch, classes], float32.

    With rows of length 1 and a bias of 0 it gives what a CosineHead gives, so both start alike and learn with the
    same learning rate; here the rows' lengths and the bias are then free.
    """

    def __init__(self, weight: Tensor, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().float().clone())
        self.bias = nn.Parameter(torch.zeros(len(weight), device=weight.device))
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            return F.linear(self.scale * F.normalize(features.float(), dim=-1), self.weight, self.bias)


class TwoHeads(nn.Module):
    """A head, and while it is trained another one beside it for generated images, which starts as its copy.

    In training it gives the logits of both, [2, batch, classes], which `own` chooses from; otherwise the head's alone.
    """

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.real = head
        self.generated = copy.deepcopy(head)

    def forward(self, features: Tensor) -> Tensor:
        real = self.real(features)
        return torch.stack([real, self.generated(features)]) if self.training else real

    @staticmethod
    def own(logits: Tensor, generated: Tensor) -> Tensor:
        """Returns the logits of each row by its own head [batch, classes]; no gradient of a row reaches the other one.

        generated -- whether a row is of generated images, bool [batch]
        """
        return torch.where(generated[:, None], logits[1], logits[0])


HEADS: dict[str, type[CosineHead] | type[LinearHead]] = {"cosine": CosineHead, "linear": LinearHead}


# ---- what the rows start from: [classes, width], each of length 1


def class_text(info: ClassInfo) -> str:
    """Returns the text whose feature a class starts from.

    >>> class_text(ClassInfo(label=3, name="seal", sense="marine mammal"))
    'A photo of seal (marine mammal).'
    """
    return f"A photo of {info.subject}."


def from_texts(clip: Loaded, classes: Sequence[ClassInfo], texts: Texts | None = None) -> Tensor:
    """Returns the mean feature of each class's texts: its name (class_text) and, by its label, those of `texts`.

    Each text counts the same; one over the model's length is cut. On the CPU.
    """
    by_class = [(class_text(info), *(texts or {}).get(info.label, ())) for info in classes]
    flat = [(index, text) for index, own in enumerate(by_class) for text in own]
    sums: Tensor | None = None
    for start in range(0, len(flat), _TEXTS):
        part = flat[start : start + _TEXTS]
        features = encode_texts(clip, [text for _, text in part])
        sums = features.new_zeros(len(classes), features.shape[1]) if sums is None else sums
        sums.index_add_(0, torch.tensor([index for index, _ in part]), features)
    assert sums is not None, "a class table has a class"
    return F.normalize(sums, dim=-1)


def from_means(features: NDArray[np.float32], class_indices: Sequence[int], otherwise: Tensor) -> Tensor:
    """Returns the direction of the mean of each class's image features, each of them brought to length 1 before.

    features -- [images, width]; class_indices -- of the images
    otherwise -- [classes, width]: what a class without an image has
    """
    indices = torch.tensor(class_indices, dtype=torch.long)
    unit = F.normalize(torch.from_numpy(features), dim=-1)
    sums = torch.zeros_like(otherwise).index_add_(0, indices, unit)
    seen = torch.bincount(indices, minlength=len(otherwise)) > 0
    return torch.where(seen[:, None], F.normalize(sums, dim=-1), otherwise)


def at_random(classes: int, width: int, seed: int) -> Tensor:
    """Returns random directions, evenly spread over the sphere."""
    return F.normalize(torch.randn(classes, width, generator=torch.Generator().manual_seed(seed)), dim=-1)


def _first_rows(
    clip: Loaded, classes: Sequence[ClassInfo], settings: Training, texts: Texts, real: Sequence[Sample]
) -> Tensor:
    """Returns what the head's rows start from: [classes, width], each of length 1, on the CPU."""
    if settings.head_init == "descriptions":
        return from_texts(clip, classes, texts)
    names = from_texts(clip, classes)
    if settings.head_init == "random":
        return at_random(len(names), names.shape[1], settings.seed)
    if settings.head_init == "name" or not real:
        return names
    features = evaluate.predict(Classifier(clip.model.visual, nn.Identity()), clip, real)
    return from_means(features, class_indices(real, classes), otherwise=names)
