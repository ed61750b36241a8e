"""BalanceMix and what it is compared with: which images each training step sees, and how they are mixed.

A step's plan is a pure function of the seed and the step's number. So a run that was killed goes on exactly, and
images can be decoded steps ahead. Images are numbered: the originals first, then the generated ones.

The streams (the paper's Table 5):
  balancemix  x_i: a class drawn uniformly, then one of its originals (D_o); x_j: uniform over the generated (D_g)
  mixup       x_i and x_j: both from the union of D_o and D_g, as the sampler draws
  none        x_i: from the union, as the sampler draws
Without generated images BalanceMix has nothing to mix in, and is `none`: plain fine-tuning on the originals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ltgc_cli.errors import InputError
from ltgc_cli.learn.settings import Sampler, Settings

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Groups(NamedTuple):
    """Images by class, ready to be drawn from: those of class k are order[starts[k] : starts[k] + counts[k]]."""

    order: Ints
    starts: Ints
    counts: Ints


class Pool(NamedTuple):
    """Images to draw from: the class of each, as its place in the class table; the originals come first."""

    classes: Ints
    originals: int
    width: int
    """The number of classes in the table, those without an image included."""
    original_groups: Groups
    union_groups: Groups


class Plan(NamedTuple):
    """One step: x̃ = λ x_first + (1 - λ) x_second for each place in the batch; `second` is None where none is mixed."""

    first: Ints
    second: Ints | None
    lam: NDArray[np.float32]


def pool(originals: Sequence[int], generated: Sequence[int], width: int) -> Pool:
    """Returns the pool of images with these classes. Raises InputError where there is no original."""
    if not originals:
        raise InputError("no original image to train on")
    classes = np.array([*originals, *generated], dtype=np.int64)
    return Pool(classes, len(originals), width, _grouped(classes[: len(originals)]), _grouped(classes))


def plan(step: int, pool: Pool, settings: Settings) -> Plan:
    """Returns what a step trains on, a function of its arguments alone.

    first, second, lam -- [batch]
    """
    mix, sampler, batch, alpha = settings.mix, settings.sampler, settings.batch, settings.mix_alpha
    rng = np.random.default_rng([settings.seed, step])
    if mix == "balancemix":
        first = _balanced(rng, pool.original_groups, batch)
        second = rng.integers(pool.originals, len(pool.classes), batch)
    else:
        first = _sampled(rng, pool, sampler, batch)
        if mix == "none":
            return Plan(first, None, np.ones(batch, dtype=np.float32))
        second = _sampled(rng, pool, sampler, batch)
    return Plan(first, second, rng.beta(alpha, alpha, batch).astype(np.float32))


def soft_targets(plan: Plan, pool: Pool, settings: Settings) -> NDArray[np.float32]:
    """Returns ỹ = λ y_i + (1 - λ) y_j [batch, classes]."""
    targets = np.zeros((len(plan.first), pool.width), dtype=np.float32)
    rows = np.arange(len(plan.first))
    targets[rows, pool.classes[plan.first]] = plan.lam
    if plan.second is not None:
        targets[rows, pool.classes[plan.second]] += 1 - plan.lam
    return targets


def label_marginal(pool: Pool, settings: Settings) -> Floats:
    """Returns the mean of the stream's soft targets [classes], summing to 1: the prior for logit adjustment.

    E[λ] is 1/2 for every Beta(α, α), so α does not matter.
    """
    if settings.mix == "balancemix":
        originals, generated = pool.classes[: pool.originals], pool.classes[pool.originals :]
        return (_share(originals, pool.width, "balanced") + _share(generated, pool.width, "instance")) / 2
    return _share(pool.classes, pool.width, settings.sampler)


def _share(classes: Ints, width: int, sampler: Sampler | None) -> Floats:
    counts = np.bincount(classes, minlength=width)
    weights = (counts > 0) if sampler == "balanced" else counts
    return weights / weights.sum()


def _sampled(rng: np.random.Generator, pool: Pool, sampler: Sampler | None, batch: int) -> Ints:
    if sampler == "balanced":
        return _balanced(rng, pool.union_groups, batch)
    return rng.integers(0, len(pool.classes), batch)


def _balanced(rng: np.random.Generator, groups: Groups, batch: int) -> Ints:
    """Returns images [batch]: a class drawn uniformly among those that have images, then one of its images."""
    drawn = rng.integers(0, len(groups.starts), batch)
    return groups.order[groups.starts[drawn] + rng.integers(0, groups.counts[drawn])]


def _grouped(classes: Ints) -> Groups:
    order = np.argsort(classes, kind="stable")
    _, starts, counts = np.unique(classes[order], return_index=True, return_counts=True)
    return Groups(order, starts, counts)
