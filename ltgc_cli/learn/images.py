"""Images on their way into the model: decoded once into bytes, then cropped, turned and normalised as a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial, reduce
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ltgc_cli.learn import harmonise, loading
from ltgc_cli.learn.datasets import Sample, pixels

IN_MEMORY = 2_000_000_000  # bytes: images that fit are decoded once; more are decoded when they are needed
THREADS = 8

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
A = TypeVar("A")
B = TypeVar("B")


class Frame(NamedTuple):
    """open_clip's preprocessing in two halves: an image to its frame, a batch of frames to the model's range."""

    crop: Callable[[Any], Tensor]  # PIL image to [3, height, width] in 0..1, resized and cropped
    mean: Tensor  # [3, 1, 1]
    std: Tensor  # [3, 1, 1]
    least: int = 0  # pixels a side that an image needs before its crop; 0: as many as it has


def frame(preprocess: Any) -> Frame:
    """Returns the halves of open_clip's preprocessing, which ends in a Normalize."""
    *crop, normalize = preprocess.transforms
    both = normalize.mean, normalize.std
    mean, std = (torch.as_tensor(values, dtype=torch.float32).view(3, 1, 1) for values in both)
    return Frame(partial(transformed, transforms=crop), mean, std, least(crop))


def least(crop: Sequence[Any]) -> int:
    """Returns how many pixels a side an image needs for these transforms: twice what it is resized to first.

    The decoder of a JPEG then may halve it as often as that leaves: a photo of 12 megapixels takes a quarter of the
    time, and after the resize its pixels are within a level or two of what they were. 0: nobody knows.
    """
    first = crop[0] if crop else None
    size = getattr(first, "size", None) if type(first).__name__.startswith("Resize") else None
    return 2 * int(np.max(size)) if size is not None else 0


def transformed(image: Any, transforms: Sequence[Callable[[Any], Any]]) -> Any:
    """Returns an image after one transform after the other."""
    return reduce(lambda image, transform: transform(image), transforms, image)


def decode(sample: Sample, frame: Frame) -> Tensor:
    """Returns a sample's frame, uint8 [3, height, width]. Raises InputError, with its name, for what is no image."""
    found = (frame.crop(pixels(sample.read(), sample.name, frame.least)) * 255).round().to(torch.uint8)
    return sample.change(found) if sample.change else found


def normalized(frames: Tensor, frame: Frame) -> Tensor:
    """Returns what the model takes, float32: frames in 0..255 [batch, 3, height, width], any dtype."""
    mean, std = frame.mean.to(frames.device), frame.std.to(frames.device)
    return (frames.float() / 255 - mean) / std


class Frames(NamedTuple):
    """Reads samples by their numbers, uint8 [numbers, 3, height, width]."""

    read: Callable[[Ints], Tensor]
    in_memory: bool  # decoded already; otherwise each call decodes, in threads
    images: int
    size: tuple[int, int]  # height and width of a frame

    @property
    def bytes_each(self) -> int:
        """The bytes of a frame."""
        return 3 * self.size[0] * self.size[1]


def reader(samples: Sequence[Sample], frame: Frame, in_memory: int = IN_MEMORY) -> Frames:
    """Returns what reads these samples. Where they fit in so many bytes, all are decoded here, once."""
    first = decode(samples[0], frame)
    size = (first.shape[1], first.shape[2])
    if len(samples) * first.numel() > in_memory:
        return Frames(lambda numbers: decode_all([samples[n] for n in numbers], frame), False, len(samples), size)
    frames = decode_all(samples, frame)
    return Frames(lambda numbers: frames[torch.from_numpy(numbers)], True, len(samples), size)


def harmonised(real: Sequence[Sample], generated: Sequence[Sample], frame: Frame) -> list[Sample]:
    """Returns the generated samples, whose frames then look as the real ones do: see `harmonise`.

    What that takes is measured here, on frames; it depends on the samples alone, so each process finds the same.
    """
    reads: tuple[dict[int, list[harmonise.Read]], ...] = ({}, {})
    for part, samples in zip(reads, (real, generated), strict=True):
        for sample in samples:
            part.setdefault(sample.label, []).append(partial(_pixels_of_frame, sample, frame))
    changes = harmonise.changes(*reads)
    return [sample._replace(change=partial(_changed, change=changes[sample.label])) for sample in generated]


def _pixels_of_frame(sample: Sample, frame: Frame) -> harmonise.Pixels:
    return decode(sample, frame).numpy()


def _changed(frame: Tensor, change: harmonise.Change) -> Tensor:
    return torch.from_numpy(harmonise.changed(frame.numpy(), change))


def decode_all(samples: Sequence[Sample], frame: Frame) -> Tensor:
    """Returns the frames of samples, in order: uint8 [samples, 3, height, width]."""
    first = decode(samples[0], frame)
    frames = first.new_empty(len(samples), *first.shape)  # filled as they come: two copies of them may be gigabytes

    def put(number: int) -> None:
        frames[number] = decode(samples[number], frame) if number else first

    in_threads(put, range(len(samples)))
    return frames


def in_threads(f: Callable[[A], B], items: Sequence[A]) -> list[B]:
    """Returns f of each item, in order: by threads, or by this one where it is a process that reads."""
    if loading.reads_alone():
        return [f(item) for item in items]
    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(f, items))


class Views(NamedTuple):
    """How each image of a batch is seen: its crop, its turn, whether it is mirrored; a row for each image."""

    side: Floats  # of the crop, as a share of the frame's
    shift: Floats  # of the crop's middle, as a share of half the frame [images, 2]
    turn: Floats  # in radians
    mirror: Floats  # -1 for a mirrored image, else 1


def views(rng: np.random.Generator, batch: int, *, crop: float, rotate: float, flip: bool) -> Views:
    """Returns random views: crops of an area from `crop` to 1, turns of at most `rotate` degrees, half mirrored."""
    side = np.sqrt(rng.uniform(crop, 1, batch))
    shift = rng.uniform(-1, 1, (batch, 2)) * (1 - side)[:, None]
    turn = np.radians(rng.uniform(-rotate, rotate, batch))
    mirror = np.where(rng.random(batch) < 0.5, -1.0, 1.0) if flip else np.ones(batch)
    return Views(side, shift, turn, mirror)


def seen(frames: Tensor, views: Views) -> Tensor:
    """Returns each frame as its view has it, float32 in 0..255 [batch, 3, height, width].

    One resampling does it all; beyond the frame its edge goes on.
    """
    batch, _, height, width = frames.shape
    if (views.side == 1).all() and (views.turn == 0).all():
        mirrored = torch.from_numpy(views.mirror < 0).to(frames.device)[:, None, None, None]
        return torch.where(mirrored, frames.flip(-1), frames).float()
    matrices = _matrices(*views, width / height).to(frames.device)
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
