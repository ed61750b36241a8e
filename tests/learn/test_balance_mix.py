from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from ltgc_cli.errors import InputError
from ltgc_cli.learn.balance_mix import (
    Plan,
    capped,
    head_plan,
    head_pool,
    label_marginal,
    mixed,
    plan,
    pool,
    soft_targets,
)
from ltgc_cli.learn.settings import Settings

ORIGINALS = [0] * 9 + [1] * 4 + [3] * 1
GENERATED = [3] * 4 + [1] * 2 + [2] * 2
"""Class 0, the head, has none generated; class 2 has generated images alone; class 4 has no image at all."""
SCORES = [0.1, 0.2, 0.3, 0.0, 0.0, -0.2, 0.25, 0.75]
IMAGES = [*ORIGINALS, *GENERATED]
WIDTH = 5
REAL = len(ORIGINALS)
FRAME = (16, 24)

STREAMS: list[dict[str, Any]] = [
    {"mix": mix, "sampler": sampler, **more}
    for mix in ("balancemix", "mixup", "cutmix", "none")
    for sampler in ("instance", "balanced", "sqrt")
    for more in (
        {},
        {"syn_prob": 0.3},
        {"syn_prob": 0.0},
        {"syn_prob": 1.0},
        {"syn_weight": 0.25},
        {"mix_prob": 0.4},
        {"syn_prob": 0.6, "syn_weight": 2.0, "syn_by_score": True, "mix_prob": 0.5},
    )
    if not (mix == "balancemix" and "syn_prob" in more)  # settings.checked refuses the two together
]


def settings(**changes: Any) -> Settings:
    return Settings(**{"batch": 64, "mix": "balancemix", "sampler": "balanced"} | changes)


def drawn(step: int = 0, generated: Sequence[int] = GENERATED, **changes: Any) -> Plan:
    s = settings(**changes)
    return plan(step, pool(ORIGINALS, generated, WIDTH, s, scores=SCORES), s, frame=FRAME)


def long_run(generated: Sequence[int] = GENERATED, **changes: Any) -> Plan:
    return drawn(generated=generated, **{"batch": 200_000} | changes)


def shares(places: Any) -> list[float]:
    return list(np.bincount(np.array(IMAGES)[places], minlength=WIDTH) / len(places))


def about(expected: Sequence[float]) -> Any:
    return pytest.approx(expected, abs=0.006)


def naive_share(counts: list[int], sampler: str) -> list[float]:
    weight = {"instance": lambda n: n, "balanced": lambda n: float(n > 0), "sqrt": lambda n: n**0.5}[sampler]
    return [weight(n) / sum(weight(m) for m in counts) for n in counts]


def naive_marginal(s: Settings) -> list[float]:
    """What the docstrings say, a class at a time."""
    real = [ORIGINALS.count(label) for label in range(WIDTH)]
    fake = [GENERATED.count(label) for label in range(WIDTH)]
    assert s.sampler
    mass = []
    for label in range(WIDTH):
        if s.mix == "balancemix":
            partner = s.mix_prob / 2
            first, second = (1 - partner) * naive_share(real, s.sampler)[label], partner * fake[label] / sum(fake)
        elif s.syn_prob is not None:
            first = (1 - s.syn_prob) * naive_share(real, s.sampler)[label]
            second = s.syn_prob * naive_share(fake, s.sampler)[label]
        else:
            both = [a + b for a, b in zip(real, fake, strict=True)]
            part = naive_share(both, s.sampler)[label]
            first, second = (part * n / (both[label] or 1) for n in (real[label], fake[label]))
        mass.append(first + s.syn_weight * second)
    return [m / sum(mass) for m in mass]


# ---- what is drawn


def test_balancemix_mixes_a_class_balanced_original_with_a_uniform_generated_image() -> None:
    p = long_run()
    assert p.second is not None
    assert p.first.max() < REAL <= p.second.min()
    assert shares(p.first) == about([1 / 3, 1 / 3, 0, 1 / 3, 0])
    assert np.bincount(p.first[p.first < 9]) / (p.first < 9).sum() == about([1 / 9] * 9)
    assert np.bincount(p.second)[REAL:] / len(p.second) == about([1 / 8] * 8)


