from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from ltgc_cli.errors import InputError
from ltgc_cli.learn.balance_mix import BatchPlan, MixSampler, mix_sampler, mixed, plan_batch, soft_targets
from ltgc_cli.settings import Training

ORIGINALS = [0] * 9 + [1] * 4 + [3] * 1
GENERATED = [3] * 4 + [1] * 2 + [2] * 2
"""Class 0, the head, has none generated; class 2 has generated images alone; class 4 has no image at all."""
IMAGES = [*ORIGINALS, *GENERATED]
NUM_CLASSES = 5
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
        {"mix_prob": 0.4},
        {"syn_prob": 0.6, "mix_prob": 0.5},
    )
    if not (mix == "balancemix" and "syn_prob" in more)  # settings.checked refuses the two together
]


def settings(**changes: Any) -> Training:
    return Training(**{"batch": 64, "mix": "balancemix", "sampler": "balanced"} | changes)


def sampler_of(s: Training, generated: Sequence[int] = GENERATED) -> MixSampler:
    return mix_sampler(ORIGINALS, generated, NUM_CLASSES, s)


def planned(step: int = 0, generated: Sequence[int] = GENERATED, **changes: Any) -> BatchPlan:
    s = settings(**changes)
    return plan_batch(step, sampler_of(s, generated), s, frame=FRAME)


def long_run(generated: Sequence[int] = GENERATED, **changes: Any) -> BatchPlan:
    return planned(generated=generated, **{"batch": 200_000} | changes)


def shares(images: Any) -> list[float]:
    return list(np.bincount(np.array(IMAGES)[images], minlength=NUM_CLASSES) / len(images))


def about(expected: Sequence[float]) -> Any:
    return pytest.approx(expected, abs=0.006)


def naive_share(counts: list[int], sampler: str) -> list[float]:
    weight = {"instance": lambda n: n, "balanced": lambda n: float(n > 0), "sqrt": lambda n: n**0.5}[sampler]
    return [weight(n) / sum(weight(m) for m in counts) for n in counts]


def naive_marginal(s: Training) -> list[float]:
    """What the docstrings say, a class at a time."""
    real = [ORIGINALS.count(label) for label in range(NUM_CLASSES)]
    fake = [GENERATED.count(label) for label in range(NUM_CLASSES)]
    assert s.sampler
    mass = []
    for label in range(NUM_CLASSES):
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
        mass.append(first + second)
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
    for images in (p.first,) if mix == "none" else (p.first, p.second):
        assert np.bincount(images) / len(images) == about([1 / 22] * 22)


def test_none_mixes_nothing() -> None:
    p = planned(mix="none")
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
    p = long_run(generated=[], syn_prob=0.2)
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
    assert (planned(mix=mix, mix_prob=0.0).lam == 1).all()
    assert np.array_equal(planned(mix=mix, mix_prob=1.0).lam, planned(mix=mix).lam)


@pytest.mark.parametrize("mix", ["none", "mixup", "cutmix"])
def test_with_syn_prob_other_mixes_draw_so_many_generated_images(mix: str) -> None:
    p = long_run(mix=mix, sampler="balanced", syn_prob=0.3)
    for images in (p.first,) if mix == "none" else (p.first, p.second):
        fake = images >= REAL
        assert fake.mean() == about(0.3)
        assert shares(images[fake]) == about([0, 1 / 3, 1 / 3, 1 / 3, 0])
        assert shares(images[~fake]) == about([1 / 3, 1 / 3, 0, 1 / 3, 0])
    assert (planned(mix=mix, syn_prob=0.0).first < REAL).all()
    assert (planned(mix=mix, syn_prob=1.0).first >= REAL).all()


def test_lambda_is_one_number_a_pair_from_beta() -> None:
    lam = long_run(mix_alpha=0.4).lam
    assert len(np.unique(lam)) > 150_000
    assert lam.mean() == about(0.5)
    assert lam.var() == about(1 / (4 * (2 * 0.4 + 1)))


@pytest.mark.parametrize("stream", STREAMS)
def test_a_plan_depends_on_the_seed_and_the_step_alone(stream: dict[str, Any]) -> None:
    once, again = (planned(7, seed=3, **stream) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(once, again, strict=True))
    for other in (planned(8, seed=3, **stream), planned(7, seed=4, **stream)):
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
    s = Training(mix=mix, sampler=sampler, batch=8, seed=3)
    p = plan_batch(7, mix_sampler([0] * 8 + [1] * 3 + [3], [3] * 4 + [1] * 2, 4, s), s, frame=(32, 32))
    assert p.first.tolist() == first
    assert (None if p.second is None else p.second.tolist()) == second
    assert p.lam == pytest.approx(lam, abs=1e-6)


