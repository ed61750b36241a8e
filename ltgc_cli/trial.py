"""How well CLIP tells real images of the classes apart, before anything is judged by it: as records, and in words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec

from ltgc_cli.records import Metric, Record, identify
from ltgc_cli.text import counted

NAME, CONFUSION = "clip accuracy", "clip confusion"
"""What the metrics of a trial are called."""

Trust = Literal["good", "poor", "unknown"]

_FEW = 5  # images, that say nothing
_NAMED = 6  # classes that are named
_MORE_THAN_BLIND = 1.25  # times as often right as its own guesses would be without the images


class TriedImage(msgspec.Struct, frozen=True, kw_only=True):
    """What CLIP took a real image for: the class whose name it is most like."""

    label: int
    class_: str
    taken: str  # the class that it was taken for
    margin: float  # its cosine with its own class's name, less that with the nearest other one's


def metrics(tried: Sequence[TriedImage], classes: int, model: str) -> list[Metric]:
    """Returns the metrics of a trial among so many classes: of each class, of each confusion, and last of all images.

    Beside its value the last one has `chance`, and `blind`: what CLIP would get by guessing each class as often as it
    did, without a look at the images. A class's metric has the `margins` of its images.
    """
    found = []
    by_class: dict[int, list[TriedImage]] = {}
    for one in tried:
        by_class.setdefault(one.label, []).append(one)
    for label, own in by_class.items():
        of: dict[str, Any] = {"label": label, "class_": own[0].class_}
        found.append(_share(NAME, "class", own, {"margins": [one.margin for one in own]}, **of))
        wrong = Counter(one.taken for one in own if one.taken != one.class_)
        found += [
            Metric(name=CONFUSION, group="pair", value=_percent(many / len(own)), images=many, predicted=taken, **of)
            for taken, many in sorted(wrong.items(), key=lambda pair: (-pair[1], pair[0]))
        ]
    about = {"chance": _percent(1 / classes), "blind": _percent(_blind(tried)), "classes": classes, "clip": model}
    return [
        identify(one, one.name, one.group, one.predicted, model, one.images, one.value)
        for one in [*found, _share(NAME, "all", tried, about)]
    ]


def _share(name: str, group: str, tried: Sequence[TriedImage], about: dict[str, Any], **of: Any) -> Metric:
    right = sum(one.taken == one.class_ for one in tried)
    low, high = (_percent(end) for end in wilson(right, len(tried)))
    value = _percent(right / len(tried))
    return Metric(name=name, group=group, value=value, low=low, high=high, images=len(tried), rest=about, **of)


def wilson(right: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Returns Wilson's interval of a share, in 0..1 (Wilson, 1927): it holds for few images, and near 0 and 1.

    >>> [round(end, 3) for end in wilson(0, 10)]
    [0.0, 0.278]
    """
    from statistics import NormalDist

    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, squared = right / total, z * z / total
    middle = (share + squared / 2) / (1 + squared)
    half = z / (1 + squared) * math.sqrt(share * (1 - share) / total + squared / total / 4)
    return max(0.0, middle - half), min(1.0, middle + half)


def _blind(tried: Sequence[TriedImage]) -> float:
    """Returns the share that guesses as frequent as CLIP's would have right; 0 where the images are of one class."""
    true, taken = Counter(one.class_ for one in tried), Counter(one.taken for one in tried)
    if len(true) < 2:
        return 0.0
    return sum(count * taken[name] for name, count in true.items()) / len(tried) ** 2


def _percent(share: float) -> float:
    return round(100 * share, 2)


# ---- what it means


def of_all(rows: Iterable[Record]) -> Metric | None:
    """Returns the metric of all images of a trial, the latest one of a stream; None where CLIP was not tried."""
    found = [row for row in rows if isinstance(row, Metric) and row.name == NAME and row.group == "all"]
    return found[-1] if found else None


