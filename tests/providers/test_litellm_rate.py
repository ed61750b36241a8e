"""How many questions go out at once, while the server says that they are too many and after."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import msgspec
from ports.openai_chat import chat, fails
from server import serving

from ltgc_cli.ports import Question
from ltgc_cli.providers.llm import litellm as port
from ltgc_cli.providers.llm.rate import Rate
from ltgc_cli.providers.opened import AskOptions

QUESTION = Question(model="gpt-4o", task="extend", subject="crane", text="…")


def test_a_burst_takes_a_quarter_away_once(time):
    rate = Rate(64, time.clock, time.sleep)
    for _ in range(40):
        rate.too_many(sent=time.now, wait=None)
    assert rate.allowed == 48

    time.now += 1
    rate.too_many(sent=time.now - 2, wait=None)  # sent before the cut: it says nothing new
    assert rate.allowed == 48
    rate.too_many(sent=time.now, wait=None)
    assert rate.allowed == 36


def test_one_question_at_once_is_always_allowed(time):
    rate = Rate(2, time.clock, time.sleep)
    for _ in range(5):
        time.now += 1
        rate.too_many(sent=time.now, wait=None)
    assert rate.allowed == 1


def test_25_answers_give_one_place_back_up_to_the_most(time):
    rate = Rate(8, time.clock, time.sleep)
    rate.too_many(sent=time.now, wait=None)
    assert rate.allowed == 6
    for expected, answers in ((6, 24), (7, 1), (8, 25), (8, 100)):
        for _ in range(answers):
            rate.answered()
        assert rate.allowed == expected


def test_everybody_waits_for_as_long_as_the_server_says(time):
    rate = Rate(4, time.clock, time.sleep)
    rate.too_many(sent=time.now, wait=7.0)
    rate.too_many(sent=time.now, wait=3.0)
    assert rate.closed_for() == 7.0

    asyncio.run(rate.opening())
    assert (time.slept, rate.closed_for()) == ([7.0], 0.0)


def test_places_are_given_in_the_order_in_which_they_were_asked_for(time):
    served: list[int] = []

    async def question(rate: Rate, number: int) -> None:
        async with rate.place():
            served.append(number)
            await asyncio.sleep(0.001)
            assert rate.under_way <= 2

    async def all_of_them() -> None:
        rate = Rate(2, time.clock, time.sleep)
        await asyncio.gather(*(question(rate, number) for number in range(10)))
        assert rate.under_way == 0

    asyncio.run(all_of_them())
    assert served == list(range(10))


def test_who_leaves_the_line_or_is_cancelled_loses_no_place(time):
    async def check() -> None:
        rate = Rate(1, time.clock, time.sleep)

        async def hold(started: asyncio.Event, end: asyncio.Event) -> None:
            async with rate.place():
                started.set()
                await end.wait()

        started, end = asyncio.Event(), asyncio.Event()
        first = asyncio.create_task(hold(started, end))
        await started.wait()
        waiting = [asyncio.create_task(hold(asyncio.Event(), end)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        first.cancel()
        await asyncio.sleep(0)
        waiting[1].cancel()  # just given its place
        await asyncio.sleep(0)
        end.set()
        await asyncio.gather(first, *waiting, return_exceptions=True)
        assert rate.under_way == 0 and not waiting[2].cancelled()

    asyncio.run(check())


def test_requests_start_a_little_apart(time):
    async def starts() -> list[float]:
        rate = Rate(8, time.clock, time.sleep)
        loop = asyncio.get_running_loop()

        async def one() -> float:
            await rate.start()
            return loop.time()

        return sorted(await asyncio.gather(*(one() for _ in range(8))))

    first, *_, last = asyncio.run(starts())
    assert last - first >= 6 * 0.003 and time.slept == []


def test_against_a_server_that_takes_four_at_once_the_number_comes_down_and_all_are_answered(asking, in_a_hurry):
    def answer(body):
        return fails(429, "too many", Retry_After="2") if routes.at_once > 4 else body["messages"][0]["content"]

    routes = chat(answer, latency=0.03)
    with serving(routes) as address, ThreadPoolExecutor(32) as pool:
        ask = port.ask_port(
            "gpt-4o", AskOptions(objects=dict.__getitem__, api_base=f"{address}/v1", concurrency=32), **in_a_hurry
        )
        texts = [str(n) for n in range(120)]
        answers = list(pool.map(lambda text: ask(msgspec.structs.replace(QUESTION, text=text)).text, texts))
        until_now, routes.most_at_once = len(routes.seen), 0
        list(pool.map(lambda text: ask(msgspec.structs.replace(QUESTION, text=text)).text, texts[:20]))

    assert answers == texts
    assert until_now < 120 * 3 and routes.most_at_once <= 12
