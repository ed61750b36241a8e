"""What filter would make of a stream (`--preview`): how real and generated images score, what each threshold passes.

It asks what the real run asks first, the classes' templates, and scores; nothing is rewritten or generated.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from ltgc_cli import prompts as p
from ltgc_cli.ports import Ask, Compare, NearestClass, Score, Tries
from ltgc_cli.records import Failure, Group, Metric, Template, identify
from ltgc_cli.settings import Judging, Scale
from ltgc_cli.stages import thresholds as t
from ltgc_cli.stages.class_template import class_templates
from ltgc_cli.stages.novelty import novelty
from ltgc_cli.stages.overview import ClassOverview
from ltgc_cli.stages.tries import once

QUANTILES = (0, 10, 50, 90, 100)  # percentiles of the scores that are shown, the median among them
PERCENTILES = (0.0, 5.0, 10.0, 25.0, 50.0)  # thresholds that are shown of the calibrated scale
_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_MOST_THRESHOLDS = 8
_BINS = 12
_BLOCKS = " ▁▂▃▄▅▆▇█"


class PassCount(msgspec.Struct, frozen=True):
    """How many generated images a threshold passes, the margin considered."""

    threshold: float
    least: float | None  # the score that it stands for; None over classes of several
    passed: int


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """How the images of a class score, on the scale of the settings. The last one, without a label, is of all."""

    label: int = -1
    class_: str = ""
    real: tuple[float, ...]
    generated: tuple[float, ...]
    passing: tuple[PassCount, ...]
    trouble: str = ""  # why the class is judged by its bare name, where it is


def preview(
    known: Sequence[ClassOverview], groups: Callable[[], Iterable[Group]], *, ask: Ask, score: Score, llm: str,
    clip: str, settings: Judging, compare: Compare | None = None, keep: Callable[[bytes], str] | None = None,
    prompts: p.Prompts = p.PAPER, workers: int = 1, tries: Tries = once,
) -> list[Spread]:  # fmt: skip
    """Returns how the originals and the generated images of each tail class score, and last of all of them together.

    Generated images that cannot be scored are left out. Raises InputError where the calibrated scale, or the novelty,
    has no original images to go by.

    known -- what `overview` keeps of the classes; groups -- returns the classes from the first one on
    compare, keep -- needed for a margin or a novelty in the settings, as in `filter.evaluate`
    """
    calibrated = settings.scale == "calibrated"
    mine = t.to_judge(known, calibrated=calibrated)
    t.check_margin(known, settings)
    new = novelty(mine, settings.novelty, compare=compare, keep=keep, model=clip)
    wanted = [one.group for one in mine]
    asked = class_templates(wanted, ask=ask, model=llm, prompts=prompts, workers=workers, tries=tries)
    templates = {label: found.template for label, found in asked.items()}
    scored = t.scoring(score, clip)
    everything = [one.group for one in known]
    others = t.other_classes(everything, templates, settings, compare=compare, keep=keep, model=clip)
    if others and settings.scale == "margin":
        scored, others = t.margins(scored, others), None
    cosines = t.original_scores(mine, templates, scored, settings.scale)
    real = {label: tuple(round(t.scaled(value, settings.scale), 6) for value in own) for label, own in cosines.items()}
    judged: dict[int, _Judged] = {one.cls.label: _Judged(array("d"), bytearray()) for one in mine}
    for part in t.parted(_generated(groups(), templates, settings.scale)):
        pairs = [(sha256, text) for _, sha256, text in part]
        # Part by part: the port still knows what it has just seen.
        nearest = others.closest(pairs) if others else [None] * len(part)
        fresh = (
            [not new.copied(found) for found in new.nearest([one[:2] for one in part])] if new else [True] * len(part)
        )
        for (label, *_), cosine, other, is_new in zip(part, scored(pairs), nearest, fresh, strict=True):
            if not isinstance(cosine, Exception):
                judged[label].scores.append(round(t.scaled(cosine, settings.scale), 6))
                judged[label].own.append(is_new and _own(cosine, other, settings.margin))
    scores = [value for own in real.values() for value in own]
    scores += [value for own in judged.values() for value in own.scores]
    grid = thresholds(settings, scores)
    least = {q: t.calibrated_thresholds(real, q) if calibrated else dict.fromkeys(real, q) for q in grid}
    spreads = []
    for label, one in ((one.cls.label, one) for one in mine):
        own = judged[label]
        counts = {
            q: sum(score >= of[label] and ours for score, ours in zip(own.scores, own.own, strict=True))
            for q, of in least.items()
        }
        passing = tuple(PassCount(q, least[q][label], count) for q, count in counts.items())
        trouble = next((row.reason for row in asked[label].rows if isinstance(row, Failure)), "")
        name, generated = one.cls.class_, tuple(own.scores)
        spreads.append(
            Spread(label=label, class_=name, real=real[label], generated=generated, passing=passing, trouble=trouble)
        )
    return [*spreads, _all(spreads, calibrated)] if spreads else []


def thresholds(settings: Judging, scores: Sequence[float]) -> list[float]:
    """Returns the thresholds worth a look, that of the settings among them: percentiles where the scale has them,
    else round numbers over the range of the scores.

    >>> thresholds(Judging(scale="cosine", threshold=0.3), [0.213, 0.268])
    [0.22, 0.23, 0.24, 0.25, 0.26, 0.3]
    """
    if settings.scale == "calibrated":
        return sorted({*PERCENTILES, settings.level})
    if not scores:
        return [settings.level]
    low, high = min(scores), max(scores)
    step = next((step for step in _STEPS if (high - low) / step <= _MOST_THRESHOLDS), _STEPS[-1])
    grid = (round(number * step, 3) for number in range(math.ceil(low / step), math.floor(high / step) + 1))
    return sorted({*grid, settings.level})


def metrics(spreads: Sequence[Spread], settings: Judging) -> list[Metric]:
    """Returns the spreads as records: "score quantile" of originals and generated images, "pass share" in percent.

    Beside its value a quantile has `of` and `quantile`, a share has `threshold` and its `bar`, both have the scale.
    """
    found: list[Metric] = []
    for spread in spreads:
        for of, values in (("originals", spread.real), ("drawings", spread.generated)):
            for q in QUANTILES if values else ():
                rest = {"of": of, "quantile": q, "scale": settings.scale}
                found.append(_metric(spread, "score quantile", round(t.percentile(values, q), 6), len(values), rest))
        for passing in spread.passing:
            rest = {"threshold": passing.threshold, "bar": passing.least, "scale": settings.scale}
            share = round(100 * passing.passed / len(spread.generated), 2) if spread.generated else None
            found.append(_metric(spread, "pass share", share, len(spread.generated), rest))
    return found


def table(spreads: Sequence[Spread], settings: Judging, *, narrow: bool = False) -> tuple[list[str], list[list[str]]]:
    """Returns the columns and rows of a table for a person: a row a class, the last one of all.

    A histogram shows real images and one generated images, over the range of all scores; the scores beside it are the
    10th percentile, the median and the 90th; a narrow table does without. A threshold's column has the share of
    generated images that it passes.
    """
    everything = [value for spread in spreads for value in (*spread.real, *spread.generated)]
    low, high = min(everything, default=0.0), max(everything, default=0.0)
    grid = [passing.threshold for passing in spreads[0].passing] if spreads else []
    sign = "%" if settings.scale == "calibrated" else ""
    named = [f"{threshold:g}{sign}{'*' if threshold == settings.level else ''}" for threshold in grid]
    span = f"{low:.2f}…{high:.2f}"
    beside, bins = ([], _BINS * 2 // 3) if narrow else (["10/50/90"], _BINS)
    columns = ["class", "real", span, *beside, "generated", span, *beside, *named]
    rows = [
        [
            spread.class_ if spread.label >= 0 else "all",
            *_cells(spread.real, low, high, bins)[: 2 + len(beside)],
            *_cells(spread.generated, low, high, bins)[: 2 + len(beside)],
            *(f"{one.passed / len(spread.generated):.0%}" if spread.generated else "" for one in spread.passing),
        ]
        for spread in spreads
    ]
    return columns, rows


def histogram(values: Sequence[float], low: float, high: float, bins: int = _BINS) -> str:
    """Returns how often values fall into equal parts of [low, high], a block a part: the most frequent is full.

    >>> histogram([0.0, 0.1, 0.9], 0.0, 1.0, bins=4)
    '█  ▄'
    """
    counts = [0] * bins
    for value in values:
        position = (value - low) / (high - low) if high > low else 0.0
        counts[min(bins - 1, int(position * bins))] += 1
    most = max(counts)
    # What is there at all is seen: the lowest block is for one image in a thousand too.
    return "".join(_BLOCKS[math.ceil(count / most * (len(_BLOCKS) - 1))] if most else " " for count in counts)


class _Judged(NamedTuple):
    """The generated images of a class, in order."""

    scores: array[float]  # on the scale
    own: bytearray  # whether each is its own class's, as far as a margin asks for that, and no copy


def _generated(
    groups: Iterable[Group], templates: Mapping[int, Template], scale: Scale
) -> Iterator[tuple[int, str, str]]:
    """Returns the label, the sha256 and C_y as CLIP reads it of each generated image that is judged."""
    for group in groups:
        if group.cls.tail and (template := templates.get(group.cls.label)):
            text = t.judged_text(template, group.cls, scale)
            yield from ((group.cls.label, image.sha256, text) for image in group.generated)


def _own(cosine: float, other: NearestClass | Exception | None, least: float | None) -> bool:
    """Returns whether an image is its own class's, as far as a margin asks for that."""
    if isinstance(other, NearestClass) and least is not None:
        return round(cosine - other.cosine, 6) >= least
    return other is None or least is None


def _all(spreads: Sequence[Spread], calibrated: bool) -> Spread:
    passing = [
        PassCount(one[0].threshold, None if calibrated else one[0].least, sum(each.passed for each in one))
        for one in zip(*(spread.passing for spread in spreads), strict=True)
    ]
    real = tuple(value for spread in spreads for value in spread.real)
    generated = tuple(value for spread in spreads for value in spread.generated)
    return Spread(real=real, generated=generated, passing=tuple(passing))


def _metric(spread: Spread, name: str, value: float | None, images: int, rest: dict[str, object]) -> Metric:
    label, group = spread.label, "class" if spread.label >= 0 else "all"
    metric = Metric(label=label, class_=spread.class_, name=name, group=group, value=value, images=images, rest=rest)
    return identify(metric, name, *rest.values())


def _cells(values: Sequence[float], low: float, high: float, bins: int) -> list[str]:
    if not values:
        return ["0", "", ""]
    quantiles = "/".join(f"{t.percentile(values, q):.2f}" for q in (10, 50, 90))
    return [str(len(values)), histogram(values, low, high, bins), quantiles]
