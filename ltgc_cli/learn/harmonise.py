"""Generated images brought to the look of the real ones: their amplitude spectrum, then their colours.

Both are measured over many images and give one change for all generated images of a class, so that these stay as
different from each other as they were. Phases, that is what is where, stay; so do original images.

  spectrum  the amplitude at each number of cycles across the image, of all directions together, in the brightness: its
            mean log over a class's real images over that of its generated ones. Of a class with fewer than ENOUGH of
            either, over all images. Only its shape: contrast belongs to the colours.
  colours   mean and standard deviation of red, green and blue, of a class's own images alone. Where it has n < ENOUGH
            real ones, n / ENOUGH of the way is gone; without any its colours stay as they are generated.
  grey      where all real images are grey, generated ones become so, and the histogram of all takes the colours' place.

Amplitude exchanged and phase kept is Fourier domain adaptation (Yang and Soatto, CVPR 2020), of means here and not of
single images; moments of colours as in Reinhard et al. (2001).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ENOUGH = 8  # images of a class that tell its look
MEASURED = 2_000, 16  # images that are measured: so many of all classes together, but at least so many of each
_RADII = 112  # cycles across the short side up to which spectra are compared: what a frame of 224 pixels can have
_GAIN = 1 / 8, 4.0  # of an amplitude: to weaken adds nothing, to strengthen adds noise
_CONTRAST = 1 / 2, 2.0  # of a colour's standard deviation
_GREY = 2.0  # levels that the channels of a grey image differ by on average, after JPEG
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_THREADS = 8

Pixels = NDArray[np.uint8]  # [3, height, width]
Floats = NDArray[np.float64]
Read = Callable[[], Pixels]


class Look(NamedTuple):
    """What is measured of images: the mean over them, each weighing alike."""

    images: int
    spectrum: Floats  # log amplitude at 1, 2, … _RADII cycles across the short side; NaN where no image is so large
    levels: Floats  # the share of pixels that have each level [3, 256]
    grey: bool  # whether all of them are


class Change(NamedTuple):
    """What is done to each generated image of a class."""

    gain: Floats  # of the amplitude at 0, 1, … _RADII cycles across the short side
    levels: Pixels | None  # the level in each level's place [3, 256], after that; None: they stay
    grey: bool = False  # whether colours are taken away


def changes(real: Mapping[int, Sequence[Read]], generated: Mapping[int, Sequence[Read]]) -> dict[int, Change]:
    """Returns what makes generated images look like the real ones, by the label of each class that has any.

    real, generated -- by label, what returns each image's pixels, of any size; the same images give the same changes
    """
    real_looks = _looks(real)
    before = _looks(generated)
    all_real, all_before = together(real_looks.values()), together(before.values())
    gains = {}
    for label, own in before.items():
        pair = real_looks.get(label), own
        enough = pair[0] is not None and min(pair[0].images, own.images) >= ENOUGH
        gains[label] = gain(*(pair if enough else (all_real, all_before)))  # type: ignore[arg-type]
    grey = all_real.grey
    spectrum_only = {label: Change(gain, None, grey) for label, gain in gains.items()}
    filtered = _looks(
        {label: [_after(read, spectrum_only[label]) for read in reads] for label, reads in generated.items()}
    )
    if grey:
        levels = matched(all_real.levels[0], together(filtered.values()).levels[0])
        table = np.stack([levels] * 3)
        return {label: change._replace(levels=table) for label, change in spectrum_only.items()}
    return {
        label: change._replace(levels=recoloured(real_looks[label], filtered[label]) if label in real_looks else None)
        for label, change in spectrum_only.items()
    }


def changed(pixels: Pixels, change: Change) -> Pixels:
    """Returns a generated image as the real ones look, uint8 [3, height, width] like itself."""
    channels = _grey(pixels)[None] if change.grey else pixels.astype(np.float64)
    found = np.rint(np.clip(filtered(channels, change.gain), 0, 255)).astype(np.uint8)
    found = np.broadcast_to(found, pixels.shape)
    if change.levels is None:
        return np.ascontiguousarray(found)
    return np.stack([table[channel] for table, channel in zip(change.levels, found, strict=True)])


# ---- the spectrum


def spectrum(pixels: Pixels) -> Floats:
    """Returns the mean log amplitude of an image's brightness at 1, 2, … _RADII cycles across its short side.

    The image goes on as its own mirror image, so that its edges are no step. NaN where it is too small for so many.
    """
    brightness = np.tensordot(_LUMA, pixels, 1)
    height, width = brightness.shape
    mirrored = np.pad(brightness - brightness.mean(), ((0, height), (0, width)), "symmetric")
    amplitude = np.abs(np.fft.rfft2(mirrored)) / mirrored.size
    floor = np.sqrt(1 / 12 / brightness.size)  # what rounding to whole levels has anyway
    radius = np.rint(_radii(2 * height, 2 * width, min(height, width))).astype(np.int64)
    kept = (radius >= 1) & (radius <= min(_RADII, min(height, width) // 2))
    counts = np.bincount(radius[kept], minlength=_RADII + 1)[1:]
    sums = np.bincount(radius[kept], np.log(np.maximum(amplitude, floor))[kept], minlength=_RADII + 1)[1:]
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def gain(real: Look, generated: Look) -> Floats:
    """Returns what takes the spectrum of generated images to the shape of the real ones', at 0, 1, … _RADII cycles.

    It leaves the contrast as it is, and is held where an image is too small to tell.
    """
    ratio = np.exp(real.spectrum - generated.spectrum)
    known = np.flatnonzero(np.isfinite(ratio))
    if not len(known):
        return np.ones(_RADII + 1)
    power = np.exp(2 * generated.spectrum[known]) * (
        known + 1
    )  # there are as many frequencies at a radius as it is long
    ratio[known] /= np.sqrt((power * ratio[known] ** 2).sum() / power.sum())
    held = np.interp(np.arange(1, _RADII + 1), known + 1, np.clip(ratio[known], *_GAIN))
    return np.concatenate([[1.0], held])


def filtered(channels: Floats, gain: Floats) -> Floats:
    """Returns channels [channels, height, width] with their amplitudes multiplied by a gain, each phase as it was.

    gain -- at 0, 1, 2, … cycles across the short side; beyond its last one it is held
    """
    height, width = channels.shape[-2:]
    down, right = height // 8, width // 8  # a border that goes on as a mirror image: else opposite edges would mix
    padded = np.pad(channels, ((0, 0), (down, down), (right, right)), "symmetric")
    radius = _radii(*padded.shape[-2:], min(height, width))
    factor = np.interp(radius, np.arange(len(gain)), gain)
    found = np.fft.irfft2(np.fft.rfft2(padded) * factor, s=padded.shape[-2:])
    return found[:, down : down + height, right : right + width]


@cache
def _radii(height: int, width: int, short: int) -> Floats:
    """Returns for each frequency that rfft2 gives its cycles across `short` pixels [height, width // 2 + 1]."""
    return np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)) * short


