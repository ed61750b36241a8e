"""Schemas tried on servers that nobody knows: asked again without where they fail on it, and learnt once for all."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from ports.openai_chat import Reply, chat, fails
from server import serving

from ltgc_cli.errors import ProviderError, Refused
from ltgc_cli.pipeline.session import Session
from ltgc_cli.ports import Question
from ltgc_cli.providers.llm import litellm as port
from ltgc_cli.providers.llm import no_schema
from ltgc_cli.providers.opened import AskOptions
from ltgc_cli.settings import Asking

QUESTION = Question(model="m", task="reflect", subject="crane", text="Please exclude …", schema="numbers")


@pytest.fixture
def told() -> list[Question]:
    """The questions of which it was said that their model takes no schema."""
    return []


@pytest.fixture
def ask(told, time):
    """A function that asks a server, which gives these replies in turn (None: "none") to requests with a schema."""

    def ask(*with_schema: Reply | None, without: Reply | str = "none", questions: int = 1, known: bool = False):
        replies = list(with_schema)

        def answer(body):
            if "response_format" not in body:
                return without
            reply = replies.pop(0) if len(replies) > 1 else replies[0]
            return "none" if reply is None else reply

        routes = chat(answer)
        ask.seen = routes.seen
        with serving(routes) as address:
            options = AskOptions(
                objects=dict.__getitem__, api_base=f"{address}/v1", takes_no_schema=None if known else told.append
            )
            asked = port.ask_port("openai/mine", options, clock=time.clock, sleep=time.sleep)
            return [asked(QUESTION).text for _ in range(questions)]

    ask.with_schema = lambda: ["response_format" in seen.body for seen in ask.seen]
    return ask


@pytest.mark.parametrize(
    "reply",
    [
        fails(500, "Internal Server Error"),  # llama-cpp-python's server
        fails(501, "not implemented"),
        fails(400, "Invalid parameter: 'response_format' of type 'json_schema' is not supported"),
        fails(400, "extra fields not permitted"),
        Reply(422, {"detail": [{"loc": ["body"], "msg": "unprocessable"}]}),
    ],
)
def test_a_server_that_fails_on_a_schema_is_asked_without_at_once_and_from_then_on(ask, told, time, reply):
    assert ask(reply, questions=3) == ["none"] * 3
    assert ask.with_schema() == [True, False, False, False]
    assert told == [QUESTION] and time.slept == []


def test_a_server_that_fails_without_a_schema_too_is_dealt_with_as_ever_and_nothing_is_learnt(ask, told):
    with pytest.raises(ProviderError, match="did not answer in 4 tries"):
        ask(fails(500), without=fails(500))
    assert ask.with_schema() == [True, False] * 4
    with pytest.raises(Refused, match="^the request was refused: unprocessable"):
        ask(fails(422, "unprocessable"), without=fails(422, "unprocessable"))
    assert ask.with_schema() == [True, False] and told == []


@pytest.mark.parametrize("reply", [fails(503, "loading model"), fails(502), fails(429)])
def test_a_busy_server_is_waited_for_with_the_schema(ask, told, time, reply):
    assert ask(reply, None) == ["none"]
    assert ask.with_schema() == [True, True] and len(time.slept) == 1 and told == []


@pytest.mark.parametrize(
    "reply",
    [
        fails(400, "Your request was rejected by our safety system", "content_policy_violation"),
        fails(400, "This model's maximum context length is 8192 tokens", "context_length_exceeded"),
        fails(400, "model `mine` was retired", "model_decommissioned"),
        fails(401, "Incorrect API key provided", "invalid_api_key"),
    ],
)
def test_what_is_clearly_about_something_else_is_not_asked_again_without_a_schema(ask, told, reply):
    with pytest.raises((Refused, ProviderError)):
        ask(reply)
    assert ask.with_schema() == [True] and told == []


def test_a_500_of_a_model_that_takes_schemas_is_a_servers_trouble(ask, told):
    assert ask(None, fails(500), None, questions=2) == ["none"] * 2
    assert ask(fails(500), None, known=True) == ["none"]
    assert ask.with_schema() == [True, True] and told == []


def test_a_lost_connection_says_nothing_of_schemas(told, time):
    drops = chat(lambda body: "none", faults=lambda times, body: None if times else "drop")
    with serving(drops) as address:
        options = AskOptions(objects=dict.__getitem__, api_base=f"{address}/v1", takes_no_schema=told.append)
        assert port.ask_port("openai/mine", options, clock=time.clock, sleep=time.sleep)(QUESTION).text == "none"
    assert ["response_format" in seen.body for seen in drops.seen] == [True, True] and told == []


def test_each_server_is_tried_once_for_all_sessions_and_processes(tmp_path):
    routes = chat(lambda body: fails(500) if "response_format" in body else "none")
    with serving(routes) as address:
        for number in range(4):
            if number == 2:  # another process
                no_schema._learnt.clear()
            opened = Session(tmp_path).ask("openai/mine", "llm", Asking(api_base=f"{address}/v1"))
            opened.port(Question(model=opened.model, task="reflect", subject="crane", text=f"list {number}"))

    assert ["response_format" in seen.body for seen in routes.seen] == [True, False, False, False, False]
    named = f"openai/mine@{address.partition('://')[2]}/v1"  # what a server takes is its own, its model is not
    assert json.loads((tmp_path / no_schema.FILE).read_text()) == [named] and opened.model == "openai/mine"


def test_what_others_have_learnt_meanwhile_stays(tmp_path):
    file = tmp_path / no_schema.FILE
    no_schema.learn(file, "b")
    file.write_text('["a", "b"]')
    no_schema.learn(file, "c")

    assert json.loads(file.read_text()) == ["a", "b", "c"] and no_schema.known(file) == {"a", "b", "c"}


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b"null", b'["\xff"]'])
def test_a_broken_file_is_nothing_known_and_is_written_anew(tmp_path, data):
    file = tmp_path / no_schema.FILE
    file.write_bytes(data)

    assert no_schema.known(file) == set()
    no_schema.learn(file, "a")
    assert msgspec.json.decode(file.read_bytes()) == ["a"]


def test_where_no_file_can_be_written_it_is_known_for_this_process(tmp_path):
    (tmp_path / "store").write_text("no folder")
    file: Path = tmp_path / "store" / no_schema.FILE
    no_schema.learn(file, "a")

    assert no_schema.known(file) == {"a"}
    no_schema._learnt.clear()
    assert no_schema.known(file) == set()
