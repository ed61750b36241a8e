"""What a session adds to a question before its key is made, and what it never does twice."""

from __future__ import annotations

import hashlib
import threading

import msgspec
import pytest
from msgspec import UNSET
from ports.openai_chat import chat, fails, says
from ports.openai_images import drawn, images
from server import serving

from ltgc_cli import providers
from ltgc_cli.engine import in_order
from ltgc_cli.errors import BudgetError, InputError, Refused
from ltgc_cli.pipeline import estimates
from ltgc_cli.pipeline.dry_run import DrySession, new_keys, rows
from ltgc_cli.pipeline.session import Session
from ltgc_cli.ports import Answer, Comparison, GeneratedImage, ImageRequest, Question, Usage
from ltgc_cli.providers import Opened, prices
from ltgc_cli.providers.llm import litellm, no_schema
from ltgc_cli.records import Image
from ltgc_cli.settings import Asking, Limits
from ltgc_cli.store import Store, entry_for, key

QUESTION = Question(model="gpt-4o", task="extend", subject="crane", text="Besides these …")


@pytest.fixture
def asked(monkeypatch):
    """What the model was asked; each answer costs a cent."""
    seen = []

    def port(question):
        seen.append(question)
        return Answer(text="1. A photo of the class crane, tall.", usage=Usage(prompt_tokens=7, dollars=0.01))

    monkeypatch.setattr(providers, "open_ask", lambda spec, **_: Opened(spec, port))
    return seen


@pytest.mark.parametrize("before", [True, False])
def test_what_a_newer_price_list_knows_of_a_model_makes_nobody_pay_again(asked, monkeypatch, tmp_path, before):
    for able in (before, not before):
        monkeypatch.setattr(prices, "takes_schema", lambda spec, able=able: able)
        Session(tmp_path).ask("gpt-4o", "llm", Asking()).port(QUESTION)
    assert [question.schema == "descriptions" for question in asked] == [before]


@pytest.mark.parametrize(
    ("spec", "api_base", "tried"),
    [
        ("gpt-4", None, False),
        ("gpt-4", "http://localhost:8000/v1", True),
        ("openai/mine", None, True),
        ("ollama/llama3.1", None, True),
    ],
)
def test_a_schema_is_tried_unless_the_list_says_that_the_model_takes_none(asked, tmp_path, spec, api_base, tried):
    Session(tmp_path).ask(spec, "llm", Asking(api_base=api_base)).port(QUESTION)
    assert [question.schema == "descriptions" for question in asked] == [tried]


def test_a_model_that_was_found_to_take_no_schema_is_asked_without_one_by_later_runs(asked, tmp_path):
    ask = Session(tmp_path).ask("openai/mine", "llm", Asking()).port
    ask(QUESTION)
    no_schema.learn(tmp_path / no_schema.FILE, "openai/mine")
    other = Question(model="openai/mine", task="extend", subject="seal", text="Besides these …")
    for session in (Session(tmp_path), Session(tmp_path)):
        session.ask("openai/mine", "llm", Asking()).port(other)
    ask(QUESTION)  # paid for with a schema: not asked again
    dry = DrySession(tmp_path)
    for question in (QUESTION, other):
        dry.ask("openai/mine", "llm", Asking()).port(question)

    assert [question.schema is UNSET for question in asked] == [False, True]
    assert dry.complete


def test_nothing_is_tried_in_a_batch_where_what_is_refused_would_cost_the_whole_price(asked, tmp_path):
    planning = DrySession(tmp_path, half_price=True, for_batch=Session(tmp_path))
    for spec in ("openai/mine", "gpt-4o"):
        planning.ask(spec, "llm", Asking()).port(Question(model=spec, task="extend", subject="crane", text="…"))

    assert [question.schema is UNSET for question in planning.questions] == [True, False]


def test_flags_that_change_an_answer_are_in_the_question_and_images_alone_have_a_size(asked, tmp_path):
    ask = Session(tmp_path).ask("openai/mine", "llm", Asking(max_tokens=900), image_size=256).port
    ask(QUESTION)
    ask(Question(model="m", task="describe", subject="crane", text="?", images=("ab",)))
    assert [question.max_tokens for question in asked] == [900, 900]
    assert [getattr(question.image_size, "real", None) for question in asked] == [None, 256]


