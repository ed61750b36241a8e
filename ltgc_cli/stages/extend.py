"""extend: what else the class may look like, listed by a language model (Prompt 2)."""

from __future__ import annotations

from collections.abc import Sequence

from ltgc_cli import prompts as p
from ltgc_cli.answers.read import read
from ltgc_cli.errors import Refused, TooLong
from ltgc_cli.ports import Answer, Ask, Question, Usage
from ltgc_cli.records import Class, Description, Group, Made, Record, Rejected, failed, identify, share

SHOWN = 20
"""Descriptions shown with a question. More would make each further description cost more than the one before."""


def extend(group: Group, *, ask: Ask, model: str, want: int, prompts: p.Prompts = p.PAPER) -> list[Record]:
    """Returns the lines of a class and after them its new descriptions; lines of other classes as they are."""
    if not group.cls.tail:
        return group.rows
    known = [row for row in group.rows if isinstance(row, Description)]
    return group.rows + more(group.cls, known, ask=ask, model=model, want=want, attempt=0, prompts=prompts)


def more(
    cls: Class,
    known: Sequence[Description],
    *,
    ask: Ask,
    model: str,
    want: int,
    attempt: int,
    prompts: p.Prompts = p.PAPER,
) -> list[Record]:
    """Returns new descriptions of a class, the lines of the answer that are none, or a failure."""
    prompt = p.name(prompts, "extend")
    try:
        answer, shown = _ask(cls, known[-SHOWN:], ask, model, want, attempt, prompts)
    except Refused as error:
        made = Made(model=model, prompt=prompt, attempt=attempt, usage=error.usage or Usage())
        return [failed(cls, "extend", str(error), (attempt, str(error)), made=made)]
    found = read(answer.text, cls.class_, cls.subject, cls.synonyms)
    if not found.texts:
        made = Made(model=model, prompt=prompt, attempt=attempt, usage=answer.usage)
        reason = "the answer holds no usable description"
        return [failed(cls, "extend", reason, (attempt, reason), text=answer.text, made=made)]
    parents = tuple(row.id for row in shown)
    makers = [
        Made(model=model, prompt=prompt, attempt=attempt, usage=usage)
        for usage in share(answer.usage, len(found.texts))
    ]
    kept = [
        identify(
            Description(
                label=cls.label,
                class_=cls.class_,
                text=text,
                origin="extended",
                marks=marks,
                parents=parents,
                made=source,
            ),
            attempt,
            number,
            text,
        )
        for number, (text, marks, source) in enumerate(zip(found.texts, found.marks, makers, strict=True))
    ]
    source = Made(model=model, prompt=prompt, attempt=attempt)  # the cost is shared among what is of use
    dropped = [_dropped(cls, text, reason, source, number) for number, (text, reason) in enumerate(found.dropped)]
    return [*kept, *dropped]


def _ask(
    cls: Class, shown: Sequence[Description], ask: Ask, model: str, want: int, attempt: int, prompts: p.Prompts
) -> tuple[Answer, Sequence[Description]]:
    """Returns the answer, and the descriptions shown with its question: fewer where the model reads no more."""
    while True:
        question = Question(
            model=model,
            task="extend",
            subject=cls.subject,
            text=p.extend(prompts, cls.subject, [row.text for row in shown], want),
            want=want,
            attempt=attempt,
        )
        try:
            return ask(question), shown
        except TooLong:
            if not shown and want == 1:
                raise
            shown, want = shown[len(shown) // 2 + 1 :], max(1, want // 2)


def _dropped(cls: Class, text: str, reason: str, made: Made, number: int) -> Rejected:
    dropped = Rejected(label=cls.label, class_=cls.class_, of="description", reason=reason, text=text, made=made)
    return identify(dropped, made.attempt, number, reason, text)
