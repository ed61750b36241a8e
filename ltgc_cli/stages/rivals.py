"""Whether a drawing looks more like another class than like its own (`--margin`)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from ltgc_cli import prompts as p
from ltgc_cli.ports import Compare, Comparison, NearestClass
from ltgc_cli.records import Group, Template
from ltgc_cli.stages.bars import aim
from ltgc_cli.stages.class_template import given_template


class Others(NamedTuple):
    """The classes that a drawing may look more like than its own."""

    closest: Callable[[Sequence[tuple[str, str]]], Sequence[NearestClass | Exception]]
    """The nearest other class's text of each pair of an image (its sha256) and its own class's text, in order."""
    names: Mapping[str, str]
    """The class of each text."""


def others(
    groups: Sequence[Group],
    templates: Mapping[int, Template],
    margin: float | None,
    *,
    compare: Compare | None,
    keep: Callable[[bytes], str] | None,
    model: str,
) -> Others | None:
    """Returns what drawings are compared with; None without a margin, and where there is one class only.

    keep -- stores the list of the classes' texts, which all the comparisons share, and returns its sha256
    """
    if margin is None:
        return None
    if compare is None or keep is None:
        raise ValueError("a margin needs the ports `compare` and `keep`")
    names = class_texts(groups, templates)
    if len(names) < 2:
        return None
    among = keep(json.dumps(sorted(names), ensure_ascii=False).encode())
    return Others(partial(_closest, compare=compare, model=model, among=among), names)


def class_texts(groups: Sequence[Group], templates: Mapping[int, Template]) -> dict[str, str]:
    """Returns the name of each class under the text that CLIP knows it by.

    That is C_y where there is one, and "A photo of NAME." for the others: the head classes, as a rule.
    """
    texts: dict[str, str] = {}
    for group in groups:
        cls = group.cls
        template = templates.get(cls.label) or given_template(group)
        if cls.label >= 0:
            alone = p.image_prompt(f"A photo of the class {cls.class_}.", cls.class_, cls.subject)
            texts.setdefault(aim(template, cls) if template else alone, cls.class_)
    return texts


def _closest(
    pairs: Sequence[tuple[str, str]], compare: Compare, model: str, among: str
) -> Sequence[NearestClass | Exception]:
    return (
        compare([Comparison(model=model, image=image, own=own, among=among) for image, own in pairs]) if pairs else []
    )
