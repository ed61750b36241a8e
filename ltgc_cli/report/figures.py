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
from matplotlib.patches import Patch
from numpy.typing import NDArray

from ltgc_cli.records import Class, Image, Record
from ltgc_cli.report.accuracy_plots import accuracy, gains
from ltgc_cli.report.numbers import binned, moving_mean, runs
from ltgc_cli.report.plot import (
    INK,
    LINES,
    RED,
    SHOTS,
    STEPS,
    Plot,
    label_axes,
    legend,
    plot_text,
    small_print,
    styled,
    svg,
    whole_numbers,
)
from ltgc_cli.report.score_plots import scores
from ltgc_cli.text import counted

__all__ = ["accuracy", "curves", "distribution", "gains", "scores", "svg"]

MANY, FEW = 100, 20
"""Many-shot classes have more real images than the one, few-shot classes fewer than the other."""
_NAMED = 30
"""Classes whose names fit below an axis."""
_METHODS = 18
"""Methods that have a curve of their own."""
_FLOOR = 0.7
"""Where a logarithmic axis of counts begins: a class of one image still shows."""


def distribution(rows: Iterable[Record]) -> Plot | None:
    """Returns the classes by rank: how many real images each has, and the accepted generated images on top of them."""
    classes: list[Class] = []
    generated: Counter[int] = Counter()
    for row in rows:
        if isinstance(row, Class) and row.count is not None:
            classes.append(row)
        elif isinstance(row, Image) and row.origin == "generated":
            generated[row.label] += 1
    if not classes:
        return None
    classes.sort(key=lambda cls: (-(cls.count or 0), cls.label))
    real = np.array([cls.count for cls in classes], dtype=np.float64)
    total = real + [generated[cls.label] for cls in classes]
    plot = Plot("Images per class", _counts_in_words(classes, real, total), 3.1)
    axes = styled(plot.add_subplot())
    _stairs_of_counts(axes, real, total)
    axes.set_yscale("log")
    axes.set(xlim=(0, len(classes)), ylim=(_FLOOR, max(float(total.max()), 1.5 * MANY) * 1.6))
    _shade_tail(axes, [cls.tail for cls in classes])
    _mark_shots(axes)
    whole_numbers(axes.yaxis)
    _name_ranks(axes, [cls.class_ for cls in classes])
    label_axes(axes, "" if len(classes) <= _NAMED else "classes, by the number of their real images", "training images")
    handles = [Patch(facecolor=INK, alpha=0.45, label=f"real ({real.sum():,.0f})")]
    if generated:
        handles.append(Patch(facecolor=RED, alpha=0.75, label=f"generated and accepted ({sum(total - real):,.0f})"))
    legend(plot, handles, 2)
    return plot


def _stairs_of_counts(axes: Axes, real: NDArray[np.float64], total: NDArray[np.float64]) -> None:
    edges, low = binned(real, STEPS)
    _, high = binned(total, STEPS)
    floor = np.full_like(low, _FLOOR)
    low, high = np.maximum(low, floor), np.maximum(high, floor)
    axes.stairs(low, edges, baseline=floor, fill=True, color=INK, alpha=0.32, linewidth=0)
    if (high > low).any():
        axes.stairs(high, edges, baseline=low, fill=True, color=RED, alpha=0.6, linewidth=0)
        axes.stairs(high, edges, baseline=None, color=RED, linewidth=1)
    axes.stairs(low, edges, baseline=None, color=INK, linewidth=1.2)


def _shade_tail(axes: Axes, tail: Sequence[bool]) -> None:
    for start, stop in runs(tail):
        axes.axvspan(start, stop, color=INK, alpha=0.06, linewidth=0, zorder=0)
    if any(tail):
        stop = len(tail) - tail[::-1].index(True)
        text = f"tail: {counted(sum(tail), 'class')} "
        small_print(axes, stop, 0.985, text, ha="right", va="top", transform=axes.get_xaxis_transform())


