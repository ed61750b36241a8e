"""The results of each method as tables show them, and the two methods that gains are taken between."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ltgc_cli.errors import InputError
from ltgc_cli.records import Checkpoint, Metric, Record
from ltgc_cli.text import nearest

GROUPS = ("many", "medium", "few", "all")
# What else is measured over all classes, and what a table calls it.
MEASURES = {"class_mean": "class mean", "harmonic_mean": "harmonic mean", "worst_class": "worst class"}
MEASURES |= {"macro_f1": "macro-F1", "calibration_error": "calibration error"}
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


class MethodComparison(NamedTuple):
    """The method that the run is about, and the one that its gains are measured against."""

    method: MethodResult
    baseline: MethodResult

    def gain(self, group: str) -> float | None:
        """Returns by how many points the method is better over a group, None where one of them is not measured."""
        return difference(self.method.value(group), self.baseline.value(group))

    def is_sure(self, group: str) -> bool | None:
        """Returns whether a gain is larger than the uncertainty of both values; None where that is not known."""
        gain, a, b = self.gain(group), self.method.uncertainty(group), self.baseline.uncertainty(group)
        return None if gain is None or a is None or b is None else abs(gain) > a + b

    def gain_of(self, label: int) -> float | None:
        """Returns by how many points the method is better on one class."""
        return difference(self.method.by_class.get(label), self.baseline.by_class.get(label))


def difference(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else round(a - b, 4)


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


def _result(rows: Sequence[Metric], on_generated: Mapping[str, bool]) -> MethodResult:
    first = rows[0]
    known = [on_generated[parent] for parent in first.parents if parent in on_generated]
    named = not first.source and first.method.startswith(_OURS)
    values = {(row.name, row.group): row for row in rows if row.group in GROUPS}
    by_class = {
        row.label: row.value
        for row in rows
        if row.group == "class" and row.name == "accuracy" and row.value is not None and row.label >= 0
    }
    return MethodResult(first.method, first.runs, first.source, any(known) if known else named, values, by_class)


def comparison(found: Sequence[MethodResult], baseline: str = "", method: str = "") -> MethodComparison | None:
    """Returns what to compare with what, None where only one kind of method was measured.

    The method is the one that is named, else the strongest by all with generated images; the baseline the one that is
    named, else the strongest without any. Where methods were run several times, their means are compared and no lucky
    run. Raises InputError for a name that was not measured.
    """
    here = [result for result in found if not result.source]
    one = _named(here, method, "method") if method else None
    other = _named(here, baseline, "--baseline") if baseline else None
    one = one or _strongest([result for result in here if result.generated and result is not other])
    other = other or _strongest([result for result in here if not result.generated and result is not one])
    return MethodComparison(one, other) if one and other else None


def _named(here: Sequence[MethodResult], name: str, what: str) -> MethodResult:
    """Returns the method of a name. Raises InputError where nothing was measured of it."""
    named = next((result for result in here if name in (result.method, result.title)), None)
    if named is None:
        hint = nearest(name, [result.method for result in here])
        raise InputError(f"{what} {name}: nothing of that name was measured in the stream{hint}")
    return named


def _strongest(found: Sequence[MethodResult]) -> MethodResult | None:
    several = [result for result in found if result.runs > 1] or found
    return max(several, key=lambda result: result.value("all") or -1.0, default=None)


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
