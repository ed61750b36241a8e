"""C_y, the sentence with a class's most distinctive features (Prompt 4): what its generated images are judged by."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from ltgc_cli import prompts as p
from ltgc_cli.engine import in_order
from ltgc_cli.errors import Refused, TooLong
from ltgc_cli.ports import Ask, Question, Tries, Usage
from ltgc_cli.records import Class, Description, Group, Made, Record, Template, dropped, failed, identify
from ltgc_cli.stages.describe import ONE
from ltgc_cli.stages.extend import SHOWN
from ltgc_cli.stages.tries import once, sentences


class Found(NamedTuple):
    """C_y, and what else came of the question: dropped lines, and a failure where C_y is the bare name."""

    template: Template
    rows: list[Record]


BARE = "bare name"  # the mark of a C_y without features


def class_templates(
    groups: Sequence[Group], *, ask: Ask, model: str, prompts: p.Prompts = p.PAPER, workers: int = 1,
    tries: Tries = once,
) -> dict[int, Found]:  # fmt: skip
    """Returns C_y of each class by its label."""
    make = partial(class_template, ask=ask, model=model, prompts=prompts, tries=tries)
    return {group.cls.label: found for group, found in zip(groups, in_order(make, groups, workers), strict=True)}


def class_template(group: Group, *, ask: Ask, model: str, prompts: p.Prompts = p.PAPER, tries: Tries = once) -> Found:
    """Returns C_y: the one that the stream holds, else the language model's answer to Prompt 4.

    Where the question is too long, half of the descriptions are shown with it; where the answer is of no use, C_y
    is the class alone ("A photo of the class y."), marked so, and a failure says why.
    """
    if given := given_template(group):
        return Found(given, [])
    cls = group.cls
    known = shown(group)
    made = Made(model=model, prompt=p.name(prompts, "template"))
    while True:
        text = p.template(prompts, cls.subject, [row.text for row in known])
        question = Question(model=model, task="template", subject=cls.subject, text=text, temperature=0.0)
        try:
            answer, found, usage = sentences(cls, question, ask=ask, tries=tries, one=True)
        except TooLong as error:
            if not known:
                return _bare(cls, [], str(error), "", made, error.usage)
            known = known[: len(known) // 2]
        except Refused as error:
            return _bare(cls, known, str(error), "", made, error.usage)
        else:
            break
    if not found.texts:
        reasons = "; ".join(dict.fromkeys(reason for _, reason in found.dropped))
        why = found.trouble or "the answer to Prompt 4 names no features" + (f" ({reasons})" if reasons else "")
        return _bare(cls, known, why, answer.text, made, usage)
    text, lines = found.texts[0], found.dropped + [(another, ONE) for another in found.texts[1:]]
    parents = tuple(row.id for row in known)
    paid = msgspec.structs.replace(made, usage=usage)
    template = Template(label=cls.label, class_=cls.class_, text=text, parents=parents, made=paid)
    return Found(identify(template, text), dropped(cls, lines, ("template",), made=made))


def _bare(cls: Class, known: Sequence[Description], why: str, answer: str, made: Made, usage: Usage | None) -> Found:
    text, paid = f"A photo of the class {cls.class_}.", msgspec.structs.replace(made, usage=usage or Usage())
    parents = tuple(row.id for row in known)
    template = Template(label=cls.label, class_=cls.class_, text=text, marks=(BARE,), parents=parents, made=paid)
    reason = f"its images are judged by its bare name: {why}"
    return Found(identify(template, text), [failed(cls, "filter", reason, text=answer, made=made)])


def shown(group: Group) -> list[Description]:
    """Returns the descriptions that Prompt 4 shows: of original images, where the class has some."""
    known = [row for row in group.rows if isinstance(row, Description)]
    return [row for row in known if row.origin == "described"][:SHOWN] or known[:SHOWN]


def given_template(group: Group) -> Template | None:
    """Returns the C_y that the stream holds."""
    return next((row for row in group.rows if isinstance(row, Template)), None)
