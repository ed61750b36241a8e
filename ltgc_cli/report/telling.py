"""What the page says in words and numbers: its summary, the numbers at its top, captions, how values are written."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from typing import Any, NamedTuple

from ltgc_cli.report.accuracy import MEASURES, Comparison, Line
from ltgc_cli.report.story import ClassStory, Story
from ltgc_cli.text import cents, counted


class Stat(NamedTuple):
    """One number at the top of the page, and what stands beside it."""

    name: str
    value: str
    beside: str = ""
    kind: str = ""
    """Of what stands beside it: better or worse."""


class Gains(NamedTuple):
    """The classes by their gain; where there are many, those at both ends, with None in the place of the others."""

    rows: Sequence[ClassStory | None]
    between: int
    most: float
    """The greatest change in points."""


def summary(story: Story) -> str:
    """Returns the run in a few sentences, with its key numbers."""
    return " ".join(part for part in (_gained(story), _drawn(story), _paid(story)) if part)


def _gained(story: Story) -> str:
    both = story.comparison
    if not both:
        return ""
    before, after = both.baseline, both.method
    said = [
        f"{name} from {percent(before.value(group))} to {percent(after.value(group))}\u00a0% ({signed(gain)})"
        for group, name in (("few", "on classes with few images"), ("all", "over all classes"))
        if (gain := both.gain(group)) is not None
    ]
    sentence = f"{after.title} takes accuracy {' and '.join(said)}, against {before.title}."
    return sentence + _doubt(both) if said else ""


def _doubt(both: Comparison) -> str:
    """Returns what to add of gains that the uncertainty of both values could make: an interval, or a deviation."""
    few, all_ = (both.is_sure(group) is False for group in ("few", "all"))
    if few and all_:
        return " Both gains are within the uncertainty (±) of their values."
    where = "over all classes" if all_ else "on classes with few images"
    return f" The gain {where} is within the uncertainty (±) of its values." if few or all_ else ""


def _drawn(story: Story) -> str:
    if not story.classes:
        return ""
    tail = f"Tail classes: {story.tail:,} of {len(story.classes):,}."
    total = story.accepted + story.rejected
    if not total:
        return tail
    if not story.judged:
        return f"{tail} Drawn for them: {counted(total, 'image')}."
    more = f", after {counted(story.redrawn, 'more drawing')} where the first was not" if story.redrawn else ""
    below = f" ({story.below:,} of them below the class’s bar)" if story.below else ""
    verb = "was" if story.accepted == 1 else "were"
    return f"{tail} Of {counted(total, 'description')} drawn for them, {story.accepted:,} {verb} accepted{below}{more}."


def _paid(story: Story) -> str:
    if story.dollars:
        return f"It cost {'at least ' if story.unpriced else ''}${cents(story.dollars)}."
    if story.unpriced:
        return "What it cost is not known."
    return "It cost nothing: no model that was asked takes money." if story.made else ""


def stats(story: Story) -> list[Stat]:
    """Returns the numbers at the top of the page, those that the stream has."""
    found = []
    both = story.comparison
    for group, name in (("few", "Accuracy, few-shot"), ("all", "Accuracy, all classes")):
        line = both.method if both else next((line for line in story.lines if not line.source), None)
        if line and (value := line.value(group)) is not None:
            gain = both.gain(group) if both else None
            beside = "" if gain is None else signed(gain)
            found.append(Stat(name, f"{percent(value)}\u00a0%", beside, "worse" if gain and gain < 0 else "better"))
    if total := story.accepted + story.rejected:
        name = "Drawings accepted" if story.judged else "Drawings"
        found.append(Stat(name, f"{story.accepted:,}", f"of {total:,}" if story.judged else ""))
    if story.classes:
        found.append(Stat("Tail classes", f"{story.tail:,}", f"of {len(story.classes):,}"))
    if story.dollars or story.unpriced:
        dollars = f"${cents(story.dollars)}" if story.dollars else "unknown"
        found.append(Stat("Cost", dollars, "at least" if story.dollars and story.unpriced else ""))
    elif story.made:
        found.append(Stat("Cost", "$0"))
    return found


def contents(story: Story, figures: Container[str]) -> list[tuple[str, str]]:
    """Returns the sections of the page, their ids and names."""
    there = {
        "accuracy": ("Accuracy", bool(story.lines)),
        "gains": ("Gains", bool(gains(story).rows)),
        "distribution": ("Before and after", "distribution" in figures),
        "scores": ("Scores", "scores" in figures),
        "training": ("Training", "curves" in figures),
        "classes": ("The classes", bool(story.classes)),
        "provenance": ("Cost and provenance", True),
    }
    return [(id, name) for id, (name, is_there) in there.items() if is_there]


_ENDS = 12
"""Classes shown from either end where not all gains fit."""


def gains(story: Story) -> Gains:
    """Returns the classes with a gain, the greatest first."""
    known = [cls for cls in story.shown if cls.gain is not None]
    ordered = sorted(known, key=lambda cls: (-(cls.gain or 0.0), cls.label))
    most = max((abs(cls.gain or 0.0) for cls in ordered), default=0.0) or 1.0
    between = len(ordered) - 2 * _ENDS
    if between <= 4:
        return Gains(ordered, 0, most)
    return Gains([*ordered[:_ENDS], None, *ordered[-_ENDS:]], between, most)


def best(lines: Sequence[Line], group: str) -> float | None:
    """Returns the highest accuracy over a group that was measured here."""
    return max((v for line in lines if not line.source and (v := line.value(group)) is not None), default=None)


def measured(lines: Sequence[Line]) -> list[Line]:
    """Returns the methods of which more than accuracy was measured."""
    return [line for line in lines if any(line.value("all", name) is not None for name in MEASURES)]


def uncertainty(lines: Sequence[Line]) -> str:
    """Returns what ± means in the table of accuracies, empty where there is none."""
    rows = [row for line in lines for row in line.values.values()]
    said = ["half a 95\u00a0% interval over test images"] if any(row.low is not None for row in rows) else []
    said += ["the standard deviation over runs"] if any(row.spread is not None for row in rows) else []
    return f", ± {', or of several runs '.join(said)}" if said else ""


def score_span(story: Story) -> tuple[float, float]:
    """Returns the least and the greatest of the scores and bars shown, which the meters span; (0, 1) for none."""
    drawings = [drawing for cls in story.shown for drawing in cls.drawings]
    values = [value for one in drawings for value in (one.score, one.bar, *(step.score for step in one.steps))]
    known = [value for value in values if value is not None and value == value]
    low, high = min(known, default=0.0), max(known, default=1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def scores_caption(story: Story) -> str:
    """Returns what the plot of the scores shows."""
    text = (
        "How alike images are to the sentence that their class is recognised by, according to CLIP: the drawings, and "
        "the real images where their scores are still known. What fell below its class’s bar was turned down."
    )
    bars = {cls.bar for cls in story.classes if cls.bar is not None}
    return f"{text} The line is the class’s bar." if len(bars) > 1 else text


def signed(value: float | None) -> str:
    """Returns a difference in points.

    >>> signed(3), signed(-1.51), signed(-0.01), signed(None)
    ('+3.0', '−1.5', '0.0', '–')
    """
    if value is None:
        return "–"
    text = f"{abs(value):.1f}"
    return text if float(text) == 0 else f"{'+' if value > 0 else '−'}{text}"


def percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def stem(text: str, name: str) -> str:
    """Returns how a description begins where it begins as all of its class do; the page says that once.

    >>> stem("A photo of the class crane, in flight.", "crane"), stem("A crane in flight.", "crane")
    ('A photo of the class crane,', '')
    """
    found = re.match(rf"A photo of the class {re.escape(name)}(?: \([^)]*\))?,(?= \w)", text)
    return found[0] if found else ""


_KINDS = {"Question": "questions", "Drawing": "drawings", "Match": "scores", "Rival": "comparisons"}


def kind(name: str) -> str:
    """Returns what requests of a type are called."""
    return _KINDS.get(name, name)


def paid(run: Any) -> str:
    """Returns what a run paid, in words."""
    if run.unpriced:
        return f"at least ${cents(run.dollars)}" if run.dollars else "unknown"
    return f"${cents(run.dollars)}" if run.dollars else "–"


def duration(seconds: float) -> str:
    """Returns how long something took.

    >>> duration(0.04), duration(75), duration(7300)
    ('0.0 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
