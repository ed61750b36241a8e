"""The plots of a run, as functions that return matplotlib figures: for the report, a notebook, a paper.

Each takes the records of a stream and returns None where they hold nothing to show. Thousands of classes become
curves of a few hundred steps, so that a figure stays small.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from ltgc_cli.records import Class, Image, Record
from ltgc_cli.report.accuracy_plots import accuracy, by_count, gains
from ltgc_cli.report.judge_plots import confusion, margins, rounds
from ltgc_cli.report.plot import (
    FAINT,
    INK,
    LEGEND,
    LINES,
    RED,
    SHOTS,
    Plot,
    binned,
    counts_axis,
    plot_text,
    styled,
    svg,
)
from ltgc_cli.report.score_plots import scores
from ltgc_cli.text import counted

__all__ = [
    "accuracy", "by_count", "confusion", "curves", "distribution", "gains", "margins", "rounds", "scores", "svg",
]  # fmt: skip

MANY, FEW = 100, 20  # many-shot classes have more real images than the one, few-shot classes fewer than the other
_NAMED = 30  # classes whose names fit below an axis
_METHODS = 18  # methods that have a curve of their own
_FLOOR = 0.7  # where a logarithmic axis of counts begins: a class of one image still shows
_WHOLE = "{x:,.0f}"


@styled()
def distribution(rows: Iterable[Record]) -> Plot | None:
    """Returns the classes by rank: how many real images each has, and the accepted generated images on top of them."""
    classes: list[Class] = []
    generated: Counter[int] = Counter()
    for row in rows:
        if isinstance(row, Class):
            classes.append(row)
        elif isinstance(row, Image) and row.origin == "generated":
            generated[row.label] += 1
    return distribution_drawn(classes, generated)


@styled()
def distribution_drawn(given: Iterable[Class], generated: Mapping[int, int]) -> Plot | None:
    """Returns the same of classes, with the accepted generated images counted by label."""
    classes = [cls for cls in given if cls.count is not None]
    if not classes:
        return None
    classes.sort(key=lambda cls: (-(cls.count or 0), cls.label))
    real = np.array([cls.count for cls in classes], dtype=np.float64)
    total = real + [generated.get(cls.label, 0) for cls in classes]
    plot = Plot("Images per class", _counts_in_words(classes, real, total), 3.1)
    axes = plot.add_subplot()
    _stairs_of_counts(axes, real, total)
    top = max(float(total.max()), 1.5 * MANY) * 1.6
    axes.set(yscale="log", xlim=(0, len(classes)), ylim=(_FLOOR, top), ylabel="training images")
    axes.yaxis.set_major_formatter(_WHOLE)
    _shade_tail(axes, np.array([cls.tail for cls in classes]))
    _mark_shots(axes)
    _name_ranks(axes, [cls.class_ for cls in classes])
    plot.legend(ncols=2, **LEGEND)
    return plot


def _stairs_of_counts(axes: Axes, real: NDArray[np.float64], total: NDArray[np.float64]) -> None:
    edges, _ = binned(real)
    low, high = (np.maximum(binned(counts)[1], _FLOOR) for counts in (real, total))
    label = f"real ({real.sum():,.0f})"
    axes.stairs(low, edges, baseline=_FLOOR, fill=True, color=INK, alpha=0.32, linewidth=0, label=label)
    if (high > low).any():
        label = f"generated and accepted ({sum(total - real):,.0f})"
        axes.stairs(high, edges, baseline=low, fill=True, color=RED, alpha=0.6, linewidth=0, label=label)
        axes.stairs(high, edges, baseline=None, color=RED, linewidth=1)
    axes.stairs(low, edges, baseline=None, color=INK, linewidth=1.2)


def _shade_tail(axes: Axes, tail: NDArray[np.bool_]) -> None:
    aside = axes.get_xaxis_transform()
    starts = np.flatnonzero(np.diff(tail, prepend=~tail[:1]))
    axes.stairs(tail[starts], [*starts, len(tail)], fill=True, color=INK, alpha=0.06, zorder=0, transform=aside)
    if tail.any():
        text = f"tail: {counted(int(tail.sum()), 'class')} "
        axes.text(np.flatnonzero(tail)[-1] + 1, 0.985, text, ha="right", va="top", alpha=FAINT, transform=aside)


def _mark_shots(axes: Axes) -> None:
    """Draws the two thresholds, and names the three groups to the right."""
    low, high = axes.get_ylim()
    how: Any = {"va": "center", "transform": axes.get_yaxis_transform()}
    for number in (FEW, MANY):
        axes.axhline(number, color=INK, alpha=0.4, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        axes.text(1.012, number, str(number), alpha=FAINT, **how)
    for name, bottom, top in (("few", low, FEW), ("medium", FEW, MANY), ("many", MANY, high)):
        axes.text(1.012, math.sqrt(bottom * top), name, color=SHOTS[name], **how)


def _name_ranks(axes: Axes, names: Sequence[str]) -> None:
    """Writes class names below a rank axis, or the ranks where they are too many."""
    if len(names) > _NAMED:
        axes.set_xlabel("classes, by the number of their real images")
        axes.xaxis.set_major_formatter(_WHOLE)
        return
    shown = [plot_text(name, 16) for name in names]
    crowded = sum(map(len, shown)) + 2 * len(shown) > 54
    turned: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
    axes.set_xticks([rank + 0.5 for rank in range(len(names))], shown, **turned)
    axes.tick_params(axis="x", length=0)


def _counts_in_words(classes: Sequence[Class], real: NDArray[np.float64], total: NDArray[np.float64]) -> str:
    tail = np.array([cls.tail for cls in classes])
    text = (
        f"{counted(len(classes), 'class')} by rank, from {real.max():,.0f} real training images down to "
        f"{real.min():,.0f}; of the tail: {counted(int(tail.sum()), 'class')}."
    )
    added = (total - real)[tail]
    if added.any():
        before, after = real[tail].mean(), total[tail].mean()
        text += f" Accepted generated images take a tail class from {before:,.0f} images to {after:,.0f} on average."
    return text


@styled()
def curves(curves: Mapping[str, Sequence[Mapping[str, float]]]) -> Plot | None:
    """Returns the loss of each method over its training steps, and validation accuracy where it was looked at.

    curves -- the rows of metrics.jsonl by method: step, loss, and val in percent in some
    """
    shown = dict(list(curves.items())[:_METHODS])
    losses = {name: _points(rows, "loss") for name, rows in shown.items()}
    validations = {name: _points(rows, "val") for name, rows in shown.items()}
    panels = {"training loss": losses, "validation accuracy, %": validations}
    panels = {title: points for title, points in panels.items() if any(map(len, points.values()))}
    if not panels:
        return None
    plot = Plot("Training curves", _curves_in_words(losses, validations), 0.5 + 2.2 * len(panels))
    several = plot.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (title, points) in zip(several, panels.items(), strict=True):
        axes.grid(axis="y")
        axes.set_ylabel(title)
        for own, (colour, dash) in zip(points.values(), LINES, strict=False):
            if len(own):
                _curve(axes, own, colour, dash, smooth=points is losses)
                if points is validations:  # the step that training keeps
                    best = own[own[:, 1].argmax()]
                    axes.plot(*best, "o", color=colour, markerfacecolor="none", markersize=9, markeredgewidth=1.4)
    values = np.concatenate([own[:, 1] for own in losses.values() if len(own)] or [np.ones(1)])
    if "training loss" in panels and values.min() > 0 and values.max() / values.min() > 50:
        several[0].set_yscale("log")
        several[0].yaxis.set_major_formatter("{x:g}")
    counts_axis(several[-1].xaxis)
    several[-1].set_xlabel("step")
    handles = [
        Line2D([], [], color=colour, linestyle=dash, linewidth=1.6, label=plot_text(name, 48))
        for name, (colour, dash) in zip(shown, LINES, strict=False)
    ]
    plot.legend(handles=handles, ncols=1 if len(handles) <= 4 else 2, **LEGEND)
    return plot


def _points(rows: Sequence[Mapping[str, float]], key: str) -> NDArray[np.float64]:
    """Returns [points, 2]: step and value, where there is one."""
    found = [(row["step"], row[key]) for row in rows if "step" in row and row.get(key) is not None]
    points = np.array(found, dtype=np.float64).reshape(-1, 2)
    return points[np.isfinite(points).all(axis=1)]


def _curve(axes: Axes, points: NDArray[np.float64], colour: str, dash: Any, *, smooth: bool) -> None:
    steps, values = (binned(column)[1] for column in points.T)
    if smooth and len(values) > 60:
        axes.plot(steps, values, color=colour, alpha=0.3, linewidth=0.7)
        values = moving_mean(values, max(3, len(values) // 40 * 2 + 1))
    marker = "o" if len(values) <= 12 else ""
    axes.plot(steps, values, color=colour, linestyle=dash, linewidth=1.6, marker=marker, markersize=3.5)


def moving_mean(values: ArrayLike, width: int) -> NDArray[np.float64]:
    """Returns the mean of the `width` values around each, of those that there are at either end. `width` is odd.

    >>> moving_mean([0, 3, 6, 0], 3)
    array([1.5, 3. , 3. , 3. ])
    """
    given = np.asarray(values, dtype=np.float64)
    around = slice(width // 2, width // 2 + len(given))
    sums, counts = (np.convolve(each, np.ones(width))[around] for each in (given, np.ones(len(given))))
    return np.asarray(sums / counts)


def _curves_in_words(losses: Mapping[str, NDArray[np.float64]], validations: Mapping[str, NDArray[np.float64]]) -> str:
    words = []
    for name, own in losses.items():
        text = name
        if len(own):
            text += f": loss {own[0, 1]:.3g} at first, {own[-1, 1]:.3g} at step {own[-1, 0]:,.0f}"
        if len(validations[name]):
            text += f", validation accuracy at best {validations[name][:, 1].max():.1f}%"
        words.append(text)
    return "; ".join(words) + "."
