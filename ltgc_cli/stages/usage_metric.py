"""A record of what was paid for and is in no other record, so that the records add up to what was paid."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ltgc_cli.ports import Usage, used
from ltgc_cli.records import Class, Made, Metric, identify


def usage_metric(cls: Class, stage: str, prompt: str, model: str, usages: Sequence[Usage]) -> Metric | None:
    """Returns a metric with what a class's questions used, `value` of them; None where they used nothing.

    stage -- the metric's `group`
    prompt -- the name of the prompt that was asked, as `prompts.name` gives it
    """
    usage = summed(usages)
    if not used(usage):
        return None
    made = Made(model=model, prompt=prompt, usage=usage)
    count = float(len(usages))
    metric = Metric(label=cls.label, class_=cls.class_, name="questions", group=stage, value=count, made=made)
    return identify(metric, stage, prompt, model)


def summed(usages: Iterable[Usage]) -> Usage:
    """Returns the sum of usages. Its dollars are unknown where any tokens' price is, and where no price is known.

    >>> summed([Usage(prompt_tokens=7, dollars=0.25), Usage(prompt_tokens=2, dollars=0.5), Usage()])
    Usage(prompt_tokens=9, completion_tokens=0, dollars=0.75)
    """
    known = list(usages)
    unknown = any(usage.dollars is None and used(usage) for usage in known)
    dollars = [usage.dollars for usage in known if usage.dollars is not None]
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in known),
        completion_tokens=sum(usage.completion_tokens for usage in known),
        dollars=None if unknown or not dollars else sum(dollars),
    )