@pytest.mark.parametrize("mix", ["none", "mixup", "cutmix"])
def test_the_other_mixes_draw_from_originals_and_generated_images_alike(mix: str) -> None:
    p = long_run(mix=mix, sampler="instance")
    for places in (p.first,) if mix == "none" else (p.first, p.second):
        assert np.bincount(places) / len(places) == about([1 / 22] * 22)


def test_none_mixes_nothing() -> None:
    p = drawn(mix="none")
    assert p.second is None
    assert p.lam.tolist() == [1.0] * 64


@pytest.mark.parametrize(
    ("sampler", "expected"),
    [
        ("instance", [9 / 22, 6 / 22, 2 / 22, 5 / 22, 0]),
        ("balanced", [1 / 4, 1 / 4, 1 / 4, 1 / 4, 0]),
        ("sqrt", [3 / 9.1, 2.449 / 9.1, 1.414 / 9.1, 2.236 / 9.1, 0]),
    ],
)
def test_a_sampler_draws_classes_by_size_evenly_or_by_the_root_of_their_size(
    sampler: str, expected: list[float]
) -> None:
    assert shares(long_run(mix="none", sampler=sampler).first) == about(expected)


def test_under_balancemix_the_sampler_draws_the_originals() -> None:
    assert shares(long_run(sampler="sqrt").first) == about([3 / 6, 2 / 6, 0, 1 / 6, 0])
    assert shares(long_run(sampler="instance").first) == about([9 / 14, 4 / 14, 0, 1 / 14, 0])


def test_without_generated_images_balancemix_mixes_originals() -> None:
    p = long_run(generated=[], syn_prob=0.2, syn_weight=0.5, syn_by_score=True)
    assert p.second is not None
    assert shares(p.first) == about([1 / 3, 1 / 3, 0, 1 / 3, 0])
    assert np.bincount(p.second) / len(p.second) == about([1 / 14] * 14)
    assert p.lam.mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("mix", ["balancemix", "mixup", "cutmix"])
def test_an_image_is_mixed_with_the_chance_of_mix_prob_and_stands_alone_otherwise(mix: str) -> None:
    p, whole = long_run(mix=mix, mix_prob=0.3), long_run(mix=mix)
    assert p.second is not None
    assert (p.first == p.second).mean() > 0.69
    assert (p.lam == 1).mean() == about(0.7 + 0.3 * float((whole.lam == 1).mean()))
    assert p.lam[p.lam < 1].mean() == about(float(whole.lam[whole.lam < 1].mean()))
    assert (drawn(mix=mix, mix_prob=0.0).lam == 1).all()
    assert np.array_equal(drawn(mix=mix, mix_prob=1.0).lam, drawn(mix=mix).lam)


@pytest.mark.parametrize("mix", ["none", "mixup", "cutmix"])
def test_with_syn_prob_other_mixes_draw_so_many_generated_images(mix: str) -> None:
    p = long_run(mix=mix, sampler="balanced", syn_prob=0.3)
    for places in (p.first,) if mix == "none" else (p.first, p.second):
        fake = places >= REAL
        assert fake.mean() == about(0.3)
        assert shares(places[fake]) == about([0, 1 / 3, 1 / 3, 1 / 3, 0])
        assert shares(places[~fake]) == about([1 / 3, 1 / 3, 0, 1 / 3, 0])
    assert (drawn(mix=mix, syn_prob=0.0).first < REAL).all()
    assert (drawn(mix=mix, syn_prob=1.0).first >= REAL).all()


