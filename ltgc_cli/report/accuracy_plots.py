"""What methods are worth, as figures: accuracy by group of classes, gains by class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from ltgc_cli.records import Class, Metric, Record
from ltgc_cli.report.accuracy import GROUPS, MethodComparison, MethodResult, comparison, results, uncertainty_note
from ltgc_cli.report.numbers import binned
from ltgc_cli.report.plot import (
    BLUE,
    INK,
    RED,
    SHOTS,
    STEPS,
    Plot,
    label_axes,
    legend,
    plot_text,
    signed,
    small_print,
    styled,
    value_beside,
)
from ltgc_cli.text import counted

_BARS = 40
"""Classes whose gains are shown one by one."""


def accuracy(rows: Iterable[Record]) -> Plot | None:
    """Returns the accuracy of each method over many, medium, few and all, each value with its interval.

    Methods trained on generated images are filled red, others blue; published ones are hollow, below a rule.
    """
    found = sorted(results(rows), key=lambda result: bool(result.source))
    groups = [group for group in GROUPS if any(result.value(group) is not None for result in found)]
    if not groups:
        return None
    plot = Plot("Accuracy by group of classes", _results_in_words(found, groups), 0.8 + 0.36 * len(found))
    panels = plot.subplots(1, len(groups), sharey=True, sharex=True, squeeze=False)[0]
    own = sum(not result.source for result in found)
    for axes, group in zip(panels, groups, strict=True):
        styled(axes, grid="x")
        axes.set_title(group, fontsize=9.5, color=INK, loc="left")
        for y, result in enumerate(found):
            _dot(axes, result, group, y + 0.18)
        if 0 < own < len(found):
            axes.axhline(own - 0.5, color=INK, alpha=0.4, linewidth=0.8)
        axes.spines["left"].set_visible(False)
        axes.set_yticks([])
    # Names stand above their dots: beside them they would take half of the width.
    for y, result in enumerate(found):
        text = small_print(panels[0], 0, y - 0.08, plot_text(result.title, 60), va="bottom", alpha=0.85)
        text.set(transform=panels[0].get_yaxis_transform(), in_layout=False)
    panels[0].set(xlim=_reach(found, groups), ylim=(len(found) - 0.4, -0.55))
    notes = uncertainty_note(found, "lines: 95% intervals", "of several runs: ± standard deviation")
    what = "accuracy, %" + (f" ({'; '.join(notes)})" if notes else "")
    plot.supxlabel(what, fontsize=8.5, color=INK, alpha=0.85)
    return plot


def _dot(axes: Axes, result: MethodResult, group: str, y: float) -> None:
    row = result.values.get(("accuracy", group))
    if row is None or row.value is None:
        return
    colour = INK if result.source else RED if result.generated else BLUE
    low, high = _interval(row)
    axes.plot([low, high], [y, y], color=colour, linewidth=1.8, alpha=0.6, solid_capstyle="butt")
    mark, fill = ("D", "none") if result.source else ("o", colour)
    axes.plot([row.value], [y], mark, color=colour, markerfacecolor=fill, markersize=4.5, markeredgewidth=1.1)
    value_beside(axes, f"{row.value:.1f}", max(high, row.value), y, 5)


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
    words = []
    for result in found:
        values = [f"{group} {result.value(group):.1f}" for group in groups if result.value(group) is not None]
        words.append(f"{result.title}: {', '.join(values)}")
    return "Accuracy in percent. " + "; ".join(words) + "."


class _Gain(NamedTuple):
    name: str
    shot: str
    points: float


def gains(rows: Iterable[Record], baseline: str = "", method: str = "") -> Plot | None:
    """Returns by how many points the method's accuracy on each class differs from the baseline's, sorted.

    Without names the strongest method trained on generated images is taken, and the strongest without any.
    Raises InputError for a name that was not measured.
    """
    whole = list(rows)
    pair = comparison(results(whole), baseline, method)
    found = _gains(whole, pair) if pair else []
    if not pair or not found:
        return None
    title = f"Gain of {pair.method.title} over {pair.baseline.title}, by class"
    words = f"{title}. " + "; ".join(_group_in_words(shot, own) for shot, own in _by_shot(found).items()) + "."
    if len(found) <= _BARS:
        plot = Plot(title, words, 0.95 + 0.19 * len(found))
        _gain_bars(styled(plot.add_subplot(), grid="x"), found)
    else:
        plot = Plot(title, words, 2.9)
        _gain_curves(styled(plot.add_subplot(), grid="y"), found)
    handles = [
        Patch(facecolor=SHOTS.get(shot, INK), alpha=0.85, label=f"{shot or 'all'} ({len(own):,}): {_mean(own)}")
        for shot, own in _by_shot(found).items()
    ]
    legend(plot, handles, 3, f"{plot_text(pair.method.title, 36)} − {plot_text(pair.baseline.title, 36)}")
    return plot


def _gains(rows: Sequence[Record], pair: MethodComparison) -> list[_Gain]:
    """Returns the gain on each class that both were measured on, the largest first."""
    names = {row.label: row.class_ for row in rows if isinstance(row, Class | Metric) and row.label >= 0}
    shots = {row.label: row.shot for row in rows if isinstance(row, Class)}
    found = [
        _Gain(names[label], shots.get(label, ""), gain)
        for label in sorted(pair.method.by_class)
        if (gain := pair.gain_of(label)) is not None
    ]
    return sorted(found, key=lambda gain: -gain.points)


def _by_shot(found: Sequence[_Gain]) -> dict[str, list[float]]:
    """Returns the gains by shot, most images first; classes whose shot is not known come last."""
    by_shot = {shot: [gain.points for gain in found if gain.shot == shot] for shot in (*SHOTS, "")}
    return {shot: own for shot, own in by_shot.items() if own}


def _group_in_words(shot: str, own: Sequence[float]) -> str:
    return f"{shot or 'all'} ({counted(len(own), 'class')}): {_mean(own)} points"


def _mean(own: Sequence[float]) -> str:
    return f"mean {signed(float(np.mean(own)))}"


def _gain_bars(axes: Axes, found: Sequence[_Gain]) -> None:
    for y, gain in enumerate(found):
        colour = SHOTS.get(gain.shot, INK)
        axes.plot([0, gain.points], [y, y], color=colour, linewidth=4.5, alpha=0.85, solid_capstyle="butt")
        if not gain.points:
            axes.plot([0], [y], "|", color=colour, markersize=5, markeredgewidth=1.6)
        value_beside(axes, signed(gain.points), gain.points, y, -4 if gain.points < 0 else 4)
    axes.axvline(0, color=INK, alpha=0.6, linewidth=0.8)
    axes.set_yticks(range(len(found)), [plot_text(gain.name) for gain in found])
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.margins(x=0.14)
    label_axes(axes, "gain, points of accuracy")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _gain_curves(axes: Axes, found: Sequence[_Gain]) -> None:
    """Draws, for the classes of each shot, their gains from the largest to the smallest."""
    for shot, own in _by_shot(found).items():
        edges, values = binned(own, STEPS)
        share = 100 * edges / len(own)
        colour = SHOTS.get(shot, INK)
        axes.stairs(values, share, baseline=None, color=colour, linewidth=1.6)
    axes.axhline(0, color=INK, alpha=0.6, linewidth=0.8)
    axes.set_xlim(0, 100)
    label_axes(axes, "% of the group's classes, the largest gain first", "gain, points of accuracy")
