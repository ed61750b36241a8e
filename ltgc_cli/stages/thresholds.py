"""How alike an image and its class are on each scale, the threshold that a class's images must reach, and whether an
image looks more like another class (`--margin`)."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

from ltgc_cli import prompts as p
from ltgc_cli.errors import InputError, Refused
from ltgc_cli.ports import Compare, Comparison, Match, NearestClass, Score
from ltgc_cli.records import Class, Group, Template
from ltgc_cli.settings import Judging, Scale
from ltgc_cli.stages.class_template import given_template
from ltgc_cli.stages.overview import ClassOverview

T = TypeVar("T")

Pairs = Sequence[tuple[str, str]]  # images (their sha256), each with a text
Scored = Callable[[Pairs], list[float | Exception]]  # the raw cosine of each pair, in order

AT_ONCE = 512
"""Images handed over to be scored. The port cuts its own batches, and reads the next one while the model has one."""

_NO_ORIGINALS = (
    "filter has no original image to calibrate its threshold by; start the stream with "
    "'ltgc describe --data …', or choose a fixed threshold: --scale cosine --threshold 0.25"
)
_NO_OTHERS = "--scale margin compares an image with other classes, and the stream has one only; choose another scale"
# Below this many original images a class's own percentile says little: the tail classes' common one is taken.
_FEW_ORIGINALS = 5


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
    position = (len(ordered) - 1) * q / 100
    low, high = math.floor(position), math.ceil(position)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


def check_margin(classes: Sequence[ClassOverview], settings: Judging) -> None:
    """Raises InputError where the scale is the margin over the other classes, and there is none."""
    if settings.scale == "margin" and sum(one.cls.label >= 0 for one in classes) < 2:
        raise InputError(_NO_OTHERS)


def to_judge(classes: Sequence[ClassOverview], *, calibrated: bool) -> list[ClassOverview]:
    """Returns the classes that filter is for: those of the tail that have generated images.

    Raises InputError where the threshold is to be calibrated, and none of them has an original image.
    """
    found = [one for one in classes if one.cls.tail and one.generated]
    if found and calibrated and not any(one.originals for one in found):
        raise InputError(_NO_ORIGINALS)
    return found


def clip_text(template: Template, cls: Class) -> str:
    """Returns C_y as CLIP reads it: without the words "the class"."""
    return p.image_prompt(template.text, cls.class_, cls.subject)


def judged_text(template: Template | None, cls: Class, scale: Scale) -> str:
    """Returns what a class's images are scored against: C_y, on the margin scale the name and C_y as two lines, which
    CLIP reads as their mean; the name alone of a class without C_y.
    """
    if template is None:
        return name_text(cls)
    own = clip_text(template, cls)
    return f"{name_text(cls)}\n{own}" if scale == "margin" else own


def scoring(score: Score, model: str) -> Scored:
    """Returns the port as a function of pairs of image and text. What is no number is an error."""

    def scored(pairs: Pairs) -> list[float | Exception]:
        matches = [Match(model=model, image=image, text=text) for image, text in pairs]
        values = [value for part in parted(matches) for value in score(part)]
        return [Refused("the score is no number") if value != value else value for value in values]

    return scored


def refusing(error: Refused) -> Scored:
    """Returns what scores nothing, for this reason."""
    return lambda pairs: [error] * len(pairs)


def parted(items: Iterable[T]) -> Iterator[list[T]]:
    """Returns the items in parts that are handed over at once."""
    iterator = iter(items)
    while part := list(islice(iterator, AT_ONCE)):
        yield part


def original_scores(
    classes: Sequence[ClassOverview], templates: Mapping[int, Template], scored: Scored, scale: Scale = "cosine"
) -> dict[int, list[float]]:
    """Returns the raw cosines of each class's original images with C_y, by label; what cannot be scored is left out."""
    texts = (judged_text(templates[one.cls.label], one.cls, scale) for one in classes)
    pairs = ((sha256, text) for text, one in zip(texts, classes, strict=True) for sha256 in one.originals)
    values = (value for part in parted(pairs) for value in scored(part))  # parts of several classes
    found = ((one.cls.label, islice(values, len(one.originals))) for one in classes)
    return {label: [value for value in own if not isinstance(value, Exception)] for label, own in found}


