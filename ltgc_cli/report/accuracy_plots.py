"""What methods are worth, as figures: accuracy by group of classes, gains by class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from ltgc_cli.records import Class, Metric, Record
from ltgc_cli.report import accuracy as measured
from ltgc_cli.report.numbers import binned
from ltgc_cli.report.plot import (
    BLUE,
    INK,
    RED,
    SHOTS,
    STEPS,
    Plot,
    dressed,
    how_many,
    legend,
    named,
    note,
    plain,
    signed,
)

_BARS = 40
"""Classes whose gains are shown one by one."""


def accuracy(rows: Iterable[Record]) -> Plot | None:
    """Returns the accuracy of each method over many, medium, few and all, each value with its interval.

    Methods trained on drawings are filled red, others blue; published ones are hollow, below a rule.
    """
    lines = measured.lines(rows)
    lines = [*(line for line in lines if not line.source), *(line for line in lines if line.source)]
    groups = [group for group in measured.GROUPS if any(line.value(group) is not None for line in lines)]
    if not groups:
        return None
    plot = Plot("Accuracy by group of classes", _lines_in_words(lines, groups), 0.8 + 0.36 * len(lines))
    panels = plot.subplots(1, len(groups), sharey=True, sharex=True, squeeze=False)[0]
    own = sum(not line.source for line in lines)
    for axes, group in zip(panels, groups, strict=True):
        dressed(axes, grid="x")
        axes.set_title(group, fontsize=9.5, color=INK, loc="left")
        for place, line in enumerate(lines):
            _dot(axes, line, group, place)
        if 0 < own < len(lines):
            axes.axhline(own - 0.5, color=INK, alpha=0.4, linewidth=0.8)
        axes.spines["left"].set_visible(False)
        axes.set_yticks([])
    # Names stand above their dots: beside them they would take half of the width.
    for place, line in enumerate(lines):
        text = note(panels[0], 0, place - 0.08, plain(line.title, 60), va="bottom", alpha=0.85)
        text.set(transform=panels[0].get_yaxis_transform(), in_layout=False)
    panels[0].set(xlim=_reach(lines, groups), ylim=(len(lines) - 0.4, -0.55))
    plot.supxlabel(_what_the_lines_mean(lines), fontsize=8.5, color=INK, alpha=0.85)
    return plot


def _dot(axes: Axes, line: measured.Line, group: str, place: float) -> None:
    row = line.values.get(("accuracy", group))
    if row is None or row.value is None:
        return
    place += 0.18
    colour = INK if line.source else RED if line.generated else BLUE
    low, high = _interval(row)
    axes.plot([low, high], [place, place], color=colour, linewidth=1.8, alpha=0.6, solid_capstyle="butt")
    mark, fill = ("D", "none") if line.source else ("o", colour)
    axes.plot([row.value], [place], mark, color=colour, markerfacecolor=fill, markersize=4.5, markeredgewidth=1.1)
    axes.annotate(
        f"{row.value:.1f}",
        (max(high, row.value), place),
        (5, 0),
        textcoords="offset points",
        va="center",
        fontsize=7.5,
        color=INK,
        alpha=0.85,
    )


def _interval(row: Metric) -> tuple[float, float]:
    value = row.value or 0.0
    if row.spread is not None:
        return value - row.spread, value + row.spread
    return (value if row.low is None else row.low), (value if row.high is None else row.high)


def _reach(lines: Sequence[measured.Line], groups: Sequence[str]) -> tuple[float, float]:
    found = [
        line.values[key] for line in lines for key in (("accuracy", group) for group in groups) if key in line.values
    ]
    ends = [end for row in found if row.value is not None for end in _interval(row)]
    width = max(ends) - min(ends) or 4.0
    return min(ends) - 0.08 * width, max(ends) + 0.32 * width  # to the right stand the values


def _what_the_lines_mean(lines: Sequence[measured.Line]) -> str:
    rows = [row for line in lines for (name, _), row in line.values.items() if name == "accuracy"]
    said = ["lines: 95% intervals"] if any(row.low is not None for row in rows) else []
    said += ["of several runs: ± standard deviation"] if any(row.spread is not None for row in rows) else []
    return "accuracy, %" + (f" ({'; '.join(said)})" if said else "")


def _lines_in_words(lines: Sequence[measured.Line], groups: Sequence[str]) -> str:
    said = []
    for line in lines:
        values = [f"{group} {line.value(group):.1f}" for group in groups if line.value(group) is not None]
        said.append(f"{line.title}: {', '.join(values)}")
    return "Accuracy in percent. " + "; ".join(said) + "."


class _Gain(NamedTuple):
    name: str
    shot: str
    points: float


def gains(rows: Iterable[Record], baseline: str = "", method: str = "") -> Plot | None:
    """Returns by how many points the method's accuracy on each class differs from the baseline's, sorted.

    Without names the strongest method trained on drawings is taken, and the strongest without any.
    Raises InputError for a name that was not measured.
    """
    whole = list(rows)
    pair = measured.comparison(measured.lines(whole), baseline, method)
    found = _gains(whole, pair) if pair else []
    if not pair or not found:
        return None
    title = f"Gain of {pair.method.title} over {pair.baseline.title}, by class"
    words = f"{title}. " + "; ".join(_group_in_words(shot, own) for shot, own in _by_shot(found).items()) + "."
    if len(found) <= _BARS:
        plot = Plot(title, words, 0.95 + 0.19 * len(found))
        axes = dressed(plot.add_subplot(), grid="x")
        _gain_bars(axes, found)
    else:
        plot = Plot(title, words, 2.9)
        axes = dressed(plot.add_subplot(), grid="y")
        _gain_curves(axes, found)
    handles = [
        Patch(
            facecolor=SHOTS.get(shot, INK),
            alpha=0.85,
            label=f"{shot or 'all'} ({len(own):,}): {_mean(own)}",
        )
        for shot, own in _by_shot(found).items()
    ]
    legend(plot, handles, 3, f"{plain(pair.method.title, 36)} − {plain(pair.baseline.title, 36)}")
    return plot


def _gains(rows: Sequence[Record], pair: measured.Comparison) -> list[_Gain]:
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
    return f"{shot or 'all'} ({how_many(len(own))}): {_mean(own)} points"


def _mean(own: Sequence[float]) -> str:
    return f"mean {signed(float(np.mean(own)))}"


def _gain_bars(axes: Axes, found: Sequence[_Gain]) -> None:
    places = np.arange(len(found))
    for place, gain in zip(places, found, strict=True):
        colour = SHOTS.get(gain.shot, INK)
        axes.plot([0, gain.points], [place, place], color=colour, linewidth=4.5, alpha=0.85, solid_capstyle="butt")
        if not gain.points:
            axes.plot([0], [place], "|", color=colour, markersize=5, markeredgewidth=1.6)
        side = -1 if gain.points < 0 else 1
        axes.annotate(
            signed(gain.points),
            (gain.points, place),
            (4 * side, 0),
            textcoords="offset points",
            ha="left" if side > 0 else "right",
            va="center",
            fontsize=7.5,
            color=INK,
            alpha=0.85,
        )
    axes.axvline(0, color=INK, alpha=0.6, linewidth=0.8)
    axes.set_yticks(places, [plain(gain.name) for gain in found])
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.margins(x=0.14)
    named(axes, "gain, points of accuracy")
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
    named(axes, "% of the group's classes, the largest gain first", "gain, points of accuracy")
