"""BalanceMix and what it is compared with: which images each training step sees, and how they are mixed.

A step's plan is a pure function of the seed and the step's number. So a run that was killed goes on exactly, images
can be decoded steps ahead, and several processes plan alike. Images are numbered: the originals first, then the
generated ones.

The streams (the paper's Table 5):
  balancemix      x_i: an original (D_o), as the sampler draws; x_j: uniform over the generated images (D_g)
  mixup, cutmix   x_i and x_j: both from the union of D_o and D_g, as the sampler draws
  none            x_i: from the union, as the sampler draws
Without generated images BalanceMix mixes originals: x_i as the sampler draws, x_j uniform over them.

`mix_prob` is the chance that x_i has a partner x_j; otherwise it stands alone. With `syn_prob` each image of a union is
drawn from D_g with that chance and from D_o otherwise, as the sampler draws within the one or the other.
`syn_weight` is what a generated image's part of a target weighs. Both mean nothing where no image is generated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ltgc_cli.errors import InputError
from ltgc_cli.learn.settings import Sampler, Settings

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Bag(NamedTuple):
    """Images to draw from. Where neither field below is set, each image has the same chance."""

    images: Ints
    """By their numbers; those of a class together where the classes matter."""
    starts: Ints | None = None
    """Classes have the same chance: those of the k-th that has images are images[starts[k] : starts[k + 1]]."""
    cumulative: Floats | None = None
    """Images differ in their chances: the running sum of their weights."""


class Pool(NamedTuple):
    """What a stream is drawn from, and what it is made of on average."""

    classes: Ints
    """The class of each image, as its place in the class table; the originals come first."""
    originals: int
    width: int
    """The number of classes in the table, those without an image included."""
    main: Bag
    """balancemix: x_i. Elsewhere: every image of the stream, or with syn_prob its originals."""
    side: Bag | None
    """balancemix: x_j. Elsewhere: the generated images, with syn_prob alone."""
    real: Floats
    """The part of each class's originals in the stream, λ counted in [classes]; with `generated` it sums to 1."""
    generated: Floats
    """The same of each class's generated images [classes]."""


class Plan(NamedTuple):
    """One step: each place in the batch is λ of `first` and the rest of `second`, which is None where none is mixed."""

    first: Ints
    second: Ints | None
    lam: NDArray[np.float32]
    box: Ints | None = None
    """cutmix: the pixels taken from `second`, as top, left, bottom, right [batch, 4], the last two not included."""


def pool(
    originals: Sequence[int],
    generated: Sequence[int],
    width: int,
    settings: Settings,
    *,
    scores: Sequence[float | None] = (),
) -> Pool:
    """Returns the pool of images with these classes, for resolved settings.

    scores -- CLIP's score of each generated image, read for syn_by_score alone; below 0 counts as 0
    Raises InputError where there is no original, a score is missing, or nothing would weigh anything.
    """
    if not len(originals):
        raise InputError("no original image to train on")
    classes = np.array([*originals, *generated], dtype=np.int64)
    places = np.arange(len(classes))
    real, drawn = places[: len(originals)], places[len(originals) :]
    chances = None
    if settings.syn_by_score and len(drawn):
        chances = np.concatenate([np.ones(len(real)), _by_score(classes[drawn], scores)])

    sampler, side = settings.sampler, None
    if settings.mix == "balancemix":  # where syn_prob has no say: every partner is generated
        main = _bag(real, classes, sampler)
        side = _bag(drawn, classes, "instance", chances) if len(drawn) else _bag(real, classes, "instance")
    elif settings.syn_prob is None or not len(drawn):
        main = _bag(places, classes, sampler, chances)
    else:
        main, side = _bag(real, classes, sampler), _bag(drawn, classes, sampler, chances)
    shares = _shares(_counts(classes[real], width), _counts(classes[drawn], width), settings)
    if not shares[0].any() and not settings.syn_weight:
        raise InputError("syn-prob 1 draws generated images alone, and with syn-weight 0 they weigh nothing")
    return Pool(classes, len(originals), width, main, side, *shares)


def capped(originals: Sequence[int], generated: Sequence[int], ratio: float) -> list[int]:
    """Returns the places in `generated` that are kept: at most `ratio` for each original of their class, in order.

    originals, generated -- the class of each; ratio -- 0 keeps all

    >>> capped([5, 5, 7], [7, 5, 7, 5, 7, 5, 9], 1)
    [0, 1, 3]
    >>> capped([5, 5, 7], [7, 5, 7, 5, 7, 5, 9], 0)
    [0, 1, 2, 3, 4, 5, 6]
    """
    if not ratio:
        return list(range(len(generated)))
    known, groups = np.unique(np.array([*originals, *generated], dtype=np.int64), return_inverse=True)
    counts = np.bincount(groups[: len(originals)], minlength=len(known))
    drawn = groups[len(originals) :]
    order = np.argsort(drawn, kind="stable")
    starts = np.searchsorted(drawn[order], drawn[order])
    rank = np.empty(len(drawn), dtype=np.int64)
    rank[order] = np.arange(len(drawn)) - starts
    most = np.floor(ratio * counts + 1e-9)  # 0.29 · 100 is a little below 29
    return np.flatnonzero(rank < most[drawn]).tolist()


