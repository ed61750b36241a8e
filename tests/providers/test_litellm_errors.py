"""What goes wrong between ltgc and a model, and what becomes of it: asked again, refused, or an end with one line."""

from __future__ import annotations

import errno
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import msgspec
import pytest
from ports.openai_chat import PASSING, Reply, chat, fails, in_turn, says, seeded
from server import serving

from ltgc_cli.errors import InputError, OutputError, ProviderError, Refused, TooLong
from ltgc_cli.ports import Question, Usage
from ltgc_cli.providers import api_errors, secrets
from ltgc_cli.providers.api_errors import TransientError
from ltgc_cli.providers.llm import background
from ltgc_cli.providers.llm import litellm as port
from ltgc_cli.providers.opened import AskOptions

KEY = "sk-proj-abcdefghijklmnopqrstuvwxyz123456"
QUESTION = Question(model="gpt-4o", task="extend", subject="crane", text="Besides these …", temperature=0.7)


@pytest.fixture
def ask(asking):
    """A function that asks while the server gives these answers and faults in turn."""
    return asking(QUESTION)


def test_a_busy_server_is_asked_again_when_it_says(ask, time):
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    faults = fails(429, Retry_After="7"), fails(429, Retry_After=in_a_minute), "429", says()

    assert ask(*faults).text == "hi" and len(ask.seen) == 4
    assert 7 <= time.slept[0] <= 8 and 30 <= time.slept[1] <= 61 and 2 <= time.slept[2] <= 4


def test_gemini_says_how_long_to_wait_in_the_body(ask, time):
    quota = 'You exceeded your current quota, please check your plan … "retryDelay": "34s"'
    assert ask(fails(429, quota, "RESOURCE_EXHAUSTED"), says()).text == "hi"
    assert 34 <= time.slept[0] <= 35


@pytest.mark.parametrize("fault", ["408", "409", "500", "502", "503", "504", "529", "cut", "drop", "no json", "empty"])
def test_what_passes_is_asked_again(ask, time, fault):
    assert ask(fault, says()).text == "hi"
    assert len(ask.seen) == 2 and len(time.slept) == 1 and 0.5 <= time.slept[0] <= 1


def test_a_server_that_hangs_is_asked_again_after_the_time_out(ask):
    assert ask("hang", says(), timeout=0.3).text == "hi"
    assert len(ask.seen) == 2


def test_waits_grow_and_end_with_a_provider_error_where_nothing_was_ever_answered(ask, time):
    with pytest.raises(ProviderError, match=r"gpt-4o did not answer in 4 tries \(.*busy\); see the server's log"):
        ask(fails(503, "busy"))

    assert len(ask.seen) == 4 and len(time.slept) == 3
    assert all(2**n / 2 <= seconds <= 2**n for n, seconds in enumerate(time.slept))


def test_a_server_that_has_answered_before_gets_more_time(asking, time):
    routes = chat(lambda body: "hi", faults=lambda times, body: "500" if "later" in str(body) else None)
    with serving(routes) as address:
        ask = port.ask_port(
            "gpt-4o", AskOptions(objects=dict.__getitem__, api_base=f"{address}/v1"), clock=time.clock, sleep=time.sleep
        )
        ask(QUESTION)
        with pytest.raises(ProviderError, match="did not answer in 8 tries"):
            ask(msgspec.structs.replace(QUESTION, text="later"))

    assert 60 < sum(time.slept) <= 127


def test_busy_answers_count_for_no_try_but_end_with_the_limit(ask, time):
    assert ask(*["429"] * 9, says(), limit=1000).text == "hi"
    with pytest.raises(ProviderError, match="did not answer in"):
        ask("429", limit=600)
    assert sum(time.slept) < 1000 + 600


def test_a_server_that_asks_to_wait_for_longer_than_the_limit_is_not_waited_for(ask, time):
    with pytest.raises(ProviderError, match="did not answer in 1 try"):
        ask(fails(429, "come back tomorrow", Retry_After="86400"))
    assert time.slept == []


def test_a_question_that_fails_while_others_are_answered_fails_alone(asking, in_a_hurry):
    routes = chat(lambda body: "hi", faults=lambda times, body: "500" if "poison" in str(body) else None, latency=0.02)

    with serving(routes) as address, ThreadPoolExecutor(4) as pool:
        ask = port.ask_port("gpt-4o", AskOptions(objects=dict.__getitem__, api_base=f"{address}/v1"), **in_a_hurry)
        failing = pool.submit(ask, msgspec.structs.replace(QUESTION, text="poison"))
        while not failing.done():
            assert ask(QUESTION).text == "hi"
        with pytest.raises(Refused, match="did not answer in 8 tries .*, though it answered others meanwhile"):
            failing.result()


