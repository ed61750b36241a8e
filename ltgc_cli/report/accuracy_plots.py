"""What methods are worth, as figures: accuracy by group of classes, gains by class."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from ltgc_cli.records import Class, Metric, Record
from ltgc_cli.report.accuracy import MethodComparison, MethodResult, comparison, groups, results, uncertainty_note
from ltgc_cli.report.format import signed
from ltgc_cli.report.plot import BLUE, INK, LEGEND, RED, SHOTS, Plot, binned, counts_axis, plot_text, styled
from ltgc_cli.text import counted

Floats = NDArray[np.float64]

_BARS = 40  # classes whose gains are shown one by one
_VALUE: Any = {"fontsize": 7.5, "alpha": 0.85}  # how a value beside its mark is written


@styled()
def accuracy(rows: Iterable[Record]) -> Plot | None:
    """Returns the accuracy of each method over each group of classes, each value with its interval.

    Methods trained on generated images are filled red, others blue; published ones are hollow, below a rule.
    """
    found = sorted(results(rows), key=lambda result: bool(result.source))
    shown = {key: title for key, title in groups(found).items() if any(one.value(key) is not None for one in found)}
    if not shown:
        return None
    rows_of_panels = math.ceil(len(shown) / 2)
    height = 0.5 + rows_of_panels * (0.55 + 0.36 * len(found))
    plot = Plot("Accuracy by group of classes", _results_in_words(found, list(shown)), height)
    panels = plot.subplots(rows_of_panels, min(2, len(shown)), sharey=True, sharex=True, squeeze=False).ravel()
    for spare in panels[len(shown) :]:
        spare.remove()
        panels[len(shown) - 2].tick_params(labelbottom=True)  # the one above it is the lowest of its column now
    panels = panels[: len(shown)]
    own = sum(not result.source for result in found)
    for axes, (group, title) in zip(panels, shown.items(), strict=True):
        axes.grid(axis="x")
        axes.set_title(title)
        for y, result in enumerate(found):
            _dot(axes, result, group, y + 0.18)
        if 0 < own < len(found):
            axes.axhline(own - 0.5, color=INK, alpha=0.4, linewidth=0.8)
        axes.spines["left"].set_visible(False)
        axes.set_yticks([])
        if (place := panels.tolist().index(axes)) % 2 == 0:
            _names(axes, found, 60 if place + 1 < len(shown) else 34)
    panels[0].set(xlim=_reach(found, list(shown)), ylim=(len(found) - 0.4, -0.55))
    notes = uncertainty_note(found, "lines: 95% intervals", "of several runs: ± standard deviation")
    plot.supxlabel("accuracy, %" + (f" ({'; '.join(notes)})" if notes else ""), alpha=0.85)
    return plot


def _names(axes: Axes, found: Sequence[MethodResult], length: int) -> None:
    """Writes names above their dots: beside them they would take half of the width."""
    how: Any = {"va": "bottom", "alpha": 0.85, "transform": axes.get_yaxis_transform(), "in_layout": False}
    for y, result in enumerate(found):
        axes.text(0, y - 0.08, plot_text(result.title, length), **how)


def _dot(axes: Axes, result: MethodResult, group: str, y: float) -> None:
    row = result.values.get(("accuracy", group))
    if row is None or row.value is None:
        return
    colour = INK if result.source else RED if result.generated else BLUE
    low, high = _interval(row)
    axes.plot([low, high], [y, y], color=colour, linewidth=1.8, alpha=0.6, solid_capstyle="butt")
    mark, fill = ("D", "none") if result.source else ("o", colour)
    axes.plot([row.value], [y], mark, color=colour, markerfacecolor=fill, markersize=4.5, markeredgewidth=1.1)
    axes.annotate(
        f"{row.value:.1f}", (max(high, row.value), y), (5, 0), textcoords="offset points", va="center", **_VALUE
    )


def _interval(row: Metric) -> tuple[float, float]:
    value = row.value or 0.0
    if row.spread is not None:
        return value - row.spread, value + row.spread
    return (value if row.low is None else row.low), (value if row.high is None else row.high)


def _reach(found: Sequence[MethodResult], groups: Sequence[str]) -> tuple[float, float]:
    """Returns where the axis of accuracies begins and ends."""
    rows = [row for result in found for group in groups if (row := result.values.get(("accuracy", group)))]
    ends = [end for row in rows if row.value is not None for end in _interval(row)]
    width = max(ends) - min(ends) or 4.0
    return min(ends) - 0.08 * width, max(ends) + 0.32 * width  # to the right stand the values


def _results_in_words(found: Sequence[MethodResult], groups: Sequence[str]) -> str:
    def values(result: MethodResult) -> str:
        return ", ".join(f"{group} {value:.1f}" for group in groups if (value := result.value(group)) is not None)

    return f"Accuracy in percent. {'; '.join(f'{result.title}: {values(result)}' for result in found)}."


_DOTS = 150  # classes that have a dot each
_GROUPS = 16  # of more classes, by their number of images


@styled()
def by_count(rows: Iterable[Record], baseline: str = "", method: str = "") -> Plot | None:
    """Returns accuracy against the number of real training images: a dot a class, from the baseline's to the method's.

    The two are those of `gains`. Of many classes it is their mean, over classes with about as many images.
    """
    whole = list(rows)
    pair = comparison(results(whole), baseline, method)
    classes = [
        row for row in {row.label: row for row in whole if isinstance(row, Class)}.values() if row.count is not None
    ]
    found = [
        (max(cls.count or 0, _NO_IMAGE), before, after)
        for cls in classes
        if pair and (other := pair.baseline_of_class(cls.shot))
        if (before := other.by_class.get(cls.label)) is not None
        if (after := pair.method.by_class.get(cls.label)) is not None
    ]
    if not pair or len(found) < 2:
        return None
    counts, before, after = np.array(found).T
    others = {other.title for cls in classes if (other := pair.baseline_of_class(cls.shot))}
    one = next(iter(others)) if len(others) == 1 else "the best baseline of its group"
    up, down = int((after > before).sum()), int((after < before).sum())
    words = (
        f"Accuracy of {counted(len(found), 'class')} by the number of their real training images, {counts.min():,.0f} "
        f"to {counts.max():,.0f}: {pair.method.title} is better than {one} on {up:,}, worse on {down:,}."
    )
    plot = Plot("Accuracy against training images", words, 3.0)
    axes = plot.add_subplot()
    (_arrows if len(found) <= _DOTS else _means)(axes, counts, before, after)
    axes.set(xscale="log", xlabel="real training images of the class", ylabel="accuracy, %")
    counts_axis(axes.xaxis)
    axes.grid(axis="y")
    handles = [
        Line2D([], [], linestyle="", marker="o", color=BLUE, markerfacecolor="none", label=plot_text(one, 50)),
        Line2D([], [], linestyle="", marker="o", color=RED, label=plot_text(pair.method.title, 50)),
    ]
    plot.legend(handles=handles, ncols=1, **LEGEND)
    return plot


_NO_IMAGE = 0.7  # where a class without a real image stands on a logarithmic axis


def _arrows(axes: Axes, counts: Floats, before: Floats, after: Floats) -> None:
    axes.vlines(counts, before, after, color=INK, alpha=0.35, linewidth=1)
    axes.plot(counts, after, "o", color=RED, markersize=4.5, markeredgewidth=0)
    # A ring that is wider than the dot, so that both are seen where they are the same.
    axes.plot(counts, before, "o", color=BLUE, markerfacecolor="none", markersize=7, markeredgewidth=1.2)


def _means(axes: Axes, counts: Floats, before: Floats, after: Floats) -> None:
    """Draws means over classes of about as many images; those of the same number are never parted."""
    group = np.digitize(counts, np.geomspace(counts.min(), counts.max(), _GROUPS + 1)[1:-1])
    sizes = np.maximum(np.bincount(group), 1)
    there = np.unique(group)
    x, low, high = ((np.bincount(group, values) / sizes)[there] for values in (counts, before, after))
    _arrows(axes, x, low, high)


class _Gain(NamedTuple):
    name: str
    shot: str
    points: float


@styled()
def gains(rows: Iterable[Record], baseline: str = "", method: str = "") -> Plot | None:
    """Returns by how many points the method's accuracy on each class differs from the baseline's, sorted.

    Without names the strongest method trained on generated images is taken, and for the classes of each shot the
    method without any that is best over that shot. Raises InputError for a name that was not measured.
    """
    whole = list(rows)
    pair = comparison(results(whole), baseline, method)
    found = _gains(whole, pair) if pair else []
    if not pair or not found:
        return None
    by_shot = _by_shot(found)
    groups = {
        shot: f"{shot or 'all'} ({len(own):,}): mean {signed(float(np.mean(own)))}" for shot, own in by_shot.items()
    }
    against = {shot: other.title if (other := pair.baseline_of_class(shot)) else "" for shot in groups}
    one = next(iter(against.values())) if len(set(against.values())) == 1 else ""
    title = f"Gain of {pair.method.title} over {one or 'the best baseline of its group'}, by class"
    words = [f"{text} points" + ("" if one else f" over {against[shot]}") for shot, text in groups.items()]
    few = len(found) <= _BARS
    plot = Plot(title, f"{title}. {'; '.join(words)}.", (0.95 + 0.19 * len(found) if few else 2.9) + 0.3)
    (_gain_bars if few else _gain_curves)(plot.add_subplot(), found)
    handles = [
        Patch(color=SHOTS.get(shot, INK), label=text + ("" if one else f", over {plot_text(against[shot], 40)}"))
        for shot, text in groups.items()
    ]
    over = f"{plot_text(pair.method.title, 36)} − {plot_text(one or 'the best baseline of its group', 36)}"
    plot.legend(handles=handles, ncols=1, title=over, **LEGEND)
    return plot


def _gains(rows: Sequence[Record], pair: MethodComparison) -> list[_Gain]:
    """Returns the gain on each class that both were measured on, the largest first."""
    names = {row.label: row.class_ for row in rows if isinstance(row, Class | Metric) and row.label >= 0}
    shots = {row.label: row.shot for row in rows if isinstance(row, Class)}
    found = [
        _Gain(names[label], shots.get(label, ""), gain)
        for label in sorted(pair.method.by_class)
        if (gain := pair.gain_of(label, shots.get(label, ""))) is not None
    ]
    return sorted(found, key=lambda gain: -gain.points)


def _by_shot(found: Sequence[_Gain]) -> dict[str, list[float]]:
    """Returns the gains by shot, most images first; classes whose shot is not known come last."""
    by_shot = {shot: [gain.points for gain in found if gain.shot == shot] for shot in (*SHOTS, "")}
    return {shot: own for shot, own in by_shot.items() if own}


def _gain_bars(axes: Axes, found: Sequence[_Gain]) -> None:
    names, points = [plot_text(gain.name) for gain in found], [gain.points for gain in found]
    colours = [SHOTS.get(gain.shot, INK) for gain in found]
    # An edge, so that no gain at all is a line.
    bars = axes.barh(range(len(found)), points, 0.28, color=colours, edgecolor=colours, linewidth=0.8)
    axes.bar_label(bars, [*map(signed, points)], padding=4, **_VALUE)
    axes.axvline(0, color=INK, alpha=0.6, linewidth=0.8)
    axes.grid(axis="x")
    axes.set_yticks(range(len(found)), names)
    axes.set(ylim=(len(found) - 0.4, -0.6), xlabel="gain, points of accuracy")
    axes.locator_params(axis="x", nbins=6)
    if not any(points):
        axes.set_xlim(-1, 1)  # no gain at all has no scale
    axes.margins(x=0.2)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _gain_curves(axes: Axes, found: Sequence[_Gain]) -> None:
    """Draws, for the classes of each shot, their gains from the largest to the smallest."""
    for shot, own in _by_shot(found).items():
        edges, values = binned(own)
        axes.stairs(values, 100 * edges / len(own), baseline=None, color=SHOTS.get(shot, INK), linewidth=1.6)
    axes.axhline(0, color=INK, alpha=0.6, linewidth=0.8)
    axes.grid(axis="y")
    what = "% of the group's classes, the largest gain first"
    axes.set(xlim=(0, 100), xlabel=what, ylabel="gain, points of accuracy")