@pytest.mark.parametrize("sampler", ["instance", "balanced", "sqrt"])
@pytest.mark.parametrize("mix", ["balancemix", "none"])
def test_by_score_shifts_draws_within_the_generated_images_of_a_class_alone(mix: str, sampler: str) -> None:
    even, scored = (long_run(mix=mix, sampler=sampler, syn_by_score=by) for by in (False, True))
    places = [p.first if p.second is None else p.second for p in (even, scored)]
    assert shares(places[0]) == about(shares(places[1]))
    counts = np.bincount(places[1], minlength=len(IMAGES))
    assert np.abs(counts[:REAL] - np.bincount(places[0], minlength=REAL)[:REAL]).max() / len(places[0]) < 0.006
    threes, ones, twos = (counts[REAL:][part] for part in (slice(0, 4), slice(4, 6), slice(6, 8)))
    assert threes / threes.sum() == pytest.approx([1 / 6, 2 / 6, 3 / 6, 0], abs=0.02)
    assert ones / ones.sum() == pytest.approx([1 / 2, 1 / 2], abs=0.02)  # all scores 0, or below: evenly
    assert twos / twos.sum() == pytest.approx([1 / 4, 3 / 4], abs=0.02)


def test_by_score_needs_every_score() -> None:
    with pytest.raises(InputError, match="^syn_by_score: 2 of 3 generated images have no CLIP score; ltgc filter"):
        pool([0], [0, 0, 0], 1, settings(syn_by_score=True), scores=[0.5, None, float("nan")])


def test_lambda_is_one_number_a_pair_from_beta() -> None:
    lam = long_run(mix_alpha=0.4).lam
    assert len(np.unique(lam)) > 150_000
    assert lam.mean() == about(0.5)
    assert lam.var() == about(1 / (4 * (2 * 0.4 + 1)))


@pytest.mark.parametrize("stream", STREAMS)
def test_a_plan_depends_on_the_seed_and_the_step_alone(stream: dict[str, Any]) -> None:
    once, again = (drawn(7, seed=3, **stream) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(once, again, strict=True))
    for other in (drawn(8, seed=3, **stream), drawn(7, seed=4, **stream)):
        assert not np.array_equal(once.first, other.first)


@pytest.mark.parametrize(
    ("mix", "sampler", "first", "second", "lam"),
    [
        (
            "balancemix",
            "balanced",
            [8, 11, 11, 10, 5, 8, 11, 2],
            [16, 15, 17, 14, 16, 13, 12, 16],
            [0.609801, 0.104684, 0.867677, 0.33997, 0.780463, 0.03525, 0.687392, 0.257314],
        ),
        (
            "mixup",
            "instance",
            [9, 12, 17, 10, 3, 9, 12, 5],
            [2, 17, 12, 4, 5, 13, 9, 15],
            [0.972007, 0.767227, 0.730883, 0.888861, 0.813181, 0.423662, 0.961306, 0.741329],
        ),
        (
            "mixup",
            "balanced",
            [8, 15, 14, 9, 2, 16, 13, 6],
            [8, 13, 0, 6, 15, 15, 1, 10],
            [0.767227, 0.730883, 0.888861, 0.813181, 0.423662, 0.961306, 0.741329, 0.500155],
        ),
        ("none", "instance", [9, 12, 17, 10, 3, 9, 12, 5], None, [1.0] * 8),
        ("none", "balanced", [8, 15, 14, 9, 2, 16, 13, 6], None, [1.0] * 8),
    ],
)
def test_draws_stay_what_they_were_so_that_published_figures_can_be_had_again(
    mix: Any, sampler: Any, first: list[int], second: list[int] | None, lam: list[float]
) -> None:
    s = Settings(mix=mix, sampler=sampler, batch=8, seed=3)
    p = plan(7, pool([0] * 8 + [1] * 3 + [3], [3] * 4 + [1] * 2, 4, s), s, frame=(32, 32))
    assert p.first.tolist() == first
    assert (None if p.second is None else p.second.tolist()) == second
    assert p.lam == pytest.approx(lam, abs=1e-6)


# ---- targets and the prior


