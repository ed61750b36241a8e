"""The classifier's head, a row of weights for each class, and what the rows start from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ltgc_cli.learn.datasets import ClassInfo
from ltgc_cli.providers.clip.open_clip import Loaded, encode_texts

_TEXTS = 4096  # texts whose features are in memory at once


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


HEADS: dict[str, type[CosineHead] | type[LinearHead]] = {"cosine": CosineHead, "linear": LinearHead}


# ---- what the rows start from: [classes, width], each of length 1


def class_text(info: ClassInfo) -> str:
    """Returns the text whose feature a class starts from.

    >>> class_text(ClassInfo(label=3, name="seal", sense="marine mammal"))
    'A photo of seal (marine mammal).'
    """
    return f"A photo of {info.subject}."


def from_texts(clip: Loaded, classes: Sequence[ClassInfo], texts: Mapping[int, Sequence[str]] | None = None) -> Tensor:
    """Returns the mean feature of each class's texts: its name (class_text) and, by its label, those of `texts`.

    Each text counts the same; one over the model's length is cut. On the CPU.
    """
    flat = [
        (index, text)
        for index, info in enumerate(classes)
        for text in (class_text(info), *(texts or {}).get(info.label, ()))
    ]
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
