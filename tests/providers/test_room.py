"""A server with less room than an answer was to have: its limit is read from its error, however it puts it."""

from __future__ import annotations

import re

import pytest
from ports.openai_chat import chat, fails
from server import serving

from ltgc_cli.errors import TooLong
from ltgc_cli.ports import Question
from ltgc_cli.providers.llm import litellm as port
from ltgc_cli.providers.llm.room import LEAST, lowered
from ltgc_cli.providers.opened import AskOptions

QUESTION = Question(model="mine", task="extend", subject="crane", text="Besides these …", max_tokens=2048)
OPENAI = "This model's maximum context length is 1024 tokens. However"


@pytest.mark.parametrize(
    ("error", "room"),
    [
        (f"{OPENAI}, you requested 2100 tokens (52 in the messages, 2048 in the completion).", 972),
        ("'max_tokens' is too large: 2048. … maximum context length is 1024 tokens and … has 52 input tokens", 972),
        (f"{OPENAI}, you requested 2048 output tokens and your prompt contains at least 52 …", 972),
        ("max_tokens=2048 cannot be greater than max_model_len=1024. Please request fewer output tokens.", 984),
        ("maximum context length of 1024 tokens. You requested …: 52 tokens from the input messages and 2048 …", 972),
        ("`inputs` tokens + `max_new_tokens` must be <= 1024. Given: 52 `inputs` tokens and …", 972),
        (f"{OPENAI}, you requested about 2100 tokens (52 of text input, 2048 in the output).", 972),
        ("input length and `max_tokens` exceed context limit: 52 + 2048 > 1024, decrease …", 972),
        ("max_tokens is too large: 2048. This model supports at most 1000 completion tokens", 1000),
        ("max_tokens: 2048 > 1000, which is the maximum allowed number of output tokens for claude", 1000),
        ("`max_tokens` must be less than or equal to `1000`, the maximum value for …", 1000),
        ("Invalid max_tokens value, the valid range of max_tokens is [1, 1000]", 1000),
        ("The maximum tokens you requested exceeds the model limit of 1000.", 1000),
        ("requested 2048 tokens exceed the context size", 1024),
        (f"{OPENAI}, you requested 3548 tokens (1500 in the messages, 2048 in the completion).", None),
        ("This model's maximum context length is 8192 tokens, your messages have 9000", None),
        ("request (1500 tokens) exceeds the available context size (1024 tokens), try increasing it", None),
        ("However, the model is loaded with context length of only 4096 tokens, which is not enough.", None),
        ("Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.", None),
        ("The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).", None),
    ],
)  # fmt: skip
def test_the_room_for_an_answer_is_what_the_error_says(error, room):
    found = lowered(error, 2048, 40)

    assert found == room if room else found is None or found < LEAST


def test_an_answer_is_asked_for_again_with_what_there_is_room_for_and_this_is_said_once(monkeypatch):
    def answer(body):
        wanted = body["max_tokens"]
        too_many = (
            f"maximum context length is 1024 tokens. However, you requested {wanted + 52} tokens (52 in the messages"
        )
        return fails(400, f"This model's {too_many}, {wanted} in the completion).") if wanted > 972 else "hi"

    routes, notices = chat(answer), []
    with serving(routes) as address:
        options = AskOptions(objects=dict.__getitem__, api_base=f"{address}/v1", notice=notices.append)
        ask = port.ask_port("openai/mine", options)
        assert [ask(QUESTION).text, ask(QUESTION).text] == ["hi", "hi"]

    assert [seen.body["max_tokens"] for seen in routes.seen] == [2048, 972, 972]
    said = "its server has no room for answers of 2,048 tokens (--max-tokens); at most 972 are asked for"
    assert notices == [f"openai/mine: {said}"]


def test_a_question_that_fills_the_context_alone_is_too_long(asking):
    error = "maximum context length is 1024 tokens. However, you requested 3548 tokens (1500 in the messages, 2048 in …"
    with pytest.raises(TooLong, match=re.escape("the question is too long for the model: This model's maximum")):
        asking(QUESTION)(fails(400, f"This model's {error}"), spec="openai/mine")
