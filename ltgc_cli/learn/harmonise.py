"""Generated images brought to the look of the real ones: their amplitude spectrum, then their colours.

What is where, the phases of an image, stays. Original images are never touched.

  spectrum  the amplitude at each number of cycles across the image, of all directions together, in the brightness: its
            mean log over all real images over that of all generated ones, of a class's own where SPECTRA of each
            are measured: fewer tell what it shows, not how it looks. Only its shape: contrast belongs to the colours.
  colours   mean and deviation of red, green and blue in an image go to where those of the class's real images lie,
            never another class's. Where it has n < ENOUGH real ones n / ENOUGH of the way; without any, colours stay.
            Images stay as different from each other as they were, or become as different as the real ones are.
  grey      where all real images are grey, generated ones become so, and each takes the mean histogram of all real
            images: greys have no class's colours to lose, and few images tell little of a histogram.

An amplitude exchanged under the phase that was there is Fourier domain adaptation (Yang and Soatto, CVPR 2020), here of
means and not of single images; moments of colours are as in Reinhard et al. (2001); histograms are matched by their
quantiles, whose mean is that of optimal transport.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ENOUGH = 8  # real images of a class that tell its colours
SPECTRA = 32  # images of a class that tell its spectrum
MEASURED = 2_000, 16  # images that are measured: so many of all classes together, but at least so many of each
_RADII = 112  # cycles across the short side up to which spectra are compared: what a frame of 224 pixels can have
_GAIN = 1 / 8, 4.0  # of an amplitude: to weaken adds nothing, to strengthen adds noise
_CONTRAST = 1 / 2, 2.0  # of a colour's deviation in an image
_GREY = 2.0  # levels that the channels of a grey image differ by on average, after JPEG
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_SHARES = (np.arange(256) + 0.5) / 256  # of an image's pixels, darkest first, that quantiles are taken at
_THREADS = 8

Pixels = NDArray[np.uint8]  # [3, height, width]
Floats = NDArray[np.float64]
Read = Callable[[], Pixels]


class Look(NamedTuple):
    """What is measured of images: means over them, each weighing alike."""

    images: int
    spectrum: Floats  # log amplitude at 1, 2, … _RADII cycles across the short side; NaN where no image is so large
    greys: Floats  # quantiles of the brightness, at _SHARES [256]
    colours: Floats  # mean and log deviation of each channel in an image, and the squares of those [2, 6]
    grey: bool  # whether all images are


class Change(NamedTuple):
    """What is done to each generated image of a class: its amplitudes, then greys or colours."""

    gain: Floats  # of the amplitude at 0, 1, … _RADII cycles across the short side
    greys: Floats | None = None  # the quantiles that it takes, in grey; None: it stays coloured
    real: Floats | None = None  # the class's colours, as a Look has them; None: colours stay
    generated: Floats | None = None  # the same of its generated images, once their amplitudes are changed
    trust: float = 1.0  # how much of the way is gone from one to the other, 0 to 1


def changes(real: Mapping[int, Sequence[Read]], generated: Mapping[int, Sequence[Read]]) -> dict[int, Change]:
    """Returns what makes generated images look like the real ones, by the label of each class that has any.

    real, generated -- by label, what returns each image's pixels, of any size; the same images give the same changes
    """
    theirs, before = _looks(real), _looks(generated)
    all_real, all_before = together(theirs.values()), together(before.values())
    found = {
        label: Change(
            gain(theirs[label], own)
            if label in theirs and min(theirs[label].images, own.images) >= SPECTRA
            else gain(all_real, all_before)
        )
        for label, own in before.items()
    }
    if all_real.grey:
        return {label: change._replace(greys=all_real.greys) for label, change in found.items()}
    own_colours = {
        label: [_after(read, found[label]) for read in generated[label]] for label in found if label in theirs
    }
    for label, after in _looks(own_colours).items():
        trust = min(1.0, theirs[label].images / ENOUGH)
        found[label] = found[label]._replace(real=theirs[label].colours, generated=after.colours, trust=trust)
    return found


def changed(pixels: Pixels, change: Change) -> Pixels:
    """Returns a generated image as the real ones look, uint8 [3, height, width] like itself."""
    if change.greys is not None:
        grey = _as_levels(filtered(np.tensordot(_LUMA, pixels, 1)[None], change.gain))[0]
        return np.stack([_matched(grey, change.greys)[grey]] * 3)
    found = _as_levels(filtered(pixels.astype(np.float64), change.gain))
    if change.real is None or change.generated is None:
        return found
    tone = _colours(found)
    at, by = tone.reshape(2, 3)
    mean, deviation = pulled(tone, change.real, change.generated, change.trust).reshape(2, 3)
    contrast = np.clip(np.exp(deviation - by), *_CONTRAST)
    return _as_levels((found - at[:, None, None]) * contrast[:, None, None] + mean[:, None, None])


def pulled(tone: Floats, real: Floats, generated: Floats, trust: float) -> Floats:
    """Returns an image's colours [6] moved to where those of real images lie.

    What it differs by from the mean of generated images is kept, but where real ones are more alike made as small; one
    real image does not tell how alike they are.
    """
    (mean, deviation), (at, by) = map(_moments, (real, generated))
    alike = np.where(deviation > 0, np.minimum(deviation / np.maximum(by, 1e-9), 1), 1)
    return tone + trust * (mean + (tone - at) * alike - tone)


def _moments(means: Floats) -> tuple[Floats, Floats]:
    """Returns mean and standard deviation, of the means of values and of their squares."""
    return means[0], np.sqrt(np.maximum(means[1] - means[0] ** 2, 0))


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


# ---- greys and colours


def _greys(pixels: Pixels) -> Floats:
    """Returns the quantiles of an image's brightness at _SHARES [256]."""
    return np.quantile(np.tensordot(_LUMA, pixels, 1), _SHARES)