def test_a_question_to_an_embedded_model_is_sent_as_the_stage_made_it(asked, tmp_path):
    Session(tmp_path).ask("embedded", "llm", Asking(max_tokens=900)).port(QUESTION)
    assert asked == [QUESTION]


def test_a_limit_in_calls_holds_over_what_is_asked_and_not_over_what_is_there(asked, tmp_path):
    Session(tmp_path).ask("gpt-4o", "llm", Asking()).port(QUESTION)
    ask = Session(tmp_path, limits=Limits(max_calls=0)).ask("gpt-4o", "llm", Asking()).port
    ask(QUESTION)
    with pytest.raises(BudgetError):
        ask(Question(model="gpt-4o", task="extend", subject="seal", text="Besides these …"))
    assert len(asked) == 1


def test_one_price_where_two_are_wanted_is_refused(tmp_path):
    with pytest.raises(InputError, match="--price 5: two prices are wanted for openai/mine, IN,OUT"):
        Session(tmp_path, limits=Limits(price="5")).ask("openai/mine", "llm", Asking())


def test_a_dry_run_counts_each_question_once_from_any_number_of_threads_and_asks_none(asked, monkeypatch, tmp_path):
    usage = Usage(prompt_tokens=3, completion_tokens=2, dollars=0.25)
    monkeypatch.setattr(estimates, "estimated", lambda question, price: usage)
    session = DrySession(tmp_path)
    ask = session.ask("gpt-4o", "llm", Asking()).port
    questions = [Question(model="m", task="extend", subject="crane", text=f"{n % 500}") for n in range(2000)]
    list(in_order(ask, questions, workers=32))
    assert rows(session.sums) == [("extend", "m", "0", "500", "1,500", "1,000", "125.00")]
    assert session.questions == [] and asked == []
    assert threading.active_count() < 64
    assert not session.complete


def test_a_dry_run_takes_no_generated_image_for_one_that_passes(tmp_path):
    dry = DrySession(tmp_path)
    list(dry.watched(iter([Image(sha256="aa" * 32, origin="original")])))
    _, compare = dry.compare("embedded")

    both = [Comparison(model="clip", image=image, own="crane", among="cc" * 32) for image in ("aa" * 32, "bb" * 32)]
    assert [nearest.cosine for nearest in compare(both)] == [-1.0, 1.0]


def test_a_dry_run_for_a_batch_keeps_the_questions_each_once(asked, tmp_path):
    planning = DrySession(tmp_path, for_batch=Session(tmp_path))
    ask = planning.ask("gpt-4o", "llm", Asking()).port
    for text in "aba":
        ask(Question(model="m", task="extend", subject="crane", text=text))

    assert [question.text for question in planning.questions] == ["a", "b"]


def test_a_key_is_new_once_also_where_others_begin_alike():
    new = new_keys()
    keys = [hashlib.sha256(f"{number}".encode()).hexdigest() for number in range(2000)]

    assert all(new(key) for key in keys) and not any(new(key) for key in keys)
    assert [new(f"abcd{part}{'0' * 44}") for part in ("ab" * 8, "ba" * 8, "ab" * 8)] == [True, True, False]


def test_a_server_of_ones_own_costs_nothing_in_a_dry_run_and_in_what_is_kept(tmp_path):
    routes = chat(lambda body: "1. A photo of the class crane, tall.")
    with serving(routes) as address:
        asking = Asking(api_base=f"{address}/v1")
        dry, session = DrySession(tmp_path), Session(tmp_path, limits=Limits(max_cost=1.0))
        model, plan, _ = dry.ask("hosted_vllm/mine", "llm", asking)
        question = Question(model=model, task="extend", subject="crane", text="Besides these …")
        plan(question)
        answer = session.ask("hosted_vllm/mine", "llm", asking).port(question)

    assert rows(dry.sums)[0][-1] == "0, your own server"
    assert answer.usage == Usage(prompt_tokens=10, completion_tokens=5, dollars=0.0)
    assert session.meter.unpriced == 0


def test_a_dry_run_keeps_no_bytes_but_for_a_batch_which_shows_them(tmp_path):
    for for_batch in (None, Session(tmp_path)):
        session = DrySession(tmp_path, for_batch=for_batch)
        sha256 = session.keep(b"an image")
        assert session.store.object_path(sha256).exists() == (for_batch is not None)


