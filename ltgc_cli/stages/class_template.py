"""C_y, the sentence with a class's most distinctive features (Prompt 4): what its generated images are judged by."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ltgc_cli import prompts as p
from ltgc_cli.answers.read import read
from ltgc_cli.engine import in_order
from ltgc_cli.errors import Refused, TooLong
from ltgc_cli.ports import Ask, Question, Usage
from ltgc_cli.records import Description, Group, Made, Template, identify
from ltgc_cli.stages.extend import SHOWN


def class_templates(
    groups: Sequence[Group], *, ask: Ask, model: str, prompts: p.Prompts = p.PAPER, workers: int = 1
) -> dict[int, Template]:
    """Returns C_y of each class by its label."""
    make = partial(class_template, ask=ask, model=model, prompts=prompts)
    return {group.cls.label: template for group, template in zip(groups, in_order(make, groups, workers), strict=True)}


def class_template(group: Group, *, ask: Ask, model: str, prompts: p.Prompts = p.PAPER) -> Template:
    """Returns C_y: the one that the stream holds, else the language model's answer to Prompt 4.

    Where the question is too long, half of the descriptions are shown with it; where the answer is of no use, C_y
    is the class alone ("A photo of the class y.").
    """
    if given := given_template(group):
        return given
    cls = group.cls
    known = [row for row in group.rows if isinstance(row, Description)]
    known = [row for row in known if row.origin == "described"][:SHOWN] or known[:SHOWN]
    while True:
        text = p.template(prompts, cls.subject, [row.text for row in known])
        question = Question(model=model, task="template", subject=cls.subject, text=text, temperature=0.0)
        texts: list[str] = []
        try:
            answer = ask(question)
            usage, texts = answer.usage, read(answer.text, cls.class_, cls.subject, cls.synonyms).texts
        except Refused as error:
            if isinstance(error, TooLong) and known:
                known = known[: len(known) // 2]
                continue
            usage = error.usage or Usage()
        break
    text = texts[0] if texts else f"A photo of the class {cls.class_}."
    parents, made = tuple(row.id for row in known), Made(model=model, prompt=p.name(prompts, "template"), usage=usage)
    return identify(Template(label=cls.label, class_=cls.class_, text=text, parents=parents, made=made), text)


def given_template(group: Group) -> Template | None:
    """Returns the C_y that the stream holds."""
    return next((row for row in group.rows if isinstance(row, Template)), None)
