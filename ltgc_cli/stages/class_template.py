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
    given = given_template(group)
    if given:
        return given
    known = [row for row in group.rows if isinstance(row, Description)]
    known = [row for row in known if row.origin == "described"][:SHOWN] or known[:SHOWN]
    while True:
        try:
            return _ask(group, known, ask, model, prompts)
        except TooLong:
            if not known:
                return _template(group, [], "", Made(model=model, prompt=p.name(prompts, "template")))
            known = known[: len(known) // 2]


def given_template(group: Group) -> Template | None:
    """Returns the C_y that the stream holds."""
    return next((row for row in group.rows if isinstance(row, Template)), None)


def _ask(group: Group, known: Sequence[Description], ask: Ask, model: str, prompts: p.Prompts) -> Template:
    cls, prompt = group.cls, p.name(prompts, "template")
    text = p.template(prompts, cls.subject, [row.text for row in known])
    question = Question(model=model, task="template", subject=cls.subject, text=text, temperature=0.0)
    try:
        answer = ask(question)
    except TooLong:
        raise
    except Refused as error:
        return _template(group, known, "", Made(model=model, prompt=prompt, usage=error.usage or Usage()))
    texts = read(answer.text, cls.class_, cls.subject, cls.synonyms).texts
    return _template(group, known, texts[0] if texts else "", Made(model=model, prompt=prompt, usage=answer.usage))


def _template(group: Group, known: Sequence[Description], sentence: str, made: Made) -> Template:
    cls = group.cls
    text = sentence or f"A photo of the class {cls.class_}."
    parents = tuple(row.id for row in known)
    return identify(Template(label=cls.label, class_=cls.class_, text=text, parents=parents, made=made), text)