def without(rows: Iterable[Record]) -> list[Record]:
    """Returns the records without those of an earlier trial."""
    return [row for row in rows if not (isinstance(row, Metric) and row.name in (NAME, CONFUSION))]


def trust(metric: Metric) -> Trust:
    """Returns whether CLIP can judge these classes, unknown where the images are too few to tell.

    It is poor where it is right less than twice as often as chance (of few classes: less than half the way from chance
    to always), or hardly more often than its own guesses would be without the images. Either is believed only where
    the interval of its accuracy ends below the middle between that and always.
    """
    right, low, high, chance, blind = _shares(metric)
    enough = min(2 * chance, (1 + chance) / 2)
    if metric.images < _FEW:
        return "unknown"
    if right < enough and high < (1 + chance) / 2:
        return "poor"
    if right < _MORE_THAN_BLIND * blind and high < (1 + blind) / 2:
        return "poor"
    return "good" if right >= enough and low > max(chance, blind) else "unknown"


def _shares(metric: Metric) -> tuple[float, float, float, float, float]:
    """Returns value, interval, chance and blind guesses as shares; what a hand-made record lacks says nothing."""
    given = (metric.value, metric.low, metric.high, metric.rest.get("chance"), metric.rest.get("blind"))
    silent = (0, 0, 100, 0, 0)
    pairs = zip(given, silent, strict=True)
    right, low, high, chance, blind = ((v if isinstance(v, int | float) else other) / 100 for v, other in pairs)
    return right, low, high, chance, blind


def words(metric: Metric) -> str:
    """Returns what a trial found, in a line: "CLIP puts 76% of 29 originals in their own class by its name …"."""
    right, low, high, chance, _ = _shares(metric)
    return (
        f"CLIP puts {_shown(right)} of {counted(metric.images, 'original')} in their own class by its name "
        f"(top-1, 95% interval {low * 100:.0f} to {high:.0%}), chance {_shown(chance)}"
    )


def doubt(metric: Metric) -> str:
    """Returns what to say of a judge that is not known to be good, empty of a good one."""
    found = trust(metric)
    if found == "unknown":
        return "these are too few originals to tell how far CLIP's threshold can be trusted"
    if found == "good":
        return ""
    right, _, _, chance, blind = _shares(metric)
    # Many images of one class make guesses of it right more often than chance.
    guessed = f", and {_shown(blind)} for guesses as its own without a look at the images" if blind > 2 * chance else ""
    return (
        f"CLIP cannot tell these classes apart ({_shown(right)} top-1, where chance is {_shown(chance)}{guessed}): its "
        "threshold cannot be trusted, noise may reach it as well as an image of the class. Name another model by "
        "--clip, or decide by eye (ltgc review)"
    )


def weak(found: Iterable[Record]) -> str:
    """Returns the classes that CLIP takes most real images of for others, in words; empty where there are none."""
    rows = [row for row in found if isinstance(row, Metric)]
    classes = [row for row in rows if row.name == NAME and row.group == "class" and row.images >= _FEW]
    bad = sorted((row for row in classes if (row.value or 0.0) < 50), key=lambda row: (row.value or 0.0, row.label))
    named = [f"{row.class_} ({of_class(rows, row.label)})" for row in bad[:_NAMED]]
    return "; ".join(named) + (f"; and {len(bad) - _NAMED:,} more" if len(bad) > _NAMED else "")


def of_class(found: Iterable[Record], label: int) -> str:
    """Returns what CLIP took a class's real images for: "6 of 17 right, 4 taken for three"; empty for no such class."""
    own = [row for row in found if isinstance(row, Metric) and row.label == label]
    whole = next((row for row in own if row.name == NAME), None)
    if whole is None:
        return ""
    wrong = max((row for row in own if row.name == CONFUSION), key=lambda row: row.images, default=None)
    right = round((whole.value or 0.0) / 100 * whole.images)
    return f"{right:,} of {whole.images:,} right" + (f", {wrong.images:,} taken for {wrong.predicted}" if wrong else "")


def _shown(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 or not share else f"{share:.1%}"
