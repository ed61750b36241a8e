"""A world where a picture is what its text says: the sha256 of a drawing is that of the text it was drawn from.

`run` has such drawings judged: `cosines` has the score of every text, and of every original image by its name, with
the class's own template.
"""

from __future__ import annotations

import pytest
from fakes import a_class, an_image, by_task, of, rates, says, sha

from ltgc_cli.ports import GeneratedImage
from ltgc_cli.records import Group, Image, Made, identify
from ltgc_cli.settings import Judging, Style
from ltgc_cli.stages.filter import evaluate

CRANE = a_class("crane", 3)
SEAL = a_class("seal", 7, sense="marine mammal")
RED_CAP = "A photo of the class crane with a red cap."
CAPPED = says(RED_CAP)
COSINE = Judging(scale="cosine", threshold=0.3)


def sentence(features: str, cls=CRANE) -> str:
    return f"A photo of the class {cls.class_}, {features}."


def drawn(features: str, cls=CRANE) -> str:
    return f"A photo of {cls.subject}, {features}."


def a_drawing(features: str, cls=CRANE, **fields) -> Image:
    """What render makes of a description."""
    image = Image(
        label=cls.label,
        class_=cls.class_,
        sha256=sha(drawn(features, cls)),
        origin="generated",
        text=sentence(features, cls),
        made=Made(model="sd", seed=1),
        **fields,
    )
    return identify(image, features)


def group(*features: str, cls=CRANE, originals: int = 0) -> Group:
    photos = [an_image(cls, f"{cls.class_} {number}") for number in range(originals)]
    return Group(cls, [cls, *photos, *(a_drawing(feature, cls) for feature in features)])


def paint_as_told(drawings):
    return [GeneratedImage(sha256=sha(request.text)) for request in drawings]


def run(groups, cosines, *, settings=COSINE, template=CAPPED, refine=None, generate=paint_as_told, **options) -> list:
    """Returns the rows of all the classes."""
    by_sha = {sha(name): cosine for name, cosine in cosines.items()}
    ask = by_task(template=template, refine=refine or says(lambda q: pytest.fail("nothing is to be refined")))
    ports = {"ask": ask, "generate": generate, "score": rates(lambda match: by_sha[match.image])}
    ports |= {"llm": "m", "t2i": "sd", "clip": "clip", "settings": settings, "style": Style()}
    return [row for rows in evaluate(lambda: groups, **ports | options) for row in rows]


def accepted(rows) -> list[str]:
    return [row.text for row in of(Image, rows) if row.origin == "generated"]
