"""From predictions to metric records: one classifier's, several runs of one, and what was published."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

import ltgc_cli.embedded
from ltgc_cli import records
from ltgc_cli.errors import InputError
from ltgc_cli.learn import metrics
from ltgc_cli.records import Metric, Record, identify
from ltgc_cli.text import agreeing, counted

NOWHERE = "no class of the table"  # what an image is taken for where an answer names no class
PAIRS = 10  # confusions that are recorded
_PUBLISHED = Path(ltgc_cli.embedded.__file__).parent / "published_results.json"


class Predictions(NamedTuple):
    """What one method takes the test images for."""

    method: str
    labels: Sequence[int]
    predicted: NDArray[np.int64]
    names: Mapping[int, str]  # of each label of the class table
    counts: Mapping[int, int] | None  # real training images of each label; None where they are not known
    confidences: NDArray[np.float64] | None = None  # of each prediction, where the classifier has such
    parents: tuple[str, ...] = ()
    run_of: str = ""  # what several runs that differ by their seed alone have in common; empty for a single one


def measured(found: Iterable[Predictions | Record], split: str, notice: Callable[[str], None]) -> Iterator[Record]:
    """Returns the metrics of each method's predictions, then those of several runs of one method together.

    Other records stay what they are. Raises InputError where there is no image.
    """
    runs = defaultdict[str, list[list[Metric]]](list)
    for one in found:
        if isinstance(one, Record):
            yield one
            continue
        if not one.labels:
            raise InputError("the test set has no image")
        if absent := len(set(one.names) - set(one.labels)):
            of = f"{absent:,} of {counted(len(one.names), 'class')}"
            notice(
                f"eval: {of} {agreeing(absent, 'has no test image: it is', 'have no test image: they are')} in no mean"
            )
        made = rows(one, split)
        yield from made
        if one.run_of:
            runs[one.run_of].append(made)
    for method, several in runs.items():
        yield from over_runs(method, several)


def rows(found: Predictions, split: str) -> list[Metric]:
    """Returns the metric records of one classifier: measures by group, by class, and the worst confusions."""
    counted = metrics.tally(found.labels, found.predicted)
    intervals = metrics.intervals(found.labels, found.predicted, found.counts)
    inside = metrics.members(counted.labels, found.counts)
    made = []
    for key, value in metrics.measures(counted, found.counts).items():
        name, group = key
        low, high = intervals.get(key, (None, None))
        images = int(counted.images[inside[group]].sum())
        metric = Metric(name=name, group=group, value=_rounded(value), images=images)
        if name == "worst_class" and (label := metrics.worst_label(counted)) is not None:
            metric = records.evolve(metric, label=label, class_=found.names[label])
        made.append(records.evolve(metric, low=_rounded(low), high=_rounded(high)))
    if found.confidences is not None:
        right = np.asarray(found.labels) == found.predicted
        error = _rounded(metrics.calibration_error(found.confidences, right))
        made.append(Metric(name="calibration_error", group="all", value=error, images=len(right)))
    if (lost := int((found.predicted == metrics.NO_CLASS).sum())) > 0:
        share = _rounded(100 * lost / len(found.labels))
        made.append(Metric(name="no_class", group="all", value=share, images=lost))
    for label, images, right in zip(*(part.tolist() for part in counted[:3]), strict=True):
        about: dict[str, Any] = {"label": label, "class_": found.names[label], "images": images}
        made.append(Metric(name="accuracy", group="class", value=_rounded(100 * right / images), **about))
    for pair in metrics.worst_pairs(found.labels, found.predicted, PAIRS):
        about = {"label": pair.label, "class_": found.names[pair.label], "images": pair.images}
        other = NOWHERE if pair.predicted == metrics.NO_CLASS else found.names[pair.predicted]
        made.append(Metric(name="confusion", group="pair", value=_rounded(pair.share), predicted=other, **about))
    made = [records.evolve(metric, method=found.method, parents=found.parents) for metric in made]
    return [identify(one, one.name, one.group, one.predicted, found.method, split) for one in made]


def over_runs(method: str, runs: Sequence[Sequence[Metric]]) -> list[Metric]:
    """Returns the mean and spread of each measure that all runs of a method have; not of single confusions."""

    def key(row: Metric) -> tuple[str, str, int]:
        return row.name, row.group, row.label if row.group == "class" else -1

    by_key = [{key(row): row for row in run if row.group != "pair"} for run in runs]
    parents = tuple(dict.fromkeys(parent for run in runs for row in run[:1] for parent in row.parents))
    made = []
    for measure, first in by_key[0].items():
        values = [run[measure].value for run in by_key if measure in run]
        known = [value for value in values if value is not None]
        if len(known) < len(runs):
            continue
        value, spread = map(_rounded, metrics.spread(known))
        plain = records.evolve(first, label=-1, class_="") if first.group != "class" else first
        about: dict[str, Any] = {"method": method, "runs": len(runs), "parents": parents, "low": None, "high": None}
        metric = records.evolve(plain, value=value, spread=spread, **about)
        made.append(identify(metric, *measure, method, len(runs)))
    return made


def published(data: str, *, asked_directly: bool = False) -> list[Metric]:
    """Returns the published accuracies on a data set, each with its source, so that nobody takes them for measured.

    asked_directly -- with those of vision-language models that were asked directly (the paper's Table 3)
    """
    known: dict[str, Any] = msgspec.json.decode(_PUBLISHED.read_bytes())
    source = known["source"]
    tables: dict[str, dict[str, float | None]] = dict(known[data])
    if asked_directly:
        for name, values in known["direct answers of a vision-language model"].items():
            if name not in tables and data in values:
                tables[f"{name}, asked directly"] = {"all": values[data]}
    made = [
        Metric(name="accuracy", group=group, value=value, method=f"{name} (published)", source=source)
        for name, values in tables.items()
        for group in records.GROUPS
        if (value := values.get(group)) is not None
    ]
    return [identify(metric, "accuracy", metric.group, metric.method, source) for metric in made]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
