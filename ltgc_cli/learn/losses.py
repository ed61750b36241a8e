"""The losses of mix-train, all on soft targets; a new one is one function and one entry in LOSSES.

`prior` is the label marginal of the stream that is really trained on, generated images and sampling included
(balance_mix.MixSampler): what is adjusted is the imbalance that the model sees. With `syn_prior` originals and
generated images have a prior each (`by_part`): a stream that generated images make near even is even as a whole alone,
while its originals are as imbalanced as ever.

Below, z are the logits and t the targets of a row, p its softmax, π the prior.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ltgc_cli.settings import LossName, Training

_LEAST_PRIOR = 1e-12
_REMINE = 0.1  # what LADE's square weighs beside its bound: the authors' default, and LIFT's

Loss = Callable[[Tensor, Tensor, Tensor, Training], Tensor]
"""Returns the mean loss of a batch's rows, a scalar, of logits and targets [batch, classes] and the prior [classes]."""


def by_part(
    name: LossName, logits: Tensor, targets: Tensor, generated: Tensor, priors: Sequence[Tensor], settings: Training
) -> Tensor:
    """Returns the mean loss of a batch's rows, those of originals and those of generated images each by a prior.

    generated -- whether a row is of generated images, bool [batch]; on the CPU, so that no GPU is waited for
    priors -- of the originals' rows, of the generated images' rows [classes]
    """
    total = logits.new_zeros(())
    for prior, chosen in zip(priors, (~generated, generated), strict=True):
        rows = chosen.nonzero()[:, 0]
        if len(rows):
            own = rows.to(logits.device)
            total = total + LOSSES[name](logits[own], targets[own], prior, settings) * (len(rows) / len(generated))
    return total


def cross_entropy(logits: Tensor, targets: Tensor, prior: Tensor, settings: Training) -> Tensor:
    """Returns the cross-entropy with soft targets: -Σ_c t_c log p_c."""
    return -(targets * torch.log_softmax(logits, dim=-1)).sum(dim=-1).mean()


def logit_adjustment(logits: Tensor, targets: Tensor, prior: Tensor, settings: Training) -> Tensor:
    """Returns the cross-entropy of z + tau · log π (Menon et al., ICLR 2021). Tests use the bare logits."""
    return cross_entropy(logits + settings.tau * log(prior), targets, prior, settings)


def balanced_softmax(logits: Tensor, targets: Tensor, prior: Tensor, settings: Training) -> Tensor:
    """Returns the cross-entropy of the softmax weighted by the prior (Ren et al., NeurIPS 2020): tau is always 1."""
    return cross_entropy(logits + log(prior), targets, prior, settings)


def ldam(logits: Tensor, targets: Tensor, prior: Tensor, settings: Training) -> Tensor:
    """Returns the margin loss of Cao et al. (NeurIPS 2019), each class of a soft target with its own margin.

    -Σ_c t_c log [ e^(z_c - Δ_c) / (e^(z_c - Δ_c) + Σ_{j≠c} e^(z_j)) ], with Δ_c = s · margin · (π_min / π_c)^(1/4):
    the rarest class of the stream has the largest margin. Margins are cosines, as in the authors' and LIFT's code: s is
    the cosine head's scale, and the margin alone is scaled, for the logits are already. The linear head's logits have
    no such unit: s is 1. A stream that is balanced has one margin for all classes.
    """
    scale = settings.scale if settings.head == "cosine" else 1.0
    behind = _log_sum_of_the_others(logits) - logits + scale * margins(prior, settings.margin)
    return (targets * F.softplus(behind, threshold=40)).sum(dim=-1).mean()  # the default, 20, is not float64's


def focal(logits: Tensor, targets: Tensor, prior: Tensor, settings: Training) -> Tensor:
    """Returns the focal loss of the softmax: -Σ_c t_c (1 - p_c)^gamma log p_c (Lin et al., ICCV 2017)."""
    log_p = torch.log_softmax(logits, dim=-1)
    # At p = 1 the power has no finite slope where gamma < 1.
    missed = (-torch.expm1(log_p)).clamp(min=torch.finfo(log_p.dtype).tiny)
    return -(targets * missed**settings.gamma * log_p).sum(dim=-1).mean()


def lade(logits: Tensor, targets: Tensor, prior: Tensor, settings: Training) -> Tensor:
    """Returns balanced_softmax + lade_weight · R: LADE (Hong et al., CVPR 2021), its target an even distribution.

    R = Σ_c π_c (S_c + 0.1 S_c²) - 1/N Σ_i Σ_c t_ic z_ic,  S_c = log 1/N Σ_i w_i e^(z_ic),  w_i = Σ_k t_ik u / π_k

    over the N rows of the batch, u being 1 / (the number of classes with a prior). -R bounds (Donsker and Varadhan) how
    far the images of each class are from those of an even stream, whose mean of e^z is had from this stream with the
    weights w. R is least where z_c = log p(x | c) / p_even(x), which holds no prior, and balanced_softmax is least
    there too. Two things differ from the authors' code. It has u / π_c in place of w_i, which moves R's least point
    away from the other part's. And it has π_c times the mean of z_c over the batch's images of class c, of which the
    last term is the expectation; a batch without such images counts the class too little.
    S_c is of a whole batch: the mean of R over its parts is close to R, not equal.
    """
    known = (prior > 0).to(prior.dtype)
    weights = targets @ (known / known.sum() / prior.clamp(min=_LEAST_PRIOR))
    log_weights = weights.clamp(min=_LEAST_PRIOR).log()[:, None]
    s = torch.logsumexp(logits + log_weights, dim=0) - math.log(len(logits))
    regulariser = (prior * (s + _REMINE * s**2)).sum() - (targets * logits).sum(dim=-1).mean()
    return balanced_softmax(logits, targets, prior, settings) + settings.lade_weight * regulariser


def log(prior: Tensor) -> Tensor:
    """Returns the log of a prior; that of a class without an image is very low, not -inf."""
    return prior.clamp(min=_LEAST_PRIOR).log()


def margins(prior: Tensor, largest: float) -> Tensor:
    """Returns LDAM's margins [classes], before the scale; a class that the stream never has is like its rarest.

    >>> margins(torch.tensor([0.8, 0.05, 0.15, 0.0]), 0.5)
    tensor([0.2500, 0.5000, 0.3799, 0.5000])
    """
    rarest = prior[prior > 0].min()
    return largest * (rarest / prior.clamp(min=rarest)) ** 0.25


def _log_sum_of_the_others(logits: Tensor) -> Tensor:
    """Returns log Σ_{j≠c} e^(z_j) for each class c [batch, classes].

    It is log Σ_j e^(z_j) + log(1 - p_c), which loses every digit where p_c is near 1; that can be the highest logit's
    alone, and for it the sum is taken without it.
    """
    top = F.one_hot(logits.argmax(dim=-1), logits.shape[-1]).bool()
    without_top = logits.masked_fill(top, torch.finfo(logits.dtype).min).logsumexp(dim=-1, keepdim=True)
    p = torch.softmax(logits, dim=-1).masked_fill(top, 0.0)
    return torch.where(top, without_top, logits.logsumexp(dim=-1, keepdim=True) + torch.log1p(-p))


LOSSES: dict[str, Loss] = {
    "ce": cross_entropy,
    "la": logit_adjustment,
    "balanced-softmax": balanced_softmax,
    "ldam": ldam,
    "focal": focal,
    "lade": lade,
}
