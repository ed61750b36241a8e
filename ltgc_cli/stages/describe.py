"""describe: what a vision-language model sees in each original image of a tail class (Prompt 1)."""

from __future__ import annotations

import msgspec

from ltgc_cli import prompts as p
from ltgc_cli.errors import Refused
from ltgc_cli.ports import Ask, Question, Tries, Usage
from ltgc_cli.records import Class, Description, Image, Made, Record, dropped, failed, identify
from ltgc_cli.stages.tries import once, photo, sentences

ONE = "one sentence was asked for, and another is there"


def describe(
    image: Image, cls: Class, *, ask: Ask, model: str, prompts: p.Prompts = p.PAPER, tries: Tries = once
) -> list[Record]:
    """Returns the image, its description or a failure, and what of the answer is no description.

    The image is shown as it is on disk.
    """
    text, images = p.describe(prompts, cls.subject), (image.sha256,)
    question = Question(model=model, task="describe", subject=cls.subject, text=text, images=images)
    made = Made(model=model, prompt=p.name(prompts, "describe"))
    try:
        answer, found, usage = sentences(cls, question, ask=ask, tries=tries, one=True)
    except Refused as error:
        made = msgspec.structs.replace(made, usage=error.usage or Usage())
        return [image, failed(cls, "describe", f"{photo(image)}: {error}", parents=(image.id,), made=made)]
    made = msgspec.structs.replace(made, usage=usage)
    if not found.texts:
        reasons = "; ".join(dict.fromkeys(reason for _, reason in found.dropped)) or "the answer was empty"
        reason = f"{photo(image)}: {found.trouble or f'no usable description: {reasons}'}"
        return [image, failed(cls, "describe", reason, text=answer.text, parents=(image.id,), made=made)]
    text, marks, parents = found.texts[0], found.marks[0], (image.id,)
    described = Description(
        label=cls.label, class_=cls.class_, text=text, origin="described", marks=marks, parents=parents, made=made
    )
    lines = found.dropped + [(another, ONE) for another in found.texts[1:]]
    # The description has the cost.
    made = msgspec.structs.replace(made, usage=Usage())
    return [image, identify(described, text), *dropped(cls, lines, parents=parents, made=made)]
