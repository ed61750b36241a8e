"""How generated images score beside real ones, and the threshold that they must reach, as a figure."""

from __future__ import annotations

import math
from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from ltgc_cli.records import Class, Image, Record, Rejected, Template
from ltgc_cli.report.plot import BLUE, INK, LEGEND, RED, Plot, plot_text, styled

_RIDGES = 12  # classes whose scores are shown one by one
_BINS = 48
_TICKS = 100  # real scores that are shown one by one in a row
_COLOURS = {"accepted": BLUE, "rejected": RED}
_THRESHOLD: Any = {"color": INK, "linewidth": 1.4, "linestyle": (0, (2, 1))}


def _floats() -> array[float]:
    return array("d")  # eight bytes a score: there may be a million


@dataclass
class ClassScores:
    """The scores of one class."""

    name: str = ""
    count: int = 0
    threshold: float | None = None
    scale: str = ""
    real: array[float] = field(default_factory=_floats)
    accepted: array[float] = field(default_factory=_floats)
    rejected: array[float] = field(default_factory=_floats)

    @property
    def generated(self) -> array[float]:
        return self.accepted + self.rejected


@styled()
def scores(rows: Iterable[Record], real: Mapping[int, Sequence[float]] | None = None) -> Plot | None:
    """Returns how generated images score, real ones beside them, with the threshold that they must reach.

    A few classes are shown one by one; of many, whose thresholds differ, each score is taken relative to its own.

    real -- scores of real images by label, for streams whose originals have none
    """
    return drawn(class_scores(rows, real or {}))


@styled()
def drawn(by_label: Mapping[int, ClassScores]) -> Plot | None:
    """Returns the same of scores that were gathered class by class."""
    labels = [label for label, cls in by_label.items() if cls.real or cls.generated]
    found = [by_label[label] for label in sorted(labels, key=lambda label: (-by_label[label].count, label))]
    scale = next((cls.scale for cls in reversed([*by_label.values()]) if cls.scale), "")
    what = f"CLIP score ({scale} scale)" if scale else "CLIP score"
    counts = {kind: sum(len(getattr(cls, kind)) for cls in found) for kind in (*_COLOURS, "real")}
    if not any(counts.values()):
        return None
    words = f"CLIP scores of {counts['accepted']:,} accepted and {counts['rejected']:,} rejected generated images"
    words += f" beside {counts['real']:,} real images." if counts["real"] else "."
    if len(found) <= _RIDGES:
        plot = Plot("Scores of generated images, by class", words, 0.9 + 0.42 * len(found))
        _ridges(plot.add_subplot(), found, what)
    else:
        plot = Plot("Scores of generated images", words, 2.9)
        _pooled(plot.add_subplot(), found, what)
    handles: list[Patch | Line2D] = [
        Patch(facecolor=colour, alpha=0.75, label=f"{kind} ({counts[kind]:,})")
        for kind, colour in _COLOURS.items()
        if counts[kind]
    ]
    if counts["real"]:
        tick: dict[str, Any] = {"marker": "|", "linestyle": ""} if len(found) <= _RIDGES else {"linewidth": 1.2}
        handles.append(Line2D([], [], color=INK, **tick, label=f"real ({counts['real']:,})"))
    if any(cls.threshold is not None for cls in found):
        handles.append(Line2D([], [], **_THRESHOLD, label="the class's threshold"))
    plot.legend(handles=handles, ncols=2, **LEGEND)
    return plot


def class_scores(rows: Iterable[Record], given: Mapping[int, Sequence[float]]) -> dict[int, ClassScores]:
    """Returns the scores of every class by its label.

    given -- scores of real images by label, for streams whose originals have none
    """
    found: defaultdict[int, ClassScores] = defaultdict(ClassScores)
    for label, some in given.items():
        found[label].real = array("d", some)
    for row in rows:
        cls = found[row.label]
        cls.name = cls.name or row.class_
        if isinstance(row, Class):
            cls.count = row.count or 0
        elif isinstance(row, Template) and row.threshold is not None:
            cls.threshold = row.threshold
        elif isinstance(row, Image | Rejected) and row.score is not None and math.isfinite(row.score):
            if isinstance(row, Image) and row.origin == "original" and row.label not in given:
                cls.real.append(row.score)
            elif isinstance(row, Rejected) or row.origin == "generated":
                (cls.rejected if isinstance(row, Rejected) else cls.accepted).append(row.score)
                cls.threshold = row.threshold if cls.threshold is None else cls.threshold
                cls.scale = row.scale or cls.scale
    return dict(found)


