from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ltgc_cli.learn import balance_mix
from ltgc_cli.learn.losses import LOSSES, by_part, margins
from ltgc_cli.settings import Training

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 5, (6, 5))
TARGETS = RNG.dirichlet(np.ones(5), 6) * RNG.uniform(0.2, 2, (6, 1))
TARGETS[:, 4] = 0
"""Rows need not sum to 1. The last class has no image."""
PRIOR = [0.7, 0.2, 0.06, 0.04, 0.0]
LEAST = 1e-12

Rows = list[list[float]]


# ---- the references: float64, a number at a time


def softmax(row: list[float]) -> list[float]:
    top = max(row)
    total = sum(math.exp(z - top) for z in row)
    return [math.exp(z - top) / total for z in row]


def naive_ce(logits: Rows, targets: Rows, prior: list[float], s: Training) -> float:
    total = 0.0
    for row, target in zip(logits, targets, strict=True):
        total -= sum(t * math.log(p) for t, p in zip(target, softmax(row), strict=True))
    return total / len(logits)


def naive_la(logits: Rows, targets: Rows, prior: list[float], s: Training) -> float:
    moved = [[z + s.tau * math.log(max(p, LEAST)) for z, p in zip(row, prior, strict=True)] for row in logits]
    return naive_ce(moved, targets, prior, s)


def naive_balanced_softmax(logits: Rows, targets: Rows, prior: list[float], s: Training) -> float:
    total = 0.0
    for row, target in zip(logits, targets, strict=True):
        weighted = [max(p, LEAST) * math.exp(z) for z, p in zip(row, prior, strict=True)]
        total -= sum(t * math.log(w / sum(weighted)) for t, w in zip(target, weighted, strict=True))
    return total / len(logits)


def naive_ldam(logits: Rows, targets: Rows, prior: list[float], s: Training) -> float:
    scale = s.scale if s.head == "cosine" else 1
    least = min(p for p in prior if p > 0)
    total = 0.0
    for row, target in zip(logits, targets, strict=True):
        for c, t in enumerate(target):
            moved = list(row)
            moved[c] -= scale * s.margin * (least / max(prior[c], least)) ** 0.25
            total -= t * math.log(softmax(moved)[c])
    return total / len(logits)


def naive_focal(logits: Rows, targets: Rows, prior: list[float], s: Training) -> float:
    total = 0.0
    for row, target in zip(logits, targets, strict=True):
        total -= sum(t * (1 - p) ** s.gamma * math.log(p) for t, p in zip(target, softmax(row), strict=True))
    return total / len(logits)


def naive_lade(logits: Rows, targets: Rows, prior: list[float], s: Training) -> float:
    rows, with_images = len(logits), sum(p > 0 for p in prior)
    weights = [sum(t / (with_images * p) for t, p in zip(target, prior, strict=True) if p) for target in targets]
    regulariser = 0.0
    for c, p in enumerate(prior):
        bound = math.log(sum(w * math.exp(row[c]) for w, row in zip(weights, logits, strict=True)) / rows)
        regulariser += p * (bound + 0.1 * bound**2)
        regulariser -= sum(target[c] * row[c] for target, row in zip(targets, logits, strict=True)) / rows
    return naive_balanced_softmax(logits, targets, prior, s) + s.lade_weight * regulariser


Naive = Callable[[Rows, Rows, list[float], Training], float]
NAIVE: dict[str, Naive] = {
    "ce": naive_ce,
    "la": naive_la,
    "balanced-softmax": naive_balanced_softmax,
    "ldam": naive_ldam,
    "focal": naive_focal,
    "lade": naive_lade,
}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("ce", {}),
    *(("la", {"tau": tau}) for tau in (0.0, 0.5, 1.0, 2.0)),
    ("balanced-softmax", {"tau": 3.0}),
    *(("ldam", more) for more in ({}, {"margin": 0.0}, {"margin": 0.2, "scale": 10.0}, {"head": "linear"})),
    *(("focal", {"gamma": gamma}) for gamma in (0.0, 0.5, 2.0)),
    *(("lade", {"lade_weight": weight}) for weight in (0.0, 0.1, 2.0)),
]