def test_a_dry_run_finds_what_is_in_the_store_and_makes_none_where_there_is_none(asked, tmp_path):
    dry = DrySession(tmp_path / "none")
    dry.ask("gpt-4o", "llm", Asking()).port(QUESTION)
    assert not dry.complete and not list(tmp_path.iterdir())

    Session(tmp_path / "store").ask("gpt-4o", "llm", Asking()).port(QUESTION)
    dry = DrySession(tmp_path / "store")
    dry.ask("gpt-4o", "llm", Asking()).port(QUESTION)
    assert dry.complete


def test_a_batch_is_planned_by_a_dry_run_that_really_asks_for_senses(asked, tmp_path):
    ask = DrySession(tmp_path, for_batch=Session(tmp_path)).ask("gpt-4o", "lmm", Asking()).port
    ask(Question(model="gpt-4o", task="sense", subject="crane", text="Which?"))
    ask(QUESTION)
    assert [question.task for question in asked] == ["sense"]


def test_what_planning_a_batch_costs_is_the_runs_own_and_its_limits_hold_over_both(asked, tmp_path):
    session = Session(tmp_path, limits=Limits(max_calls=1))
    planning = DrySession(tmp_path, for_batch=session).ask("gpt-4o", "lmm", Asking()).port
    planning(Question(model="gpt-4o", task="sense", subject="crane", text="Which?"))
    assert session.meter.dollars == 0.01
    with pytest.raises(BudgetError, match="--max-calls 1 is reached"):
        session.ask("gpt-4o", "lmm", Asking()).port(QUESTION)
    assert len(asked) == 1


# --- what a model is called


def test_on_another_port_and_under_another_address_nothing_is_asked_again(asked, tmp_path, monkeypatch):
    monkeypatch.setattr(providers, "open_ask", opened := real_names(asked))
    for base in ("http://localhost:8000/v1", "http://127.0.0.1:9/v1/", "http://[::1]:8000", "https://gpu-7/v1"):
        model, port, _ = Session(tmp_path).ask("openai/llama", "llm", Asking(api_base=base))
        port(msgspec.structs.replace(QUESTION, model=model))
    assert [question.model for question in asked] == ["openai/llama"] and opened

    mine = Asking(api_base="http://localhost:8001/v1", model_id="awq")
    model, port, _ = Session(tmp_path).ask("openai/llama", "llm", mine)
    port(msgspec.structs.replace(QUESTION, model=model))
    assert [question.model for question in asked] == ["openai/llama", "openai/llama#awq"]


def real_names(asked):
    """Opens a model under the name that it really has; it answers as `asked` does."""

    def port(question):
        asked.append(question)
        return Answer(text="1. A photo of the class crane, tall.", usage=Usage(prompt_tokens=7, dollars=0.01))

    def open_ask(spec, api_base=None, model_id=None, **_):
        return Opened(litellm.identity(spec, api_base, model_id), port)

    return open_ask


@pytest.mark.parametrize("structured", [True, False])
@pytest.mark.parametrize(
    ("api_base", "model_id", "times"),
    [
        ("http://localhost:8000/v1", None, 0),
        ("http://127.0.0.1:8001", None, 0),
        ("http://localhost:8000/v1", "awq", 0),  # what this server said is its own
        ("http://localhost:8001/v1", "awq", 1),
        (None, None, 0),
    ],
)
def test_an_answer_under_the_name_that_a_model_once_had_is_found(
    asked, tmp_path, monkeypatch, api_base, model_id, times, structured
):
    monkeypatch.setattr(providers, "open_ask", real_names(asked))
    old = msgspec.structs.replace(QUESTION, model="openai/llama@localhost:8000/v1")
    old = msgspec.structs.replace(old, schema="descriptions" if structured else UNSET)
    filled = Store(tmp_path)
    filled.add(key(old), entry_for(old, Answer(text="1. A photo of the class crane, old.")))
    filled.close()

    model, port, _ = Session(tmp_path).ask("openai/llama", "llm", Asking(api_base=api_base, model_id=model_id))
    port(msgspec.structs.replace(QUESTION, model=model))
    assert len(asked) == times


def test_the_keys_of_questions_to_a_server_of_ones_own_are_pinned():
    then = msgspec.structs.replace(QUESTION, model="openai/llama@localhost:8000/v1")
    now = msgspec.structs.replace(QUESTION, model=litellm.identity("openai/llama", "http://localhost:8000/v1"))

    assert key(then) == "4d6006ed5af7279988b4f3e9a83da2afca1e09cc97c826080bd6eda52987ed9f"
    assert key(now) == "f3a8b453ac286e6e2a7be71e268d7a96dc244ce2e39341b842c83b8eb297e782"
    assert (
        key(msgspec.structs.replace(now, reasoning_effort="low"))
        == "d7307207711db91e5f7d6536c14d425ea7c983a6b77df4957aee622b7c6f1a0e"
    )


