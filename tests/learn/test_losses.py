from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ltgc_cli.learn.losses import LOSSES

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 5, (6, 4))
TARGETS = RNG.dirichlet(np.ones(4), 6)
LOG_PRIOR = np.log([0.7, 0.2, 0.06, 0.04])


def naive(logits: list[list[float]], targets: list[list[float]]) -> float:
    total = 0.0
    for row, target in zip(logits, targets, strict=True):
        top = max(row)
        log_sum = top + math.log(sum(math.exp(value - top) for value in row))
        total -= sum(t * (value - log_sum) for t, value in zip(target, row, strict=True))
    return total / len(logits)


def loss(name: str, tau: float = 1.0, logits: np.ndarray = LOGITS) -> float:
    values = (torch.from_numpy(x).float() for x in (logits, TARGETS, LOG_PRIOR))
    return float(LOSSES[name](*values, tau))


def test_ce_is_the_cross_entropy_with_soft_targets() -> None:
    assert loss("ce") == pytest.approx(naive(LOGITS.tolist(), TARGETS.tolist()), rel=1e-5)


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 2.0])
def test_la_is_the_cross_entropy_of_logits_plus_tau_log_prior(tau: float) -> None:
    expected = naive((LOGITS + tau * LOG_PRIOR).tolist(), TARGETS.tolist())
    assert loss("la", tau) == pytest.approx(expected, rel=1e-5)


def test_balanced_softmax_weights_each_exponential_with_the_prior_whatever_tau_is() -> None:
    weighted = np.exp(LOGITS) * np.exp(LOG_PRIOR)
    probabilities = weighted / weighted.sum(1, keepdims=True)
    expected = -(TARGETS * np.log(probabilities)).sum(1).mean()
    assert loss("balanced-softmax", tau=3.0) == pytest.approx(expected, rel=1e-5)


def test_an_even_prior_adjusts_nothing() -> None:
    logits, targets = torch.from_numpy(LOGITS), torch.from_numpy(TARGETS)
    even = torch.full((4,), math.log(0.25), dtype=torch.float64)
    assert torch.allclose(LOSSES["la"](logits, targets, even, 1.0), LOSSES["ce"](logits, targets, even, 1.0))


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_stays_finite_with_huge_logits_and_a_class_without_images(name: str) -> None:
    logits = torch.tensor([[300.0, -300.0, 0.0]], requires_grad=True)
    value = LOSSES[name](logits, torch.tensor([[0.5, 0.5, 0.0]]), torch.tensor([0.5, 0.5, 1e-12]).log(), 1.0)
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(logits.grad).all()