def _colours(pixels: Pixels) -> Floats:
    """Returns the mean and the log standard deviation of each channel of an image [6]."""
    counts = np.stack([np.bincount(channel.ravel(), minlength=256) for channel in pixels])
    mean = counts @ np.arange(256) / pixels[0].size
    square = counts @ np.arange(256) ** 2 / pixels[0].size
    deviation = np.sqrt(np.maximum(square - mean**2, 1))  # below a level it says nothing
    return np.concatenate([mean, np.log(deviation)])


def _matched(channel: Pixels, quantiles: Floats) -> Pixels:
    """Returns the level in each level's place [256] that gives a channel these quantiles, at _SHARES.

    Pixels of one level stay of one level: that of the middle of them.
    """
    shares = np.bincount(channel.ravel(), minlength=256) / channel.size
    return _as_levels(np.interp(np.cumsum(shares) - shares / 2, _SHARES, quantiles))


def _as_levels(values: Floats) -> Pixels:
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


def _is_grey(pixels: Pixels) -> bool:
    return float(np.ptp(pixels, axis=0).mean()) < _GREY


# ---- measuring


def look(pixels: Pixels) -> Look:
    """Returns what is measured of one image."""
    colours = _colours(pixels)
    return Look(1, spectrum(pixels), _greys(pixels), np.stack([colours, colours**2]), _is_grey(pixels))


def together(looks: Iterable[Look]) -> Look:
    """Returns what was measured of all: the means over their images."""
    looks = list(looks)
    images = np.array([one.images for one in looks], dtype=np.float64)

    def mean(values: Floats) -> Floats:
        """The mean over images of values [looks, …], where they are any."""
        weights = np.isfinite(values) * images.reshape(-1, *[1] * (values.ndim - 1))
        sums = (weights * np.nan_to_num(values)).sum(0)
        return np.where(weights.any(0), sums / np.maximum(weights.sum(0), 1), np.nan)

    spectra, greys, colours = (mean(np.stack(values)) for values in zip(*(one[1:4] for one in looks), strict=True))
    return Look(int(images.sum()), spectra, greys, colours, all(one.grey for one in looks))


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