def test_a_server_that_is_not_there_is_a_provider_error(ask):
    with pytest.raises(ProviderError, match="did not answer in 4 tries .*nothing listens at 127.0.0.1:9"):
        ask(api_base="http://127.0.0.1:9/v1")


def test_a_refused_key_is_a_provider_error_at_once_that_names_the_variable_and_not_the_key(ask):
    with pytest.raises(ProviderError, match="; set OPENAI_API_KEY$") as raised:
        ask(fails(401, f"Incorrect API key provided: {KEY}. Or was it {KEY[:9]}*****3456?", "invalid_api_key"))

    assert len(ask.seen) == 1
    assert "abcdef" not in str(raised.value) and "3456" not in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("spec", "variable"), [("gpt-4o", "OPENAI_API_KEY"), ("anthropic/claude-sonnet-4-5", "ANTHROPIC_API_KEY")]
)
def test_a_missing_key_is_a_provider_error_at_once_that_names_the_variable(ask, time, monkeypatch, spec, variable):
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(ProviderError, match=f"; set {variable}$"):
        ask(spec=spec, api_base=None)
    assert time.slept == []


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("no credit", "quota is used up"),
        (fails(402, "Payment required"), "quota is used up"),
        (fails(400, "Your credit balance is too low to access the API", "invalid_request_error"), "quota is used up"),
        ("unknown model", "there is no such model .*; write embedded"),
        (Reply(404, {"detail": "Not Found"}), "nothing is at this address .*check --api-base"),
        (fails(400, "model `llama-1` was retired", "model_decommissioned"), "there is no such model"),
        (fails(403, "Not in your region"), "refused .*Not in your region"),
    ],
)
def test_what_waiting_does_not_mend_is_a_provider_error_at_once(ask, time, fault, message):
    with pytest.raises(ProviderError, match=message):
        ask(fault)
    assert len(ask.seen) == 1 and time.slept == []


def test_once_the_key_is_refused_no_question_from_before_is_asked_again(asking):
    routes = chat(lambda body: "hi", faults=lambda times, body: "hang" if "before" in str(body) else "wrong key")
    with serving(routes) as address, ThreadPoolExecutor(1) as pool:
        ask = port.ask_port("gpt-4o", AskOptions(objects=dict.__getitem__, api_base=f"{address}/v1", timeout=2))
        before = pool.submit(ask, msgspec.structs.replace(QUESTION, text="before"))
        while not routes.seen:
            pass
        with pytest.raises(ProviderError, match="set OPENAI_API_KEY"):
            ask(QUESTION)
        with pytest.raises(ProviderError, match="set OPENAI_API_KEY"):
            before.result()
    assert len(routes.seen) == 2


@pytest.mark.parametrize(
    "missing", ["No module named 'google'\nTraceback (most recent call last): …", "FIREWORKS_API_KEY is not set"]
)
def test_what_is_missing_here_is_no_lost_connection_though_litellm_says_so(missing):
    litellm = port.imported()
    error = litellm.APIConnectionError(message=missing, llm_provider="some", model="model")
    meant = api_errors.translated(litellm, error, "some/model")

    said = missing.partition("\n")[0]
    assert isinstance(meant, ProviderError)
    assert str(meant) == f"some/model cannot be asked: {said}; set or install what is missing"


def test_too_many_open_files_are_no_fault_of_the_provider():
    error = OSError(errno.EMFILE, "Too many open files", "encodings/utf_8_sig.py")
    meant = api_errors.translated(port.imported(), error, "some/model")

    assert isinstance(meant, OutputError)
    assert str(meant).startswith("Too many open files (ulimit -n allows more, a smaller --concurrency needs less); ")


def test_where_no_loop_can_be_had_nothing_is_left_that_was_never_awaited(monkeypatch):
    async def answer():
        pass

    def no_files():
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(background, "_loop", no_files)
    asked = answer()
    with pytest.raises(OSError, match="Too many"):
        background.run(asked)
    assert asked.cr_frame is None  # it is closed


def test_errors_hold_no_memory_addresses():
    litellm = port.imported()
    said = "Cannot connect to host localhost:11434 ssl:<ssl.SSLContext object at 0x7f807cdb39b0> [Connect call failed]"
    error = litellm.APIConnectionError(message=f"OllamaException - {said}", llm_provider="ollama", model="llama")
    meant = api_errors.translated(litellm, error, "ollama/llama")

    assert isinstance(meant, TransientError) and meant.kind == "broken"
    assert meant.why == "Cannot connect to host localhost:11434 [Connect call failed]"


def test_a_key_with_two_names_is_named_with_or(monkeypatch):
    litellm = port.imported()
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    error = litellm.AuthenticationError(message="no", llm_provider="gemini", model="gemini-2.5-flash")
    assert str(api_errors.translated(litellm, error, "gemini/gemini-2.5-flash")).endswith(
        "; set GOOGLE_API_KEY or GEMINI_API_KEY"
    )