def plan(step: int, pool: Pool, settings: Settings, *, frame: tuple[int, int]) -> Plan:
    """Returns what a step trains on, a function of its arguments alone.

    frame -- height and width in pixels of the images as they are mixed
    first, second, lam -- [batch]
    """
    mix, batch, chance = settings.mix, settings.batch, settings.syn_prob
    rng = np.random.default_rng([settings.seed, step])
    if mix == "balancemix":
        assert pool.side is not None
        first, second = _draw(rng, pool.main, batch), _draw(rng, pool.side, batch)
    else:
        first = _from_both(rng, pool, chance, batch)
        if mix == "none":
            return _unmixed(first)
        second = _from_both(rng, pool, chance, batch)
    lam = rng.beta(settings.mix_alpha, settings.mix_alpha, batch).astype(np.float32)
    if settings.mix_prob < 1:
        alone = rng.random(batch) >= settings.mix_prob
        second, lam = np.where(alone, first, second), np.where(alone, np.float32(1), lam)
    if mix == "cutmix":
        box = _boxes(rng, lam, frame)  # empty where λ is 1
        return Plan(first, second, _kept(box, frame), box)
    return Plan(first, second, lam)


def soft_targets(plan: Plan, pool: Pool, settings: Settings) -> NDArray[np.float32]:
    """Returns ỹ = λ y_i + (1 - λ) y_j [batch, classes], a generated image's part times syn_weight.

    One constant scales all, so that over the stream rows sum to 1 on average: syn_weight shifts weight between
    images, and leaves the size of the loss, and so the learning rate, alone.
    """
    total = float(pool.real.sum() + settings.syn_weight * pool.generated.sum())
    weights = np.array([1, settings.syn_weight]) / total
    targets = np.zeros((len(plan.first), pool.width), dtype=np.float32)
    rows = np.arange(len(plan.first))
    parts = [(plan.first, plan.lam)] + ([] if plan.second is None else [(plan.second, 1 - plan.lam)])
    for images, lam in parts:
        weight = weights[(images >= pool.originals).astype(np.int64)].astype(np.float32)
        targets[rows, pool.classes[images]] += lam * weight
    return targets


def label_marginal(pool: Pool, settings: Settings) -> Floats:
    """Returns the mean of the stream's soft targets [classes], summing to 1: the prior for logit adjustment.

    Exact: E[λ] is 1/2 for every Beta(α, α), and where cutmix's clipped boxes make it more, x_i and x_j are drawn alike.
    """
    mass = pool.real + settings.syn_weight * pool.generated
    return mass / mass.sum()


def mixed(plan: Plan, first: Tensor, second: Tensor | None) -> Tensor:
    """Returns the step's images [batch, 3, height, width]: λ x_i + (1 - λ) x_j, or x_i with its box from x_j.

    first, second -- the plan's images, augmented, in pixels of the frame that the plan was made for
    """
    if plan.second is None or second is None:
        return first
    if plan.box is None:
        lam = torch.from_numpy(plan.lam).to(first.device)[:, None, None, None]
        return lam * first + (1 - lam) * second
    top, left, bottom, right = torch.from_numpy(plan.box).to(first.device)[:, :, None].unbind(1)
    y, x = (torch.arange(size, device=first.device) for size in first.shape[-2:])
    rows, columns = (y >= top) & (y < bottom), (x >= left) & (x < right)
    return torch.where((rows[:, :, None] & columns[:, None, :])[:, None], second, first)


# ---- the head's own stage


def head_pool(stream: Pool) -> Pool:
    """Returns the pool of a stream's originals alone, with every class that has one drawn as often as any other."""
    originals = stream.classes[: stream.originals].tolist()
    return pool(originals, [], stream.width, Settings(mix="none", sampler="balanced"))


def head_plan(step: int, pool: Pool, settings: Settings) -> Plan:
    """Returns what a step of the head's own stage trains on, unmixed, from a pool that head_pool made.

    Its draws are not those of the first stage's step of the same number.
    """
    rng = np.random.default_rng([settings.seed, step, 2])
    return _unmixed(_draw(rng, pool.main, settings.batch))


# ---- what a stream is made of


