"""What each step of training sees: a batch plan's rows, read some steps ahead, and how they become the model's inputs.

Every random number comes from the seed and the step, so a reader thread, a killed run and each of several processes
see the same batch. A process reads its own rows alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ltgc_cli.errors import InputError
from ltgc_cli.learn import balance_mix, images, loading
from ltgc_cli.learn.balance_mix import BatchPlan, MixSampler
from ltgc_cli.settings import Training

READ_AHEAD = 4
_KEPT_AT_ONCE = 128
_VIEWS, _CROPS = 1, 2  # ends of the seeds [seed, step, …] of what is drawn beside a batch plan


class Batch(NamedTuple):
    """A process's rows of a step. Each field has a row for each, or is None."""

    plan: BatchPlan
    first: Tensor  # frames, uint8 [rows, 3, height, width]; or kept features [rows, …]
    second: Tensor | None
    first_views: images.Views | None
    second_views: images.Views | None
    targets: NDArray[np.float32]  # [rows, classes]


def of_pixels(
    sampler: MixSampler, frames: images.Frames, settings: Training, rows: slice, steps: range, device: str = "cpu"
) -> Iterator[Batch]:
    """Returns these rows of the steps' batches as frames, with the views that they are seen in.

    Where images are decoded on demand, or a GPU copies them, they are read some steps ahead.
    """
    views = _views(settings)

    def read(step: int) -> Batch:
        plan = balance_mix.plan_batch(step, sampler, settings, frame=frames.size)
        rng = np.random.default_rng([settings.seed, step, _VIEWS])
        first_views = views(rng, settings.batch)  # of the whole batch, whoever sees which row
        second_views = None if plan.second is None else views(rng, settings.batch)
        own, first_views, second_views = (_rows(each, rows) for each in (plan, first_views, second_views))
        second = None if own.second is None else frames.read(own.second)
        targets = balance_mix.soft_targets(own, sampler)
        return Batch(own, frames.read(own.first), second, first_views, second_views, targets)

    if frames.in_memory and not device.startswith("cuda"):
        return map(read, steps)
    size = 2 * (rows.stop - rows.start) * frames.bytes_each
    by = loading.readers(device, len(steps), size)
    return loading.ahead(read, steps, READ_AHEAD, by._replace(processes=0) if frames.in_memory else by)


def of_features(sampler: MixSampler, kept: Tensor, settings: Training, rows: slice, steps: range) -> Iterator[Batch]:
    """Returns these rows of the steps' batches as kept features [crops, images, …], of one of each image's crops."""

    def read(step: int) -> Batch:
        own = _rows(balance_mix.plan_batch(step, sampler, settings, frame=(1, 1)), rows)
        crops = np.random.default_rng([settings.seed, step, _VIEWS]).integers(0, len(kept), settings.batch)[rows]
        found = kept[torch.from_numpy(crops), torch.from_numpy(own.first)]
        return Batch(own, found, None, None, None, balance_mix.soft_targets(own, sampler))

    return map(read, steps)


def parts(batch: Batch, count: int) -> Iterator[Batch]:
    """Returns a batch cut into equal parts, in order."""
    each = len(batch.targets) // count
    return (_rows(batch, slice(start, start + each)) for start in range(0, each * count, each))


def inputs(batch: Batch, frame: images.Frame, device: str) -> Tensor:
    """Returns what the model takes of a batch, on the device: each image in its view, mixed; or the kept features."""
    if batch.first_views is None:
        return batch.first.to(device).float()
    first = _seen(batch.first, batch.first_views, device)
    if batch.second is None or batch.second_views is None:
        return images.normalized(first, frame)
    second = _seen(batch.second, batch.second_views, device)
    return images.normalized(balance_mix.mixed(batch.plan, first, second), frame)


def kept_features(
    frozen: Callable[[Tensor], Tensor], frames: images.Frames, settings: Training, frame: images.Frame, device: str
) -> Tensor:
    """Returns what the frozen part of a classifier makes of each image's fixed crops [crops, images, …], on the CPU.

    Float16 where a GPU computes, else float32. Raises InputError where the memory cannot hold it.
    """
    starts = range(0, frames.images, _KEPT_AT_ONCE)
    spans = [slice(start, min(start + _KEPT_AT_ONCE, frames.images)) for start in starts]
    seeds = [[settings.seed, crop, _CROPS] for crop in range(settings.fixed_crops)]
    crops = [_views(settings)(np.random.default_rng(seed), frames.images) for seed in seeds]
    kept: Tensor | None = None

    def read(rows: slice) -> Tensor:
        return frames.read(np.arange(rows.start, rows.stop))

    by = loading.readers(device, len(spans), _KEPT_AT_ONCE * frames.bytes_each)
    by = by._replace(processes=0) if frames.in_memory else by
    for rows, found in zip(spans, loading.ahead(read, spans, READ_AHEAD, by), strict=True):
        for crop, views in enumerate(crops):
            hidden = frozen(images.normalized(_seen(found, _rows(views, rows), device), frame))
            if kept is None:
                kept = _allocated(settings.fixed_crops, frames.images, hidden, device)
            kept[crop, rows] = hidden.to("cpu", kept.dtype)
    assert kept is not None
    return kept


def _allocated(crops: int, count: int, hidden: Tensor, device: str) -> Tensor:
    dtype = torch.float16 if device.startswith("cuda") else torch.float32
    size = crops * count * hidden[0].numel() * dtype.itemsize
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > 0.8 * memory:
        raise InputError(
            f"--fixed-crops {crops}: the features of {count:,} images take {size / 1e9:.0f} GB and this machine has "
            f"{memory / 1e9:.0f} GB; use fewer crops, tune fewer blocks, or leave --fixed-crops out"
        )
    return torch.empty(crops, count, *hidden.shape[1:], dtype=dtype)


def _seen(frames: Tensor, views: images.Views, device: str) -> Tensor:
    where = device if device.startswith("cuda") else "cpu"  # not every other device can resample
    return images.seen(frames.to(where, non_blocking=True), views).to(device)


def _views(settings: Training) -> Callable[[np.random.Generator, int], images.Views]:
    return partial(images.views, crop=settings.crop, rotate=settings.rotate, flip=settings.flip)


def _rows(value: Any, rows: slice) -> Any:
    """Returns these rows of an array or a tensor, or of each field of a named tuple; of None it is None."""
    if isinstance(value, tuple):
        return value._make(_rows(field, rows) for field in value)  # type: ignore[attr-defined]
    return None if value is None else value[rows]
