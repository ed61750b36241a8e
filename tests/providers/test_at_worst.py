"""A provider at its worst: each wrong answer ends in a good one, in one failure, or in one line; never in a hang."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from faulty_server import HUGE, MODES, SLOW, faulty
from ports.openai_chat import chat, says
from server import serving

from ltgc_cli.budget import Budget, guarded
from ltgc_cli.errors import LtgcError, ProviderError, Refused
from ltgc_cli.ports import Answer, Question, Usage
from ltgc_cli.providers.api_errors import pause
from ltgc_cli.providers.llm import litellm as port
from ltgc_cli.providers.opened import AskOptions
from ltgc_cli.providers.transient import TransientError

KEY = "sk-proj-abcdefghijklmnopqrstuvwxyz123456"
GOOD = "1. A photo of the class crane, at dusk."
QUESTION = Question(model="gpt-4o", task="extend", subject="crane", text="Besides these …", temperature=0.7)
QUICK = [name for name in MODES if name not in SLOW | HUGE]
FOURTH = [mode if not at % 4 else pytest.param(mode, marks=pytest.mark.slow) for at, mode in enumerate(QUICK)]
"""Retries take their time: each fourth by default. The campaign has them all."""


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, dict[str, Any]]]:
    """An address, and `now`: the mode of all answers, and after how many of them good ones come."""
    now: dict[str, Any] = {"mode": "", "faults": 0, "asked": 0}
    good = chat(lambda body: GOOD)["POST /v1/chat/completions"]

    async def handle(request):
        await request.read()
        now["asked"] += 1
        return await (MODES[now["mode"]](request, good) if now["asked"] <= now["faults"] else good(request))

    with serving({"POST /v1/chat/completions": handle}) as address:
        yield f"{address}/v1", now


@pytest.fixture
def ask(server, time, monkeypatch) -> Callable[..., Answer]:
    """A function that asks while the first answers are of a mode; before them one is good, if `known`."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    address, now = server

    def ask(mode: str, faults: int, *, known: bool = True) -> Answer:
        options = AskOptions(objects=dict.__getitem__, api_base=address, limit=600, timeout=30)
        asked = port.ask_port("gpt-4o", options, clock=time.clock, sleep=time.sleep)
        now.update(mode=mode, faults=0, asked=0)
        if known:
            asked(QUESTION)
        now.update(faults=faults, asked=0)
        return asked(msgspec.structs.replace(QUESTION, text="Another"))

    ask.now = now
    return ask


@pytest.mark.parametrize("mode", QUICK)
def test_one_wrong_answer_among_good_ones_is_mended_or_is_one_failure(ask, mode):
    try:
        answer = ask(mode, 1)
    except Refused as refused:
        answer = refused
    assert KEY not in str(answer) and "\x1b" not in (str(answer) if isinstance(answer, Refused) else "")
    assert ask.now["asked"] <= 22  # a loop of redirects is followed twenty times


@pytest.mark.parametrize("mode", FOURTH)
def test_nothing_but_wrong_answers_end_in_one_line(ask, mode, time):
    try:
        ask(mode, 10**9, known=False)
    except LtgcError as error:
        assert isinstance(error, (Refused, ProviderError)) and "\n" not in str(error) and KEY not in str(error)
        assert len(str(error)) < 1000
    assert ask.now["asked"] <= 90 and sum(time.slept) <= 660


@pytest.mark.parametrize("mode", ["50 MB of answer", "endless chunks", "endless events", "50 MB of text in the answer"])
def test_an_answer_without_end_is_a_failure(ask, mode):
    with pytest.raises(Refused, match="the answer is larger than 8 MiB, and was not read to its end"):
        ask(mode, 1)
    assert ask.now["asked"] == 1


def test_of_an_error_page_without_end_the_beginning_is_read(ask):
    assert ask("50 MB error page", 1).text == GOOD


MEASURED = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from faulty_server import MODES, faulty
from ports.openai_chat import chat
from server import serving
from ltgc_cli.errors import Refused
from ltgc_cli.ports import Question
from ltgc_cli.providers.llm import litellm as port
from ltgc_cli.providers.opened import AskOptions
address = sys.argv[2]
port.imported()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
ask = port.ask_port("openai/mine", AskOptions(objects=dict.__getitem__, api_base=address))
try:
    ask(Question(model="openai/mine", task="extend", subject="crane", text="…"))
