"""usage_metric: what was paid for and is in no other record."""

from __future__ import annotations

from fakes import a_class

from ltgc_cli.ports import Usage
from ltgc_cli.records import Made, Metric
from ltgc_cli.stages.usage_metric import summed, usage_metric


def test_what_a_class_s_questions_used_is_one_record():
    usages = [Usage(prompt_tokens=10, completion_tokens=3, dollars=0.5), Usage(prompt_tokens=1, dollars=0.25)]
    metric = usage_metric(a_class("crane", 3), "filter", "refine", "gpt-4o", usages)

    assert metric == Metric(
        id=metric.id,
        label=3,
        class_="crane",
        name="questions",
        group="filter",
        value=2.0,
        made=Made(model="gpt-4o", prompt="refine", usage=Usage(prompt_tokens=11, completion_tokens=3, dollars=0.75)),
    )


def test_questions_that_used_nothing_are_no_record():
    for usages in ([], [Usage()], [Usage(dollars=0.0), Usage(dollars=0.0)]):
        assert usage_metric(a_class(), "filter", "refine", "embedded", usages) is None


def test_two_prompts_and_two_models_are_records_of_their_own():
    found = [
        usage_metric(a_class(), "reflect", prompt, model, [Usage(dollars=1.0)]).id
        for prompt, model in [("refine", "a"), ("refine", "b"), ("extend", "a")]
    ]

    assert len(set(found)) == 3


def test_dollars_are_unknown_where_the_price_of_any_tokens_is():
    assert summed([Usage(prompt_tokens=5), Usage(dollars=0.5)]) == Usage(prompt_tokens=5, dollars=None)


def test_what_used_nothing_has_no_unknown_price():
    assert summed([Usage(), Usage(dollars=0.5)]) == Usage(dollars=0.5)
    assert summed([Usage(dollars=0.0)]) == Usage(dollars=0.0)
    assert summed([]) == summed([Usage()]) == Usage()
