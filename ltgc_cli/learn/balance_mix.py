"""BalanceMix and what it is compared with: which images each training step sees, and how they are mixed.

A step's batch plan is a pure function of the seed and the step's number. So a run that was killed goes on exactly,
images can be decoded steps ahead, and several processes plan alike. Images are numbered: the originals first, then the
generated ones.

The streams (the paper's Table 5):
  balancemix      x_i: an original (D_o), as the sampler draws; x_j: uniform over the generated images (D_g)
  mixup, cutmix   x_i and x_j: both from the union of D_o and D_g, as the sampler draws
  none            x_i: from the union, as the sampler draws
Without generated images BalanceMix mixes originals: x_i as the sampler draws, x_j uniform over them.

`mix_prob` is the chance that x_i has a partner x_j; otherwise it stands alone. With `syn_prob` each image of a union is
drawn from D_g with that chance and from D_o otherwise, as the sampler draws within the one or the other; it means
nothing where no image is generated. As a schedule it moves linearly from the first step to the last.

With `syn_prior` or `syn_head` each row of a batch is of one part, wholly original or wholly generated: x_j is drawn
from the part that x_i is from. A row of both would have no prior and no head of its own. Which part a row is of is
drawn as it is without them, so the labels of the stream are the same on average.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ltgc_cli.config import chances
from ltgc_cli.errors import InputError
from ltgc_cli.learn.settings import total_steps
from ltgc_cli.settings import Sampler, Training

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Ints]
"""Returns so many images by their numbers, drawn with replacement."""
First = Callable[[np.random.Generator, int, int], Ints]
"""Returns the x_i of a step: (rng, step, batch)."""
Second = Callable[[np.random.Generator, int, Ints], Ints]
"""Returns the x_j of a step, for its x_i: (rng, step, x_i)."""
Priors = Callable[[int], tuple[Floats, Floats]]
"""Returns two label marginals of a step [classes]: of rows of originals, of rows of generated images."""


class MixSampler(NamedTuple):
    """What a stream is drawn from, and what it is made of on average."""

    class_indices: Ints  # of each image; the originals come first
    num_classes: int  # of the class table, those without an image included
    originals: int  # how many there are; the numbers from here on are of generated images
    first: First
    second: Second  # where there is one
    priors: Priors
    """The label marginal at a step: the mean of its soft targets [classes], summing to 1. Logits are adjusted by it.

    That of rows of originals, and that of rows of generated images; both are the whole stream's but with `syn_prior`.
    Exact: E[λ] is 1/2 for every Beta(α, α), and where cutmix's clipped boxes make it more, x_i and x_j are drawn alike.
    """
    prior: Floats
    """The label marginal that a trained classifier is known by: of the whole stream, over all steps.

    With `syn_prior` or `syn_head` it is the originals': what is measured are real images, and they were adjusted by
    that, or seen by the head that is kept, alone.
    """


class BatchPlan(NamedTuple):
    """One step: each row of the batch is λ of `first` and the rest of `second`, which is None where none is mixed."""

    first: Ints
    second: Ints | None
    lam: NDArray[np.float32]
    box: Ints | None = None
    """cutmix: the pixels taken from `second`, as top, left, bottom, right [batch, 4], the last two not included."""


def mix_sampler(originals: Sequence[int], generated: Sequence[int], num_classes: int, settings: Training) -> MixSampler:
    """Returns the sampler of images with these class indices, for resolved settings.

    Raises InputError where there is no original.
    """
    if not len(originals):
        raise InputError("no original image to train on")
    class_indices = np.array([*originals, *generated], dtype=np.int64)
    images = np.arange(len(class_indices))
    real, fake = images[: len(originals)], images[len(originals) :]
    kind, steps = settings.sampler, total_steps(settings, len(images))

    def part(images: Ints, kind: Sampler | None) -> _Part:
        counts = np.bincount(class_indices[images], minlength=num_classes)
        return _Part(_draw_from(images, class_indices, kind), _share(counts, kind))

    if settings.mix == "balancemix":  # where syn_prob has no say: every partner is generated
        partners = part(fake if len(fake) else real, "instance")
        drawn = _always(part(real, kind), partners, settings.mix_prob / 2)  # for E[λ] is 1/2
    elif len(fake) and settings.syn_prob is not None:
        ends = chances(settings.syn_prob)
        drawn = _by_chance(part(real, kind), part(fake, kind), len(real), ends, steps, settings)
    elif len(fake) and (settings.syn_prior or settings.syn_head):
        counts = np.bincount(class_indices, minlength=num_classes)
        weights = (_share(counts, kind) / np.maximum(counts, 1))[class_indices]  # the chance of each image
        chance = float(weights[fake].sum())
        own, theirs = (_weighted_part(each, weights[each], class_indices[each], num_classes) for each in (real, fake))
        drawn = _by_chance(own, theirs, len(real), (chance, chance), steps, settings)
    else:
        union = part(images, kind)
        drawn = _always(union, union, 0.0)
    return MixSampler(class_indices, num_classes, len(real), *drawn)


def plan_batch(step: int, sampler: MixSampler, settings: Training, *, frame: tuple[int, int]) -> BatchPlan:
    """Returns what a step trains on, a function of its arguments alone.

    frame -- height and width in pixels of the images as they are mixed
    """
    mix, batch = settings.mix, settings.batch
    rng = np.random.default_rng([settings.seed, step])
    first = sampler.first(rng, step, batch)
    if mix == "none":
        return BatchPlan(first, None, np.ones(batch, dtype=np.float32))
    second = sampler.second(rng, step, first)
    lam = rng.beta(settings.mix_alpha, settings.mix_alpha, batch).astype(np.float32)
    if settings.mix_prob < 1:
        alone = rng.random(batch) >= settings.mix_prob
        second, lam = np.where(alone, first, second), np.where(alone, np.float32(1), lam)
    if mix == "cutmix":
        box = _boxes(rng, lam, frame)  # empty where λ is 1
        return BatchPlan(first, second, _outside(box, frame), box)
    return BatchPlan(first, second, lam)


def soft_targets(plan: BatchPlan, sampler: MixSampler) -> NDArray[np.float32]:
    """Returns ỹ = λ y_i + (1 - λ) y_j [batch, classes]; each row sums to 1."""
    targets = np.zeros((len(plan.first), sampler.num_classes), dtype=np.float32)
    rows = np.arange(len(plan.first))
    targets[rows, sampler.class_indices[plan.first]] = plan.lam
    if plan.second is not None:
        targets[rows, sampler.class_indices[plan.second]] += 1 - plan.lam
    return targets


def mixed(plan: BatchPlan, first: Tensor, second: Tensor | None) -> Tensor:
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


# ---- draws


class _Part(NamedTuple):
    """Images that are drawn from together."""

    draw: Draw
    marginal: Floats  # how often each class is drawn [classes], summing to 1


_Drawn = tuple[First, Second, Priors, Floats]
"""The last four fields of a MixSampler."""


def _always(own: _Part, partners: _Part, share: float) -> _Drawn:
    """Returns what draws alike at each step: x_i from the one, x_j, which are a share of the stream, from the other."""
    marginal = (1 - share) * own.marginal + share * partners.marginal
    prior = marginal / marginal.sum()
    return (
        lambda rng, step, batch: own.draw(rng, batch),
        lambda rng, step, images: partners.draw(rng, len(images)),
        lambda step: (prior, prior),
        prior,
    )


def _by_chance(
    real: _Part, fake: _Part, originals: int, ends: tuple[float, float], steps: int, settings: Training
) -> _Drawn:
    """Returns what draws each image from the generated ones by chance, and from the originals otherwise.

    ends -- the chance at the first step and at the last
    """
    begin, end = ends
    apart = settings.syn_prior or settings.syn_head

    def chance(step: int) -> float:
        return begin + (end - begin) * step / max(1, steps - 1)

    def marginal(chance: float) -> Floats:
        both = (1 - chance) * real.marginal + chance * fake.marginal
        return both / both.sum()

    def first(rng: np.random.Generator, step: int, batch: int) -> Ints:
        return np.where(rng.random(batch) < chance(step), fake.draw(rng, batch), real.draw(rng, batch))

    def second(rng: np.random.Generator, step: int, images: Ints) -> Ints:
        if not apart:
            return first(rng, step, len(images))
        return np.where(images >= originals, fake.draw(rng, len(images)), real.draw(rng, len(images)))

    def priors(step: int) -> tuple[Floats, Floats]:
        if settings.syn_prior:
            return real.marginal, fake.marginal
        both = marginal(chance(step))
        return both, both

    return first, second, priors, real.marginal if apart else marginal((chance(0) + chance(steps - 1)) / 2)


def _share(counts: Ints, kind: Sampler | None) -> Floats:
    """Returns how often a sampler draws each class [classes], summing to 1."""
    weights = counts > 0 if kind == "balanced" else np.sqrt(counts) if kind == "sqrt" else counts
    return weights / weights.sum()


def _draw_from(images: Ints, class_indices: Ints, kind: Sampler | None) -> Draw:
    """Returns what draws from these images as the sampler does; class_indices are those of every image there is."""
    if kind == "instance":
        return lambda rng, batch: images[rng.integers(0, len(images), batch)]
    order = images[np.argsort(class_indices[images], kind="stable")]
    _, starts, counts = np.unique(class_indices[order], return_index=True, return_counts=True)

    def balanced(rng: np.random.Generator, batch: int) -> Ints:
        chosen = rng.integers(0, len(starts), batch)
        return order[starts[chosen] + rng.integers(0, counts[chosen])]

    if kind == "balanced":
        return balanced
    return _weighted(order, np.repeat(_share(counts, kind) / counts, counts))


def _weighted_part(images: Ints, weights: Floats, class_indices: Ints, num_classes: int) -> _Part:
    """Returns images that are drawn each in proportion to its weight; class_indices are theirs."""
    mass = np.bincount(class_indices, weights, num_classes)
    return _Part(_weighted(images, weights), mass / mass.sum())


def _weighted(images: Ints, weights: Floats) -> Draw:
    """Returns what draws each of these images in proportion to its weight."""
    cumulative = np.cumsum(weights)
    return lambda rng, batch: images[np.searchsorted(cumulative, rng.random(batch) * cumulative[-1], side="right")]


def _boxes(rng: np.random.Generator, lam: NDArray[np.float32], frame: tuple[int, int]) -> Ints:
    """Returns cutmix's boxes [batch, 4] (Yun et al., ICCV 2019): 1 - λ of the frame, centred anywhere, clipped."""
    sides = np.array(frame)
    size = np.rint(sides * np.sqrt(1 - lam.astype(np.float64))[:, None]).astype(np.int64)
    start = rng.integers(0, sides, (len(lam), 2)) - size // 2
    return np.concatenate([np.maximum(start, 0), np.minimum(start + size, sides)], axis=1)


def _outside(box: Ints, frame: tuple[int, int]) -> NDArray[np.float32]:
    """Returns the share of the frame's pixels that stay outside the boxes [batch]."""
    top, left, bottom, right = box.T
    return (1 - (bottom - top) * (right - left) / (frame[0] * frame[1])).astype(np.float32)
