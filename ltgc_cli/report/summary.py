"""The page's sentences and its numbers: the summary at the top, key numbers, gains, captions."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import NamedTuple

from ltgc_cli import trial
from ltgc_cli.report import accuracy
from ltgc_cli.report.accuracy import MEASURES, Gain, MethodResult
from ltgc_cli.report.content import ClassContent, Content
from ltgc_cli.report.format import dollars, gained, percent
from ltgc_cli.text import cents, counted


class Stat(NamedTuple):
    """One number at the top of the page, and what stands beside it."""

    name: str
    value: str
    beside: str = ""
    kind: str = ""  # of what stands beside it: better or worse
    below: str = ""  # what stands below it, in small print


class Gains(NamedTuple):
    """The classes by their gain; where there are many, those at both ends, with None in the place of the others."""

    rows: Sequence[ClassContent | None]
    between: int
    most: float  # the greatest change in points


def summary(content: Content) -> str:
    """Returns the run in a few sentences, with its key numbers."""
    return " ".join(part for part in (_accuracy(content), _images(content), _cost(content)) if part)


_WHERE = {
    ("accuracy", "few"): "on classes with few images",
    ("accuracy", "all"): "over all classes",
    ("accuracy", "at most 5"): "on classes with at most five images",
    ("accuracy", "medium"): "on medium-shot classes",
    ("accuracy", "many"): "on classes with many images",
    ("class_mean", "all"): "in the mean over classes",
    ("harmonic_mean", "all"): "in the harmonic mean over classes",
    ("worst_class", "all"): "on the worst class",
    ("macro_f1", "all"): "in macro-F1",
}
"""The figures that are spoken of, in this order; calibration is no accuracy, and stands in its table alone."""
_ALWAYS = [("accuracy", "few"), ("accuracy", "all")]  # those of which it is said too where the method is ahead


def _accuracy(content: Content) -> str:
    """Returns where the method is behind a baseline, then where it is ahead: each figure beside the best in it."""
    both = content.comparison
    if not both:
        return _alone(content)
    found = [gain for name, group in _WHERE if (gain := both.gain(group, name))]
    if both.method.value("all", "class_mean") == both.method.value("all"):  # a balanced test set: it is said once
        found = [gain for gain in found if gain.name != "class_mean"]
    behind = [gain for gain in found if gain.is_behind]
    rest = [gain for gain in found if not gain.is_behind and (gain.name, gain.group) in _ALWAYS]
    level = [gain for gain in rest if not round(gain.points, 1)]
    ahead = [gain for gain in rest if gain not in level]
    cases = {"is behind": behind, "is level": level, "is ahead": ahead}
    said = [f"{verb} {_listed([_beside(gain) for gain in own])}." for verb, own in cases.items() if own]
    sentences = [f"{_called(both.method) if not number else 'It'} {text}" for number, text in enumerate(said)]
    return " ".join([*sentences, *_doubt([*behind, *ahead])])


def _alone(content: Content) -> str:
    """Returns what was measured where there is nothing to compare it with, and why: whose numbers stand at the top."""
    found = _measured(content)
    best = accuracy.strongest(found)
    if best is None:
        return ""
    values = {key: best.value(key[1]) for key in _ALWAYS}
    known = [f"{percent(value)}\u00a0% {_WHERE[key]}" for key, value in values.items() if value is not None]
    said = [f"{_called(best)} has {_listed(known)}."] if known else []
    if all(result.generated for result in found):
        why = "no method without generated images was measured"
    elif not any(result.generated for result in found):
        why = "no method was trained on generated images"
    else:
        why = "no other method was trained on generated images"
    return " ".join([*said, f"It is compared with nothing: {why}." if said else f"Nothing is compared: {why}."])


def _measured(content: Content) -> list[MethodResult]:
    """Returns the methods that were measured here, not published elsewhere."""
    return [result for result in content.results if not result.source]


def _called(result: MethodResult) -> str:
    return f"{result.method} (the mean of {result.runs} runs)" if result.runs > 1 else result.title


def _beside(gain: Gain) -> str:
    theirs = percent(gain.baseline.value(gain.group, gain.name))
    points = f"{gained(gain.points, gain.within)} points".replace(" ", "\u00a0")
    beside = f"where {_called(gain.baseline)} has {theirs}: {points}"
    return f"{_WHERE[gain.name, gain.group]} ({percent(gain.method)}\u00a0%, {beside})"


def _doubt(found: Sequence[Gain]) -> list[str]:
    """Returns what to add of differences that their uncertainty could make."""
    unsure = [gain for gain in found if gain.is_sure is False]
    if not unsure:
        return []
    if len(unsure) == len(found):
        which = "None of these differences is" if len(found) > 1 else "The difference is not"
        return [f"{which} larger than its uncertainty (±)."]
    where = _listed([_WHERE[gain.name, gain.group] for gain in unsure])
    return [f"Within its uncertainty (±) is the difference {where}."]


def _listed(parts: Sequence[str]) -> str:
    """Returns parts as a sentence has them.

    >>> _listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(part for part in (", ".join(parts[:-1]), parts[-1]) if part)


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
    copied = f" {content.copies}." if content.copies else ""
    return f"{tail} {of}; {content.accepted:,} {verb} accepted{below}{more}.{copied}"


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
    result = both.method if both else accuracy.strongest(_measured(content))
    for group, name in (("few", "Accuracy, few-shot"), ("all", "Accuracy, all classes")):
        if result and (value := result.value(group)) is not None:
            gain = both.gain(group) if both else None
            beside = gained(gain.points, gain.within) if gain else ""
            below = f"against {gain.baseline.title}" if gain else result.title
            found.append(Stat(name, f"{percent(value)}\u00a0%", beside, _kind(gain), below))
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


