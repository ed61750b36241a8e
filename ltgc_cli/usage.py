"""Sums of what was, or would be, asked: counts, tokens and US dollars, where a price may be unknown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from ltgc_cli.ports import Usage, unpriced, used
from ltgc_cli.records import Made, Metric, Record, identify
from ltgc_cli.text import cents


class UsageSum(msgspec.Struct):
    """What some answers used and cost."""

    found: int = 0  # answers that the store has; they cost nothing again
    new: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    dollars: float = 0.0
    unpriced: int = 0  # new ones whose price is not known

    def add(self, usage: Usage) -> None:
        """Counts one new answer."""
        self.new += 1
        self.prompt_tokens += usage.prompt_tokens
        self.completion_tokens += usage.completion_tokens
        self.dollars += usage.dollars or 0.0
        self.unpriced += usage.dollars is None

    def priced(self) -> str:
        """Returns what it costs: "0.31", "unknown", "at least 0.31" where some prices are not known; "" for nothing.

        >>> UsageSum(new=2, dollars=0.5, unpriced=1).priced()
        'at least 0.50'
        """
        if not self.new:
            return ""
        if self.unpriced and not self.dollars:
            return "unknown"
        return f"{'at least ' if self.unpriced else ''}{cents(self.dollars)}"


def worded(usage: UsageSum) -> str:
    """Returns what it costs as a sentence has it.

    >>> worded(UsageSum(new=2, dollars=0.5, unpriced=1)), worded(UsageSum(new=1, unpriced=1)), worded(UsageSum(new=3))
    ('at least $0.50', 'an unknown sum', 'nothing')
    """
    if not (usage.dollars or usage.unpriced):
        return "nothing"
    if not usage.dollars:
        return "an unknown sum"
    return f"{'at least ' if usage.unpriced else ''}${cents(usage.dollars)}"


def total(usages: Iterable[UsageSum]) -> UsageSum:
    """Returns the sum of usages.

    >>> total([UsageSum(new=1, dollars=0.25), UsageSum(new=2, unpriced=1)])
    UsageSum(found=0, new=3, prompt_tokens=0, completion_tokens=0, dollars=0.25, unpriced=1)
    """
    whole = UsageSum()
    for one in usages:
        for name in UsageSum.__struct_fields__:
            setattr(whole, name, getattr(whole, name) + getattr(one, name))
    return whole


_STAGES = {"sense": "describe", "template": "filter", "refine": "filter", "recognize": "eval"}
_STAGES |= {stage: stage for stage in ("describe", "extend", "reflect")}


def sums(records: Iterable[Record], by: Sequence[str]) -> dict[tuple[str, ...], UsageSum]:
    """Returns what the records cost, by the values of `by`, in the order in which these first came.

    Generated images count as render, also where filter had them made again. What was free is left out.
    """
    found: dict[tuple[str, ...], UsageSum] = {}
    for record in records:
        made = record.made
        if made is None or not (used(made.usage) or unpriced(made.model, made.usage)):
            continue
        group = {"stage": stage(made), "model": made.model, "class": record.class_}
        found.setdefault(tuple(group[name] for name in by), UsageSum()).add(made.usage)
    return found


def stage(made: Made) -> str:
    """Returns the stage that asked.

    >>> stage(Made(model="gpt-4o", prompt="extend@1a2b3c4d", attempt=2)), stage(Made(model="sdxl"))
    ('reflect', 'render')
    """
    prompt = made.prompt.partition("@")[0]
    return "reflect" if prompt == "extend" and made.attempt else _STAGES.get(prompt, "render")


def rows(found: Mapping[tuple[str, ...], UsageSum]) -> list[tuple[str, ...]]:
    """Returns the sums as a table, the total last."""
    width = len(next(iter(found), ("", "")))
    named = [*found.items(), (("all", *[""] * (width - 1)), total(found.values()))]
    return [
        (*key, f"{one.new:,}", f"{one.prompt_tokens:,}", f"{one.completion_tokens:,}", one.priced())
        for key, one in named
    ]


def metrics(found: Mapping[tuple[str, ...], UsageSum], by: Sequence[str]) -> Iterator[Metric]:
    """Returns the sums as records: `value` in US dollars, None where no price is known."""
    for key, one in found.items():
        of = {"stage": "", "model": "", "class": ""} | dict(zip(by, key, strict=True))
        known = None if one.unpriced == one.new else round(one.dollars, 10)
        tokens = {"prompt_tokens": one.prompt_tokens, "completion_tokens": one.completion_tokens}
        cost = Metric(name="cost", group=of["stage"], method=of["model"], class_=of["class"], value=known, rest=tokens)
        yield identify(cost, *key)
