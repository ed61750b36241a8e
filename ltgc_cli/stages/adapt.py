"""adapt: what the text-to-image model learns the look of a data set from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ltgc_cli import prompts as p
from ltgc_cli.providers.t2i.examples import Example
from ltgc_cli.records import Class, Description, Image, Record, Rejected, identify


def examples(cls: Class, images: Sequence[Image], rows: Iterable[Record]) -> list[Example]:
    """Returns what is learnt from a class's original images: each with its descriptions, and with the bare name.

    Texts are such as render sends: the model is to draw from them what it saw them with. A description that reflect
    dropped, as it repeats another's, is one of its image all the same.

    rows -- the lines of the class: its descriptions, and the images that they are of
    """
    shown = {image.id: image.sha256 for image in images}
    said: dict[str, list[str]] = {}
    latest = ""
    for row in rows:
        if isinstance(row, Image) and row.origin == "original":
            latest = row.id
            shown[row.id] = row.sha256
        elif isinstance(row, Description) and row.origin == "described":
            for sha256 in {shown[parent]: None for parent in row.parents if parent in shown}:
                said.setdefault(sha256, []).append(p.image_prompt(row.text, cls.class_, cls.subject))
        elif isinstance(row, Rejected) and _describes(row, latest):
            said.setdefault(shown[latest], []).append(p.image_prompt(row.text, cls.class_, cls.subject))
    bare = p.image_prompt(p.fill(p.BARE, cls.class_), cls.class_, cls.subject)
    return [Example(image.sha256, tuple(said.get(image.sha256, ())), bare) for image in images]


def _describes(row: Rejected, image: str) -> bool:
    """Returns whether what was dropped described an image, behind which it stands: its id was made of the image's."""
    described = Description(label=row.label, class_=row.class_, text=row.text, origin="described", parents=(image,))
    return bool(image) and row.of == "description" and identify(described, row.text).id in row.parents
