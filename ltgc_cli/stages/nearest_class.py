"""Whether a generated image looks more like another class than like its own (`--margin`)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from ltgc_cli import prompts as p
from ltgc_cli.ports import Compare, Comparison, NearestClass
from ltgc_cli.records import Group, Template
from ltgc_cli.stages.class_template import given_template
from ltgc_cli.stages.thresholds import Pairs, clip_text


class OtherClasses(NamedTuple):
    """The classes that a generated image may look more like than its own."""

    closest: Callable[[Pairs], Sequence[NearestClass | Exception]]
    """The nearest other class's text of each pair of an image and its own class's text, in order."""
    names: Mapping[str, str]
    """The class of each text."""


def other_classes(
    groups: Sequence[Group],
    templates: Mapping[int, Template],
    margin: float | None,
    *,
    compare: Compare | None,
    keep: Callable[[bytes], str] | None,
    model: str,
) -> OtherClasses | None:
    """Returns what generated images are compared with; None without a margin, and where there is one class only.

    keep -- stores the list of the classes' texts, which all the comparisons share, and returns its sha256
    """
    if margin is None:
        return None
    if compare is None or keep is None:
        raise ValueError("a margin needs the ports `compare` and `keep`")
    names = _class_texts(groups, templates)
    if len(names) < 2:
        return None
    among = keep(json.dumps(sorted(names), ensure_ascii=False).encode())
    return OtherClasses(partial(_closest, compare=compare, model=model, among=among), names)


def _class_texts(groups: Sequence[Group], templates: Mapping[int, Template]) -> dict[str, str]:
    """Returns the name of each class under the text that CLIP knows it by.

    That is C_y where there is one, and "A photo of NAME." for the others: the head classes, as a rule.
    """
    texts: dict[str, str] = {}
    for cls, group in ((group.cls, group) for group in groups if group.cls.label >= 0):
        template = templates.get(cls.label) or given_template(group)
        alone = p.image_prompt(f"A photo of the class {cls.class_}.", cls.class_, cls.subject)
        texts.setdefault(clip_text(template, cls) if template else alone, cls.class_)
    return texts


def _closest(pairs: Pairs, compare: Compare, model: str, among: str) -> Sequence[NearestClass | Exception]:
    comparisons = [Comparison(model=model, image=image, own=own, among=among) for image, own in pairs]
    return compare(comparisons) if comparisons else []