# ---- targets and the prior


def test_soft_targets_hold_lambda_of_one_class_and_the_rest_of_the_other() -> None:
    sampler = sampler_of(settings())
    p = BatchPlan(np.array([0, 9, 13]), np.array([14, 18, 14]), np.array([0.25, 0.5, 0.75], dtype=np.float32))
    assert soft_targets(p, sampler).tolist() == [[0.25, 0, 0, 0.75, 0], [0, 1, 0, 0, 0], [0, 0, 0, 1, 0]]
    assert soft_targets(BatchPlan(np.array([9]), None, np.ones(1, np.float32)), sampler).tolist() == [[0, 1, 0, 0, 0]]


@pytest.mark.parametrize("stream", STREAMS)
def test_the_label_marginal_is_exact_and_is_what_a_long_run_sees(stream: dict[str, Any]) -> None:
    s = settings(batch=100_000, **stream)
    sampler = sampler_of(s)
    assert sampler.prior == pytest.approx(naive_marginal(s), rel=1e-12)
    targets = soft_targets(plan_batch(0, sampler, s, frame=FRAME), sampler)
    assert targets.mean(axis=0, dtype=np.float64) == pytest.approx(sampler.prior, abs=0.008)
    assert np.allclose(targets.sum(axis=1), 1)  # pytest.approx looks at the rows one by one


def test_without_generated_images_syn_prob_changes_nothing() -> None:
    for mix in ("mixup", "cutmix", "none"):
        plain, with_syn = settings(mix=mix), settings(mix=mix, syn_prob=1.0)
        a, b = sampler_of(plain, []), sampler_of(with_syn, [])
        p, q = plan_batch(3, a, plain, frame=FRAME), plan_batch(3, b, with_syn, frame=FRAME)
        assert all(np.array_equal(x, y) for x, y in zip(p, q, strict=True))
        assert np.array_equal(a.prior, b.prior)


def test_there_must_be_an_original() -> None:
    with pytest.raises(InputError, match="no original image"):
        mix_sampler([], [1, 2], 3, settings())


# ---- a share of generated images that moves, and parts of their own

LONG = {"batch": 100_000, "steps": 5}


@pytest.mark.parametrize(("step", "share"), [(0, 0.5), (1, 0.375), (2, 0.25), (4, 0.0)])
@pytest.mark.parametrize("mix", ["cutmix", "none"])
def test_a_schedule_moves_linearly_from_the_first_step_to_the_last(mix: str, step: int, share: float) -> None:
    p = planned(step, mix=mix, syn_prob="0.5:0", **LONG)
    for images in (p.first,) if p.second is None else (p.first, p.second):
        assert (images >= REAL).mean() == pytest.approx(share, abs=0.006)


@pytest.mark.parametrize("sampler", ["instance", "balanced", "sqrt"])
def test_with_a_schedule_the_prior_is_that_of_the_step_and_the_classifier_is_known_by_their_mean(sampler: str) -> None:
    s = settings(mix="mixup", sampler=sampler, syn_prob="0.6:0.2", **LONG)
    found = sampler_of(s)
    each = [naive_marginal(settings(mix="mixup", sampler=sampler, syn_prob=p)) for p in (0.6, 0.5, 0.4, 0.3, 0.2)]
    for step, wanted in enumerate(each):
        for prior in found.priors(step):
            assert prior == pytest.approx(wanted, rel=1e-12)
        targets = soft_targets(plan_batch(step, found, s, frame=FRAME), found)
        assert targets.mean(axis=0, dtype=np.float64) == pytest.approx(wanted, abs=0.008)
    assert found.prior == pytest.approx(np.mean(each, axis=0), rel=1e-12)


def test_a_schedule_that_stays_is_the_number() -> None:
    one, other = settings(mix="cutmix", syn_prob=0.15), settings(mix="cutmix", syn_prob="0.15:0.15")
    a, b = (plan_batch(3, sampler_of(s), s, frame=FRAME) for s in (one, other))
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert np.array_equal(sampler_of(one).prior, sampler_of(other).prior)


OWN: list[dict[str, Any]] = [
    {"mix": mix, "sampler": sampler, "syn_prob": share, part: True}
    for mix, part in (("cutmix", "syn_prior"), ("mixup", "syn_head"), ("none", "syn_prior"))
    for sampler in ("instance", "balanced", "sqrt")
    for share in (None, 0.3, "0.2:0.6")
]


