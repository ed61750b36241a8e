"""Batch APIs: litellm as it is, over HTTP to a server on this machine that keeps files and batches."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from ports.openai_batches import Batches, Error, batches
from server import serving

from ltgc_cli.errors import InputError, ProviderError, Refused, TooLong
from ltgc_cli.ports import Answer, Question, Usage
from ltgc_cli.providers.llm import batch_files
from ltgc_cli.providers.llm import batches as api
from ltgc_cli.providers.llm.response_formats import RESPONSE_FORMATS
from ltgc_cli.store import key

KEY = "sk-abcdefghijklmnopqrstuvwxyz123456"
QUESTIONS = [
    Question(model="gpt-4o", task="extend", subject=name, text=f"Besides these … {name}", temperature=0.7, max_tokens=9)
    for name in ("crane", "seal", "maillot", "dodo")
]


def echo(line: dict[str, Any]) -> str:
    return "1. " + line["body"]["messages"][0]["content"][-5:]


ANSWERS = ["1. crane", "1.  seal", "1. illot", "1.  dodo"]


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))  # litellm makes a client, with all certificates, for each call
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("MISTRAL_API_KEY", "m" * 32)


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def serve() -> Iterator[Callable[[Batches], str]]:
    with ExitStack() as stack:
        yield lambda routes: stack.enter_context(serving(routes))


@pytest.fixture
def ask(serve, told, slept, tmp_path) -> Callable[..., list[Answer | Refused]]:
    """A function that asks QUESTIONS of a server with these routes, which is started at its first use."""
    addresses: dict[int, str] = {}

    def ask(
        routes: Batches, spec: str = "gpt-4o", questions: Any = QUESTIONS, path: str = "/v1", **options: Any
    ) -> Any:
        if id(routes) not in addresses:
            addresses[id(routes)] = serve(routes)
        base = addresses[id(routes)] + path
        options = {"objects": dict.__getitem__, "sleep": slept.append, "api_base": base, **options}
        return api.answer(questions, spec, folder=tmp_path / "batches", notice=told.append, **options)

    return ask


def texts(answers: list[Answer | Refused]) -> list[str]:
    return [answer.text if isinstance(answer, Answer) else f"! {answer}" for answer in answers]


def test_questions_go_in_one_file_and_come_back_in_order_at_half_the_price(ask, told, slept):
    routes = batches(echo)
    answers = ask(routes)

    assert texts(answers) == ANSWERS
    assert answers[0].usage == Usage(prompt_tokens=100, completion_tokens=10, dollars=0.000175)
    (batch,) = routes.made
    assert batch["lines"][0] == {
        "custom_id": key(QUESTIONS[0]),
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {
            "model": "gpt-4o",
            "messages": [{"role": "user", "content": "Besides these … crane"}],
            "temperature": 0.7,
            "max_tokens": 9,
        },
    }
    assert batch["body"]["endpoint"] == "/v1/chat/completions" and batch["body"]["completion_window"] == "24h"
    assert routes.keys == {f"Bearer {KEY}"}
    assert told == [
        "4 questions sent to gpt-4o as batch batch_0, at half the price; the answers come within 24 hours, mostly "
        "sooner; stopped, the same command waits on",
        "batch batch_0 completed: 4 of 4 questions answered",
    ]
    assert slept == [30.0, 45.0]


def test_waits_grow_to_ten_minutes(ask, slept):
    ask(batches(echo, statuses=["in_progress"] * 12 + ["completed"]))

    assert slept[:3] == [30.0, 45.0, 67.5] and slept[-1] == 600.0


def test_images_are_shown_as_data_urls_and_a_broken_one_is_refused_and_never_sent(ask, png):
    images = {"a" * 64: png((1, 2, 3)), "b" * 64: b"no image"}
    see = [
        Question(model="gpt-4o", task="describe", subject="crane", text="Please …", images=(image,)) for image in images
    ]
    routes = batches(lambda line: "A photo of the class crane.")
    seen, broken = ask(routes, questions=see, objects=images.__getitem__)

    assert seen.text == "A photo of the class crane." and "cannot be read" in str(broken)
    (line,) = routes.lines[0]
    shown, text = line["body"]["messages"][0]["content"]
    assert base64.b64decode(shown["image_url"]["url"].partition(",")[2]) == images["a" * 64]
    assert text == {"type": "text", "text": "Please …"}


def test_nothing_but_broken_images_makes_no_batch(ask):
    routes = batches(echo)
    see = [Question(model="m", task="describe", subject="crane", text="Please …", images=("a" * 64,))]
    (broken,) = ask(routes, questions=see, objects=lambda sha256: b"no image")

    assert isinstance(broken, Refused) and routes.made == []


def test_a_schema_is_asked_for(ask):
    routes = batches(echo)
    question = Question(model="gpt-4o", task="extend", subject="crane", text="…", schema="descriptions")
    ask(routes, questions=[question])

    assert routes.lines[0][0]["body"]["response_format"] == RESPONSE_FORMATS["descriptions"]


@pytest.mark.parametrize(("finish", "cut_off"), [("length", True), ("stop", False)])
def test_an_answer_that_ended_at_the_most_tokens_is_known_to_be_cut_off(finish, cut_off):
    body = {"choices": [{"finish_reason": finish, "message": {"content": "A photo of the cla"}}]}
    line = json.dumps({"custom_id": "a", "response": {"status_code": 200, "body": body}}).encode()

    assert dict(batch_files.read(line, None)) == {"a": Answer(text="A photo of the cla", cut_off=cut_off)}


def test_a_model_that_reasons_gets_no_temperature(ask):
    routes = batches(echo)
    ask(routes, spec="o3-mini")

    body = routes.lines[0][0]["body"]
    assert "temperature" not in body and body["max_completion_tokens"] == 9


def test_the_same_question_twice_is_sent_once(ask):
    routes = batches(echo)

    assert texts(ask(routes, questions=[QUESTIONS[0], QUESTIONS[1], QUESTIONS[0]])) == [
        "1. crane",
        "1.  seal",
        "1. crane",
    ]
    assert [len(lines) for lines in routes.lines] == [2]


@pytest.mark.parametrize(
    ("limit", "sizes"),
    [(("MOST_QUESTIONS", 3), [3, 1]), (("MOST_BYTES", 600), [2, 2]), (("MOST_BYTES", 1), [1, 1, 1, 1])],
)
def test_what_is_too_much_for_a_file_goes_in_several(ask, monkeypatch, limit, sizes):
    monkeypatch.setattr(batch_files, *limit)
    routes = batches(echo)

    assert texts(ask(routes)) == ANSWERS
    assert [len(lines) for lines in routes.lines] == sizes


@pytest.mark.parametrize(
    ("reply", "kind", "reason"),
    [
        (Error(400, "rejected by our safety system", "content_policy_violation"), Refused, "refused: content_policy"),
        (Error(400, "maximum context length is 8 tokens", "context_length_exceeded"), TooLong, "maximum context"),
        (Error(500, f"The server had an error with {KEY}"), Refused, "The server had an error with …"),
        (None, Refused, "batch batch_0 has no answer to this"),
        ("", Refused, "the model's answer was empty"),
    ],
)
def test_a_line_that_failed_is_refused_alone(ask, told, reply, kind, reason):
    routes = batches(lambda line: reply if "seal" in json.dumps(line) else echo(line))
    crane, seal, *others = ask(routes)

    assert texts([crane, *others]) == [ANSWERS[0], *ANSWERS[2:]]
    assert type(seal) is kind and reason in str(seal)
    assert told[-1] == "batch batch_0 completed: 3 of 4 questions answered"


def test_lines_that_are_no_results_are_passed_over(ask):
    routes = batches(echo)
    ask(routes)
    output = routes.files[routes.made[0]["output"]]
    routes.files[routes.made[0]["output"]] = b'no json\n[]\n{"custom_id": 3}\n{"response": null}\n\n' + output

    assert list(dict(batch_files.read(routes.files[routes.made[0]["output"]], None))) == [
        3,
        *(key(question) for question in reversed(QUESTIONS)),
    ]


@pytest.mark.parametrize("status", ["expired", "cancelled"])
def test_what_an_unfinished_batch_has_answered_is_used(ask, status):
    routes = batches(echo, statuses=("in_progress", status))
    answers = ask(routes)

    assert texts(answers[:2]) == ANSWERS[:2]
    assert all(isinstance(answer, Refused) for answer in answers[2:])
    assert str(answers[2]).startswith(
        "the request was refused: batch_expired" if status == "expired" else "batch batch_0 cancelled before this was"
    )


def test_a_failed_batch_refuses_all_of_its_questions_and_says_why(ask, told):
    routes = batches(echo, statuses=("failed",))
    answers = ask(routes)

    assert {str(answer) for answer in answers} == {"batch batch_0 failed before this was answered: no reason is given"}
    assert told[-1] == "batch batch_0 failed: 0 of 4 questions answered"


class Killed(BaseException):
    """As SIGKILL ends a run: nothing of ours runs after it."""


def killed(*_: Any, **__: Any) -> Any:
    raise Killed


def test_a_run_killed_while_it_waits_goes_on_waiting_and_sends_nothing_again(ask, told):
    routes = batches(echo)
    with pytest.raises(Killed):
        ask(routes, sleep=killed)

    assert texts(ask(routes)) == ANSWERS
    assert len(routes.made) == 1
    assert told[1].startswith("waiting for batch batch_0 of 2") and told[1].endswith("holds 4 of these questions")


def test_a_later_run_with_other_questions_sends_only_the_new_ones(ask):
    routes = batches(echo)
    with pytest.raises(Killed):
        ask(routes, questions=QUESTIONS[:3], sleep=killed)

    assert texts(ask(routes, questions=QUESTIONS[1:])) == ANSWERS[1:]
    assert [[line["custom_id"] for line in lines] for lines in routes.lines] == [
        [key(question) for question in QUESTIONS[:3]],
        [key(QUESTIONS[3])],
    ]


def test_a_run_killed_between_a_batch_and_its_note_finds_the_batch_by_its_file(ask, monkeypatch):
    routes = batches(echo)
    ask(routes, questions=QUESTIONS[:1])  # others are in the list too
    write, notes = api.write_atomically, []

    def once(path: Path, data: bytes) -> None:
        notes.append(path)
        if len(notes) == 2:
            raise Killed
        write(path, data)

    monkeypatch.setattr(api, "write_atomically", once)
    with pytest.raises(Killed):
        ask(routes, questions=QUESTIONS[1:])
    monkeypatch.undo()
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for extra in range(3):  # and later ones: it is on the second page
        ask(routes, questions=[Question(model="m", task="extend", subject="x", text=f"Others … {extra}")])

    assert texts(ask(routes, questions=QUESTIONS[1:])) == ANSWERS[1:]
    assert len(routes.made) == 5


def test_a_run_killed_before_its_batch_was_made_sends_it(ask, monkeypatch):
    routes = batches(echo)
    monkeypatch.setattr(api._Service, "made", lambda service, sent: (service.write(sent), killed()))
    with pytest.raises(Killed):
        ask(routes)
    monkeypatch.undo()
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    assert texts(ask(routes)) == ANSWERS
    assert len(routes.made) == 1


def test_answers_fetched_but_not_stored_are_fetched_again_and_failures_are_asked_anew(ask):
    refused = {"seal"}
    routes = batches(lambda line: Error(500, "oops") if any(r in json.dumps(line) for r in refused) else echo(line))
    ask(routes)
    refused.clear()

    assert texts(ask(routes)) == ANSWERS
    assert [len(lines) for lines in routes.lines] == [4, 1]


def test_a_batch_that_was_read_and_is_gone_is_asked_anew(ask):
    routes = batches(echo)
    ask(routes)
    routes.made.clear()

    assert texts(ask(routes)) == ANSWERS
    assert len(routes.made) == 1


def test_a_batch_that_is_gone_unread_is_another_accounts_and_nothing_is_sent_again(ask):
    routes = batches(echo)
    with pytest.raises(Killed):
        ask(routes, sleep=killed)
    routes.made.clear()

    with pytest.raises(
        ProviderError, match="batch_0 of .* is not there; is this another account's key.* Delete .*json"
    ):
        ask(routes)
    assert routes.made == []


def test_a_servers_trouble_is_waited_out(ask):
    routes = batches(echo)
    routes.faults |= {"upload": ["503"], "create": ["429", "500"], "look": ["500", "", "502"], "content": ["500"]}

    assert texts(ask(routes)) == ANSWERS
    assert len(routes.made) == 1


def test_a_batch_whose_making_was_not_answered_is_found_and_not_made_twice(ask):
    routes = batches(echo)
    routes.faults["create"] = ["lost"]

    assert texts(ask(routes)) == ANSWERS
    assert len(routes.made) == 1


def test_a_refused_batch_ends_the_run_and_leaves_no_note(ask, tmp_path):
    routes = batches(echo)
    routes.faults["create"] = ["400"]

    with pytest.raises(ProviderError, match="gpt-4o: the batch API refused: .*a fault of create"):
        ask(routes)
    assert list((tmp_path / "batches").glob("*.json")) == []


def test_a_wrong_key_is_a_provider_error_that_names_the_variable(ask, slept):
    routes = batches(echo)
    routes.faults["upload"] = ["401"]

    with pytest.raises(ProviderError, match="set OPENAI_API_KEY"):
        ask(routes)
    assert slept == [] and routes.made == []


def test_batches_that_an_account_has_no_room_for_are_sent_smaller_and_one_by_one(ask, monkeypatch):
    monkeypatch.setattr(batch_files, "MOST_QUESTIONS", 3)
    routes = batches(echo)
    routes.room = 2

    assert texts(ask(routes)) == ANSWERS
    assert sum(len(batch["lines"]) for batch in routes.made if batch["status"] == "completed") == 4


def test_an_account_without_any_room_is_a_provider_error(ask):
    routes = batches(echo)
    routes.room = 0

    with pytest.raises(ProviderError, match="takes no more batches now .token_limit_exceeded.*run again later"):
        ask(routes)
    routes.room = None
    assert texts(ask(routes)) == ANSWERS


def test_azure_and_mistral_have_their_own_addresses(ask, monkeypatch):
    monkeypatch.setenv("AZURE_API_KEY", "azure-key-1234567890")
    monkeypatch.setenv("AZURE_API_VERSION", "2025-04-01-preview")
    azure, mistral = batches(echo), batches(echo)

    answers = ask(azure, spec="azure/my-deployment", path="")
    assert texts(answers) == ANSWERS and answers[0].usage.dollars is None
    assert azure.lines[0][0]["body"]["model"] == "my-deployment"

    answers = ask(
        mistral,
        spec="mistral/mistral-small-latest",
        questions=[Question(model="m", task="extend", subject="x", text="… crane")],
    )
    assert texts(answers) == ["1. crane"]
    assert mistral.made[0]["body"]["model"] == "mistral-small-latest"


def test_where_batches_cannot_be_listed_a_lost_one_is_never_sent_again_unasked(ask):
    routes = batches(echo)
    routes.faults["create"] = ["lost"]
    with pytest.raises(ProviderError, match="the answer to a batch's making was lost; run again"):
        ask(routes, spec="mistral/mistral-small-latest")

    with pytest.raises(InputError, match="a batch of 4 questions may have been made .* file file-0 .*json deleted"):
        ask(routes, spec="mistral/mistral-small-latest")
    assert len(routes.made) == 1


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("anthropic/claude-sonnet-4-5", "litellm has no batch API for anthropic; leave --batch out"),
        ("gemini/gemini-2.5-flash", "no batch API for gemini"),
        ("ollama/llama3.1", "no batch API for ollama"),
        ("hosted_vllm/llama", "no batch API for hosted_vllm"),
        ("embeded", "litellm knows no such model"),
        (" ", "names no language model"),
    ],
)
def test_a_provider_without_a_batch_api_is_an_input_error(tmp_path, monkeypatch, spec, message):
    monkeypatch.setenv("HOSTED_VLLM_API_BASE", "http://localhost:8000/v1")  # else the address is what is wrong
    with pytest.raises(InputError, match=message):
        api.answer(QUESTIONS, spec, objects=dict.__getitem__, folder=tmp_path)


def test_the_users_own_price_is_halved(ask):
    (answer, *_) = ask(batches(echo), spec="openai/mine", price="2,8")

    assert answer.usage.dollars == (100 * 2 + 10 * 8) / 2 / 1e6


def test_a_file_that_is_no_note_is_an_input_error(ask, tmp_path):
    (tmp_path / "batches").mkdir()
    (tmp_path / "batches" / "a.json").write_text('{"keys": 1}')

    with pytest.raises(InputError, match="a.json is no file of a batch .*; move it away"):
        ask(batches(echo))


def test_two_runs_at_once_send_one_batch_and_both_have_its_answers(ask):
    routes = batches(echo)
    ask(routes, questions=QUESTIONS[:1])  # the server is started
    with ThreadPoolExecutor() as pool:
        both = list(pool.map(lambda _: ask(routes), range(2)))

    assert [texts(answers) for answers in both] == [ANSWERS, ANSWERS]
    assert [len(batch["lines"]) for batch in routes.made] == [1, 3]
