"""What the judge is worth and what it did, as figures: real images that CLIP mistakes, and the rounds of filter."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ltgc_cli import trial
from ltgc_cli.records import Class, Image, Metric, Record, Rejected
from ltgc_cli.report.plot import BLUE, FAINT, INK, LEGEND, NARROW, RED, WIDE, Plot, binned, plot_text, styled
from ltgc_cli.text import counted

_ROWS = 40  # classes that have a row of their own
_CELLS_OF_A_PHONE = 12
_CELLS = 24  # classes of which a table of confusions is still read
_ROUNDS: Any = {"edgecolor": "none", "height": 0.62}


class _Tried(NamedTuple):
    """What CLIP took the real images of one class for."""

    label: int
    name: str
    images: int
    right: float  # percent
    margins: Sequence[float]
    wrong: Mapping[str, int]  # images by the class that they were taken for


def _tried(rows: Iterable[Record]) -> list[_Tried]:
    """Returns the classes that CLIP was tried on, by label."""
    whole = [row for row in rows if isinstance(row, Metric)]
    wrong: dict[int, Counter[str]] = {}
    for row in whole:
        if row.name == trial.CONFUSION:
            wrong.setdefault(row.label, Counter())[row.predicted] += row.images
    classes = {row.label: row for row in whole if row.name == trial.NAME and row.group == "class" and row.images}
    return [
        _Tried(label, row.class_, row.images, row.value or 0.0, _margins(row), wrong.get(label, {}))
        for label, row in sorted(classes.items())
    ]


def _margins(row: Metric) -> list[float]:
    given = row.rest.get("margins")
    values = given if isinstance(given, list) else []
    return [value for value in values if isinstance(value, float) and math.isfinite(value)]


@styled()
def confusion(rows: Iterable[Record]) -> Plot | None:
    """Returns what CLIP takes the real images of each class for, as a table of shares; None for many classes."""
    found = _tried(rows)
    names = [cls.name for cls in found]
    columns = [*names, *dict.fromkeys(taken for cls in found for taken in cls.wrong if taken not in names)]
    if not found or len(columns) > _CELLS:
        return None
    words = "; ".join(f"{cls.name}: {cls.right:.0f}% of {cls.images:,} right" for cls in found)
    width = NARROW if len(columns) <= _CELLS_OF_A_PHONE else WIDE
    plot = Plot("What CLIP takes real images for", f"{words}.", 1.5 + 0.27 * len(found), width)
    axes = plot.add_subplot()
    for y, cls in enumerate(found):
        right = cls.images - sum(cls.wrong.values())
        for taken, many in {cls.name: right, **cls.wrong}.items():
            if many:
                colour, share = (BLUE if taken == cls.name else RED), many / cls.images
                axes.barh(y, 0.94, 0.94, columns.index(taken) - 0.47, color=colour, alpha=0.12 + 0.55 * share)
                axes.text(columns.index(taken), y, str(many), ha="center", va="center", fontsize=8)
    axes.set(
        xlim=(-0.5, len(columns) - 0.5), ylim=(len(found) - 0.5, -0.5), xlabel="taken for", ylabel="real images of"
    )
    turned: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    crowded = sum(len(plot_text(name, 16)) + 2 for name in columns) > (44 if width == NARROW else 70)
    axes.set_xticks(range(len(columns)), [plot_text(name, 16) for name in columns], **(turned if crowded else {}))
    axes.set_yticks(range(len(found)), [f"{plot_text(cls.name)} ({cls.images})" for cls in found])
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)
    handles = [
        Patch(facecolor=colour, alpha=0.67, label=text) for colour, text in ((BLUE, "its own class"), (RED, "another"))
    ]
    plot.legend(handles=handles, ncols=2, **LEGEND)
    return plot


@styled()
def margins(rows: Iterable[Record]) -> Plot | None:
    """Returns by how much real images are more like their own class than like the nearest other one, by class.

    Of many classes it is the share of each class's real images that are: the classes in order, chance beside them.
    """
    whole = list(rows)
    found = [cls for cls in _tried(whole) if cls.margins]
    if not found:
        return None
    right = sum(value > 0 for cls in found for value in cls.margins)
    total = sum(len(cls.margins) for cls in found)
    words = f"{right:,} of {total:,} real images of {counted(len(found), 'class')} are most like their own class."
    if len(found) <= _ROWS:
        plot = Plot("Real images: own class against the nearest other", words, 1.0 + 0.22 * len(found))
        _strips(plot.add_subplot(), found)
        marks: list[tuple[str, str, str]] = [("o", BLUE, "most like its own class"), ("X", RED, "more like another")]
        handles = [Line2D([], [], linestyle="", marker=mark, color=colour, label=text) for mark, colour, text in marks]
        plot.legend(handles=handles, ncols=2, **LEGEND)
        return plot
    plot = Plot("Real images that CLIP takes for their own class", words, 2.7)
    _shares(plot.add_subplot(), found, trial.of_all(whole))
    return plot


def _strips(axes: Axes, found: Sequence[_Tried]) -> None:
    for y, cls in enumerate(found):
        axes.axhline(y, color=INK, alpha=0.15, linewidth=0.6, zorder=0)
        for mark, colour, own in (
            ("o", BLUE, [value for value in cls.margins if value > 0]),
            ("X", RED, [value for value in cls.margins if value <= 0]),
        ):
            axes.plot(own, [y] * len(own), mark, color=colour, markersize=4.5, markeredgewidth=0, alpha=0.6)
    axes.axvline(0, color=INK, alpha=0.6, linewidth=0.8)
    axes.set_yticks(range(len(found)), [plot_text(cls.name) for cls in found])
    axes.set(ylim=(len(found) - 0.4, -0.6), xlabel="cosine with its own class − with the nearest other")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _shares(axes: Axes, found: Sequence[_Tried], whole: Metric | None) -> None:
    edges, values = binned(sorted((cls.right for cls in found), reverse=True))
    axes.stairs(values, edges, baseline=0, fill=True, color=BLUE, alpha=0.35, linewidth=0)
    axes.stairs(values, edges, baseline=None, color=BLUE, linewidth=1.4)
    chance = whole.rest.get("chance") if whole else None
    if isinstance(chance, int | float):
        axes.axhline(chance, color=INK, linewidth=1, linestyle=(0, (3, 2)))
        axes.text(len(found), chance, " chance", va="center", alpha=FAINT)
    axes.set(xlim=(0, len(found)), ylim=(0, 100), xlabel="classes, the best first", ylabel="% of its real images")
    axes.grid(axis="y")


class ClassRounds(NamedTuple):
    """Of the descriptions of one class, how many had an image that passed in each round, and how many never."""

    name: str
    passed: Counter[int]
    total: int
    real: int = 0  # how many real images it has


@styled()
def rounds(rows: Iterable[Record]) -> Plot | None:
    """Returns the share of each class's descriptions whose image passed in the first round, in the second, …, never."""
    return rounds_drawn(class_rounds(rows))


