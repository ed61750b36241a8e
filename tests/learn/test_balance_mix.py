from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from ltgc_cli.errors import InputError
from ltgc_cli.learn.balance_mix import Plan, Pool, label_marginal, plan, pool, soft_targets

ORIGINALS = [0] * 8 + [1] * 3 + [3] * 1
GENERATED = [3] * 4 + [1] * 2
"""Class 2 has no image at all; class 0, the head, has none generated."""
POOL = pool(ORIGINALS, GENERATED, width=4)

MIXES = [
    ("balancemix", "instance"),
    ("mixup", "instance"),
    ("mixup", "balanced"),
    ("none", "instance"),
    ("none", "balanced"),
]


def drawn(step: int = 0, of: Pool = POOL, **changes: Any) -> Plan:
    return plan(
        step, of, **{"seed": 0, "batch": 64, "mix": "balancemix", "sampler": "instance", "alpha": 1.0} | changes
    )


def classes(places: Sequence[int]) -> list[int]:
    return [[*ORIGINALS, *GENERATED][place] for place in places]


def naive_marginal(mix: str, sampler: str) -> list[float]:
    def share(images: list[int]) -> list[float]:
        return [images.count(label) / len(images) for label in range(4)]

    def balanced(images: list[int]) -> list[float]:
        return [(label in images) / len(set(images)) for label in range(4)]

    if mix == "balancemix":
        return [(a + b) / 2 for a, b in zip(balanced(ORIGINALS), share(GENERATED), strict=True)]
    return (balanced if sampler == "balanced" else share)(ORIGINALS + GENERATED)


def test_balancemix_mixes_a_class_balanced_original_with_a_uniform_generated_image() -> None:
    plans = [drawn(step) for step in range(500)]
    first = np.concatenate([p.first for p in plans])
    second = np.concatenate([p.second for p in plans if p.second is not None])
    assert first.max() < len(ORIGINALS) <= second.min()
    shares = np.bincount(classes(first), minlength=4) / len(first)
    assert shares == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3], abs=0.01)
    assert np.bincount(second)[len(ORIGINALS) :] / len(second) == pytest.approx([1 / 6] * 6, abs=0.01)


def test_mixup_pairs_any_two_images_of_the_union() -> None:
    plans = [drawn(step, mix="mixup") for step in range(500)]
    for places in ([p.first for p in plans], [p.second for p in plans]):
        drawn_share = np.bincount(np.concatenate(places)) / (500 * 64)
        assert drawn_share == pytest.approx([1 / 18] * 18, abs=0.01)


def test_none_mixes_nothing() -> None:
    p = drawn(mix="none")
    assert p.second is None
    assert p.lam.tolist() == [1.0] * 64


def test_the_balanced_sampler_draws_classes_of_the_union_evenly() -> None:
    first = np.concatenate([drawn(step, mix="none", sampler="balanced").first for step in range(500)])
    assert np.bincount(classes(first)) / len(first) == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3], abs=0.01)


def test_without_generated_images_balancemix_is_plain_fine_tuning() -> None:
    originals = pool(ORIGINALS, [], width=4)
    assert drawn(of=originals).second is None
    assert np.array_equal(drawn(of=originals).first, drawn(of=originals, mix="none").first)


def test_lambda_is_one_number_a_pair_from_beta() -> None:
    lam = np.concatenate([drawn(step, alpha=0.4).lam for step in range(500)])
    assert len(np.unique(lam)) > 30_000
    assert lam.mean() == pytest.approx(0.5, abs=0.01)
    assert lam.var() == pytest.approx(1 / (4 * (2 * 0.4 + 1)), abs=0.01)


@pytest.mark.parametrize(("mix", "sampler"), MIXES)
def test_a_plan_depends_on_the_seed_and_the_step_alone(mix: str, sampler: str) -> None:
    once, again = (drawn(7, seed=3, mix=mix, sampler=sampler) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(once, again, strict=True))
    for other in (drawn(8, seed=3, mix=mix, sampler=sampler), drawn(7, seed=4, mix=mix, sampler=sampler)):
        assert not np.array_equal(once.first, other.first)


def test_soft_targets_hold_lambda_of_one_class_and_the_rest_of_the_other() -> None:
    p = Plan(np.array([0, 8, 11]), np.array([12, 16, 12]), np.array([0.25, 0.5, 0.75], dtype=np.float32))
    assert soft_targets(p, POOL).tolist() == [[0.25, 0, 0, 0.75], [0, 1, 0, 0], [0, 0, 0, 1]]
    assert soft_targets(Plan(np.array([8]), None, np.ones(1, np.float32)), POOL).tolist() == [[0, 1, 0, 0]]


@pytest.mark.parametrize(("mix", "sampler"), MIXES)
def test_the_label_marginal_is_what_a_long_run_sees(mix: Any, sampler: Any) -> None:
    marginal = label_marginal(POOL, mix=mix, sampler=sampler)
    assert marginal == pytest.approx(naive_marginal(mix, sampler))
    seen = np.mean([soft_targets(drawn(s, mix=mix, sampler=sampler), POOL).mean(0) for s in range(1000)], axis=0)
    assert seen == pytest.approx(marginal, abs=0.005)


def test_there_must_be_an_original() -> None:
    with pytest.raises(InputError, match="no original image"):
        pool([], [1, 2], width=3)
