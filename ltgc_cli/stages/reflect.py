"""reflect: no description twice (repetition check), and enough of them (number check), in a loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from statistics import median
from typing import NamedTuple

from ltgc_cli import prompts as p
from ltgc_cli.answers import MOST_AT_ONCE
from ltgc_cli.answers.names import Words, words
from ltgc_cli.answers.numbers import numbers, says_none
from ltgc_cli.engine import AtOnce, one_by_one
from ltgc_cli.errors import Refused, TooLong
from ltgc_cli.ports import Answer, Ask, Question, Tries, Usage
from ltgc_cli.records import Class, Description, Group, Record, Rejected, dropped, failed, identify
from ltgc_cli.stages.extend import in_questions, more
from ltgc_cli.stages.near import closest
from ltgc_cli.stages.tries import first_useful, once
from ltgc_cli.stages.usage_metric import usage_metric
from ltgc_cli.text import agreeing, counted

_REMEDY = "try another --llm or raise --rounds"
_LISTED, _NAMED = 12, 6  # tail classes with a line each in the summary; of more, those named that fall short
_MOST_MORE = 4  # times what is missing that a round asks for, where much of the one before was said already
_A_FEW = 4  # descriptions more than that: a round of its own for the last one that is missing costs more
_ONE_IN = 10  # of what a round asks for: one that adds fewer counts for `rounds`


def reflect(
    group: Group, *, ask: Ask, model: str, k: int, rounds: int, near: float, prompts: p.Prompts = p.PAPER,
    tries: Tries = once, at_once: AtOnce = one_by_one,
) -> list[Record]:  # fmt: skip
    """Returns the lines of a class with K_y = `k` descriptions among them: repeats rejected, missing ones added.

    It asks again while fewer than `k` remain, in rounds of questions of which none waits for another, and gives up
    after `rounds` rounds in a row that add nothing, or under a tenth of what was asked for; after each of them Prompt 2
    has a sentence more, which leads elsewhere. So have all questions of a round but the first. A class that falls short
    gets a failure record. Descriptions of original images are never cut to reach `k`.
    """
    cls = group.cls
    if not cls.tail:
        return group.rows
    checks: list[_Check] = []
    said = cache(partial(words, name=cls.class_))  # each round compares with all that was kept before it

    def with_new(kept: Sequence[Description], new: Sequence[Sequence[Record]]) -> tuple[list[Description], _Verdicts]:
        texts = [[row for row in rows if isinstance(row, Description)] for rows in new]
        exclude = partial(_excluded, cls, ask=ask, tries=tries, model=model, prompts=prompts)
        grown, found, done = _without_repeats(kept, texts, said, near, lambda lists: at_once(exclude, lists))
        checks.extend(done)
        return grown, found

    def asked(one: _Question) -> list[Record]:
        besides = p.combined(cls.subject, one.attempt) if weak or one.part else ""
        return more(
            cls, kept, ask=ask, model=model, want=one.want, attempt=one.attempt, prompts=prompts, besides=besides,
            tries=tries,
        )  # fmt: skip

    kept, verdicts = with_new([], [group.rows])
    added: list[Record] = []
    weak: list[int] = []  # what the last rounds added, where that was too little
    attempt, share = 0, 1.0  # of what a round of several questions asks for, how much is new
    while len(kept) < k and len(weak) < rounds:
        want = _wanted(k - len(kept), share)
        if weak:  # whether it has anything new to say at all, one question shows as well as twenty
            want = min(want, MOST_AT_ONCE)
        questions = [_Question(part, attempt + part + 1, some) for part, some in enumerate(in_questions(want))]
        attempt += len(questions)
        new = at_once(asked, questions)
        grown, repeats = with_new(kept, new)
        gain = len(grown) - len(kept)
        if len(questions) > 1:
            share = max(gain / want, 1 / _MOST_MORE)
        weak = [*weak, gain] if gain < math.ceil(want / _ONE_IN) else []
        kept, verdicts = grown, verdicts | repeats
        added += [row for rows in new for row in rows]
    extended = [row for row in kept if row.origin != "described"]
    surplus = extended[max(0, k - (len(kept) - len(extended))) :]
    verdicts |= {id(row): f"more than the {k} wanted" for row in surplus}
    rows = [_rejected(row, verdicts) for row in [*group.rows, *added]]
    total = len(kept) - len(surplus)
    short = [] if total >= k else [failed(cls, "reflect", _shortfall(total, k, weak))]
    unread = [line for check in checks for line in check.unread]
    usages = [usage for check in checks for usage in check.usages]
    cost = usage_metric(cls, "reflect", p.name(prompts, "reflect"), model, usages)
    return [*rows, *dropped(cls, unread, ("reflect",)), *short, *([cost] if cost else [])]


def _wanted(missing: int, share: float) -> int:
    """Returns how many descriptions are asked for, so that those missing are among them.

    share -- how much is new of what is asked for; 1 where no round has shown it yet

    >>> _wanted(40, 1.0), _wanted(755, 1.0), _wanted(151, 0.8), _wanted(2, 0.75)
    (40, 759, 193, 7)
    """
    one_question = missing <= MOST_AT_ONCE and share == 1.0
    return missing if one_question else math.ceil(missing / share) + _A_FEW


class _Question(NamedTuple):
    """A question of a round."""

    part: int
    attempt: int
    want: int


class DescriptionCount(NamedTuple):
    """How many descriptions a class has, and how many of these are of its original images."""

    class_: str
    tail: bool
    described: int
    all: int


def count(cls: Class, rows: Sequence[Record]) -> DescriptionCount:
    """Returns how many descriptions the lines of a class hold."""
    found = [row.origin for row in rows if isinstance(row, Description)]
    return DescriptionCount(cls.class_, cls.tail, found.count("described"), len(found))


def summary(counts: Sequence[DescriptionCount], k: int) -> list[str]:
    """Returns how many descriptions each tail class has now, a line a class; of many classes the spread in one line.

    >>> summary([DescriptionCount("crane", True, 3, 20), DescriptionCount("owl", True, 0, 9)], 20)
    ['crane: 20 descriptions, 3 of them of original images', 'owl: 9 descriptions, fewer than the 20 wanted']
    """
    if len(counts) <= _LISTED:
        return [f"{one.class_}: {counted(one.all, 'description')}{_remark(one, k)}" for one in counts]
    sizes = [one.all for one in counts]
    spread = f"from {min(sizes):,} to {max(sizes):,} descriptions, the median {median(sizes):,.0f}"
    text = f"the {counted(len(counts), 'tail class')} have {spread}"
    short = [f"{one.class_} ({one.all:,})" for one in sorted(counts, key=lambda one: one.all) if one.all < k]
    if not short:
        return [text]
    more = ", …" if len(short) > _NAMED else ""
    fall = agreeing(len(short), "has", "have")
    return [f"{text}; {len(short):,} {fall} fewer than the {k:,} wanted: {', '.join(short[:_NAMED])}{more}"]


def _remark(one: DescriptionCount, k: int) -> str:
    some = "all" if one.described == one.all else f"{one.described:,}"
    of = f", {some} of them of original images" if one.described else ""
    return f"{of}, fewer than the {k:,} wanted" if one.all < k else of


def more_than_wanted(described: Mapping[str, int], k: int) -> list[str]:
    """Returns in a line why some classes get more than `k` descriptions, nothing where none does.

    described -- the descriptions of original images, by class
    """
    over = {name: count for name, count in described.items() if count > k}
    if not over:
        return []
    one = len(over) == 1
    who = f"{next(iter(over))} keeps" if one else f"{counted(len(over), 'class')} keep"
    many = f"{max(over.values()):,}" if one else f"up to {max(over.values()):,}"
    get, its = ("gets", "its") if one else ("get", "their")
    return [
        f"-k {k}: {who} {many} descriptions and {get} an image from each: {its} original images are all described, and "
        "none of their descriptions is dropped to reach -k"
    ]


def _shortfall(total: int, k: int, weak: Sequence[int]) -> str:
    """Returns why a class has too few descriptions: what the last rounds added.

    >>> _shortfall(79, 160, [1, 0, 2])
    '79 of 160 descriptions: the last 3 rounds added only 3 new ones; try another --llm or raise --rounds'
    """
    added = f"only {counted(sum(weak), 'new one')}" if any(weak) else "nothing new"
    return f"{total} of {k} descriptions: the last {counted(len(weak), 'round')} added {added}; {_REMEDY}"


def repeats(texts: Sequence[str], known: Sequence[str], said: Callable[[str], Words], near: float) -> dict[int, str]:
    """Returns, by position, which texts repeat an earlier or a known one, and how: found locally and for free.

    `near` is the Jaccard similarity of the words of two descriptions (the template's own words left out) from
    which on one counts as a repeat of the other; 1 finds only those of the same words. `said` returns those words.
    """
    found = closest([said(text) for text in texts], [said(text) for text in known], near)
    nearly = "nearly the same as another (Jaccard {:.2f})"
    return {at: "says the same as another" if alike == 1 else nearly.format(alike) for at, alike in found.items()}


_Verdicts = dict[int, str]


class _Check(NamedTuple):
    """What Prompt 3 made of a list."""

    excluded: list[int]
    unread: list[tuple[str, str]]  # answers that exclude nothing, and why
    usages: list[Usage]  # of each question


def _without_repeats(
    kept: Sequence[Description],
    new: Sequence[Sequence[Description]],
    said: Callable[[str], Words],
    near: float,
    exclude: Callable[[Sequence[list[str]]], list[_Check]],
) -> tuple[list[Description], _Verdicts, list[_Check]]:
    """Returns what is kept with the new ones, by `id(row)` the reason for each row that is not, and Prompt 3's checks.

    Not by the record's own id: two lines may have the same (`cat a a`), or none (a person wrote them).
    new -- by the question that they answer: Prompt 3 is asked of each answer by itself
    """
    rows = [row for answer in new for row in answer]
    local = repeats([row.text for row in rows], [row.text for row in kept], said, near)
    verdicts = {id(rows[position]): reason for position, reason in local.items()}
    fresh = [[row for row in answer if id(row) not in verdicts] for answer in new]
    lists = [some[at : at + MOST_AT_ONCE] for some in fresh for at in range(0, len(some), MOST_AT_ONCE)]
    checks = exclude([[row.text for row in some] for some in lists])
    for some, check in zip(lists, checks, strict=True):
        verdicts |= {id(some[position]): "repetitive, says the language model" for position in check.excluded}
    return [*kept, *(row for row in rows if id(row) not in verdicts)], verdicts, checks


def _excluded(
    cls: Class, texts: Sequence[str], *, ask: Ask, tries: Tries, model: str, prompts: p.Prompts
) -> _Check:  # fmt: skip
    """Returns the positions that Prompt 3 excludes, asked about half the list at a time where the model reads no more.

    A refusal excludes nothing, nor does an answer that cannot be read: the local check has been done.
    """
    if len(texts) < 2:
        return _Check([], [], [])
    usages: list[Usage] = []

    def paid(question: Question) -> Answer:
        try:
            answer = ask(question)
        except Refused as error:
            usages.append(error.usage or Usage())
            raise
        usages.append(answer.usage)
        return answer

    def listed(answer: Answer) -> tuple[list[int], str]:
        excluded = sorted(numbers(answer.text, len(texts)))
        if len(excluded) == len(texts):
            return [], "excludes everything"
        return excluded, "" if excluded or says_none(answer.text) else "lists no numbers"

    text = p.reflect(prompts, cls.subject, texts)
    question = Question(model=model, task="reflect", subject=cls.subject, text=text, temperature=0.0)
    try:
        heard = first_useful(question, ask=paid, tries=tries, read=listed, useful=lambda found: not found[1])
    except TooLong:
        half = len(texts) // 2
        exclude = partial(_excluded, cls, ask=ask, tries=tries, model=model, prompts=prompts)
        first, second = exclude(texts[:half]), exclude(texts[half:])
        excluded = first.excluded + [half + position for position in second.excluded]
        return _Check(excluded, first.unread + second.unread, usages + first.usages + second.usages)
    except Refused as error:
        return _Check([], [("", f"Prompt 3 was refused, so nothing is excluded: {error}")], usages)
    excluded, trouble = heard.found
    unread = [(heard.answer.text, f"an answer to Prompt 3 that {trouble}, so nothing is excluded")] if trouble else []
    return _Check([number - 1 for number in excluded], unread, usages)


def _rejected(row: Record, verdicts: dict[int, str]) -> Record:
    if not isinstance(row, Description) or id(row) not in verdicts:
        return row
    rejected = Rejected(
        label=row.label, class_=row.class_, of="description", reason=verdicts[id(row)], text=row.text,
        parents=(row.id,), made=row.made, rest=row.rest,
    )  # fmt: skip
    return identify(rejected, rejected.reason)