def _shares(originals: Ints, generated: Ints, settings: Settings) -> tuple[Floats, Floats]:
    """Returns the part of each class's originals, and of its generated images, in the stream [classes].

    originals, generated -- the number of each class's images [classes]
    """
    sampler, chance = settings.sampler, settings.syn_prob
    nothing = np.zeros(len(originals))
    if settings.mix == "balancemix":
        partner = settings.mix_prob / 2  # its part of the stream, for E[λ] is 1/2
        first = (1 - partner) * _share(originals, sampler)
        if not generated.any():
            return first + partner * _share(originals, "instance"), nothing
        return first, partner * _share(generated, "instance")
    if not generated.any():
        return _share(originals, sampler), nothing
    if chance is not None:
        return (1 - chance) * _share(originals, sampler), chance * _share(generated, sampler)
    both = originals + generated
    each = _share(both, sampler) / np.maximum(both, 1)
    return each * originals, each * generated


def _counts(classes: Ints, width: int) -> Ints:
    return np.bincount(classes, minlength=width).astype(np.int64)


def _share(counts: Ints, sampler: Sampler | None) -> Floats:
    """Returns how often the sampler draws each class [classes], summing to 1."""
    weights = counts > 0 if sampler == "balanced" else np.sqrt(counts) if sampler == "sqrt" else counts
    return weights / weights.sum()


def _by_score(classes: Ints, scores: Sequence[float | None]) -> Floats:
    """Returns the weight of each generated image, in proportion to its score; those of a class average 1."""
    known = [score for score in scores if score is not None and math.isfinite(score)]
    if len(known) < len(classes):
        raise InputError(
            f"syn_by_score: {len(classes) - len(known):,} of {len(classes):,} generated images have no CLIP score; "
            "ltgc filter gives them one"
        )
    weights = np.maximum(np.array(known), 0)
    sums, counts = np.bincount(classes, weights), _counts(classes, 0)
    # A class whose scores are all 0 is drawn evenly.
    weights = np.where(sums[classes] > 0, weights, 1)
    return weights / np.where(sums > 0, sums / np.maximum(counts, 1), 1)[classes]


# ---- draws


def _bag(places: Ints, classes: Ints, sampler: Sampler | None, chances: Floats | None = None) -> Bag:
    """Returns a bag of these images as the sampler draws them.

    chances -- the weight of every image that there is; those of a class's originals, or generated ones, average 1
    """
    if sampler == "instance" and chances is None:
        return Bag(places)
    order = places[np.argsort(classes[places], kind="stable")]
    starts = np.flatnonzero(np.diff(classes[order], prepend=-1))
    if sampler == "balanced" and chances is None:
        return Bag(order, starts=np.append(starts, len(order)))
    counts = _counts(classes[order], 0)
    each = _share(counts, sampler) / np.maximum(counts, 1)
    weights = each[classes[order]] * (1 if chances is None else chances[order])
    return Bag(order, cumulative=np.cumsum(weights))


def _draw(rng: np.random.Generator, bag: Bag, batch: int) -> Ints:
    if bag.cumulative is not None:
        found = np.searchsorted(bag.cumulative, rng.random(batch) * bag.cumulative[-1], side="right")
        return bag.images[found]
    if bag.starts is None:
        return bag.images[rng.integers(0, len(bag.images), batch)]
    drawn = rng.integers(0, len(bag.starts) - 1, batch)
    start = bag.starts[drawn]
    return bag.images[start + rng.integers(0, bag.starts[drawn + 1] - start)]


def _from_both(rng: np.random.Generator, pool: Pool, chance: float | None, batch: int) -> Ints:
    """Returns images [batch] of the main bag or, with this chance each, of the side bag."""
    if pool.side is None or chance is None:
        return _draw(rng, pool.main, batch)
    other = rng.random(batch) < chance
    return np.where(other, _draw(rng, pool.side, batch), _draw(rng, pool.main, batch))


def _unmixed(images: Ints) -> Plan:
    return Plan(images, None, np.ones(len(images), dtype=np.float32))


def _boxes(rng: np.random.Generator, lam: NDArray[np.float32], frame: tuple[int, int]) -> Ints:
    """Returns cutmix's boxes [batch, 4] (Yun et al., ICCV 2019): 1 - λ of the frame, centred anywhere, clipped."""
    sides = np.array(frame)
    size = np.rint(sides * np.sqrt(1 - lam.astype(np.float64))[:, None]).astype(np.int64)
    start = rng.integers(0, sides, (len(lam), 2)) - size // 2
    return np.concatenate([np.maximum(start, 0), np.minimum(start + size, sides)], axis=1)


def _kept(box: Ints, frame: tuple[int, int]) -> NDArray[np.float32]:
    """Returns the share of the frame's pixels that stay outside the boxes [batch]."""
    top, left, bottom, right = box.T
    return (1 - (bottom - top) * (right - left) / (frame[0] * frame[1])).astype(np.float32)
