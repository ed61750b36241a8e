"""The losses of mix-train, all on soft targets; a new one is one function and one entry in LOSSES.

`prior` is the label marginal of the stream that is really trained on, generated images, sampling and weights
included (balance_mix.label_marginal): what is adjusted is the imbalance that the model sees. Targets hold the
weight of each part too, so a row need not sum to 1; over the stream rows sum to 1 on average, which keeps the loss
of a part of a batch, or of one process of several, comparable with the whole.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ltgc_cli.learn.settings import Settings

_LEAST_PRIOR = 1e-12


class Loss(Protocol):
    """Returns the mean loss of a batch, a scalar.

    logits, targets -- [batch, classes]; prior -- [classes], sums to 1
    """

    def __call__(self, logits: Tensor, targets: Tensor, prior: Tensor, settings: Settings) -> Tensor: ...


def cross_entropy(logits: Tensor, targets: Tensor, prior: Tensor, settings: Settings) -> Tensor:
    """Returns the cross-entropy with soft targets."""
    return -(targets * torch.log_softmax(logits, dim=-1)).sum(dim=-1).mean()


def logit_adjustment(logits: Tensor, targets: Tensor, prior: Tensor, settings: Settings) -> Tensor:
    """Returns the cross-entropy of logits + tau · log prior (Menon et al., ICLR 2021). Tests use the bare logits."""
    return cross_entropy(logits + settings.tau * log(prior), targets, prior, settings)


def balanced_softmax(logits: Tensor, targets: Tensor, prior: Tensor, settings: Settings) -> Tensor:
    """Returns the cross-entropy of the softmax weighted by the prior (Ren et al., NeurIPS 2020): tau is always 1."""
    return cross_entropy(logits + log(prior), targets, prior, settings)


def log(prior: Tensor) -> Tensor:
    """Returns the log of a prior; that of a class without an image is very low, not -inf."""
    return prior.clamp(min=_LEAST_PRIOR).log()


LOSSES: dict[str, Loss] = {
    "ce": cross_entropy,
    "la": logit_adjustment,
    "balanced-softmax": balanced_softmax,
}