def test_soft_targets_hold_lambda_of_one_class_and_the_rest_of_the_other() -> None:
    s = settings()
    of = pool(ORIGINALS, GENERATED, WIDTH, s)
    p = Plan(np.array([0, 9, 13]), np.array([14, 18, 14]), np.array([0.25, 0.5, 0.75], dtype=np.float32))
    assert soft_targets(p, of, s).tolist() == [[0.25, 0, 0, 0.75, 0], [0, 1, 0, 0, 0], [0, 0, 0, 1, 0]]
    assert soft_targets(Plan(np.array([9]), None, np.ones(1, np.float32)), of, s).tolist() == [[0, 1, 0, 0, 0]]


def test_a_generated_part_weighs_syn_weight_before_all_are_scaled_by_one_constant() -> None:
    s = settings(syn_weight=0.5)
    of = pool(ORIGINALS, GENERATED, WIDTH, s)
    p = Plan(np.array([0, 0]), np.array([14, 0]), np.array([0.25, 0.25], dtype=np.float32))
    # Of the stream half is generated, so a row holds 1/2 + 1/2 · 0.5 on average.
    assert soft_targets(p, of, s) * 0.75 == pytest.approx(
        np.array([[0.25, 0, 0, 0.75 * 0.5, 0], [0.25 + 0.75, 0, 0, 0, 0]])
    )


@pytest.mark.parametrize("stream", STREAMS)
def test_the_label_marginal_is_exact_and_is_what_a_long_run_sees(stream: dict[str, Any]) -> None:
    s = settings(batch=100_000, **stream)
    of = pool(ORIGINALS, GENERATED, WIDTH, s, scores=SCORES)
    marginal = label_marginal(of, s)
    assert marginal == pytest.approx(naive_marginal(s), rel=1e-12)
    targets = soft_targets(plan(0, of, s, frame=FRAME), of, s)
    assert targets.mean(axis=0, dtype=np.float64) == pytest.approx(marginal, abs=0.008)
    assert targets.sum(axis=1, dtype=np.float64).mean() == pytest.approx(1, abs=0.008)


def test_without_generated_images_what_is_said_of_them_changes_nothing() -> None:
    for mix in ("mixup", "cutmix", "none"):
        plain, with_syn = settings(mix=mix), settings(mix=mix, syn_prob=1.0, syn_weight=0.0, syn_by_score=True)
        a, b = pool(ORIGINALS, [], WIDTH, plain), pool(ORIGINALS, [], WIDTH, with_syn)
        p, q = plan(3, a, plain, frame=FRAME), plan(3, b, with_syn, frame=FRAME)
        assert all(np.array_equal(x, y) for x, y in zip(p, q, strict=True))
        assert np.array_equal(soft_targets(p, a, plain), soft_targets(q, b, with_syn))
        assert np.array_equal(label_marginal(a, plain), label_marginal(b, with_syn))


def test_something_must_weigh_something() -> None:
    with pytest.raises(InputError, match="^syn-prob 1 draws generated images alone, and with syn-weight 0"):
        pool(ORIGINALS, GENERATED, WIDTH, settings(mix="none", syn_prob=1.0, syn_weight=0.0))


def test_there_must_be_an_original() -> None:
    with pytest.raises(InputError, match="no original image"):
        pool([], [1, 2], 3, settings())


# ---- pixels


