"""How alike an image and its class are on each scale, and the bar that a class's images must reach."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from ltgc_cli import prompts as p
from ltgc_cli.errors import InputError, Refused
from ltgc_cli.ports import Match, Score
from ltgc_cli.records import Class, Group, Image, Template
from ltgc_cli.stages.settings import Judging, Scale

T = TypeVar("T")

Scored = Callable[[Sequence[tuple[str, str]]], list[float | Exception]]
"""The raw cosine of each pair of an image (its sha256) and a text, in order."""

NOTHING_TO_GO_BY = (
    "filter has no original image to calibrate its threshold by; start the stream with "
    "'ltgc describe --data …', or choose a fixed bar: --scale cosine --threshold 0.25"
)

_FEW_ORIGINALS = 5
"""Below this many original images a class's own percentile says little: the tail classes' common one is taken."""

AT_ONCE = 512
"""Images handed over to be scored. The port cuts its own batches, and reads the next one while the model has one."""


def scaled(cosine: float, scale: Scale) -> float:
    """Returns a raw cosine on a named scale. clipscore: 2.5·max(cosine, 0) (Hessel et al., EMNLP 2021)."""
    if scale == "paper":
        return cosine + 0.5
    if scale == "clipscore":
        return 2.5 * max(cosine, 0.0)
    return cosine


def percentile(values: Sequence[float], q: float) -> float:
    """Returns the q-th percentile (0 to 100) of the values, linear between neighbours."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * q / 100
    low, high = math.floor(place), math.ceil(place)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def generated(group: Group) -> list[Image]:
    """Returns the drawings of a class."""
    return [row for row in group.rows if isinstance(row, Image) and row.origin == "generated"]


def originals(group: Group) -> list[Image]:
    """Returns the original images of a class."""
    return [row for row in group.rows if isinstance(row, Image) and row.origin == "original"]


def judged(groups: Sequence[Group]) -> list[Group]:
    """Returns the groups that filter is for: the tail classes that have drawings."""
    return [group for group in groups if group.cls.tail and generated(group)]


def aim(template: Template, cls: Class) -> str:
    """Returns C_y as CLIP reads it: without the words "the class"."""
    return p.image_prompt(template.text, cls.class_, cls.subject)


def scoring(score: Score, model: str) -> Scored:
    """Returns the port as a function of pairs of image and text. What is no number is an error."""
    return partial(_scored, score=score, model=model)


def original_scores(groups: Sequence[Group], templates: Mapping[int, Template], scored: Scored) -> list[list[float]]:
    """Returns the raw cosines of each class's original images with C_y; those that cannot be scored are left out."""
    found = class_by_class(groups, templates, scored, originals)
    return [[value for value in own if not isinstance(value, Exception)] for own in found]


def class_by_class(
    groups: Sequence[Group],
    templates: Mapping[int, Template],
    ask: Callable[[Sequence[tuple[str, str]]], Sequence[T]],
    images: Callable[[Group], list[Image]],
) -> list[list[T]]:
    """Returns what is answered to each image with its class's C_y, class by class; all are asked together."""
    pairs = [(image.sha256, aim(templates[group.cls.label], group.cls)) for group in groups for image in images(group)]
    values = iter(ask(pairs))
    return [[next(values) for _ in images(group)] for group in groups]


def calibrated_bars(real: Mapping[int, Sequence[float]], q: float) -> dict[int, float]:
    """Returns each class's bar: the q-th percentile of its original images' scores, by label.

    A class of under five takes that of all classes together. Raises InputError where no class has one.
    """
    common = [value for values in real.values() for value in values]
    if real and not common:
        raise InputError(NOTHING_TO_GO_BY)
    return {
        label: round(percentile(own if len(own) >= _FEW_ORIGINALS else common, q), 6) for label, own in real.items()
    }


def bars(
    groups: Sequence[Group], templates: Mapping[int, Template], scored: Scored, settings: Judging
) -> dict[int, float | None]:
    """Returns each class's bar by label: the threshold, or on the calibrated scale what its original images reach.

    Where everything is kept (`--mode score`) there is none.
    """
    if not calibrated(settings):
        bar = None if settings.mode == "score" else settings.threshold
        return {group.cls.label: bar for group in groups}
    real = original_scores(groups, templates, scored)
    labels = [group.cls.label for group in groups]
    return {**calibrated_bars(dict(zip(labels, real, strict=True)), settings.threshold)}


def calibrated(settings: Judging) -> bool:
    """Returns whether the bar comes from the original images."""
    return settings.scale == "calibrated" and settings.mode != "score"


def _scored(pairs: Sequence[tuple[str, str]], score: Score, model: str) -> list[float | Exception]:
    matches = [Match(model=model, image=image, text=text) for image, text in pairs]
    values: list[float | Exception] = []
    for start in range(0, len(matches), AT_ONCE):
        values += score(matches[start : start + AT_ONCE])
    return [Refused("the score is no number") if value != value else value for value in values]
