"""Whether a drawing looks more like another class than like its own (`--margin`)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from ltgc_cli import prompts as p
from ltgc_cli.ports import Compare, Nearest, Rival
from ltgc_cli.records import Group, Template
from ltgc_cli.stages.bars import aim
from ltgc_cli.stages.class_template import given_template

Closest = Callable[[Sequence[tuple[str, str]]], Sequence[Nearest | Exception]]
"""The nearest other class's text of each pair of an image (its sha256) and its own class's text, in order."""


def class_texts(groups: Sequence[Group], templates: Mapping[int, Template]) -> dict[str, str]:
    """Returns the name of each class under the text that CLIP knows it by.

    That is C_y where there is one, and "A photo of NAME." for the others: the head classes, as a rule.
    """
    texts: dict[str, str] = {}
    for group in groups:
        cls = group.cls
        template = templates.get(cls.label) or given_template(group)
        if cls.label >= 0:
            alone = p.drawn(f"A photo of the class {cls.class_}.", cls.class_, cls.subject)
            texts.setdefault(aim(template, cls) if template else alone, cls.class_)
    return texts


def comparing(texts: Sequence[str], compare: Compare, keep: Callable[[bytes], str], model: str) -> Closest | None:
    """Returns the port as a function of pairs of image and own text, None where there is no other class.

    keep -- stores the list of the texts, which all the comparisons share, and returns its sha256
    """
    if len(set(texts)) < 2:
        return None
    among = keep(json.dumps(sorted(set(texts)), ensure_ascii=False).encode())
    return partial(_closest, compare=compare, model=model, among=among)


def _closest(
    pairs: Sequence[tuple[str, str]], compare: Compare, model: str, among: str
) -> Sequence[Nearest | Exception]:
    return compare([Rival(model=model, image=image, own=own, among=among) for image, own in pairs]) if pairs else []
