"""adapt: what the text-to-image model learns the look of a data set from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ltgc_cli import prompts as p
from ltgc_cli.providers.t2i.examples import Example
from ltgc_cli.records import Class, Description, Image, Record


def examples(cls: Class, images: Sequence[Image], rows: Iterable[Record]) -> list[Example]:
    """Returns what is learnt from a class's original images: each with its descriptions, and with the bare name.

    Texts are such as render sends: the model is to draw from them what it saw them with.

    rows -- the lines of the class: its descriptions, and the images that they are of
    """
    rows = list(rows)
    shown = {row.id: row.sha256 for row in [*rows, *images] if isinstance(row, Image) and row.origin == "original"}
    said: dict[str, list[str]] = {}
    for row in rows:
        if isinstance(row, Description) and row.origin == "described":
            for sha256 in {shown[parent]: None for parent in row.parents if parent in shown}:
                said.setdefault(sha256, []).append(p.image_prompt(row.text, cls.class_, cls.subject))
    bare = p.image_prompt(p.fill(p.BARE, cls.class_), cls.class_, cls.subject)
    return [Example(image.sha256, tuple(said.get(image.sha256, ())), bare) for image in images]