def test_an_image_under_the_name_that_its_api_once_had_is_found(tmp_path):
    request = ImageRequest(model="litellm:my-sd", text="A crane.", seed=1)
    session = Session(tmp_path)
    then = msgspec.structs.replace(request, model="litellm:my-sd@localhost:8000/v1")
    picture = GeneratedImage(sha256=session.store.put_object(b"a picture"))
    session.store.add(key(then), entry_for(then, picture))

    opened = session.generate("litellm:my-sd", 1, api_base="http://127.0.0.1:9/v1")
    assert opened.model == "litellm:my-sd" and list(opened.port([request])) == [picture]


# --- what cannot be read


def test_an_answer_that_cannot_be_read_is_paid_for_once_and_is_a_failure_each_time(tmp_path):
    routes = chat(lambda body: says("", finish="length", reasoning_content="Hm."))
    with serving(routes) as address:
        for asked in (1, 0):
            session = Session(tmp_path)
            _, port, _ = session.ask("openai/mine", "llm", Asking(api_base=f"{address}/v1"))
            with pytest.raises(Refused, match="^it used its tokens up thinking: raise --max-tokens") as raised:
                port(msgspec.structs.replace(QUESTION, model="openai/mine"))
            assert raised.value.usage == Usage(prompt_tokens=10, completion_tokens=5)
            assert session.meter.asked["Question"] == asked and session.meter.refused  # so that it is read again
    assert len(routes.seen) == 1


def test_an_image_that_cannot_be_read_is_paid_for_once_and_is_a_failure_each_time(tmp_path):
    request = ImageRequest(model="litellm:openai/mine", text="A crane.", seed=1)
    routes = images(lambda body: drawn(b"no picture"))
    with serving(routes) as address:
        for asked in (1, 0):
            session = Session(tmp_path)
            (refused,) = session.generate("litellm:openai/mine", 1, api_base=f"{address}/v1").port([request])
            assert isinstance(refused, Refused) and "what came is kept as" in str(refused)
            assert session.meter.asked["Drawing"] == asked and session.meter.refused
    assert len(routes.seen) == 1


# --- how long it thinks


def test_how_long_a_model_thinks_is_in_the_question_only_where_it_is_said(asked, tmp_path):
    Session(tmp_path).ask("gpt-4o", "llm", Asking()).port(QUESTION)
    Session(tmp_path).ask("gpt-4o", "llm", Asking(reasoning_effort="low")).port(QUESTION)

    assert [question.reasoning_effort for question in asked] == [UNSET, "low"]


@pytest.mark.parametrize(
    ("effort", "sent"),
    [
        ("low", {"reasoning_effort": "low"}),
        ("none", {"reasoning_effort": "none", "chat_template_kwargs": {"enable_thinking": False}}),
    ],
)
def test_a_server_of_ones_own_is_told_how_long_to_think(tmp_path, effort, sent):
    routes = chat(lambda body: "1. A photo of the class crane, tall.")
    with serving(routes) as address:
        for spec in ("openai/mine", "hosted_vllm/mine"):
            asking = Asking(api_base=f"{address}/v1", reasoning_effort=effort)
            Session(tmp_path).ask(spec, "llm", asking).port(msgspec.structs.replace(QUESTION, model=spec))
    assert [{name: seen.body[name] for name in sent} for seen in routes.seen] == [sent, sent]


def test_a_server_that_takes_no_such_word_is_asked_without_it_and_that_is_said(tmp_path, capsys):
    def answer(body):
        refused = fails(400, "Unrecognized request argument supplied: reasoning_effort")
        return refused if "reasoning_effort" in body else "1. A photo of the class crane, tall."

    with serving(chat(answer)) as address:
        asking = Asking(api_base=f"{address}/v1", reasoning_effort="low")
        Session(tmp_path).ask("openai/mine", "llm", asking).port(msgspec.structs.replace(QUESTION, model="openai/mine"))
    assert "openai/mine takes no --reasoning-effort; it is asked without" in capsys.readouterr().err