def _kind(gain: Gain | None) -> str:
    if gain is None or not round(gain.points, 1):
        return ""
    return "worse" if gain.is_behind else "better"


def alarm(content: Content) -> str:
    """Returns what nobody may miss before they read on: that the images were judged by a model that cannot judge."""
    return trial.doubt(content.trial) if content.trial and trial.trust(content.trial) == "poor" else ""


def judge(content: Content) -> str:
    """Returns what a trial of CLIP on real images found, in sentences; empty where there was none."""
    if content.trial is None:
        return ""
    doubt = "" if alarm(content) else trial.doubt(content.trial)  # a warning stands at the top
    clip = content.trial.rest.get("clip")
    model = f" ({clip})" if isinstance(clip, str) else ""
    found = trial.words(content.trial).replace("CLIP", f"CLIP{model}", 1)
    return f"{found}. {doubt[:1].upper()}{doubt[1:]}." if doubt else f"{found}."


def sections(content: Content, figures: Container[str], looks: bool = False) -> list[tuple[str, str]]:
    """Returns the sections of the page, their ids and names.

    looks -- whether there are looks to compare
    """
    there = {
        "accuracy": ("Accuracy", bool(content.results)),
        "gains": ("Gains", bool(gains(content).rows)),
        "distribution": ("Before and after", "distribution" in figures),
        "looks": ("Looks", looks),
        "judge": ("The judge", content.trial is not None),
        "scores": ("Scores", "scores" in figures or "rounds" in figures),
        "alike": ("Copies and diversity", "alike" in figures),
        "training": ("Training", "curves" in figures),
        "classes": ("The classes", bool(content.classes)),
        "provenance": ("Cost and provenance", True),
    }
    return [(id, name) for id, (name, is_there) in there.items() if is_there]


_LOOKS = {
    "as it comes": "As it comes: as the image model generates without an adapter.",
    "adapted": "Adapted: generated after the model learnt the look of the real images (ltgc adapt).",
    "harmonised": "Harmonised: the same brought to the amplitude spectrum and the colours of the real ones, as "
    "mix-train --harmonise sees them; here at their own size, and measured on images of this stream alone.",
}


def looks(names: Iterable[str]) -> str:
    """Returns what the looks of these names are."""
    return " ".join(_LOOKS[name] for name in names if name in _LOOKS)


def pictured(content: Content) -> str:
    """Returns which classes have pictures where not all that could do: empty where all do."""
    without = sum(bool(cls.left_out) and not cls.images for cls in content.shown)
    if not without:
        return ""
    having = sum(bool(cls.images) for cls in content.shown)
    which = "of which most was rejected, on which most was lost, and the rarest"
    return f"Pictures of {counted(having, 'class')} are here, those {which}: this file has no room for all."


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


def gains_against(content: Content) -> str:
    """Returns what the classes of each shot are compared with, in words: empty where nothing is."""
    both = content.comparison
    shots = list(dict.fromkeys(cls.shot for cls in content.shown if cls.gain is not None)) if both else []
    found = {shot: other.title for shot in shots if both and (other := both.baseline_of_class(shot))}
    if len(set(found.values())) < 2:
        return next(iter(found.values()), "")
    named = [
        f"{title} ({_listed([shot or 'others' for shot in found if found[shot] == title])})"
        for title in dict.fromkeys(found.values())
    ]
    return f"the baseline that is best over their group: {'; '.join(named)}"


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