except Refused as refused:
    print(refused)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["50 MB of answer", "gzip bomb", "deflate bomb", "endless chunks"])
def test_no_answer_takes_more_memory_than_a_few_times_the_cap(mode):
    with serving(faulty(chat(lambda body: GOOD), 1.0, modes=[mode])) as address:
        arguments = [sys.executable, "-c", MEASURED, str(Path(__file__).parents[1]), f"{address}/v1"]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    said, megabytes = done.stdout.splitlines()
    assert "larger than 8 MiB" in said and int(megabytes) < 120, done.stderr


@pytest.mark.parametrize("asked", [0.0, -5.0, 0.001, None, float("-inf"), float("inf"), 31_536_000.0])
def test_a_wait_that_is_none_or_without_end_is_not_believed(asked):
    waits = [pause(TransientError("busy", "…", asked), times) for times in (1, 2, 3, 9, 2000)]
    assert all(least <= wait <= 2 * least for least, wait in zip([0.5, 1, 2, 30, 30], waits, strict=True))


def test_a_server_that_says_at_once_is_asked_less_and_less_often(ask, time):
    assert ask("429, Retry-After 0", 6).text == GOOD
    assert len(time.slept) == 6 and sum(time.slept) > 30


def test_a_year_is_not_waited_for_and_that_is_said(ask, time):
    with pytest.raises(ProviderError, match=r"in 3 tries \(wait; it asks to wait for 31,536,000 seconds\)"):
        ask("429, Retry-After a year", 99, known=False)
    assert sum(time.slept) < 10


BAD = [-1_000_000_000, 10**15, 10**30, 1.5, "many", True, [1], float("nan")]


@pytest.mark.parametrize("count", BAD, ids=str)
def test_a_count_of_tokens_that_cannot_be_is_estimated_and_said_once(asking, count):
    said = []
    used = {"prompt_tokens": count, "completion_tokens": count, "total_tokens": 1}
    reply = says(GOOD, usage=used)
    price = lambda prompt, completion: (prompt + completion) / 1000  # noqa: E731
    answer = asking(QUESTION)(reply, spec="openai/mine", price=price, notice=said.append)
    estimated = Usage(prompt_tokens=11, completion_tokens=19, dollars=0.03)
    if count is True:  # litellm takes it for a 1
        estimated = Usage(prompt_tokens=1, completion_tokens=1, dollars=0.002)
    assert answer.usage == estimated
    assert len(said) == (count is not True) and all("count of tokens cannot be; they are estimated" in s for s in said)


def test_a_negative_count_lowers_no_sum(asking):
    ask = asking(QUESTION)
    budget = Budget(dollars=0.05)
    price = lambda prompt, completion: (prompt + completion) / 1000  # noqa: E731
    reply = says(GOOD, usage={"prompt_tokens": -(10**9), "completion_tokens": -(10**9)})
    guarded(lambda question: ask(reply, spec="openai/mine", price=price), budget, lambda question: 0.04)(QUESTION)
    assert budget.spent == 0.03


def test_what_an_earlier_version_kept_lowers_no_sum():
    kept = msgspec.json.decode(b'{"text":"hi","usage":{"prompt_tokens":-5,"dollars":-1e9}}', type=Answer)
    assert kept.usage == Usage(prompt_tokens=0, dollars=None)


def test_a_key_that_a_server_repeats_is_in_no_answer(ask):
    assert KEY not in ask("key in the answer", 1).text


def test_a_model_that_has_answered_is_not_given_up_for_one_404(ask, asking):
    assert ask("status 405", 1).text == GOOD
    with pytest.raises(ProviderError, match="nothing is at this address"):
        ask("status 405", 1, known=False)


def test_the_same_faults_are_met_at_any_concurrency():
    routes = faulty(chat(lambda body: GOOD), 0.3, seed=1)
    again = faulty(chat(lambda body: GOOD), 0.3, seed=1)
    assert routes.keys() == again.keys() and len(MODES) > 200
