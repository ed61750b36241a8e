"""The page's sentences and its numbers: the summary at the top, key numbers, gains, captions."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import NamedTuple

from ltgc_cli.report import accuracy
from ltgc_cli.report.accuracy import MEASURES, MethodComparison, MethodResult
from ltgc_cli.report.content import ClassContent, Content
from ltgc_cli.report.format import dollars, percent, signed
from ltgc_cli.text import cents, counted


class Stat(NamedTuple):
    """One number at the top of the page, and what stands beside it."""

    name: str
    value: str
    beside: str = ""
    kind: str = ""  # of what stands beside it: better or worse


class Gains(NamedTuple):
    """The classes by their gain; where there are many, those at both ends, with None in the place of the others."""

    rows: Sequence[ClassContent | None]
    between: int
    most: float  # the greatest change in points


def summary(content: Content) -> str:
    """Returns the run in a few sentences, with its key numbers."""
    return " ".join(part for part in (_accuracy(content), _images(content), _cost(content)) if part)


def _accuracy(content: Content) -> str:
    both = content.comparison
    if not both:
        return ""
    before, after = both.baseline, both.method
    gained = [
        f"{name} from {percent(before.value(group))} to {percent(after.value(group))}\u00a0% ({signed(gain)})"
        for group, name in (("few", "on classes with few images"), ("all", "over all classes"))
        if (gain := both.gain(group)) is not None
    ]
    sentence = f"{after.title} takes accuracy {' and '.join(gained)}, against {before.title}."
    return sentence + _doubt(both) if gained else ""


def _doubt(both: MethodComparison) -> str:
    """Returns what to add of gains that the uncertainty of both values could make: an interval, or a deviation."""
    few, all_ = (both.is_sure(group) is False for group in ("few", "all"))
    if few and all_:
        return " Both gains are within the uncertainty (±) of their values."
    where = "over all classes" if all_ else "on classes with few images"
    return f" The gain {where} is within the uncertainty (±) of its values." if few or all_ else ""


def _images(content: Content) -> str:
    if not content.classes:
        return ""
    tail = f"Tail classes: {content.tail:,} of {len(content.classes):,}."
    total = content.accepted + content.rejected
    if not total:
        return tail
    if not content.judged:
        return f"{tail} Generated for them: {counted(total, 'image')}."
    again = sum(cls.regenerated for cls in content.classes)
    under = sum(cls.below for cls in content.classes)
    more = f", after {counted(again, 'more attempt')} where the first was not" if again else ""
    below = f" ({under:,} of them below the class’s threshold)" if under else ""
    verb = "was" if content.accepted == 1 else "were"
    of = f"Images were generated from {counted(total, 'description')}"
    return f"{tail} {of}; {content.accepted:,} {verb} accepted{below}{more}."


def _cost(content: Content) -> str:
    if content.dollars:
        return f"It cost {dollars(content.dollars, content.unpriced)}."
    if content.unpriced:
        return "What it cost is not known."
    return "It cost nothing: no model that was asked takes money." if content.made else ""


def stats(content: Content) -> list[Stat]:
    """Returns the numbers at the top of the page, those that the stream has."""
    found = []
    both = content.comparison
    for group, name in (("few", "Accuracy, few-shot"), ("all", "Accuracy, all classes")):
        result = both.method if both else next((result for result in content.results if not result.source), None)
        if result and (value := result.value(group)) is not None:
            gain = both.gain(group) if both else None
            beside = "" if gain is None else signed(gain)
            found.append(Stat(name, f"{percent(value)}\u00a0%", beside, "worse" if gain and gain < 0 else "better"))
    if total := content.accepted + content.rejected:
        name = "Images accepted" if content.judged else "Generated images"
        found.append(Stat(name, f"{content.accepted:,}", f"of {total:,}" if content.judged else ""))
    if content.classes:
        found.append(Stat("Tail classes", f"{content.tail:,}", f"of {len(content.classes):,}"))
    if content.dollars or content.unpriced:
        paid = f"${cents(content.dollars)}" if content.dollars else "unknown"
        found.append(Stat("Cost", paid, "at least" if content.dollars and content.unpriced else ""))
    elif content.made:
        found.append(Stat("Cost", "$0"))
    return found


def sections(content: Content, figures: Container[str]) -> list[tuple[str, str]]:
    """Returns the sections of the page, their ids and names."""
    there = {
        "accuracy": ("Accuracy", bool(content.results)),
        "gains": ("Gains", bool(gains(content).rows)),
        "distribution": ("Before and after", "distribution" in figures),
        "scores": ("Scores", "scores" in figures),
        "training": ("Training", "curves" in figures),
        "classes": ("The classes", bool(content.classes)),
        "provenance": ("Cost and provenance", True),
    }
    return [(id, name) for id, (name, is_there) in there.items() if is_there]


_ENDS = 12  # classes shown from either end where not all gains fit


def gains(content: Content) -> Gains:
    """Returns the classes with a gain, the greatest first."""
    known = [cls for cls in content.shown if cls.gain is not None]
    ordered = sorted(known, key=lambda cls: (-(cls.gain or 0.0), cls.label))
    most = max((abs(cls.gain or 0.0) for cls in ordered), default=0.0) or 1.0
    between = len(ordered) - 2 * _ENDS
    if between <= 4:
        return Gains(ordered, 0, most)
    return Gains([*ordered[:_ENDS], None, *ordered[-_ENDS:]], between, most)


def best(results: Sequence[MethodResult], group: str) -> float | None:
    """Returns the highest accuracy over a group that was measured here."""
    return max((v for result in results if not result.source and (v := result.value(group)) is not None), default=None)


def with_measures(results: Sequence[MethodResult]) -> list[MethodResult]:
    """Returns the methods of which more than accuracy was measured."""
    return [result for result in results if any(result.value("all", name) is not None for name in MEASURES)]


def uncertainty(results: Sequence[MethodResult]) -> str:
    """Returns what ± means in the table of accuracies, empty where there is none."""
    interval, deviation = "half a 95\u00a0% interval over test images", "the standard deviation over runs"
    notes = accuracy.uncertainty_note(results, interval, deviation)
    return f", ± {', or of several runs '.join(notes)}" if notes else ""


def score_span(content: Content) -> tuple[float, float]:
    """Returns the least and the greatest of the scores and thresholds shown, which the meters span; (0, 1) for none."""
    images = [image for cls in content.shown for image in cls.generated]
    values = [value for one in images for value in (one.score, one.threshold, *(step.score for step in one.steps))]
    known = [value for value in values if value is not None and value == value]
    low, high = min(known, default=0.0), max(known, default=1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)