# ---- levels


def levels(pixels: Pixels) -> Floats:
    """Returns the share of an image's pixels that have each level [3, 256]."""
    counts = [np.bincount(channel.ravel(), minlength=256) for channel in pixels]
    return np.stack(counts) / pixels[0].size


def matched(real: Floats, generated: Floats) -> Pixels:
    """Returns the level in each level's place that turns one histogram [256] into another, in order.

    Each level goes to where as many pixels of the real images are darker: the middle of those that have it.
    """
    middle = np.cumsum(generated) - generated / 2
    ends = np.concatenate([[0.0], np.cumsum(real)])
    return np.clip(np.interp(middle, ends, np.arange(257) - 0.5).round(), 0, 255).astype(np.uint8)


def recoloured(real: Look, generated: Look) -> Pixels:
    """Returns the level in each level's place [3, 256] that takes each channel to the mean and deviation of the real.

    Of fewer than ENOUGH real images only so far as they can tell.
    """
    trust = min(1.0, real.images / ENOUGH)
    (mean, deviation), (at, by) = _moments(real.levels), _moments(generated.levels)
    contrast = np.clip((deviation / np.maximum(by, 1e-9)) ** trust, *_CONTRAST)
    target = at + trust * (mean - at)
    found = (np.arange(256) - at[:, None]) * contrast[:, None] + target[:, None]
    return np.clip(found.round(), 0, 255).astype(np.uint8)


def _moments(levels: Floats) -> tuple[Floats, Floats]:
    """Returns mean and standard deviation of each channel, of its shares of levels [channels, 256]."""
    values = np.arange(256)
    mean = levels @ values
    return mean, np.sqrt(np.maximum(levels @ values**2 - mean**2, 0))


def _grey(pixels: Pixels) -> Floats:
    return np.tensordot(_LUMA, pixels, 1)


def _is_grey(pixels: Pixels) -> bool:
    return float(np.ptp(pixels, axis=0).mean()) < _GREY


# ---- measuring


def look(pixels: Pixels) -> Look:
    """Returns what is measured of one image."""
    return Look(1, spectrum(pixels), levels(pixels), _is_grey(pixels))


def together(looks: Iterable[Look]) -> Look:
    """Returns what was measured of all: the mean over their images."""
    looks = list(looks)
    counts = np.array([one.images for one in looks], dtype=np.float64)
    spectra = np.stack([one.spectrum for one in looks])
    weights = counts[:, None] * np.isfinite(spectra)
    sums = (weights * np.nan_to_num(spectra)).sum(0)
    mean = np.where(weights.any(0), sums / np.maximum(weights.sum(0), 1), np.nan)
    shares = np.tensordot(counts / counts.sum(), np.stack([one.levels for one in looks]), 1)
    return Look(int(counts.sum()), mean, shares, all(one.grey for one in looks))


def _looks(images: Mapping[int, Sequence[Read]]) -> dict[int, Look]:
    """Returns the look of each class that has images, of some of them spread over all."""
    most = max(MEASURED[0] // max(1, len(images)), MEASURED[1])
    chosen = [(label, read) for label, reads in sorted(images.items()) for read in _spread(reads, most)]
    with ThreadPoolExecutor(_THREADS) as threads:
        found = list(threads.map(lambda one: look(one[1]()), chosen))
    by_label: dict[int, list[Look]] = {}
    for (label, _), one in zip(chosen, found, strict=True):
        by_label.setdefault(label, []).append(one)
    return {label: together(looks) for label, looks in by_label.items()}


def _spread(reads: Sequence[Read], most: int) -> list[Read]:
    """Returns at most so many, evenly spread over all."""
    return [reads[len(reads) * place // most] for place in range(most)] if len(reads) > most else list(reads)


def _after(read: Read, change: Change) -> Read:
    return lambda: changed(read(), change)
