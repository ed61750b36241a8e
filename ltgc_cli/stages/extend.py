"""extend: what else the class may look like, listed by a language model (Prompt 2)."""

from __future__ import annotations

from collections.abc import Sequence

from ltgc_cli import prompts as p
from ltgc_cli.answers import MOST_AT_ONCE
from ltgc_cli.answers.read import Parsed
from ltgc_cli.engine import AtOnce, one_by_one
from ltgc_cli.errors import Refused, TooLong
from ltgc_cli.ports import Ask, Question, Tries, Usage
from ltgc_cli.records import Class, Description, Group, Made, Record, dropped, failed, identify, share
from ltgc_cli.stages.tries import Heard, once, sentences

SHOWN = 20  # descriptions shown with a question: with all of them each further one would cost more than the last


def extend(
    group: Group, *, ask: Ask, model: str, want: int, prompts: p.Prompts = p.PAPER, tries: Tries = once,
    at_once: AtOnce = one_by_one,
) -> list[Record]:  # fmt: skip
    """Returns the lines of a class and after them its new descriptions; lines of other classes as they are.

    Of more than 40 each further 40 are a question of their own, none of which waits for another.
    """
    if not group.cls.tail:
        return group.rows
    cls, known = group.cls, [row for row in group.rows if isinstance(row, Description)]

    def one(number: int) -> list[Record]:
        besides = p.combined(cls.subject, number) if number else ""
        return more(
            cls, known, ask=ask, model=model, want=wants[number], attempt=0, part=number, prompts=prompts,
            besides=besides, tries=tries,
        )  # fmt: skip

    wants = in_questions(want)
    return group.rows + [row for rows in at_once(one, range(len(wants))) for row in rows]


def in_questions(want: int) -> list[int]:
    """Returns how many descriptions each of the questions asks for that bring so many.

    All but the last ask for as many as can be: so the first are the same questions, answered from the store, where
    somebody wants more than before.

    >>> in_questions(20), in_questions(95)
    ([20], [40, 40, 15])
    """
    return [min(MOST_AT_ONCE, want - start) for start in range(0, want, MOST_AT_ONCE)]


def more(
    cls: Class,
    known: Sequence[Description],
    *,
    ask: Ask,
    model: str,
    want: int,
    attempt: int,
    prompts: p.Prompts,
    part: int = 0,
    besides: str = "",
    tries: Tries = once,
) -> list[Record]:
    """Returns new descriptions of a class, the lines of the answer that are none, or a failure.

    part -- the number of the question among those of one attempt
    besides -- what is said to Prompt 2 besides
    """
    which = (attempt, f"part {part}") if part else (attempt,)  # in the ids of its records
    prompt = p.name(prompts, "extend")
    try:
        heard, shown = _ask(cls, known[-SHOWN:], ask, tries, model, want, attempt, prompts, besides)
    except Refused as error:
        made = Made(model=model, prompt=prompt, attempt=attempt, usage=error.usage or Usage())
        return [failed(cls, "extend", str(error), (*which, str(error)), made=made)]
    answer, found, usage = heard
    if not found.texts:
        made = Made(model=model, prompt=prompt, attempt=attempt, usage=usage)
        reason = found.trouble or "the answer holds no usable description"
        return [failed(cls, "extend", reason, (*which, reason), text=answer.text, made=made)]
    label, name = cls.label, cls.class_
    parents = tuple(row.id for row in shown)
    rows: list[Record] = []
    usages = share(usage, len(found.texts))
    for number, (text, marks, used) in enumerate(zip(found.texts, found.marks, usages, strict=True)):
        made = Made(model=model, prompt=prompt, attempt=attempt, usage=used)
        row = Description(
            label=label, class_=name, text=text, origin="extended", marks=marks, parents=parents, made=made
        )
        rows.append(identify(row, *which, number, text))
    made = Made(model=model, prompt=prompt, attempt=attempt)  # the cost is shared among what is of use
    return rows + dropped(cls, found.dropped, which, made=made)


def _ask(
    cls: Class,
    shown: Sequence[Description],
    ask: Ask,
    tries: Tries,
    model: str,
    want: int,
    attempt: int,
    prompts: p.Prompts,
    besides: str,
) -> tuple[Heard[Parsed], Sequence[Description]]:
    """Returns the answer, and the descriptions shown with its question: fewer where the model reads no more."""
    while True:
        text = p.extend(prompts, cls.subject, [row.text for row in shown], want, besides)
        question = Question(model=model, task="extend", subject=cls.subject, text=text, want=want, attempt=attempt)
        try:
            return sentences(cls, question, ask=ask, tries=tries), shown
        except TooLong:
            if not shown and want == 1:
                raise
            shown, want = shown[len(shown) // 2 + 1 :], max(1, want // 2)
