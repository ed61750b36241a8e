"""reflect: no description twice (repetition check), and enough of them (number check), in a loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from ltgc_cli import prompts as p
from ltgc_cli.answers.names import words
from ltgc_cli.answers.numbers import numbers, says_none
from ltgc_cli.errors import Refused, TooLong
from ltgc_cli.ports import Answer, Ask, Question, Tries, Usage
from ltgc_cli.records import Class, Description, Group, Record, Rejected, dropped, failed, identify
from ltgc_cli.stages.extend import more
from ltgc_cli.stages.near import closest
from ltgc_cli.stages.tries import once
from ltgc_cli.stages.usage_metric import usage_metric
from ltgc_cli.text import counted

_MOST_AT_ONCE = 40  # descriptions asked for in one question; longer answers get cut off
_REMEDY = "try another --llm or raise --rounds"
_ONE_IN = 10  # of what a round asks for: one that adds fewer counts for `rounds`


def reflect(
    group: Group, *, ask: Ask, model: str, k: int, rounds: int, near: float, prompts: p.Prompts = p.PAPER,
    tries: Tries = once,
) -> list[Record]:  # fmt: skip
    """Returns the lines of a class with K_y = `k` descriptions among them: repeats rejected, missing ones added.

    It asks again while fewer than `k` remain, and gives up after `rounds` rounds in a row that add nothing, or under a
    tenth of what was asked for; after each of them Prompt 2 has a sentence more, which leads elsewhere. A class that
    falls short gets a failure record. Descriptions of original images are never cut to reach `k`.
    """
    cls = group.cls
    if not cls.tail:
        return group.rows
    checks: list[Usage] = []

    def check(question: Question) -> Answer:
        try:
            answer = ask(question)
        except Refused as error:
            checks.append(error.usage or Usage())
            raise
        checks.append(answer.usage)
        return answer

    first = [row for row in group.rows if isinstance(row, Description)]
    unread: list[tuple[str, str]] = []  # answers to Prompt 3 that exclude nothing, and why
    exclude = partial(_excluded, cls, unread=unread, ask=check, model=model, prompts=prompts)
    kept, verdicts = _without_repeats(cls, [], first, near, exclude)
    added: list[Record] = []
    weak: list[int] = []  # what the last rounds added, where that was too little
    attempt = 0
    while len(kept) < k and len(weak) < rounds:
        attempt += 1
        want = min(k - len(kept), _MOST_AT_ONCE)
        besides = p.combined(cls.subject, attempt) if weak else ""
        asked = partial(more, ask=ask, tries=tries, model=model, prompts=prompts)
        new = asked(cls, kept, want=want, attempt=attempt, besides=besides)
        fresh = [row for row in new if isinstance(row, Description)]
        grown, repeats = _without_repeats(cls, kept, fresh, near, exclude)
        gain = len(grown) - len(kept)
        weak = [*weak, gain] if gain < math.ceil(want / _ONE_IN) else []
        kept, verdicts = grown, verdicts | repeats
        added += new
    extended = [row for row in kept if row.origin != "described"]
    surplus = extended[max(0, k - (len(kept) - len(extended))) :]
    verdicts |= {id(row): f"more than the {k} wanted" for row in surplus}
    rows = [_rejected(row, verdicts) for row in [*group.rows, *added]]
    total = len(kept) - len(surplus)
    short = [] if total >= k else [failed(cls, "reflect", _shortfall(total, k, weak))]
    cost = usage_metric(cls, "reflect", p.name(prompts, "reflect"), model, checks)
    return [*rows, *dropped(cls, unread, ("reflect",)), *short, *([cost] if cost else [])]


def _shortfall(total: int, k: int, weak: Sequence[int]) -> str:
    """Returns why a class has too few descriptions: what the last rounds added.

    >>> _shortfall(79, 160, [1, 0, 2])
    '79 of 160 descriptions: the last 3 rounds added only 3 new ones; try another --llm or raise --rounds'
    """
    added = f"only {counted(sum(weak), 'new one')}" if any(weak) else "nothing new"
    return f"{total} of {k} descriptions: the last {counted(len(weak), 'round')} added {added}; {_REMEDY}"


def repeats(texts: Sequence[str], known: Sequence[str], name: str, near: float) -> dict[int, str]:
    """Returns, by position, which texts repeat an earlier or a known one, and how: found locally and for free.

    `near` is the Jaccard similarity of the words of two descriptions (the template's own words left out) from
    which on one counts as a repeat of the other; 1 finds only those of the same words.
    """
    found = closest([words(text, name) for text in texts], [words(text, name) for text in known], near)
    nearly = "nearly the same as another (Jaccard {:.2f})"
    return {at: "says the same as another" if alike == 1 else nearly.format(alike) for at, alike in found.items()}


Exclude = Callable[[Sequence[str]], list[int]]


def _without_repeats(
    cls: Class, kept: Sequence[Description], new: Sequence[Description], near: float, exclude: Exclude
) -> tuple[list[Description], dict[int, str]]:
    """Returns what is kept with the new ones, and by `id(row)` the reason for each row that is not.

    Not by the record's own id: two lines may have the same (`cat a a`), or none (a person wrote them).
    """
    local = repeats([row.text for row in new], [row.text for row in kept], cls.class_, near)
    verdicts = {id(new[position]): reason for position, reason in local.items()}
    fresh = [row for row in new if id(row) not in verdicts]
    for start in range(0, len(fresh), _MOST_AT_ONCE):
        for position in exclude([row.text for row in fresh[start : start + _MOST_AT_ONCE]]):
            verdicts[id(fresh[start + position])] = "repetitive, says the language model"
    return [*kept, *(row for row in fresh if id(row) not in verdicts)], verdicts


def _excluded(
    cls: Class, texts: Sequence[str], *, unread: list[tuple[str, str]], ask: Ask, model: str, prompts: p.Prompts
) -> list[int]:
    """Returns the positions that Prompt 3 excludes, asked about half the list at a time where the model reads no more.

    A refusal excludes nothing, nor does an answer that cannot be read: the local check has been done.
    """
    if len(texts) < 2:
        return []
    text = p.reflect(prompts, cls.subject, texts)
    question = Question(model=model, task="reflect", subject=cls.subject, text=text, temperature=0.0)
    try:
        answer = ask(question)
    except TooLong:
        half = len(texts) // 2
        exclude = partial(_excluded, cls, unread=unread, ask=ask, model=model, prompts=prompts)
        return exclude(texts[:half]) + [half + number for number in exclude(texts[half:])]
    except Refused as error:
        unread.append(("", f"Prompt 3 was refused, so nothing is excluded: {error}"))
        return []
    excluded = sorted(numbers(answer.text, len(texts)))
    if not excluded and not says_none(answer.text):
        unread.append((answer.text, "an answer to Prompt 3 that lists no numbers, so nothing is excluded"))
    if len(excluded) < len(texts):
        return [number - 1 for number in excluded]
    unread.append((answer.text, "an answer to Prompt 3 that excludes everything, so nothing is excluded"))
    return []


def _rejected(row: Record, verdicts: dict[int, str]) -> Record:
    if not isinstance(row, Description) or id(row) not in verdicts:
        return row
    rejected = Rejected(
        label=row.label, class_=row.class_, of="description", reason=verdicts[id(row)], text=row.text,
        parents=(row.id,), made=row.made, rest=row.rest,
    )  # fmt: skip
    return identify(rejected, rejected.reason)
