"""litellm, the real one, against a server on this machine that speaks OpenAI's chat protocol."""

from __future__ import annotations

import base64
import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from ltgc_cli.errors import InputError, ProviderError, Refused
from ltgc_cli.ports import Answer, Question, Usage
from ltgc_cli.providers.llm import litellm as port

KEY = "sk-proj-abcdefghijklmnopqrstuvwxyz123456"
QUESTION = Question(
    model="gpt-4o", task="extend", subject="crane", text="Besides these …", temperature=0.7, max_tokens=9
)


class Reply(tuple[int, Any, dict[str, str]]):
    """Status, body, headers."""


def says(text: str | None = "hi", *, finish: str = "stop", model: str = "gpt-4o-2024-08-06", **message: Any) -> Reply:
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage}
    return Reply((200, body, {}))


def fails(status: int, message: str = "no", code: str | None = None, **headers: str) -> Reply:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply((status, {"error": {"message": message, "code": code, "type": code}}, headers))


class Server(http.server.ThreadingHTTPServer):
    """Gives its replies in turn and then the last one again and again; what it was sent is in `seen`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies: list[Reply] = []
        self.seen: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.lock = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.seen.append(body)
            self.server.keys.append(self.headers["Authorization"])
            replies = self.server.replies
            status, reply, headers = replies.pop(0) if len(replies) > 1 else replies[0]
        data = json.dumps(reply).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def running():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def server(running, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    running.seen.clear()
    running.keys.clear()
    return running


@pytest.fixture
def slept():
    return []


@pytest.fixture
def ask(server, slept) -> Callable[..., Answer]:
    """A function that asks while the server gives these replies."""

    def ask(*replies: Reply, spec: str = "gpt-4o", question: Question = QUESTION, **options: Any) -> Answer:
        server.replies[:] = replies
        base = f"http://127.0.0.1:{server.server_port}/v1"
        options = {"objects": dict.__getitem__, "api_base": base, "sleep": slept.append, **options}
        return port.ask_port(spec, **options)(question)

    return ask


def test_a_question_is_sent_as_it_is_and_answered_word_for_word_with_what_it_cost(ask, server):
    answer = ask(says("  1. A photo of the class crane, at dusk. \n"))

    assert answer.text == "  1. A photo of the class crane, at dusk. \n"
    assert answer.usage == Usage(prompt_tokens=10, completion_tokens=5, dollars=0.000075)
    (sent,) = server.seen
    assert sent["messages"] == [{"role": "user", "content": "Besides these …"}]
    assert (sent["model"], sent["temperature"], sent["max_tokens"]) == ("gpt-4o", 0.7, 9)
    assert server.keys == [f"Bearer {KEY}"]


def test_images_are_shown_as_data_urls_of_their_kind(ask, server, png):
    images = {"a": png((1, 2, 3)), "b": png((1, 2, 3), format="JPEG"), "c": png((1, 2, 3), format="BMP")}
    question = Question(model="gpt-4o", task="describe", subject="crane", text="Please …", images=("a", "b", "c"))
    ask(says(), question=question, objects=images.__getitem__)

    *shown, text = server.seen[0]["messages"][0]["content"]
    urls = [part["image_url"]["url"] for part in shown]
    assert [url.partition(";")[0] for url in urls] == ["data:image/png", "data:image/jpeg", "data:image/png"]
    assert [base64.b64decode(url.partition(",")[2]) for url in urls[:2]] == [images["a"], images["b"]]
    assert text == {"type": "text", "text": "Please …"}


def test_a_broken_image_is_refused_and_never_sent(ask, server):
    question = Question(model="gpt-4o", task="describe", subject="crane", text="Please …", images=("a",))

    with pytest.raises(Refused, match="cannot be read"):
        ask(says(), question=question, objects={"a": b"no image"}.__getitem__)
    assert server.seen == []


def test_a_model_without_a_known_price_costs_an_unknown_amount_and_not_nothing(ask):
    assert ask(says(model="mine"), spec="openai/mine").usage == Usage(prompt_tokens=10, completion_tokens=5)


def test_a_server_of_ones_own_needs_no_providers_name_and_no_key(ask, server, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    ask(says(), spec="my-llama")

    assert server.seen[0]["model"] == "my-llama" and server.keys == ["Bearer none"]


def test_a_model_that_takes_no_temperature_is_asked_without(ask, server):
    ask(says(model="o3-mini"), spec="o3-mini")

    assert "temperature" not in server.seen[0]


def test_a_busy_server_is_asked_again_when_it_says(ask, server, slept):
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    answer = ask(fails(429, Retry_After="7"), fails(429, Retry_After=in_a_minute), fails(429), says())

    assert answer.text == "hi" and len(server.seen) == 4
    assert 7 <= slept[0] <= 8 and 55 <= slept[1] <= 61 and 2 <= slept[2] <= 4


@pytest.mark.parametrize("status", [408, 500, 502, 503, 529])
def test_a_servers_trouble_is_waited_out(ask, server, slept, status):
    assert ask(fails(status), says()).text == "hi"
    assert len(server.seen) == 2 and len(slept) == 1


def test_waits_grow_and_end(ask, server, slept):
    with pytest.raises(ProviderError, match="gpt-4o did not answer in 6 tries .*busy"):
        ask(fails(503, "busy"))

    assert len(server.seen) == 6 and len(slept) == 5
    assert all(2**n / 2 <= seconds <= 2**n for n, seconds in enumerate(slept))


def test_a_server_that_is_not_there_is_a_provider_error(ask):
    with pytest.raises(ProviderError, match="did not answer in 2 tries .*check the network"):
        ask(says(), api_base="http://127.0.0.1:9/v1", tries=2)


def test_a_refused_key_is_a_provider_error_at_once_that_names_the_variable_and_not_the_key(ask, server):
    with pytest.raises(ProviderError, match="; set OPENAI_API_KEY$") as raised:
        ask(fails(401, f"Incorrect API key provided: {KEY}. Or was it {KEY[:9]}*****3456?", "invalid_api_key"))

    assert len(server.seen) == 1
    assert "abcdef" not in str(raised.value) and "3456" not in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("spec", "variable"), [("gpt-4o", "OPENAI_API_KEY"), ("anthropic/claude-sonnet-4-5", "ANTHROPIC_API_KEY")]
)
def test_a_missing_key_is_a_provider_error_at_once_that_names_the_variable(ask, slept, monkeypatch, spec, variable):
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(ProviderError, match=f"; set {variable}$"):
        ask(says(), spec=spec, api_base=None)
    assert slept == []


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (fails(429, "You exceeded your current quota", "insufficient_quota"), "quota is used up"),
        (fails(402, "Payment required"), "quota is used up"),
        (
            fails(404, "The model `gpt-4o` does not exist", "model_not_found"),
            "there is no such model .*; write embedded",
        ),
        (fails(403, "Not in your region"), "refused .*Not in your region"),
    ],
)
def test_what_waiting_does_not_mend_is_a_provider_error_at_once(ask, server, slept, reply, message):
    with pytest.raises(ProviderError, match=message):
        ask(reply)
    assert len(server.seen) == 1 and slept == []


def test_a_model_that_litellm_does_not_know_is_a_provider_error(ask):
    with pytest.raises(ProviderError, match="embeded: litellm knows no such model; write embedded, replay:FILE"):
        ask(says(), spec="embeded", api_base=None)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (fails(400, "rejected by our safety system", "content_policy_violation"), "rejected by our safety system"),
        (fails(400, "maximum context length is 8 tokens", "context_length_exceeded"), "maximum context length"),
        (fails(422, "unprocessable"), "unprocessable"),
        (says(None, refusal="I cannot help with that."), "the model refused: I cannot help with that."),
        (says("I", finish="content_filter"), "the model refused: its content filter"),
        (says(""), "the model's answer was empty"),
        (says(" \n"), "the model's answer was empty"),
        (says(None), "the model's answer was empty"),
    ],
)
def test_a_request_that_is_refused_is_refused_alone_and_not_repeated(ask, server, reply, reason):
    with pytest.raises(Refused, match=reason):
        ask(reply)
    assert len(server.seen) == 1


def test_many_threads_ask_at_once(ask, server):
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: ask(says()).text, range(48)))

    assert answers == ["hi"] * 48 and len(server.seen) == 48


@pytest.mark.parametrize(
    "secret",
    [
        KEY,
        "gsk_abcdefghijk123",
        "AIzaSyabcdefghijk123",
        "hf_abcdefghijklm",
        "0123456789abcdef0123456789abcdef",
        "a value of the environment",
    ],
)
def test_no_secret_is_left_in_a_text(monkeypatch, secret):
    monkeypatch.setenv("MY_SERVICE_TOKEN", "a value of the environment")
    text = port.scrubbed(f"key {secret}, Bearer {secret} at https://me:{secret}@host/?key={secret}&model=gpt-4o")

    assert secret not in text and "gpt-4o" in text


@pytest.mark.parametrize("spec", ["", " ", "gpt-4o "])
def test_no_name_is_an_input_error(spec):
    with pytest.raises(InputError, match="names no language model; write embedded"):
        port.identity(spec)


def test_importing_litellm_is_quiet_and_reads_no_env_file(tmp_path):
    (tmp_path / ".env").write_text("PLANTED=1\n")
    code = """
import os, sys
from ltgc_cli.providers.llm import litellm
assert "litellm" not in sys.modules
litellm.imported()
print(os.environ.get("PLANTED"), os.environ["LITELLM_LOCAL_MODEL_COST_MAP"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)

    assert (done.stdout, done.stderr) == ("None True\n", "")
