"""The losses of mix-train, all on soft targets; a new one is one function and one entry in LOSSES.

`log_prior` is the log of the label marginal of the stream that is really trained on, generated images and
sampling included (balance_mix.label_marginal): what is adjusted is the imbalance that the model sees.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Loss(Protocol):
    """Returns the mean loss of a batch, a scalar.

    logits, targets -- [batch, classes], targets sum to 1; log_prior -- [classes]; tau -- strength of the adjustment
    """

    def __call__(self, logits: Tensor, targets: Tensor, log_prior: Tensor, tau: float) -> Tensor: ...


def cross_entropy(logits: Tensor, targets: Tensor, log_prior: Tensor, tau: float) -> Tensor:
    """Returns the cross-entropy with soft targets."""
    return -(targets * torch.log_softmax(logits, dim=-1)).sum(dim=-1).mean()


def logit_adjustment(logits: Tensor, targets: Tensor, log_prior: Tensor, tau: float) -> Tensor:
    """Returns the cross-entropy of logits + tau · log prior (Menon et al., ICLR 2021). Tests use the bare logits."""
    return cross_entropy(logits + tau * log_prior, targets, log_prior, tau)


def balanced_softmax(logits: Tensor, targets: Tensor, log_prior: Tensor, tau: float) -> Tensor:
    """Returns the cross-entropy of the softmax weighted by the prior (Ren et al., NeurIPS 2020): tau is always 1."""
    return logit_adjustment(logits, targets, log_prior, 1.0)


LOSSES: dict[str, Loss] = {
    "ce": cross_entropy,
    "la": logit_adjustment,
    "balanced-softmax": balanced_softmax,
}
