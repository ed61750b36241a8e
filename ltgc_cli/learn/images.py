"""Images on their way into the model: decoded once into bytes, then cropped, turned and normalised as a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ltgc_cli.learn.datasets import Sample, pixels

IN_MEMORY = 2_000_000_000
"""Bytes: images that fit are decoded once; more are decoded when they are needed."""
THREADS = 8

Ints = NDArray[np.int64]
A = TypeVar("A")
B = TypeVar("B")


class Frame(NamedTuple):
    """open_clip's preprocessing in two halves: an image to its frame, a batch of frames to the model's range."""

    crop: Callable[[Any], Tensor]
    """PIL image to [3, height, width] in 0..1, resized and cropped."""
    mean: Tensor
    """[3, 1, 1]"""
    std: Tensor
    """[3, 1, 1]"""


def frame(preprocess: Any) -> Frame:
    """Returns the halves of open_clip's preprocessing, which ends in a Normalize."""
    *crop, normalize = preprocess.transforms

    def run(image: Any) -> Tensor:
        for transform in crop:
            image = transform(image)
        return cast(Tensor, image)

    mean, std = (
        torch.as_tensor(values, dtype=torch.float32).view(3, 1, 1) for values in (normalize.mean, normalize.std)
    )
    return Frame(run, mean, std)


def decode(sample: Sample, frame: Frame) -> Tensor:
    """Returns a sample's frame, uint8 [3, height, width]. Raises InputError, with its name, for what is no image."""
    return (frame.crop(pixels(sample.read(), sample.name)) * 255).round().to(torch.uint8)


def normalized(frames: Tensor, frame: Frame) -> Tensor:
    """Returns what the model takes, float32: frames in 0..255 [batch, 3, height, width], any dtype."""
    mean, std = frame.mean.to(frames.device), frame.std.to(frames.device)
    return (frames.float() / 255 - mean) / std


class Frames(NamedTuple):
    """Reads samples by their places: uint8 [places, 3, height, width]."""

    read: Callable[[Ints], Tensor]
    in_memory: bool
    """Decoded already; otherwise each call decodes, in threads."""


def reader(samples: Sequence[Sample], frame: Frame, in_memory: int = IN_MEMORY) -> Frames:
    """Returns what reads these samples. Where they fit in so many bytes, all are decoded here, once."""
    if len(samples) * decode(samples[0], frame).numel() > in_memory:
        return Frames(lambda places: decode_all([samples[place] for place in places], frame), False)
    frames = decode_all(samples, frame)
    return Frames(lambda places: frames[torch.from_numpy(places)], True)


def decode_all(samples: Sequence[Sample], frame: Frame) -> Tensor:
    """Returns the frames of samples, in order: uint8 [samples, 3, height, width]."""
    with ThreadPoolExecutor(THREADS) as threads:
        return torch.stack(list(threads.map(lambda sample: decode(sample, frame), samples)))


def augment(frames: Tensor, rng: np.random.Generator, *, crop: float, rotate: float, flip: bool) -> Tensor:
    """Returns randomly cropped, turned and mirrored frames, float32 in 0..255 [batch, 3, height, width].

    Each image has its own crop (of an area from `crop` to 1, in the frame's shape), its own turn (of at most `rotate`
    degrees) and, with `flip`, one chance in two to be mirrored. One resampling does it all; beyond the frame its
    edge goes on.
    """
    batch, _, height, width = frames.shape
    side = np.sqrt(rng.uniform(crop, 1, batch))
    shift = rng.uniform(-1, 1, (batch, 2)) * (1 - side)[:, None]
    turn = np.radians(rng.uniform(-rotate, rotate, batch))
    mirror = np.where(rng.random(batch) < 0.5, -1.0, 1.0) if flip else np.ones(batch)
    if crop == 1 and rotate == 0:
        return torch.where(torch.from_numpy(mirror < 0)[:, None, None, None], frames.flip(-1), frames).float()
    matrices = _matrices(side, shift, turn, mirror, width / height).to(frames.device)
    grid = F.affine_grid(matrices, [batch, 3, height, width], align_corners=False)
    return F.grid_sample(frames.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)


def _matrices(side: Any, shift: Any, turn: Any, mirror: Any, aspect: float) -> Tensor:
    """Returns [batch, 2, 3]: where in the frame (-1..1 both ways) each point of the result is taken from."""
    cos, sin = np.cos(turn), np.sin(turn)
    rows = [
        [side * cos * mirror, -side * sin / aspect, shift[:, 0]],
        [side * sin * aspect * mirror, side * cos, shift[:, 1]],
    ]
    return torch.from_numpy(np.stack([np.stack(row, -1) for row in rows], 1).astype(np.float32))


def ahead(f: Callable[[A], B], inputs: Iterable[A], depth: int) -> Iterator[B]:
    """Returns f of each input, in order, computed in one thread up to `depth` inputs ahead of who asks."""
    inputs = iter(inputs)
    with ThreadPoolExecutor(1) as thread:
        waiting = [thread.submit(f, x) for x in islice(inputs, depth)]
        while waiting:
            result = waiting.pop(0).result()
            waiting += [thread.submit(f, x) for x in islice(inputs, 1)]
            yield result