def naive_mixed(p: Plan, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    result = np.zeros_like(first)
    for row, channel, y, x in np.ndindex(*first.shape):
        one, other = first[row, channel, y, x], second[row, channel, y, x]
        if p.box is None:
            result[row, channel, y, x] = p.lam[row] * one + (1 - p.lam[row]) * other
        else:
            top, left, bottom, right = p.box[row]
            result[row, channel, y, x] = other if top <= y < bottom and left <= x < right else one
    return result


@pytest.mark.parametrize("mix", ["balancemix", "mixup", "cutmix"])
def test_images_are_mixed_pixel_by_pixel(mix: str) -> None:
    p = drawn(mix=mix, batch=6)
    first, second = np.random.default_rng(0).uniform(0, 255, (2, 6, 3, *FRAME))
    assert mixed(p, torch.from_numpy(first), torch.from_numpy(second)).numpy() == pytest.approx(
        naive_mixed(p, first, second)
    )


def test_an_unmixed_image_is_itself() -> None:
    images = torch.rand(64, 3, *FRAME)
    assert mixed(drawn(mix="none"), images, None) is images


def test_cutmix_keeps_exactly_lambda_of_the_first_images_pixels() -> None:
    p = drawn(mix="cutmix", batch=500)
    assert p.box is not None
    kept = mixed(p, torch.ones(500, 1, *FRAME), torch.zeros(500, 1, *FRAME)).mean(dim=(1, 2, 3))
    assert kept.numpy() == pytest.approx(p.lam)


def test_cutmix_boxes_have_the_share_one_minus_lambda_and_lie_anywhere_in_the_frame() -> None:
    s = settings(mix="cutmix", batch=100_000)
    size = (1000, 500)
    p = plan(0, pool(ORIGINALS, GENERATED, WIDTH, s), s, frame=size)
    assert p.box is not None
    top, left, bottom, right = p.box.T
    assert top.min() == 0 and left.min() == 0 and bottom.max() == 1000 and right.max() == 500
    assert (top <= bottom).all() and (left <= right).all()
    whole = (top > 0) & (left > 0) & (bottom < 1000) & (right < 500)
    assert (bottom - top)[whole] == pytest.approx(2 * (right - left)[whole], abs=2)  # the frame's own shape
    # λ ~ Beta(1, 1) and a centre anywhere, in a frame of side 1.
    rng = np.random.default_rng(1)
    side, centre = np.sqrt(1 - rng.random(200_000))[:, None], rng.random((200_000, 2))
    inside = np.minimum(centre + side / 2, 1) - np.maximum(centre - side / 2, 0)
    assert 1 - p.lam.mean() == about(inside.prod(axis=1).mean())


# ---- how many, how fast, and the head's own stage


def test_at_most_so_many_generated_images_for_each_original_are_kept_the_first_ones() -> None:
    originals, generated = [7, 7, 3, 3, 3, 3], [3, 7, 7, 3, 7, 3, 9, 7]
    assert capped(originals, generated, 0) == list(range(8))
    assert capped(originals, generated, 0.5) == [0, 1, 3]
    assert capped(originals, generated, 1) == [0, 1, 2, 3, 5]
    assert capped(originals, generated, 100) == [0, 1, 2, 3, 4, 5, 7]
    assert len(capped([1] * 100, [1] * 100, 0.29)) == 29
    assert capped(originals, [], 2) == []


def test_the_heads_own_stage_sees_originals_alone_every_class_as_often() -> None:
    s = settings(mix="mixup", sampler="instance", syn_weight=0.1, batch=100_000)
    stream = pool(ORIGINALS, GENERATED, WIDTH, s)
    head = head_pool(stream)
    p = head_plan(0, head, s)
    assert p.second is None and p.first.max() < REAL
    even = [1 / 3, 1 / 3, 0, 1 / 3, 0]
    assert shares(p.first) == about(even)
    assert label_marginal(head, s) == pytest.approx(even)
    assert np.unique(soft_targets(p, head, s)).tolist() == [0, 1]
    assert np.array_equal(p.first, head_plan(0, head, s).first)
    assert not np.array_equal(p.first, head_plan(1, head, s).first)


def test_draws_stay_right_with_ten_thousand_classes() -> None:
    rng = np.random.default_rng(0)
    originals, generated = rng.zipf(1.5, 50_000) % 10_000, rng.integers(0, 10_000, 50_000)
    s = settings(mix="none", sampler="sqrt", syn_by_score=True, batch=200_000)
    of = pool(originals.tolist(), generated.tolist(), 10_000, s, scores=rng.random(50_000).tolist())
    p = plan(0, of, s, frame=FRAME)
    seen = np.bincount(of.classes[p.first], minlength=10_000) / 200_000
    assert np.abs(seen - label_marginal(of, s)).sum() < 0.2
