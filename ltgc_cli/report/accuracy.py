"""What was measured, as a table shows it: a line a method, and the two methods that gains are taken between."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ltgc_cli.errors import InputError
from ltgc_cli.records import Checkpoint, Metric, Record
from ltgc_cli.text import nearest

GROUPS = ("many", "medium", "few", "all")
MEASURES = {
    "class_mean": "class mean",
    "harmonic_mean": "harmonic mean",
    "worst_class": "worst class",
    "macro_f1": "macro-F1",
    "calibration_error": "calibration error",
}
"""What else is measured over all classes, and what a table calls it."""
_ACCOUNTS = ("cost", "questions")
"""Metrics that count what was asked and paid, not how well a method does."""
_OURS = ("LTGC", "real + generated")
"""What mix-train calls a run on generated images, for streams without its checkpoint."""


class Line(NamedTuple):
    """What was measured of one method, or of several runs of it together."""

    method: str
    runs: int
    source: str
    """Where it was published; empty for what was measured here."""
    generated: bool
    """Whether it was trained on generated images."""
    values: Mapping[tuple[str, str], Metric]
    """By measure and group: ("accuracy", "few")."""
    by_class: Mapping[int, float]
    """Accuracy in percent by label."""

    @property
    def title(self) -> str:
        return f"{self.method}, {self.runs} runs" if self.runs > 1 else self.method

    def value(self, group: str, name: str = "accuracy") -> float | None:
        """Returns a measured value in percent, None where it is not there."""
        row = self.values.get((name, group))
        return row.value if row else None

    def within(self, group: str, name: str = "accuracy") -> float | None:
        """Returns how sure a value is: half its 95% interval, or its standard deviation over runs."""
        row = self.values.get((name, group))
        if row is None or row.value is None:
            return None
        if row.spread is not None:
            return row.spread
        return None if row.low is None or row.high is None else (row.high - row.low) / 2


class Comparison(NamedTuple):
    """The method that the run is about, and the one that its gains are measured against."""

    method: Line
    baseline: Line

    def gain(self, group: str) -> float | None:
        """Returns by how many points the method is better over a group, None where one of them is not measured."""
        return difference(self.method.value(group), self.baseline.value(group))

    def is_sure(self, group: str) -> bool | None:
        """Returns whether a gain is larger than what is not sure of both values; None where that is not known."""
        gain, a, b = self.gain(group), self.method.within(group), self.baseline.within(group)
        return None if gain is None or a is None or b is None else abs(gain) > a + b

    def gain_of(self, label: int) -> float | None:
        """Returns the same for one class."""
        return difference(self.method.by_class.get(label), self.baseline.by_class.get(label))


def difference(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else round(a - b, 4)


def lines(rows: Iterable[Record]) -> list[Line]:
    """Returns a line for every method of which an accuracy was measured or published, in their order."""
    found: dict[tuple[str, int, str], list[Metric]] = {}
    drawn: dict[str, bool] = {}
    for row in rows:
        if isinstance(row, Checkpoint):
            drawn[row.id] = bool(row.settings.get("images"))
        elif isinstance(row, Metric) and row.method and row.name not in _ACCOUNTS:
            found.setdefault((row.method, row.runs, row.source), []).append(row)
    made = [_line(own, drawn) for own in found.values()]
    return [line for line in made if any(line.value(group) is not None for group in GROUPS)]


def _line(rows: Sequence[Metric], drawn: Mapping[str, bool]) -> Line:
    first = rows[0]
    known = [drawn[parent] for parent in first.parents if parent in drawn]
    named = not first.source and first.method.startswith(_OURS)
    values = {(row.name, row.group): row for row in rows if row.group in GROUPS}
    by_class = {
        row.label: row.value
        for row in rows
        if row.group == "class" and row.name == "accuracy" and row.value is not None and row.label >= 0
    }
    return Line(first.method, first.runs, first.source, any(known) if known else named, values, by_class)


def comparison(found: Sequence[Line], baseline: str = "", method: str = "") -> Comparison | None:
    """Returns what to compare with what, None where only one kind of method was measured.

    The method is the one that is named, else the strongest by all with generated images; the baseline the one that is
    named, else the strongest without any. Where methods were run several times, their means are compared and no lucky
    run. Raises InputError for a name that was not measured.
    """
    here = [line for line in found if not line.source]
    one = _named(here, method, "method") if method else None
    other = _named(here, baseline, "--baseline") if baseline else None
    one = one or _strongest([line for line in here if line.generated and line is not other])
    other = other or _strongest([line for line in here if not line.generated and line is not one])
    return Comparison(one, other) if one and other else None


def _named(here: Sequence[Line], name: str, what: str) -> Line:
    """Returns the method of a name. Raises InputError where nothing was measured of it."""
    named = next((line for line in here if name in (line.method, line.title)), None)
    if named is None:
        hint = nearest(name, [line.method for line in here])
        raise InputError(f"{what} {name}: nothing of that name was measured in the stream{hint}")
    return named


def _strongest(found: Sequence[Line]) -> Line | None:
    several = [line for line in found if line.runs > 1] or found
    return max(several, key=lambda line: line.value("all") or -1.0, default=None)


def confusions(rows: Iterable[Record], line: Line, most: int = 8) -> list[Metric]:
    """Returns a method's worst confusions, as the stream has them; of several runs those of the first one."""
    pairs = [row for row in rows if isinstance(row, Metric) and row.group == "pair" and row.value]
    runs = {parent for row in line.values.values() for parent in row.parents} if line.runs > 1 else set()
    own = [row for row in pairs if row.method == line.method or (_bare(row) == _bare(line) and runs & {*row.parents})]
    return [row for row in own if row.method == own[0].method][:most]


def _bare(one: Metric | Line) -> str:
    """Returns a method's name without what tells its runs apart: "LTGC (seed 1) + TTE" is a run of "LTGC + TTE"."""
    return re.sub(r" \([^)]*\)", "", one.method)
