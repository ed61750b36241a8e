"""`ltgc cost` sums up what the records of a stream say that they cost."""

import json

import pytest
from fakes import a_class, a_description, an_image

from ltgc_cli.ports import Usage
from ltgc_cli.records import Made, dump, evolve
from ltgc_cli.usage import rows, stage, sums

CRANE, SEAL = a_class("crane", 1), a_class("seal", 2)


def made(model: str, prompt: str, dollars: float | None, tokens: int = 100, attempt: int = 0) -> Made:
    usage = Usage(prompt_tokens=tokens, completion_tokens=10, dollars=dollars)
    return Made(model=model, prompt=prompt, attempt=attempt, usage=usage)


RECORDS = [
    CRANE,
    evolve(a_description(CRANE, "at dusk", "described"), made=made("gpt-4o", "describe", 0.25)),
    evolve(a_description(CRANE, "in flight"), made=made("gpt-4o-mini", "extend", 0.5)),
    SEAL,
    evolve(a_description(SEAL, "on ice"), made=made("gpt-4o-mini", "extend", 0.25, attempt=1)),
    evolve(a_description(SEAL, "in a zoo"), made=made("mine", "extend", None)),
    an_image(SEAL, "free", "generated", made=Made(model="sdxl", usage=Usage(dollars=0.0))),
    an_image(SEAL, "unknown", "generated", made=Made(model="litellm:my-images")),
    an_image(SEAL, "paid", "generated", made=Made(model="litellm:dall-e-3", usage=Usage(dollars=0.04))),
]


def test_by_stage_and_model_with_the_total_last_and_an_unknown_price_said():
    assert rows(sums(RECORDS, ["stage", "model"])) == [
        ("describe", "gpt-4o", "1", "100", "10", "0.25"),
        ("extend", "gpt-4o-mini", "1", "100", "10", "0.50"),
        ("reflect", "gpt-4o-mini", "1", "100", "10", "0.25"),
        ("extend", "mine", "1", "100", "10", "unknown"),
        ("render", "litellm:my-images", "1", "0", "0", "unknown"),
        ("render", "litellm:dall-e-3", "1", "0", "0", "0.04"),
        ("all", "", "6", "400", "40", "at least 1.04"),
    ]


def test_by_class():
    assert rows(sums(RECORDS, ["class"])) == [
        ("crane", "2", "200", "20", "0.75"),
        ("seal", "4", "200", "20", "at least 0.29"),
        ("all", "6", "400", "40", "at least 1.04"),
    ]


@pytest.mark.parametrize(
    ("prompt", "attempt", "name"),
    [("sense", 0, "describe"), ("extend", 0, "extend"), ("extend@12ab34cd", 3, "reflect"), ("reflect", 0, "reflect"),
     ("template", 0, "filter"), ("refine", 2, "filter"), ("", 0, "render")],
)  # fmt: skip
def test_the_stage_that_asked_is_known_by_the_prompt(prompt, attempt, name):
    assert stage(Made(model="m", prompt=prompt, attempt=attempt)) == name


def test_the_command_writes_records_to_a_pipe_and_a_table_for_people(ltgc):
    lines = "".join(dump(record) + "\n" for record in RECORDS)
    ran = ltgc("cost", "--by", "model", input=lines)
    found = {metric["method"]: metric["value"] for metric in map(json.loads, ran.out.splitlines())}
    assert found == {
        "gpt-4o": 0.25,
        "gpt-4o-mini": 0.75,
        "mine": None,
        "litellm:my-images": None,
        "litellm:dall-e-3": 0.04,
    }
    assert "at least 1.04" in ran.err


def test_an_unknown_grouping_is_named(ltgc):
    ran = ltgc("cost", "--by", "colour", input="")
    assert (ran.code, ran.err) == (2, "ltgc: --by colour: one of stage, model, class is wanted\n")