def loss(
    name: str, logits: Any = LOGITS, targets: Any = TARGETS, prior: Any = PRIOR, dtype: Any = torch.float64, **s: Any
) -> Tensor:
    values = (torch.as_tensor(x, dtype=dtype) for x in (logits, targets, prior))
    return LOSSES[name](*values, Training(**s))


def slope(name: str, logits: Any = LOGITS, dtype: Any = torch.float64, **more: Any) -> Tensor:
    z = torch.tensor(logits, dtype=dtype, requires_grad=True)
    return torch.autograd.grad(loss(name, z, dtype=dtype, **more), z)[0]


def test_every_loss_has_a_reference() -> None:
    assert NAIVE.keys() == LOSSES.keys()


@pytest.mark.parametrize(("name", "more"), CASES)
def test_a_loss_is_its_reference(name: str, more: dict[str, Any]) -> None:
    expected = NAIVE[name](LOGITS.tolist(), TARGETS.tolist(), PRIOR, Training(**more))
    assert float(loss(name, **more)) == pytest.approx(expected, rel=1e-12)
    assert float(loss(name, dtype=torch.float32, **more)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("name", "more"), CASES)
def test_its_gradient_is_the_slope_of_the_reference(name: str, more: dict[str, Any]) -> None:
    step = 1e-5
    expected = np.zeros_like(LOGITS)
    for place in np.ndindex(*LOGITS.shape):
        up, down = LOGITS.copy(), LOGITS.copy()
        up[place] += step
        down[place] -= step
        high, low = (NAIVE[name](z.tolist(), TARGETS.tolist(), PRIOR, Training(**more)) for z in (up, down))
        expected[place] = (high - low) / (2 * step)
    assert slope(name, **more).numpy() == pytest.approx(expected, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize(("name", "more"), CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_huge_logits_and_classes_without_an_image_leave_it_finite(name: str, more: dict[str, Any], dtype: Any) -> None:
    logits = [[300.0, -300.0, 0.0, 300.0, 0.0], [2000.0, 0.0, -2000.0, 1.0, 0.0], [0.0] * 5, [0.0, 0.0, 90.0, 0.0, 0.0]]
    targets = [[0.5, 0.5, 0.0, 0.0, 0.0], [1.5, 0.0, 0.0, 0.0, 0.0], [0.0] * 5, [0.0, 0.0, 1.0, 0.0, 0.0]]
    for rows in (slice(0, 4), slice(2, 3)):
        given = {"logits": logits[rows], "targets": targets[rows], "dtype": dtype, **more}
        assert torch.isfinite(loss(name, **given))
        assert torch.isfinite(slope(name, **given)).all()


@pytest.mark.parametrize("name", ["ce", "la", "balanced-softmax", "ldam", "focal"])
def test_the_loss_of_a_batch_is_the_mean_of_its_parts(name: str) -> None:
    parts = [float(loss(name, LOGITS[rows], TARGETS[rows])) for rows in (slice(0, 3), slice(3, 6))]
    assert float(loss(name)) == pytest.approx(sum(parts) / 2)


# ---- what they are in cases that are known


def test_an_even_prior_adjusts_nothing() -> None:
    for name in ("la", "balanced-softmax"):
        assert float(loss(name, prior=[0.2] * 5)) == pytest.approx(float(loss("ce")))


def test_a_class_balanced_stream_is_not_adjusted_a_second_time_however_long_its_tail_is() -> None:
    s = Training(mix="none", sampler="balanced")
    sampler = balance_mix.mix_sampler([0] * 900 + [1] * 90 + [2] * 9 + [3], [], 4, s)
    prior = sampler.prior
    targets = balance_mix.soft_targets(balance_mix.plan_batch(0, sampler, s, frame=(1, 1)), sampler)
    logits = np.random.default_rng(1).normal(0, 5, targets.shape)
    assert float(loss("la", logits, targets, prior)) == pytest.approx(float(loss("ce", logits, targets, prior)))
    assert slope("la", logits, targets=targets, prior=prior).numpy() == pytest.approx(
        slope("ce", logits, targets=targets, prior=prior).numpy()
    )


def test_ldam_without_a_margin_is_the_cross_entropy() -> None:
    assert float(loss("ldam", margin=0.0)) == pytest.approx(float(loss("ce")))


def test_ldam_takes_the_margin_from_the_true_classs_cosine_before_the_scale() -> None:
    cosines, label = torch.tensor([[0.9, 0.3, 0.2]], dtype=torch.float64), torch.tensor([1])
    moved = cosines - torch.tensor([[0.0, 0.5, 0.0]])
    expected = torch.nn.functional.cross_entropy(25 * moved, label)
    value = loss("ldam", 25 * cosines, [[0.0, 1.0, 0.0]], [0.5, 0.1, 0.4], margin=0.5, scale=25.0)
    assert float(value) == pytest.approx(float(expected))


def test_margins_fall_with_the_fourth_root_of_a_classs_share() -> None:
    prior = torch.tensor([0.81, 0.16, 0.01, 0.02])
    found = margins(prior, 0.5)
    assert found[2] == 0.5
    assert found.tolist() == pytest.approx([0.5 / 3, 0.25, 0.5, 0.5 / 2**0.25])
    assert margins(torch.tensor([0.9, 0.1, 0.0]), 0.5)[1:].tolist() == [0.5, 0.5]


def test_focal_without_focusing_is_the_cross_entropy() -> None:
    assert float(loss("focal", gamma=0.0)) == pytest.approx(float(loss("ce")))


def test_lade_is_the_papers_sum_over_classes_where_a_batch_has_each_class_by_its_share() -> None:
    labels, prior = [0, 0, 0, 0, 1, 1, 2, 2], [0.5, 0.25, 0.25]
    logits = np.random.default_rng(1).normal(0, 2, (8, 3))
    total = 0.0
    for c in range(3):
        own = np.mean([logits[i, c] for i in range(8) if labels[i] == c])
        even = np.log(np.mean([(1 / 3) / prior[labels[i]] * np.exp(logits[i, c]) for i in range(8)]))
        total += prior[c] * (-own + even + 0.1 * even**2)
    targets = np.eye(3)[labels]
    expected = naive_balanced_softmax(logits.tolist(), targets.tolist(), prior, Training()) + 0.3 * total
    assert float(loss("lade", logits, targets, prior, lade_weight=0.3)) == pytest.approx(expected)


def test_lade_is_least_at_logits_that_hold_no_prior() -> None:
    """Eight images, equally frequent: at log p(x | c) / p_even(x) both parts have no slope, however long the tail."""
    posterior = np.random.default_rng(1).dirichlet([8.0, 2.0, 0.5], 8)
    prior = posterior.mean(axis=0)
    likelihood = posterior / posterior.sum(axis=0)
    logits = np.log(likelihood / likelihood.mean(axis=1, keepdims=True))
    for weight in (0.0, 1.0):
        found = slope("lade", logits, targets=posterior, prior=prior, lade_weight=weight)
        assert found.numpy() == pytest.approx(np.zeros((8, 3)), abs=1e-12)


@pytest.mark.parametrize("name", ["la", "balanced-softmax", "ldam"])
@pytest.mark.parametrize("chosen", [[1, 4], [], [0, 1, 2, 3, 4, 5]])
def test_originals_and_generated_images_are_adjusted_each_by_their_own_prior(name: Any, chosen: list[int]) -> None:
    s, other = Training(tau=1.5), [0.1, 0.1, 0.4, 0.4, 0.0]
    expected = 0.0
    for number, (row, target) in enumerate(zip(LOGITS.tolist(), TARGETS.tolist(), strict=True)):
        prior = other if number in chosen else PRIOR
        expected += NAIVE[name]([row], [target], prior, s) / len(LOGITS)
    generated = torch.tensor([number in chosen for number in range(len(LOGITS))])
    priors = [torch.tensor(prior, dtype=torch.float64) for prior in (PRIOR, other)]
    found = by_part(name, torch.from_numpy(LOGITS), torch.from_numpy(TARGETS), generated, priors, s)
    assert float(found) == pytest.approx(expected, rel=1e-9)
