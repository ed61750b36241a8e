"""litellm, the real one, against a server on this machine that speaks OpenAI's chat protocol."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from commands import heeds_ctrl_c
from ports.openai_chat import FAULTS, chat, fails, in_turn, says
from server import serving

from ltgc_cli.errors import InputError, Refused
from ltgc_cli.ports import Question, Usage
from ltgc_cli.providers.llm import litellm as port
from ltgc_cli.providers.llm.response_formats import RESPONSE_FORMATS
from ltgc_cli.providers.opened import AskOptions

KEY = "sk-proj-abcdefghijklmnopqrstuvwxyz123456"
QUESTION = Question(
    model="gpt-4o", task="extend", subject="crane", text="Besides these …", temperature=0.7, max_tokens=9
)


@pytest.fixture
def ask(asking):
    """A function that asks while the server says this; what it was sent is in its `.seen`."""
    return asking(QUESTION)


def test_a_question_is_sent_as_it_is_and_answered_word_for_word_with_what_it_cost(ask):
    answer = ask(says("  1. A photo of the class crane, at dusk. \n"))

    assert answer.text == "  1. A photo of the class crane, at dusk. \n"
    assert answer.usage == Usage(prompt_tokens=10, completion_tokens=5, dollars=0.000075)
    (sent,) = ask.seen
    assert sent.body["messages"] == [{"role": "user", "content": "Besides these …"}]
    assert [sent.body[name] for name in ("model", "temperature", "max_tokens")] == ["gpt-4o", 0.7, 9]
    assert "response_format" not in sent.body and sent.key == f"Bearer {KEY}"


def test_images_are_shown_in_order_above_the_text(ask, png):
    images = {"a": png((1, 2, 3)), "b": png((1, 2, 3), format="JPEG"), "c": png((1, 2, 3), format="BMP")}
    question = Question(model="gpt-4o", task="describe", subject="crane", text="Please …", images=("a", "b", "c"))
    ask(says(), question=question, objects=images.__getitem__)

    (sent,) = ask.seen
    assert sent.kinds == ["image/png", "image/jpeg", "image/png"]
    assert sent.images[:2] == (images["a"], images["b"])
    assert [part["type"] for part in sent.body["messages"][0]["content"]] == ["image_url"] * 3 + ["text"]
    assert sent.text == "Please …"


def test_an_image_is_shown_no_larger_than_the_question_says(ask, png):
    from ltgc_cli.providers.images import decode

    question = Question(model="gpt-4o", task="describe", subject="crane", text="…", images=("a",), image_size=20)
    ask(says(), question=question, objects=lambda name: png((1, 2, 3)))

    assert decode(ask.seen[0].images[0]).size == (20, 20)


def test_a_broken_image_is_refused_by_its_name_and_never_sent(ask):
    question = Question(model="gpt-4o", task="describe", subject="crane", text="Please …", images=("0123abcd",))

    with pytest.raises(Refused, match="image 0123abcd cannot be read"):
        ask(says(), question=question, objects=lambda name: b"no image")
    assert ask.seen == []


def test_a_model_without_a_known_price_costs_an_unknown_amount_and_not_nothing(ask):
    assert ask(says(model="mine"), spec="openai/mine").usage == Usage(prompt_tokens=10, completion_tokens=5)


def test_a_price_of_ones_own_counts_in_place_of_the_list(ask):
    def price(prompt: int, completion: int) -> float:
        return prompt * 1.0 + completion * 2.0

    assert ask(says(), spec="openai/mine", price=price).usage.dollars == 20.0
    assert ask(says(), price=price).usage.dollars == 20.0


def test_what_a_server_does_not_count_has_no_price(ask):
    assert ask(says(usage=None)).usage == Usage(dollars=None)


def test_a_server_of_ones_own_needs_no_providers_name_and_no_key(ask, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    ask(says(), spec="my-llama")

    assert ask.seen[0].body["model"] == "my-llama" and ask.seen[0].key == "Bearer none"


def test_a_model_that_takes_no_temperature_is_asked_without(ask):
    ask(says(model="o3-mini"), spec="o3-mini")

    assert "temperature" not in ask.seen[0].body


@pytest.mark.parametrize("name", ["descriptions", "description", "numbers", "sense"])
def test_an_answer_can_be_held_to_a_schema(ask, name):
    answer = ask(says('{"sense": "a bird"}'), question=msgspec.structs.replace(QUESTION, schema=name))

    assert answer.text == '{"sense": "a bird"}'
    assert ask.seen[0].body["response_format"] == RESPONSE_FORMATS[name]
    schema = RESPONSE_FORMATS[name]["json_schema"]["schema"]
    assert list(schema["properties"]) == schema["required"] == [name]


def test_a_server_that_rejects_the_schema_is_asked_without_it_this_time_and_from_then_on(asking):
    question = msgspec.structs.replace(QUESTION, schema="numbers")
    routes = chat(lambda body: FAULTS["no schema"] if "response_format" in body else "none")
    with serving(routes) as address:
        ask = port.ask_port("gpt-4o", AskOptions(objects=dict.__getitem__, api_base=f"{address}/v1"))
        answers = [ask(question).text for _ in range(3)]

    assert answers == ["none"] * 3
    assert ["response_format" in seen.body for seen in routes.seen] == [True, False, False, False]


def test_other_parameters_that_a_server_rejects_are_left_out_as_well(asking):
    def answer(body):
        if "max_tokens" in body:
            return fails(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        if "temperature" in body:
            return fails(400, "Unsupported value: 'temperature' does not support 0.7 with this model.")
        return "hi"

    routes = chat(answer)
    with serving(routes) as address:
        port.ask_port("openai/new", AskOptions(objects=dict.__getitem__, api_base=f"{address}/v1"))(QUESTION)

    assert routes.seen[-1].body["max_completion_tokens"] == 9 and len(routes.seen) == 3


def test_as_many_questions_are_under_way_at_once_as_are_wanted_and_no_more(asking):
    routes = chat(lambda body: body["messages"][0]["content"], latency=0.2)
    with serving(routes) as address, ThreadPoolExecutor(64) as pool:
        ask = port.ask_port("gpt-4o", AskOptions(objects=dict.__getitem__, api_base=f"{address}/v1", concurrency=24))
        questions = [msgspec.structs.replace(QUESTION, text=str(n)) for n in range(96)]
        answers = list(pool.map(ask, questions))

    assert [answer.text for answer in answers] == [str(n) for n in range(96)]
    assert routes.most_at_once == 24 and len(routes.seen) == 96


@pytest.mark.parametrize("spec", ["", " ", "gpt-4o "])
def test_no_name_is_an_input_error(spec):
    with pytest.raises(InputError, match="names no language model; write embedded"):
        port.identity(spec)


def run(code: str, address: str, **options) -> subprocess.Popen:
    start = (
        "import os, sys; from ltgc_cli.ports import Question; from ltgc_cli.providers.llm import background, litellm\n"
        "from ltgc_cli.providers.opened import AskOptions\n"
        f"ask = litellm.ask_port('gpt-4o', AskOptions(objects=dict.__getitem__, api_base='{address}/v1'))\n"
        "question = Question(model='m', task='extend', subject='crane', text='…')\n"
    )
    command = [sys.executable, "-c", start + code]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, preexec_fn=heeds_ctrl_c, **pipes, **options)


def test_a_program_that_asked_is_quiet_reads_no_env_file_and_ends(tmp_path, asking):
    (tmp_path / ".env").write_text("PLANTED=1\n")
    with serving(chat(lambda body: "hi")) as address:
        code = "assert 'litellm' not in sys.modules; print(ask(question).text, os.environ.get('PLANTED'))"
        process = run(code, address, cwd=tmp_path)
        out, err = process.communicate(timeout=60)

    assert (out, err, process.returncode) == ("hi None\n", "", 0)


def test_interrupted_a_question_ends_at_once_and_so_does_the_program_whose_other_questions_hang(tmp_path, asking):
    code = """
