"""How drawings score beside real images, and the bar that they must reach, as a figure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from ltgc_cli.records import Class, Image, Record, Rejected, Template
from ltgc_cli.report.numbers import bins, shares
from ltgc_cli.report.plot import BLUE, INK, RED, RULE, Plot, dressed, legend, named, plain

_RIDGES = 12
"""Classes whose scores are shown one by one."""
_BINS = 48
_TICKS = 100
"""Real scores that are shown one by one in a row."""
_KINDS = (("accepted", BLUE), ("rejected", RED))
_BAR: Any = (0, (2, 1))


class _Judged(NamedTuple):
    """The scores of one class."""

    name: str
    bar: float | None
    real: Sequence[float]
    accepted: Sequence[float]
    rejected: Sequence[float]

    @property
    def drawn(self) -> Sequence[float]:
        return [*self.accepted, *self.rejected]


def scores(rows: Iterable[Record], real: Mapping[int, Sequence[float]] | None = None) -> Plot | None:
    """Returns how drawings score, real images beside them, with the bar that a drawing must reach.

    A few classes are shown one by one; of many, whose bars differ, each score is taken relative to its class's bar.

    real -- scores of real images by label, for streams whose originals have none
    """
    found, scale = _judged(rows, real or {})
    if not any(cls.drawn or cls.real for cls in found):
        return None
    words = f"CLIP scores of {sum(len(cls.accepted) for cls in found):,} accepted and "
    words += f"{sum(len(cls.rejected) for cls in found):,} rejected drawings"
    words += f" beside {sum(len(cls.real) for cls in found):,} real images." if any(cls.real for cls in found) else "."
    if len(found) <= _RIDGES:
        plot = Plot("Scores of drawings, by class", words, 0.9 + 0.42 * len(found))
        _ridges(dressed(plot.add_subplot()), found, scale)
    else:
        plot = Plot("Scores of drawings", words, 2.9)
        _pooled(dressed(plot.add_subplot(), grid="y"), found, scale)
    handles: list[Patch | Line2D] = [
        Patch(facecolor=colour, alpha=0.75, label=f"{kind} ({sum(len(getattr(cls, kind)) for cls in found):,})")
        for kind, colour in _KINDS
        if any(getattr(cls, kind) for cls in found)
    ]
    if any(cls.real for cls in found):
        tick: dict[str, Any] = {"marker": "|", "linestyle": ""} if len(found) <= _RIDGES else {"linewidth": 1.2}
        handles.append(Line2D([], [], color=INK, **tick, label=f"real ({sum(len(cls.real) for cls in found):,})"))
    if any(cls.bar is not None for cls in found):
        handles.append(Line2D([], [], color=INK, linewidth=1.4, linestyle=_BAR, label="the class's bar"))
    legend(plot, handles, 4)
    return plot


def _judged(rows: Iterable[Record], given: Mapping[int, Sequence[float]]) -> tuple[list[_Judged], str]:
    """Returns the scores of every class that has any, the one with most real images first, and their scale."""
    names: dict[int, str] = {}
    counts: dict[int, int] = {}
    bars: dict[int, float | None] = {}
    real: dict[int, list[float]] = {label: list(some) for label, some in given.items()}
    by_fate: dict[str, dict[int, list[float]]] = {"accepted": {}, "rejected": {}}
    scale = ""
    for row in rows:
        if isinstance(row, Class):
            names[row.label], counts[row.label] = row.class_, row.count or 0
        elif isinstance(row, Template) and row.threshold is not None:
            bars[row.label] = row.threshold
        elif isinstance(row, Image | Rejected) and row.score is not None and math.isfinite(row.score):
            names.setdefault(row.label, row.class_)
            if isinstance(row, Image) and row.origin == "original" and row.label not in given:
                real.setdefault(row.label, []).append(row.score)
            elif isinstance(row, Rejected) or row.origin == "generated":
                fate = by_fate["rejected" if isinstance(row, Rejected) else "accepted"]
                fate.setdefault(row.label, []).append(row.score)
                bars.setdefault(row.label, row.threshold)
                scale = row.scale or scale
    accepted, rejected = by_fate["accepted"], by_fate["rejected"]
    labels = sorted({*real, *accepted, *rejected}, key=lambda label: (-counts.get(label, 0), label))
    found = [
        _Judged(
            names.get(label, str(label)),
            bars.get(label),
            real.get(label, ()),
            accepted.get(label, ()),
            rejected.get(label, ()),
        )
        for label in labels
    ]
    return found, scale


def _ridges(axes: Axes, found: Sequence[_Judged], scale: str) -> None:
    """Draws a class a row: its drawings as a heap, its real images as ticks below, its bar across."""
    everything = [score for cls in found for score in (*cls.drawn, *cls.real)]
    low, high = min(everything), max(everything)
    for place, cls in enumerate(found):
        ground = len(found) - 1.0 - place
        axes.axhline(ground, color=INK, alpha=RULE, linewidth=0.6, zorder=0)
        edges = bins(low, high, _BINS, cls.bar)
        _stack(axes, cls, edges, ground, 0.7 / max(float(shares(cls.drawn, edges).max()), 1e-9))
        _ticks(axes, cls.real, ground)
        if cls.bar is not None:
            axes.plot([cls.bar] * 2, [ground - 0.2, ground + 0.75], color=INK, linewidth=1.4, linestyle=_BAR)
    axes.set_ylim(-0.25, len(found) - 0.2)
    axes.margins(x=0.02)
    axes.spines["left"].set_visible(False)
    middles = [len(found) - 0.85 - place for place in range(len(found))]
    axes.set_yticks(middles, [plain(cls.name) for cls in found])
    axes.tick_params(axis="y", length=0)
    named(axes, _score(scale))


def _pooled(axes: Axes, found: Sequence[_Judged], scale: str) -> None:
    bars = {cls.bar for cls in found}
    relative = len(bars) > 1
    if relative:
        found = [_from_bar(cls, cls.bar) for cls in found if cls.bar is not None]
    pools = {
        kind: [score for cls in found for score in getattr(cls, kind)] for kind in ("accepted", "rejected", "real")
    }
    everything = [score for pool in pools.values() for score in pool]
    bar = 0.0 if relative else next(iter(bars))
    edges = bins(min(everything), max(everything), _BINS, bar)
    _stack(axes, _Judged("", None, **pools), edges, 0.0, 100)
    if pools["real"]:
        axes.stairs(100 * shares(pools["real"], edges), edges, baseline=None, color=INK, linewidth=1.2)
    if bar is not None:
        axes.axvline(bar, color=INK, linewidth=1.4, linestyle=_BAR)
    axes.set(xlim=(edges[0], edges[-1]), ylim=(0, None))
    named(axes, _score(scale) + (", above or below the class's bar" if relative else ""), "% of images")


def _stack(axes: Axes, cls: _Judged, edges: NDArray[np.float64], ground: float, height: float) -> None:
    """Draws what share of the drawings scored how, the accepted ones below the rejected."""
    base = np.full(len(edges) - 1, ground)
    for kind, colour in _KINDS:
        own = getattr(cls, kind)
        if own:
            top = base + height * shares(own, edges) * len(own) / len(cls.drawn)
            axes.stairs(top, edges, baseline=base, fill=True, color=colour, alpha=0.75, linewidth=0)
            base = top


def _ticks(axes: Axes, real: Sequence[float], ground: float) -> None:
    """Draws a tick below the row for each real score; for a hundred of them where there are more."""
    some = np.sort(real)[np.unique(np.linspace(0, len(real) - 1, min(len(real), _TICKS)).round().astype(int))]
    x = np.repeat(some, 3)
    y = np.tile([ground - 0.06, ground - 0.2, np.nan], len(some))
    axes.plot(x, y, color=INK, linewidth=0.9, alpha=0.7, solid_capstyle="butt")


def _from_bar(cls: _Judged, bar: float) -> _Judged:
    real, accepted, rejected = ([score - bar for score in some] for some in (cls.real, cls.accepted, cls.rejected))
    return cls._replace(bar=0.0, real=real, accepted=accepted, rejected=rejected)


def _score(scale: str) -> str:
    return f"CLIP score ({scale} scale)" if scale else "CLIP score"