def _ridges(axes: Axes, found: Sequence[ClassScores], what: str) -> None:
    """Draws a class a row: its generated images as a heap, its real ones as ticks below, its threshold across."""
    everything = [score for cls in found for score in (*cls.generated, *cls.real)]
    grounds = range(len(found) - 1, -1, -1)
    for ground, cls in zip(grounds, found, strict=True):
        axes.axhline(ground, color=INK, alpha=0.22, linewidth=0.6, zorder=0)
        edges = bins(min(everything), max(everything), _BINS, cls.threshold)
        _heap(axes, cls, edges, 0.7 / max(np.histogram(cls.generated, edges)[0].max(), 1), ground)
        _ticks(axes, cls.real, ground)
        if cls.threshold is not None:
            axes.plot([cls.threshold] * 2, [ground - 0.2, ground + 0.75], **_THRESHOLD)
    axes.set(ylim=(-0.25, len(found) - 0.2), xlabel=what)
    axes.margins(x=0.02)
    axes.spines["left"].set_visible(False)
    axes.set_yticks([ground + 0.15 for ground in grounds], [plot_text(cls.name) for cls in found])
    axes.tick_params(axis="y", length=0)


def _pooled(axes: Axes, found: Sequence[ClassScores], what: str) -> None:
    threshold, *others = {cls.threshold for cls in found}
    if others:  # each score relative to the threshold of its class
        found, threshold = [cls for cls in found if cls.threshold is not None], 0.0
        what += ", above or below the class's threshold"
    all_ = ClassScores()
    for cls in found:
        origin = (cls.threshold or 0.0) if others else 0.0
        for kind in (*_COLOURS, "real"):
            getattr(all_, kind).extend(score - origin for score in getattr(cls, kind))
    everything = [*all_.generated, *all_.real]
    edges = bins(min(everything), max(everything), _BINS, threshold)
    _heap(axes, all_, edges, 100 / max(len(all_.generated), 1))
    if all_.real:
        weights = np.full(len(all_.real), 100 / len(all_.real))
        axes.hist(all_.real, [*edges], weights=weights, histtype="step", color=INK, linewidth=1.2)
    if threshold is not None:
        axes.axvline(threshold, **_THRESHOLD)
    axes.set(xlim=(edges[0], edges[-1]), ylim=(0, None), xlabel=what, ylabel="% of images")
    axes.grid(axis="y")


def bins(low: float, high: float, count: int, at: float | None = None) -> NDArray[np.float64]:
    """Returns the edges of equal bins that cover low to high, so many or a few more; one edge lies at `at`.

    >>> bins(0.0, 1.0, 4, 0.6).round(2).tolist()
    [-0.15, 0.1, 0.35, 0.6, 0.85, 1.1]
    """
    step = (high - low) / count or 0.01
    start = low if at is None else at - np.ceil((at - low) / step) * step
    steps = np.floor((high - start) / step) + 1
    return np.asarray(min(start, low) + step * np.arange(steps + 1), dtype=np.float64)


def _heap(axes: Axes, cls: ClassScores, edges: NDArray[np.float64], height: float, ground: float = 0.0) -> None:
    """Draws how many of the generated images scored how, each so high, the accepted ones below the rejected."""
    kinds = {colour: own for kind, colour in _COLOURS.items() if (own := getattr(cls, kind))}
    how: Any = {"histtype": "stepfilled", "stacked": True, "bottom": ground, "alpha": 0.75, "linewidth": 0}
    weights = [np.full(len(own), height) for own in kinds.values()]
    if kinds:
        axes.hist([*kinds.values()], [*edges], weights=weights, color=[*kinds], **how)


def _ticks(axes: Axes, real: Sequence[float], ground: float) -> None:
    """Draws a tick below the row for each real score; for a hundred of them where there are more."""
    some = np.sort(real)[np.unique(np.linspace(0, len(real) - 1, min(len(real), _TICKS)).round().astype(int))]
    x = np.repeat(some, 3)
    y = np.tile([ground - 0.06, ground - 0.2, np.nan], len(some))
    axes.plot(x, y, color=INK, linewidth=0.9, alpha=0.7, solid_capstyle="butt")