from concurrent.futures import ThreadPoolExecutor
pool = ThreadPoolExecutor()
background._GRACE = 0.5
pool.submit(ask, question)
try: ask(question)
except KeyboardInterrupt: print("interrupted")
pool.shutdown(wait=False)
"""
    routes = chat(lambda body: "hi", faults=in_turn("hang"))
    with serving(routes) as address:
        process = run(code, address, cwd=tmp_path)
        while len(routes.seen) < 2 and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)

    assert (out, err, process.returncode) == ("interrupted\n", "", 0)


def test_a_program_ends_without_waiting_for_what_is_to_be_asked_again():
    code = """
from concurrent.futures import ThreadPoolExecutor
from ltgc_cli.providers.llm import background
pool = ThreadPoolExecutor()
waiting = pool.submit(background.run, background.pause(600))
while not background._pausing: pass
pool.shutdown(wait=False)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == (b"", b"", 0)


@pytest.mark.slow
def test_a_question_under_way_at_the_end_of_a_program_is_still_answered(tmp_path, asking):
    code = """
from concurrent.futures import ThreadPoolExecutor
pool = ThreadPoolExecutor()
pool.submit(lambda: print(ask(question).text))
pool.shutdown(wait=False)
input()
"""
    routes = chat(lambda body: "hi", latency=1.0)
    with serving(routes) as address:
        process = run(code, address, cwd=tmp_path, stdin=subprocess.PIPE)
        while not routes.seen and process.poll() is None:
            time.sleep(0.02)
        out, err = process.communicate("\n", timeout=60)

    assert (out, err) == ("hi\n", "")


def test_threads_that_ask_first_together_open_the_port_once(asking):
    routes = chat(lambda body: "hi", latency=0.1)
    with serving(routes) as address:
        ask = port.ask_port("gpt-4o", AskOptions(objects=dict.__getitem__, api_base=f"{address}/v1", concurrency=2))
        threads = [threading.Thread(target=ask, args=(QUESTION,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert routes.most_at_once == 2 and len(routes.seen) == 8


def test_a_server_s_address_is_not_in_the_model_s_name_and_was_once(monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    for base in ("http://localhost:8000/v1", "http://127.0.0.1:9/v1/", "http://[::1]:8000", None):
        assert port.identity("openai/llama", base) == "openai/llama"
    assert port.identity("openai/llama", "http://localhost:8000/v1", "awq") == "openai/llama#awq"
    monkeypatch.setenv("OLLAMA_API_BASE", "http://gpu-7:11434")
    assert port.old_identity("ollama/llama3.1") == "ollama/llama3.1@gpu-7:11434"
    assert port.old_identity("gpt-4o") == "gpt-4o"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://user:secret@localhost:8000/v1")
    assert port.old_identity("gpt-4o") == "gpt-4o@localhost:8000/v1"
    assert port.old_identity("gpt-4o", "http://other/v1") == "gpt-4o@other/v1"


@pytest.mark.parametrize("name", ["", " ", "a\nb", "awq "])
def test_a_name_of_one_s_own_for_a_model_is_in_one_line(name):
    with pytest.raises(InputError, match="^--model-id .*: a name in one line is wanted"):
        port.identity("openai/llama", model_id=name)