@pytest.mark.parametrize("stream", OWN)
def test_a_row_is_wholly_original_or_wholly_generated_where_parts_have_a_prior_or_a_head(stream: dict) -> None:
    s = settings(**stream, **LONG)
    p = plan_batch(4, sampler_of(s), s, frame=FRAME)
    assert 0 < (p.first >= REAL).mean() < 1
    if p.second is not None:
        assert ((p.first >= REAL) == (p.second >= REAL)).all()
        assert (p.first != p.second).any()


@pytest.mark.parametrize("stream", OWN)
def test_parts_change_nothing_of_how_often_a_class_or_a_generated_image_is_seen(stream: dict[str, Any]) -> None:
    plain = settings(**{**stream, "syn_prior": False, "syn_head": False}, **LONG)
    a, b = (plan_batch(4, sampler_of(s), s, frame=FRAME) for s in (settings(**stream, **LONG), plain))
    for one, other in ((a.first, b.first), (a.second, b.second)):
        if one is not None:
            assert np.bincount(one, minlength=22) / len(one) == about(list(np.bincount(other, minlength=22) / len(one)))


@pytest.mark.parametrize("stream", [one for one in OWN if "syn_prior" in one])
def test_the_prior_of_a_part_is_what_its_rows_hold(stream: dict[str, Any]) -> None:
    s = settings(**stream, **LONG)
    found = sampler_of(s)
    for step in (0, 4):
        p = plan_batch(step, found, s, frame=FRAME)
        targets = soft_targets(p, found).astype(np.float64)
        for prior, rows in zip(found.priors(step), (p.first < REAL, p.first >= REAL), strict=True):
            counted = np.zeros(NUM_CLASSES)
            for row in targets[rows]:
                counted += row
            assert counted / rows.sum() == pytest.approx(prior, abs=0.012)
            assert prior.sum() == pytest.approx(1)


def test_the_prior_of_a_part_is_exact_and_the_originals_is_what_the_classifier_is_known_by() -> None:
    found = sampler_of(settings(mix="cutmix", sampler="instance", syn_prob="0.5:0", syn_prior=True))
    real, fake = found.priors(17)
    assert real == pytest.approx([9 / 14, 4 / 14, 0, 1 / 14, 0]) and fake == pytest.approx([0, 2 / 8, 2 / 8, 4 / 8, 0])
    assert np.array_equal(found.prior, real)
    head = sampler_of(settings(mix="cutmix", sampler="instance", syn_prob=0.25, syn_head=True))
    assert np.array_equal(head.prior, real), "the head that is kept has seen these alone"
    assert head.priors(0)[1] == pytest.approx(0.75 * real + 0.25 * fake), "yet one prior adjusts all rows"


# ---- pixels


def naive_mixed(p: BatchPlan, first: np.ndarray, second: np.ndarray) -> np.ndarray:
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
    p = planned(mix=mix, batch=6)
    first, second = np.random.default_rng(0).uniform(0, 255, (2, 6, 3, *FRAME))
    assert mixed(p, torch.from_numpy(first), torch.from_numpy(second)).numpy() == pytest.approx(
        naive_mixed(p, first, second)
    )


def test_an_unmixed_image_is_itself() -> None:
    images = torch.rand(64, 3, *FRAME)
    assert mixed(planned(mix="none"), images, None) is images


def test_cutmix_keeps_exactly_lambda_of_the_first_images_pixels() -> None:
    p = planned(mix="cutmix", batch=500)
    assert p.box is not None
    kept = mixed(p, torch.ones(500, 1, *FRAME), torch.zeros(500, 1, *FRAME)).mean(dim=(1, 2, 3))
    assert kept.numpy() == pytest.approx(p.lam)


def test_cutmix_boxes_have_the_share_one_minus_lambda_and_lie_anywhere_in_the_frame() -> None:
    s = settings(mix="cutmix", batch=100_000)
    size = (1000, 500)
    p = plan_batch(0, sampler_of(s), s, frame=size)
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


def test_draws_stay_right_with_ten_thousand_classes() -> None:
    rng = np.random.default_rng(0)
    originals, generated = rng.zipf(1.5, 50_000) % 10_000, rng.integers(0, 10_000, 50_000)
    s = settings(mix="none", sampler="sqrt", batch=200_000)
    sampler = mix_sampler(originals.tolist(), generated.tolist(), 10_000, s)
    p = plan_batch(0, sampler, s, frame=FRAME)
    seen = np.bincount(sampler.class_indices[p.first], minlength=10_000) / 200_000
    assert np.abs(seen - sampler.prior).sum() < 0.2
