"""What a chat model's response says, wherever its text lies, live and in a batch's file."""

from __future__ import annotations

import json

import msgspec
import pytest
from ports.openai_chat import Reply, says

from ltgc_cli.errors import Refused
from ltgc_cli.ports import Answer, Question, Usage
from ltgc_cli.providers.llm import batch_files, said
from ltgc_cli.providers.transient import TransientError

TEXT = "1. A photo of the class crane, at dusk.\n2. A photo of the class crane, in marsh."
JSON = '{"descriptions": ["A photo of the class crane, at dusk."]}'
USED = Usage(prompt_tokens=10, completion_tokens=5)
CALL = {"id": "1", "type": "function", "function": {"name": "descriptions", "arguments": JSON}}
QUESTION = Question(model="mine", task="extend", subject="crane", text="Besides these …")


def choices(*given: dict) -> Reply:
    return Reply(200, {**says().data, "choices": list(given)})


SHAPES = {
    "text": (says(TEXT), TEXT),
    "in its thoughts": (says(None, reasoning_content=TEXT), TEXT),
    "in its thoughts, of another name": (says("", reasoning=TEXT), TEXT),
    "at the end of its thoughts": (says(None, reasoning_content=f"The user wants two.\n\n{TEXT}"), TEXT),
    "JSON at the end of its thoughts": (says(None, reasoning_content=f"Hm.\n\n{JSON}"), JSON),
    "numbers at the end of its thoughts": (says(None, reasoning_content="1 and 3 are alike.\n\n3"), "3"),
    "parts": (says([{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": TEXT}]), TEXT),
    "parts as of the Responses API": (says([{"type": "output_text", "text": TEXT}]), TEXT),
    "parts that are lines": (says([{"type": "text", "text": line} for line in TEXT.split("\n")]), TEXT),
    "parts that are half lines": (says([{"text": "A photo"}, {"text": " of a crane."}]), "A photo of a crane."),
    "a dict": (says(json.loads(JSON)), JSON),
    "a call": (says(None, finish="tool_calls", tool_calls=[CALL]), JSON),
    "a call with a dict": (
        says(None, tool_calls=[CALL | {"function": {"name": "d", "arguments": json.loads(JSON)}}]),
        JSON,
    ),
    "an old call": (says(None, function_call={"name": "d", "arguments": JSON}), JSON),
    "a completion": (choices({"index": 0, "text": TEXT, "finish_reason": "stop"}), TEXT),
    "the second choice": (choices(*says("").data["choices"], *says(TEXT).data["choices"]), TEXT),
    "half a character, NUL": (says("A photo\x00 of \ud83d."), "A photo\x00 of \ud83d."),
    "closed thoughts": (says(f"<think>Hm.</think>{TEXT}"), f"<think>Hm.</think>{TEXT}"),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_text_is_found_wherever_it_lies_by_litellm_and_in_a_batch(asking, shape):
    reply, text = SHAPES[shape]
    ask = asking(QUESTION)

    assert ask(reply, spec="openai/mine") == Answer(text=text, usage=USED) and len(ask.seen) == 1
    row = {"custom_id": "k", "response": {"status_code": 200, "body": reply.data}}
    assert dict(batch_files.read(json.dumps(row).encode(), None)) == {"k": Answer(text=text, usage=USED)}


@pytest.mark.parametrize("spec", ["openai/mine", "hosted_vllm/mine", "openrouter/mine", "lm_studio/mine"])
def test_an_odd_answer_is_read_at_once_by_every_way_that_litellm_has_to_a_server(asking, spec):
    ask = asking(QUESTION)

    assert ask(says([{"type": "text", "text": TEXT}]), spec=spec).text == TEXT and len(ask.seen) == 1


THOUGHTS = {
    "unclosed, cut off": (says("<think>Hm, a crane", finish="length"), "tokens up thinking: raise --max-tokens"),
    "apart, cut off": (says(None, finish="length", reasoning_content="Hm."), "or --reasoning-effort low$"),
    "unseen, cut off": (says("", finish="length"), "it used its tokens up thinking"),
    "a draft, cut off": (says("", finish="length", reasoning_content=f"Hm.\n\n{TEXT}"), "used its tokens up thinking"),
    "alone": (says("", reasoning_content="Hm, what is a crane?"), "it thought aloud and gave no answer"),
}  # fmt: skip


@pytest.mark.parametrize("thoughts", THOUGHTS)
def test_thoughts_alone_are_kept_as_they_came_and_are_a_failure_when_they_are_read(asking, thoughts):
    reply, reason = THOUGHTS[thoughts]
    ask = asking(QUESTION)
    kept = ask(reply, spec="openai/mine")

    assert kept.text == "" and json.loads(kept.raw)["choices"] == reply.data["choices"] and len(ask.seen) == 1
    with pytest.raises(Refused, match=reason) as raised:
        said.read(kept)
    assert raised.value.usage == USED


def test_a_later_version_reads_what_was_kept():
    kept = Answer(text="", usage=USED, raw=json.dumps(says([{"type": "text", "text": TEXT}]).data))

    assert said.read(kept) == Answer(text=TEXT, usage=USED)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (says(None, refusal="I can't help with that."), "declined"),
        (says([{"type": "refusal", "refusal": "I can't help with that."}]), "declined"),
        (says("A photo", finish="content_filter"), "declined"),
        (choices(), "empty"),
        (says([]), "empty"),
        (says("<think></think>", finish="stop", reasoning_content=""), None),
    ],
)
def test_a_refusal_and_nothing_at_all_are_told_apart(reply, kind):
    if kind is None:  # a text, though one that says nothing
        assert said.answer(reply.data, USED).text
        return
    with pytest.raises(TransientError) as raised:
        said.answer(reply.data, USED)
    assert raised.value.kind == kind


def test_an_ordinary_answer_is_kept_in_the_bytes_that_it_always_had():
    kept = msgspec.json.encode(Answer(text="hi", usage=Usage(prompt_tokens=1)))

    assert kept == b'{"text":"hi","usage":{"prompt_tokens":1}}'
