"""The results of each method as tables show them, and what gains are taken between."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ltgc_cli.errors import InputError
from ltgc_cli.records import GROUPS, Checkpoint, Metric, Record
from ltgc_cli.text import nearest

_TITLES = {"at most 5": "≤5 images"}  # of groups, where a table calls them otherwise
# What else is measured over all classes, and what a table calls it.
MEASURES = {"class_mean": "class mean", "harmonic_mean": "harmonic mean", "worst_class": "worst class"}
MEASURES |= {"macro_f1": "macro-F1", "calibration_error": "calibration error"}
LOWER_IS_BETTER = ("calibration_error",)
_USAGE = ("cost", "questions")  # metrics that count what was asked and paid, not how well a method does
_OURS = ("LTGC", "real + generated")  # what mix-train calls a run on generated images, where its checkpoint is lost


class MethodResult(NamedTuple):
    """What was measured of one method, or of several runs of it together."""

    method: str
    runs: int
    source: str  # where it was published; empty for what was measured here
    generated: bool  # whether it was trained on generated images
    values: Mapping[tuple[str, str], Metric]  # by measure and group: ("accuracy", "few")
    by_class: Mapping[int, float]  # accuracy in percent by label

    @property
    def title(self) -> str:
        return f"{self.method}, {self.runs} runs" if self.runs > 1 else self.method

    def value(self, group: str, name: str = "accuracy") -> float | None:
        """Returns a measured value in percent, None where it is not there."""
        row = self.values.get((name, group))
        return row.value if row else None

    def uncertainty(self, group: str, name: str = "accuracy") -> float | None:
        """Returns half the 95% interval of a value, or its standard deviation over runs; None without either."""
        row = self.values.get((name, group))
        if row is None or row.value is None:
            return None
        if row.spread is not None:
            return row.spread
        return None if row.low is None or row.high is None else (row.high - row.low) / 2

    def cell(self, group: str, name: str = "accuracy") -> str:
        """Returns a value and its uncertainty as a table shows them: "80.0 ± 3.5", a dash for nothing."""
        value, uncertainty = self.value(group, name), self.uncertainty(group, name)
        return "–" if value is None else f"{value:.1f}" + ("" if uncertainty is None else f" ± {uncertainty:.1f}")


class Gain(NamedTuple):
    """A figure of the method beside that of the baseline which is best in it."""

    name: str
    group: str
    method: float
    baseline: MethodResult
    points: float  # by how much the method's figure is better; below 0 where the baseline is ahead
    within: float | None  # half the 95% interval of the difference, None where one of the two has none

    @property
    def is_behind(self) -> bool:
        """Whether the baseline is ahead, by as much as is shown."""
        return round(self.points, 1) < 0

    @property
    def is_sure(self) -> bool | None:
        """Whether the difference is larger than its uncertainty; None where that is not known."""
        return None if self.within is None else abs(self.points) > self.within


class MethodComparison(NamedTuple):
    """The method that the run is about, and what it is measured against: each figure against the best in that figure.

    Whoever compared few with the method that is best on all would not see that another one is ahead on few.
    """

    method: MethodResult
    baselines: tuple[MethodResult, ...]

    def baseline_of(self, group: str, name: str = "accuracy") -> MethodResult | None:
        """Returns the baseline that is best in a figure, None where none has it."""
        known = [(value, result) for result in self.baselines if (value := result.value(group, name)) is not None]
        best = min if name in LOWER_IS_BETTER else max
        return best(known, key=lambda pair: pair[0])[1] if known else None

    def gain(self, group: str, name: str = "accuracy") -> Gain | None:
        """Returns by how many points the method is better in a figure, None where one of them is not measured."""
        mine, baseline = self.method.value(group, name), self.baseline_of(group, name)
        points = difference(mine, baseline.value(group, name)) if baseline else None
        if mine is None or baseline is None or points is None:
            return None
        points = -points if name in LOWER_IS_BETTER else points
        within = uncertainty_of_difference(self.method.values[name, group], baseline.values[name, group])
        return Gain(name, group, mine, baseline, points, within)

    def baseline_of_class(self, shot: str) -> MethodResult | None:
        """Returns what a class of a shot is compared with: the best baseline over its group, else over all."""
        return self.baseline_of(shot) or self.baseline_of("all")

    def gain_of(self, label: int, shot: str) -> float | None:
        """Returns by how many points the method is better on one class."""
        baseline = self.baseline_of_class(shot)
        return difference(self.method.by_class.get(label), baseline.by_class.get(label)) if baseline else None


def difference(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else round(a - b, 4)


def uncertainty_of_difference(a: Metric, b: Metric) -> float | None:
    """Returns half the 95% interval of the difference of two values, None where one has no uncertainty of its own.

    Welch's interval: of several runs a value's variance comes from their spread, of one run from its interval over
    test images. Both are taken as independent. Methods are measured on the same images, so that it is rather too wide.
    """
    from scipy.special import stdtrit

    found = [_variance(row) for row in (a, b)]
    known = [one for one in found if one is not None]
    total = sum(variance for variance, _ in known)
    if len(known) < len(found):
        return None
    if not total:
        return 0.0
    freedom = total**2 / max(sum(variance**2 / own for variance, own in known), 1e-300)
    return float(stdtrit(min(freedom, 1e9), 0.975) * math.sqrt(total))


def _variance(row: Metric) -> tuple[float, float] | None:
    """Returns the variance of a value and its degrees of freedom."""
    if row.spread is not None and row.runs > 1:
        return row.spread**2 / row.runs, row.runs - 1
    if row.low is not None and row.high is not None:
        from statistics import NormalDist  # fractions and decimals come with it, and eval's table needs none

        return ((row.high - row.low) / 2 / NormalDist().inv_cdf(0.975)) ** 2, math.inf
    return None


def results(rows: Iterable[Record]) -> list[MethodResult]:
    """Returns the result of every method of which an accuracy was measured or published, in their order."""
    found: dict[tuple[str, int, str], list[Metric]] = {}
    on_generated: dict[str, bool] = {}
    for row in rows:
        if isinstance(row, Checkpoint):
            on_generated[row.id] = bool(row.settings.get("images"))
        elif isinstance(row, Metric) and row.method and row.name not in _USAGE:
            found.setdefault((row.method, row.runs, row.source), []).append(row)
    made = [_result(own, on_generated) for own in found.values()]
    return [result for result in made if any(result.value(group) is not None for group in GROUPS)]


def groups(found: Iterable[MethodResult]) -> dict[str, str]:
    """Returns the groups of classes that a table of these results has, each with what heads its column."""
    there = {group for result in found for name, group in result.values if name == "accuracy"}
    return {group: _TITLES.get(group, group) for group in GROUPS if group not in _TITLES or group in there}


def _result(rows: Sequence[Metric], on_generated: Mapping[str, bool]) -> MethodResult:
    first = rows[0]
    known = [on_generated[parent] for parent in first.parents if parent in on_generated]
    named = not first.source and first.method.startswith(_OURS)
    values: dict[tuple[str, str], Metric] = {(row.name, row.group): row for row in rows if row.group in GROUPS}
    by_class = {
        row.label: row.value
        for row in rows
        if row.group == "class" and row.name == "accuracy" and row.value is not None and row.label >= 0
    }
    return MethodResult(first.method, first.runs, first.source, any(known) if known else named, values, by_class)


def comparison(found: Sequence[MethodResult], baseline: str = "", method: str = "") -> MethodComparison | None:
    """Returns what to compare with what, None where only one kind of method was measured.

    The method is the one that is named, else the strongest by all with generated images; the baseline the one that is
    named, else each figure's strongest without any. Where methods were run several times, their means are compared and
    no lucky run. Raises InputError for a name that was not measured.
    """
    here = [result for result in found if not result.source]
    one = _named(here, method, "method") if method else None
    other = _named(here, baseline, "--baseline") if baseline else None
    fair = _without_single_runs(here)
    one = one or strongest([result for result in fair if result.generated and result is not other])
    others = (other,) if other else tuple(result for result in fair if not result.generated and result is not one)
    return MethodComparison(one, others) if one and others else None


def _named(here: Sequence[MethodResult], name: str, what: str) -> MethodResult:
    """Returns the method of a name. Raises InputError where nothing was measured of it."""
    named = next((result for result in here if name in (result.method, result.title)), None)
    if named is None:
        hint = nearest(name, [result.method for result in here])
        raise InputError(f"{what} {name}: nothing of that name was measured in the stream{hint}")
    return named


def strongest(found: Iterable[MethodResult]) -> MethodResult | None:
    """Returns the best over all, of those that were run several times where any was: one run may have been lucky."""
    every = list(found)
    several = [result for result in every if result.runs > 1] or every
    return max(several, key=lambda result: result.value("all") or -1.0, default=None)


def _without_single_runs(found: Sequence[MethodResult]) -> list[MethodResult]:
    """Returns the results without single runs of what there is a mean of."""
    means = {_bare(result) for result in found if result.runs > 1}
    return [result for result in found if result.runs > 1 or _bare(result) not in means]


def confusions(rows: Iterable[Record], result: MethodResult, most: int = 8) -> list[Metric]:
    """Returns a method's worst confusions, as the stream has them; of several runs those of the first one."""
    pairs = [row for row in rows if isinstance(row, Metric) and row.group == "pair" and row.value]
    runs = {parent for row in result.values.values() for parent in row.parents} if result.runs > 1 else set()
    own = [
        row for row in pairs if row.method == result.method or (_bare(row) == _bare(result) and runs & {*row.parents})
    ]
    return [row for row in own if row.method == own[0].method][:most]


def _bare(one: Metric | MethodResult) -> str:
    """Returns a method's name without what tells its runs apart: "LTGC (seed 1) + TTE" is a run of "LTGC + TTE"."""
    return re.sub(r" \([^)]*\)", "", one.method)


def uncertainty_note(found: Iterable[MethodResult], interval: str, deviation: str) -> list[str]:
    """Returns which of two notes a table needs: that on 95% intervals, and that on deviations over runs."""
    rows = [row for result in found for row in result.values.values()]
    notes = [interval] if any(row.low is not None for row in rows) else []
    return [*notes, deviation] if any(row.spread is not None for row in rows) else notes