def _mark_shots(axes: Axes) -> None:
    """Draws the two thresholds, and names the three groups to the right."""
    low, high = axes.get_ylim()
    bounds = (low, FEW, MANY, high)
    aside = axes.get_yaxis_transform()
    for number in (FEW, MANY):
        axes.axhline(number, color=INK, alpha=0.4, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        small_print(axes, 1.012, number, str(number), va="center", transform=aside)
    for name, bottom, top in zip(("few", "medium", "many"), bounds, bounds[1:], strict=False):
        middle = math.sqrt(bottom * top)
        small_print(axes, 1.012, middle, name, va="center", transform=aside, color=SHOTS[name], alpha=1)


def _name_ranks(axes: Axes, names: Sequence[str]) -> None:
    """Writes class names below a rank axis, or the ranks where they are too many."""
    if len(names) > _NAMED:
        whole_numbers(axes.xaxis)
        return
    shown = [plot_text(name, 16) for name in names]
    crowded = sum(map(len, shown)) + 2 * len(shown) > 80
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


def curves(curves: Mapping[str, Sequence[Mapping[str, float]]]) -> Plot | None:
    """Returns the loss of each method over its training steps, and validation accuracy where it was looked at.

    curves -- the rows of metrics.jsonl by method: step, loss, and val in percent in some
    """
    shown = {name: list(rows) for name, rows in list(curves.items())[:_METHODS]}
    losses = {name: _points(rows, "loss") for name, rows in shown.items()}
    validations = {name: _points(rows, "val") for name, rows in shown.items()}
    panels = {"training loss": losses, "validation accuracy, %": validations}
    panels = {title: points for title, points in panels.items() if any(map(len, points.values()))}
    if not panels:
        return None
    plot = Plot("Training curves", _curves_in_words(losses, validations), 0.5 + 2.2 * len(panels))
    several = plot.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (title, points) in zip(several, panels.items(), strict=True):
        styled(axes, grid="y")
        for own, (colour, dash) in zip(points.values(), LINES, strict=False):
            if len(own):
                _curve(axes, own, colour, dash, smooth=points is losses)
        label_axes(axes, "", title)
    values = np.concatenate([own[:, 1] for own in losses.values() if len(own)] or [np.ones(1)])
    if "training loss" in panels and values.min() > 0 and values.max() / values.min() > 50:
        several[0].set_yscale("log")
        several[0].yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    whole_numbers(several[-1].xaxis)
    label_axes(several[-1], "step", [*panels][-1])
    handles = [
        Line2D([], [], color=colour, linestyle=dash, linewidth=1.6, label=plot_text(name, 40))
        for name, (colour, dash) in zip(shown, LINES, strict=False)
    ]
    legend(plot, handles, 2)
    return plot


def _points(rows: Sequence[Mapping[str, float]], key: str) -> NDArray[np.float64]:
    """Returns [points, 2]: step and value, where there is one."""
    found = [(row["step"], row[key]) for row in rows if "step" in row and row.get(key) is not None]
    points = np.array(found, dtype=np.float64).reshape(-1, 2)
    return points[np.isfinite(points).all(axis=1)]


def _curve(axes: Axes, points: NDArray[np.float64], colour: str, dash: Any, *, smooth: bool) -> None:
    steps, values = (binned(column, STEPS)[1] for column in points.T)
    if smooth and len(values) > 60:
        axes.plot(steps, values, color=colour, alpha=0.3, linewidth=0.7)
        values = moving_mean(values, max(3, len(values) // 40 * 2 + 1))
    marker = "o" if len(values) <= 12 else ""
    axes.plot(steps, values, color=colour, linestyle=dash, linewidth=1.6, marker=marker, markersize=3.5)


def _curves_in_words(losses: Mapping[str, NDArray[np.float64]], validations: Mapping[str, NDArray[np.float64]]) -> str:
    words = []
    for name, own in losses.items():
        text = (
            f"{name}: loss {own[0, 1]:.3g} at first, {own[-1, 1]:.3g} at step {own[-1, 0]:,.0f}" if len(own) else name
        )
        if len(validations[name]):
            text += f", validation accuracy at best {validations[name][:, 1].max():.1f}%"
        words.append(text)
    return "; ".join(words) + "."