def test_a_model_that_litellm_does_not_know_is_a_provider_error(ask):
    with pytest.raises(ProviderError, match="embeded: litellm knows no such model; write embedded, replay:FILE"):
        ask(spec="embeded", api_base=None)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("policy", "the request was refused: Your request was rejected by our safety system"),
        (fails(403, "Your input was flagged by moderation"), "flagged by moderation"),
        (fails(422, "unprocessable"), "unprocessable"),
    ],
)
def test_a_request_that_is_refused_is_refused_alone_and_not_repeated(ask, fault, reason):
    with pytest.raises(Refused, match=reason):
        ask(fault)
    assert len(ask.seen) == 1


@pytest.mark.parametrize(
    ("fault", "times", "reason"),
    [
        ("refusal", 2, "the model refused: I can't help with that."),
        ("filtered", 2, "the model refused: its content filter"),
        ("empty", 3, "the model's answer was empty, 3 times"),
        (says(" \n"), 3, "the model's answer was empty, 3 times"),
        ("null", 3, "the model's answer was empty, 3 times"),
        (says("", finish="tool_calls"), 3, "the model's answer was empty, 3 times"),
        (fails(400, "Failed to generate JSON", "json_validate_failed"), 3, "Failed to generate JSON, 3 times"),
    ],
)
def test_an_answer_that_says_nothing_is_asked_for_again_a_little(ask, fault, times, reason):
    with pytest.raises(Refused, match=reason):
        ask(fault)
    assert len(ask.seen) == times


def test_a_refusal_at_temperature_0_would_come_again_and_is_not_asked_for(ask):
    with pytest.raises(Refused, match="the model refused"):
        ask("refusal", question=msgspec.structs.replace(QUESTION, temperature=0.0))
    assert len(ask.seen) == 1


def test_what_is_cut_off_after_it_said_something_is_an_answer_and_known_to_be_cut_off(ask):
    answer = ask("cut off")

    assert answer.text == "1. A photo of the class crane, at dusk.\n2. A photo of the cla" and answer.cut_off
    assert not ask(says()).cut_off


def test_all_requests_for_a_question_are_paid_for(ask):
    assert ask("empty", "500", "refusal", says()).usage == Usage(
        prompt_tokens=30, completion_tokens=15, dollars=0.000225
    )


@pytest.mark.parametrize(
    "fault",
    [
        "too long",
        fails(400, "prompt is too long: 210000 tokens > 200000 maximum", "invalid_request_error"),
        fails(400, "The decoder prompt (length 5000) is longer than the maximum model length of 4096. Make sure …"),
        fails(400, "You passed 8193 input tokens … however, the model's context length is only 8192 tokens …"),
        fails(400, "Input is too long for requested model."),
        fails(400, "the request exceeds the available context size. try increasing the context size", "exceed_context"),
        fails(400, "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576)."),
        fails(400, "Input validation error: `inputs` must have less than 1024 tokens. Given: 2048"),
        fails(400, "This model's maximum prompt length is 131072 but the request contains 140000 tokens."),
        fails(400, "Please reduce the length of the messages or completion.", "context_length_exceeded"),
        fails(413, "Request too large for model `llama` … on tokens per minute (TPM): Limit 6000, Requested 7000"),
        fails(429, "Request too large for gpt-4o … on tokens per min (TPM): Limit 30000, Requested 31000", "tokens"),
        Reply(413, "<html>Request Entity Too Large</html>"),
    ],
)
def test_a_question_that_is_too_long_is_said_so_however_the_server_puts_it(ask, fault):
    with pytest.raises(TooLong, match="^the question is too long for the model: "):
        ask(fault)
    assert len(ask.seen) == 1


BLIND = [
    fails(400, "Invalid content type. image_url is only supported by certain models.", "invalid_request_error"),
    fails(400, "mine is not a multimodal model"),
    fails(400, "At most 0 image(s) may be provided in one prompt."),
    fails(500, "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"),
    fails(400, "Model does not support images. Please use a model that does."),
    fails(404, "No endpoints found that support image input"),
    fails(400, "'messages.0.content' : content must be a string"),
    fails(422, "Failed to deserialize: messages[0]: unknown variant `image_url`, expected `text`"),
    fails(400, "This model doesn't support the image field. Remove image and try again."),
    fails(400, "Image input modality is not enabled for models/gemma-3-1b-it"),
    fails(500, "this model is missing data required for image input"),
    fails(400, "Content type 'image_url' is not supported by this model"),
    Reply(422, {"detail": [{"loc": ["body", "messages", 0, "content"], "msg": "Input should be a valid string"}]}),
]


@pytest.fixture
def show(ask, png):
    """A function that asks about an image while the server gives these answers in turn."""
    question = msgspec.structs.replace(QUESTION, task="describe", images=("a",))
    return lambda *turns: ask(*turns, question=question, objects=lambda name: png((1, 2, 3)))