@styled()
def rounds_drawn(by_label: Mapping[int, ClassRounds]) -> Plot | None:
    """Returns the same of rounds that were counted class by class: the class with most real images comes first."""
    found = [by_label[label] for label in sorted(by_label, key=lambda label: (-by_label[label].real, label))]
    if not found:
        return None
    last = max(max(cls.passed, default=1) for cls in found)
    shades = {number: 0.85 * (1 - 0.7 * (number - 1) / max(last - 1, 1)) for number in range(1, last + 1)}
    everything = sum((cls.passed for cls in found), Counter[int]())
    total = sum(cls.total for cls in found)
    words = ", ".join(f"round {number}: {everything[number]:,}" for number in shades)
    never = total - sum(everything.values())
    words = f"Of {counted(total, 'description')} an image passed in {words}; never: {never:,}."
    few = len(found) <= _ROWS
    plot = Plot("Passed by round", words, 1.1 + 0.22 * len(found) if few else 2.9)
    (_round_bars if few else _round_heaps)(plot.add_subplot(), found, shades)
    handles = [
        Patch(facecolor=BLUE, alpha=shade, label=f"round {number} ({everything[number]:,})")
        for number, shade in shades.items()
    ]
    handles.append(Patch(facecolor="none", edgecolor=RED, hatch="////", linewidth=0.6, label=f"never ({never:,})"))
    plot.legend(handles=handles, ncols=2, **LEGEND)
    return plot


def class_rounds(rows: Iterable[Record]) -> dict[int, ClassRounds]:
    """Returns the classes that filter judged, by label.

    An image that was kept though it is below its threshold (`--never-pass best`) did not pass, unless by hand.
    """
    names: dict[int, str] = {}
    counts: dict[int, int] = {}
    passed: dict[int, Counter[int]] = {}
    totals: Counter[int] = Counter()
    for row in rows:
        if isinstance(row, Class):
            counts[row.label] = row.count or 0
        elif isinstance(row, Image | Rejected) and row.history and row.score is not None and row.threshold is not None:
            names[row.label] = row.class_
            totals[row.label] += 1
            last = row.history[-1]
            if isinstance(row, Image) and (last.verdict == "keep" or last.score >= row.threshold):
                passed.setdefault(row.label, Counter())[len(row.history)] += 1
    return {n: ClassRounds(names[n], passed.get(n, Counter()), totals[n], counts.get(n, 0)) for n in totals}


def _round_bars(axes: Axes, found: Sequence[ClassRounds], shades: Mapping[int, float]) -> None:
    for y, cls in enumerate(found):
        start = 0.0
        for number, shade in shades.items():
            width = 100 * cls.passed[number] / cls.total
            axes.barh(y, width, left=start, color=BLUE, alpha=shade, **_ROUNDS)
            start += width
        axes.barh(y, 100 - start, 0.62, start, facecolor="none", edgecolor=RED, hatch="////", linewidth=0.6)
        axes.text(101, y, f"{start:.0f}%", va="center", alpha=0.85)
    axes.set_yticks(range(len(found)), [f"{plot_text(cls.name)} ({cls.total:,})" for cls in found])
    axes.set(xlim=(0, 100), ylim=(len(found) - 0.4, -0.6), xlabel="% of the class's descriptions")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _round_heaps(axes: Axes, found: Sequence[ClassRounds], shades: Mapping[int, float]) -> None:
    """Draws the same of many classes: those with most passed first, the rounds on top of each other."""
    ordered = sorted(found, key=lambda cls: -sum(cls.passed.values()) / cls.total)
    below = np.zeros(len(ordered))
    for number, shade in shades.items():
        above = below + [100 * cls.passed[number] / cls.total for cls in ordered]
        edges, values = binned(above)
        axes.stairs(values, edges, baseline=binned(below)[1], fill=True, color=BLUE, alpha=shade, linewidth=0)
        below = above
    axes.stairs(binned(below)[1], binned(below)[0], baseline=None, color=BLUE, linewidth=1.2)
    axes.set(xlim=(0, len(found)), ylim=(0, 100), xlabel="classes, most passed first", ylabel="% of descriptions")
    axes.grid(axis="y")