def calibrated_thresholds(real: Mapping[int, Sequence[float]], q: float) -> dict[int, float]:
    """Returns each class's threshold: the q-th percentile of its original images' scores, by label.

    A class of under five takes that of all classes together. Raises InputError where no class has one.
    """
    everything = [value for values in real.values() for value in values]
    if real and not everything:
        raise InputError(_NO_ORIGINALS)
    common = round(percentile(everything, q), 6) if real else 0.0
    return {
        label: round(percentile(own, q), 6) if len(own) >= _FEW_ORIGINALS else common for label, own in real.items()
    }


def class_thresholds(
    classes: Sequence[ClassOverview], templates: Mapping[int, Template], scored: Scored, settings: Judging
) -> dict[int, float | None]:
    """Returns each class's threshold by label: the fixed one, or on the calibrated scale what its originals reach.

    Where everything is kept (`--mode score`) there is none. Raises Refused where no original can be scored.
    """
    if not calibrates(settings):
        return {one.cls.label: None if settings.mode == "score" else settings.level for one in classes}
    real = original_scores(classes, templates, scored)
    if real and not any(real.values()):  # there are some, or filter had not begun
        raise Refused("no original image could be scored, by which its class's bar is set")
    return {**calibrated_thresholds(real, settings.level)}


def calibrates(settings: Judging) -> bool:
    """Returns whether the threshold comes from the original images."""
    return settings.scale == "calibrated" and settings.mode != "score"


# ---- the nearest other class


class OtherClasses(NamedTuple):
    """The classes that a generated image may look more like than its own."""

    closest: Callable[[Pairs], Sequence[NearestClass | Exception]]
    """The nearest other class's text of each pair of an image and its own class's text, in order."""
    names: Mapping[str, str]  # the class of each text


def other_classes(
    groups: Sequence[Group], templates: Mapping[int, Template], settings: Judging, *, compare: Compare | None,
    keep: Callable[[bytes], str] | None, model: str,
) -> OtherClasses | None:  # fmt: skip
    """Returns what generated images are compared with; None without a margin, and where there is one class only.

    Raises InputError where there is one class only, and the scale is the margin.

    keep -- stores the list of the classes' texts, which all the comparisons share, and returns its sha256
    """
    if settings.margin is None and settings.scale != "margin":
        return None
    if compare is None or keep is None:
        raise ValueError("a margin needs the ports `compare` and `keep`")
    found = among(_class_texts(groups, templates, settings.scale), compare=compare, keep=keep, model=model)
    if found is None and settings.scale == "margin":
        raise InputError(_NO_OTHERS)
    return found


def margins(scored: Scored, others: OtherClasses) -> Scored:
    """Returns what gives the cosine of each pair less that with the nearest other class."""

    def less_the_nearest(pairs: Pairs) -> list[float | Exception]:
        own, nearest = scored(pairs), others.closest(pairs)
        return [
            a if isinstance(a, Exception) else b if isinstance(b, Exception) else round(a - b.cosine, 6)
            for a, b in zip(own, nearest, strict=True)
        ]

    return less_the_nearest


def among(
    names: Mapping[str, str], *, compare: Compare, keep: Callable[[bytes], str], model: str
) -> OtherClasses | None:
    """Returns the comparison with classes that are given as the name of each under its text; None for one alone."""
    if len(names) < 2:
        return None
    listed = keep(json.dumps(sorted(names), ensure_ascii=False).encode())

    def closest(pairs: Pairs) -> Sequence[NearestClass | Exception]:
        comparisons = [Comparison(model=model, image=image, own=own, among=listed) for image, own in pairs]
        return compare(comparisons) if comparisons else []

    return OtherClasses(closest, names)


def name_text(cls: Class) -> str:
    """Returns a class as CLIP reads it where nothing is known but its name: "A photo of seal (marine mammal)."."""
    return p.image_prompt(f"A photo of the class {cls.class_}.", cls.class_, cls.subject)


def _class_texts(groups: Sequence[Group], templates: Mapping[int, Template], scale: Scale) -> dict[str, str]:
    """Returns the name of each class under the text that CLIP knows it by.

    That is C_y where there is one, and "A photo of NAME." for the others: the head classes, as a rule.
    """
    texts: dict[str, str] = {}
    for cls, group in ((group.cls, group) for group in groups if group.cls.label >= 0):
        template = templates.get(cls.label) or given_template(group)
        texts.setdefault(judged_text(template, cls, scale), cls.class_)
    return texts