@pytest.mark.parametrize("fault", BLIND)
def test_a_model_that_takes_no_images_is_a_provider_error_at_once_that_names_the_flag(ask, show, time, fault):
    with pytest.raises(ProviderError, match="^gpt-4o takes no images .*; name a model that does by --lmm, as gpt-4o$"):
        show(fault)
    assert len(ask.seen) == 1 and time.slept == []


@pytest.mark.parametrize(
    "fault",
    [
        fails(400, "You uploaded an unsupported image. Please make sure your image is valid."),
        fails(400, "Could not process image"),
        fails(400, "WebP images are not supported"),
        fails(400, "The model does not support images of this size"),
        fails(400, "llama-3.2-11b-vision: image exceeds 5 MB maximum"),
        fails(400, "the number of text tokens plus multimodal tokens is longer than the maximum model length of 4096"),
    ],
)
def test_what_is_wrong_with_one_image_refuses_that_one_alone(show, fault):
    with pytest.raises(Refused):
        show(fault)


def test_a_model_that_has_seen_an_image_is_not_blind_and_without_images_none_is(asking, ask, png):
    with pytest.raises(Refused):
        ask(fails(400, "images are not supported"))
    routes = chat(lambda body: "hi", faults=lambda times, body: BLIND[1] if "later" in str(body) else None)
    with serving(routes) as address:
        options = AskOptions(objects=lambda name: png((1, 2, 3)), api_base=f"{address}/v1")
        see = port.ask_port("gpt-4o", options)
        question = msgspec.structs.replace(QUESTION, images=("a",))
        assert see(question).text == "hi"
        with pytest.raises(Refused, match="not a multimodal model"):
            see(msgspec.structs.replace(question, text="later"))


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
    text = secrets.scrubbed(f"key {secret}, Bearer {secret} at https://me:{secret}@host/?key={secret}&model=gpt-4o")

    assert secret not in text and "gpt-4o" in text


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ("https://me:p@ss@host:8000/v1/?token=hidden&api-key=hidden#hidden", "https://host:8000/v1"),
        ("http://me@[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_of_a_server_s_address_neither_password_nor_query_is_shown(server, said):
    assert secrets.shown(server) == said
    assert port.old_identity("openai/m", server) == f"openai/m@{said.partition('://')[2]}"


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ("https://me:p@ss/w:rd@host/v1", "…"),
        ("https://me:p/ss@host/v1", "…"),
        ("https://me:p?ss@host/v1", "…"),
        ("localhost:8000/v1?token=hidden", "…"),
        ("localhost:8000/v1", "localhost:8000/v1"),
        ("http://[::1", "http://[::1"),
    ],
)
def test_an_address_that_is_not_clearly_one_is_refused_and_shown_only_where_it_can_hold_no_secret(server, said):
    assert secrets.shown(server) == said
    with pytest.raises(InputError, match=f"--api-base {re.escape(said)}: no address of a server"):
        port.identity("openai/m", server)


@pytest.mark.parametrize("server", ["https://me:p@ss/w:rd@host", "https://host/v1?token=p@ss&api-key=w:rd&sig=p@ss"])
def test_no_address_in_a_text_gives_a_secret_away(server):
    text = secrets.scrubbed(f"Client error '404' for url {server}")
    assert "ss" not in text and "w:rd" not in text and "host" in text


def test_ordinary_words_are_no_secrets():
    text = "skateboarding skyscraper-tops, pkunzip'd hfoobarbaz"
    assert secrets.scrubbed(text) == text


def test_with_a_third_of_the_answers_faulty_every_question_gets_its_own_answer(asking, in_a_hurry):
    routes = chat(lambda body: f"answer to {body['messages'][0]['content']}", faults=seeded(1, 0.33, PASSING))

    with serving(routes) as address, ThreadPoolExecutor(16) as pool:
        ask = port.ask_port("gpt-4o", AskOptions(objects=dict.__getitem__, api_base=f"{address}/v1"), **in_a_hurry)
        texts = [f"question {n}" for n in range(100)]
        answers = list(pool.map(lambda text: ask(msgspec.structs.replace(QUESTION, text=text)).text, texts))

    assert answers == [f"answer to {text}" for text in texts]
    assert 120 < len(routes.seen) < 200


def test_faults_do_not_depend_on_the_order_of_arrival():
    body = [{"messages": [{"role": "user", "content": str(n)}]} for n in range(400)]
    fault = seeded(7, 0.3)
    found = [fault(0, one) for one in body]

    assert found == [fault(0, one) for one in body]
    assert 90 < sum(one is not None for one in found) < 150 and set(found) >= set(PASSING)
    assert [fault(1, one) for one in body] != found
    assert in_turn("500", None)(5, body[0]) is None
