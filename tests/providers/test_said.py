"""What a chat model's response says, wherever its text lies, live and in a batch's file."""

from __future__ import annotations

import json
from types import SimpleNamespace

import msgspec
import pytest
from ports.openai_chat import Reply, says

from ltgc_cli.errors import ProviderError, Refused
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
    "JSON on the next line of its thoughts": (says(None, reasoning=f"Two will do.\n{JSON}"), JSON),
    "a part with a value": (says([{"type": "text", "text": {"value": TEXT}}]), TEXT),
    "a call without a function": (says(None, tool_calls=[{"id": "1", "name": "d", "arguments": JSON}]), JSON),
    "one choice, in no list": (Reply(200, {**says().data, "choices": says(TEXT).data["choices"][0]}), TEXT),
    "a message that is text": (choices({"index": 0, "finish_reason": "stop", "message": TEXT}), TEXT),
    "closed thoughts": (says(f"<think>Hm.</think>{TEXT}"), f"<think>Hm.</think>{TEXT}"),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_text_is_found_wherever_it_lies_by_litellm_and_in_a_batch(asking, shape):
    reply, text = SHAPES[shape]
    ask = asking(QUESTION)

    assert ask(reply, spec="openai/mine") == Answer(text=text, usage=USED) and len(ask.seen) == 1
    row = {"custom_id": "k", "response": {"status_code": 200, "body": reply.data}}
    assert dict(batch_files.read(json.dumps(row).encode(), None)) == {"k": Answer(text=text, usage=USED)}


CHUNKS = [
    {"choices": [{"index": 0, "delta": {"role": "assistant", "reasoning_content": "Hm."}, "finish_reason": None}]},
    *({"choices": [{"index": 0, "delta": {"content": half}}]} for half in (TEXT[:20], TEXT[20:])),
    {
        "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5},
    },
]
STREAM = ": PROCESSING\n\n" + "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in CHUNKS) + "data: [DONE]\n\n"
OWN = {
    "a stream that nobody asked for": STREAM,
    "bare line breaks in its JSON": json.dumps(says("@").data).replace("@", TEXT),
    "Ollama's": {"message": {"role": "assistant", "content": TEXT}, "done": True},
    "Gemini's": {"candidates": [{"content": {"parts": [{"text": "Hm.", "thought": True}, {"text": TEXT}]}}]},
    "Anthropic's": {"content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": TEXT}]},
    "Responses API's": {"output": [{"type": "reasoning"}, {"type": "message", "content": [{"text": TEXT}]}]},
    "llama.cpp's": {"content": TEXT, "stop": True},
}  # fmt: skip


@pytest.mark.parametrize("name", OWN)
def test_a_server_that_answers_in_its_own_protocol_is_read_at_once(asking, name):
    ask = asking(QUESTION)

    assert ask(Reply(200, OWN[name]), spec="openai/mine").text == TEXT and len(ask.seen) == 1


@pytest.mark.parametrize("error", [{"error": "Unexpected endpoint"}, {"detail": "Unexpected endpoint"}])
def test_an_error_that_a_server_calls_a_success_is_told_in_its_own_words(asking, time, error):
    with pytest.raises(ProviderError, match=r"\(Unexpected endpoint\); correct --api-base: mostly it ends in /v1"):
        asking(QUESTION)(Reply(200, error), spec="openai/mine")


def test_an_error_in_the_place_of_a_choice_is_no_empty_answer(asking, time):
    failed = choices({"finish_reason": "error", "message": {"content": ""}, "error": {"message": "Overloaded"}})

    assert asking(QUESTION)(failed, says(TEXT), spec="openai/mine").text == TEXT
    with pytest.raises(Refused, match="Overloaded"):
        asking(QUESTION)(failed, spec="openai/mine")


@pytest.mark.parametrize("spec", ["openai/mine", "hosted_vllm/mine", "openrouter/mine", "lm_studio/mine"])
def test_an_odd_answer_is_read_at_once_by_every_way_that_litellm_has_to_a_server(asking, spec):
    ask = asking(QUESTION)

    assert ask(says([{"type": "text", "text": TEXT}]), spec=spec).text == TEXT and len(ask.seen) == 1


THOUGHTS = {
    "unclosed, cut off": (says("<think>Hm, a crane", finish="length"), "tokens up thinking: raise --max-tokens"),
    "gpt-oss's": (says("<|channel|>analysis<|message|>A photo of", finish="length"), "used its tokens up thinking"),
    "gpt-oss's, without its marks": (says("analysisWe need two.", finish="length"), "used its tokens up thinking"),
    "Kimi's": (says("◁think▷Hm, a crane", finish="length"), "used its tokens up thinking"),
    "Seed's": (says("<seed:think>Hm, a crane", finish="length"), "used its tokens up thinking"),
    "none, but something": (says(None, audio={"transcript": TEXT}), "no text was found in its answer, which is kept"),
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


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({"prompt_tokens_details": {"cached_tokens": 10}}, (10, 5)),
        ({"prompt_tokens_details": {"cached_tokens": 10_000_000}}, None),
        ({"completion_tokens_details": {"audio_tokens": 6}}, None),
        ({"completion_tokens_details": {"reasoning_tokens": 900}}, (10, 5)),  # beside the answer, at some servers
        ({"prompt_tokens_details": None}, (10, 5)),
        ({"prompt_tokens_details": "x"}, (10, 5)),
    ],
)
def test_a_part_of_the_tokens_is_not_more_than_the_whole(details, expected):
    used = {"prompt_tokens": 10, "completion_tokens": 5, **details}
    assert said.tokens(used) == expected
    assert said.tokens(SimpleNamespace(**used)) == expected
