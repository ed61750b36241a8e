"""Each generated image beside the real image of its class that is nearest to it: whether it is a copy, how they differ.

Images are compared by their pixels, as thumbnails: without a model, and of those only that the page shows.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from PIL import Image

from ltgc_cli.providers.images import read as decoded
from ltgc_cli.report.content import Content
from ltgc_cli.report.plot import BLUE, INK, LEGEND, RED, Plot, styled
from ltgc_cli.report.thumbnails import is_tile
from ltgc_cli.text import counted

_SIDE = 16  # pixels that are compared, in either direction
_COPY, _REAL = 0.95, 95  # how alike a copy is at least, and than how many percent of the real images it is more so
_PAIRS = 12

Features = NDArray[np.float32]


class NearestReal(NamedTuple):
    """A generated image and the real image of its class that is nearest to it."""

    class_: str
    generated: str  # sha256
    real: str
    alike: float  # the correlation of their pixels, in [-1, 1]; 1 is the same picture


class Neighbours(NamedTuple):
    """The nearest real image of every generated one, and beside them how alike real and generated images are."""

    pairs: Mapping[tuple[str, str], NearestReal]  # by class and sha256
    real: Sequence[float]  # of each real image with the nearest other real one of its class
    generated: Sequence[float]  # of each generated image with the nearest other generated one

    @property
    def closest(self) -> list[NearestReal]:
        """The pairs that are most alike, the first one most."""
        return sorted(self.pairs.values(), key=lambda pair: -pair.alike)[:_PAIRS]

    @property
    def copy_from(self) -> float:
        """From where on an image may be a copy: more alike than nearly all real images of a class among themselves."""
        return max(_COPY, round(float(np.percentile(self.real, _REAL)), 2) if self.real else _COPY)

    @property
    def copies(self) -> int:
        """How many generated images may be copies."""
        copy_from = self.copy_from  # a percentile of all, once
        return sum(pair.alike >= copy_from for pair in self.pairs.values())


NONE = Neighbours({}, (), ())


def neighbours(content: Content, addresses: Mapping[str, str]) -> Neighbours:
    """Returns the nearest real images, class by class.

    addresses -- the data: address of each image's thumbnail by its sha256; what could not be opened is left out
    """
    pairs: dict[tuple[str, str], NearestReal] = {}
    real: list[float] = []
    generated: list[float] = []
    for cls in content.shown:
        originals, of_real = _features([one.sha256 for one in cls.originals], addresses)
        drawn, of_drawn = _features([one.sha256 for one in cls.generated], addresses)
        if not originals or not drawn:
            continue
        alike = of_drawn @ of_real.T
        for sha256, own in zip(drawn, alike, strict=True):
            best = int(own.argmax())
            pairs[cls.name, sha256] = NearestReal(cls.name, sha256, originals[best], round(float(own[best]), 4))
        real += _with_nearest_other(of_real)
        generated += _with_nearest_other(of_drawn)
    return Neighbours(pairs, real, generated)


def _features(shas: Sequence[str], addresses: Mapping[str, str]) -> tuple[list[str], Features]:
    """Returns the images that can be read, each once, and what is compared of each: [images, pixels]."""
    known = [sha256 for sha256 in dict.fromkeys(shas) if sha256 in addresses and not is_tile(addresses[sha256])]
    rows = [feature(addresses[sha256]) for sha256 in known]
    return known, np.stack(rows) if rows else np.zeros((0, _SIDE * _SIDE * 3), dtype=np.float32)


def feature(address: str) -> Features:
    """Returns a thumbnail's pixels at 16 × 16 without their mean, of length 1; zeros of an image in one colour.

    The dot product of two of them is the correlation of the images: how light, or how much contrast one has, is
    left out.
    """
    image = decoded(base64.b64decode(address.partition(",")[2]))
    small = image.resize((_SIDE, _SIDE), Image.Resampling.BOX)
    pixels = np.asarray(small, dtype=np.float32).ravel()
    pixels = pixels - pixels.mean()
    length = float(np.linalg.norm(pixels))
    return pixels / length if length > 1e-3 else np.zeros_like(pixels)


def _with_nearest_other(found: Features) -> list[float]:
    if len(found) < 2:
        return []
    alike = found @ found.T
    np.fill_diagonal(alike, -np.inf)
    return [round(float(value), 4) for value in alike.max(axis=1)]


@styled()
def figure(found: Neighbours) -> Plot | None:
    """Returns how alike generated images and their nearest real ones are, beside real and generated images alone."""
    if not found.pairs:
        return None
    lines: dict[str, tuple[Sequence[float], str, Any]] = {
        "generated, with the nearest real": ([pair.alike for pair in found.pairs.values()], RED, "-"),
        "real, with the nearest other real": (found.real, INK, (0, (4, 1.5))),
        "generated, with the nearest other generated": (found.generated, BLUE, (0, (1, 1.2))),
    }
    medians = [f"{name}: median {np.median(own):.2f}" for name, (own, *_) in lines.items() if own]
    copies = f"{counted(found.copies, 'generated image')} may be a copy, from {found.copy_from} on."
    plot = Plot("How alike images of one class are", f"{'; '.join(medians)}; {copies}", 2.9)
    axes = plot.add_subplot()
    low = min(min(own) for own, *_ in lines.values() if own)
    edges = np.linspace(min(low, 0.0), 1.0, 31)
    for own, colour, dash in lines.values():
        if own:
            shares = 100 * np.histogram(own, edges)[0] / len(own)
            axes.stairs(shares, edges, baseline=None, color=colour, linestyle=dash, linewidth=1.6)
    axes.axvline(found.copy_from, color=INK, alpha=0.5, linewidth=0.8)
    how: dict[str, Any] = {"ha": "right", "va": "bottom", "alpha": 0.85, "transform": axes.get_xaxis_transform()}
    axes.text(1.0, 1.01, f"from {found.copy_from} on maybe copies", **how)  # above the curves, not on them
    axes.set(xlim=(edges[0], 1.0), ylim=(0, None), xlabel="correlation of pixels at 16 × 16", ylabel="% of images")
    axes.grid(axis="y")
    handles = [
        Line2D([], [], color=colour, linestyle=dash, linewidth=1.6, label=f"{name} ({len(own):,})")
        for name, (own, colour, dash) in lines.items()
        if own
    ]
    plot.legend(handles=handles, ncols=1, **LEGEND)
    return plot
