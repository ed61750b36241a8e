"""How fast questions are asked, and what a description costs in prompt tokens.

    python benchmarks/language.py                 # the whole, two minutes
    python benchmarks/language.py --scale 0.25    # a quarter of the questions

The server answers on loopback from a process of its own, always after the same time. Rates are ratios within one run:
to what that time allows, and to litellm.acompletion called bare, in turns, under the same number at once.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import math
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from ltgc_cli.engine import in_order
from ltgc_cli.ports import Answer, Question
from ltgc_cli.providers.llm import background
from ltgc_cli.providers.llm import litellm as port
from ltgc_cli.providers.opened import AskOptions
from ltgc_cli.records import Class, Description, Group, identify
from ltgc_cli.stages.extend import extend
from ltgc_cli.stages.reflect import reflect

LONG, SHORT = 2.0, 0.2
"""Seconds to an answer."""
QUESTION = Question(model="m", task="extend", subject="crane", text="Besides these descriptions … " * 20)
TEXT = "\n".join(f"{n}. A photo of the class crane, wading, at dusk, seen from {n} metres." for n in range(1, 21))
ANSWER = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": TEXT}}],
    "usage": {"prompt_tokens": 200, "completion_tokens": 400, "total_tokens": 600},
}


def serve(latency: float, ready: Connection) -> None:
    """Answers everything after `latency` seconds, until it is ended."""
    from aiohttp import web

    body = json.dumps(ANSWER).encode()

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(latency)
        return web.Response(body=body, content_type="application/json")

    async def forever() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        ready.send("http://{}:{}/v1".format(*runner.addresses[0][:2]))
        await asyncio.Event().wait()

    asyncio.run(forever())


@contextmanager
def serving(latency: float) -> Iterator[str]:
    """Returns the address of a server in a process of its own while it runs."""
    spawning = multiprocessing.get_context("spawn")
    here, there = spawning.Pipe()
    process = spawning.Process(target=serve, args=(latency, there), daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        process.terminate()
        process.join()


class Timed(NamedTuple):
    """What a run took, for one question."""

    rate: float
    """Questions a second, from the first that goes out to the last that is answered."""
    steady: float
    """Between the first and the last `at_once` answers, while all places are taken."""
    cpu: float
    """Milliseconds of CPU, of this process."""


def ours(address: str, at_once: int, questions: int) -> Timed:
    """Returns what asking through the port takes, as a stage does it."""
    ask = port.ask_port("gpt-4o", AskOptions(objects=dict.__getitem__, api_base=address, concurrency=at_once))
    answered: list[float] = []

    def timed(question: Question) -> str:
        text = ask(question).text
        answered.append(time.perf_counter())
        return text

    list(in_order(timed, [QUESTION] * at_once, at_once))  # connections are made and libraries loaded
    answered.clear()
    begun, cpu = time.perf_counter(), time.process_time()
    texts = list(in_order(timed, [QUESTION] * questions, at_once))
    took, cpu = time.perf_counter() - begun, time.process_time() - cpu
    assert texts == [TEXT] * questions
    middle = sorted(answered)[at_once:-at_once]
    steady = (len(middle) - 1) / (middle[-1] - middle[0]) if len(middle) > 1 else math.nan
    return Timed(questions / took, steady, 1000 * cpu / questions)


async def bare(litellm: Any, address: str, at_once: int, questions: int) -> float:
    """Returns questions a second of litellm.acompletion alone."""
    places = asyncio.Semaphore(at_once)

    async def ask() -> None:
        async with places:
            await litellm.acompletion(
                model="gpt-4o",
                messages=[{"role": "user", "content": QUESTION.text}],
                temperature=1.0,
                max_tokens=2048,
                timeout=60,
                max_retries=0,
                api_base=address,
                api_key="bare",
            )

    await asyncio.gather(*(ask() for _ in range(at_once)))
    begun = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(questions)))
    return questions / (time.perf_counter() - begun)


def against_the_ideal(scale: float) -> str:
    """Returns a line: 2 s to an answer, 256 at once."""
    at_once, questions = 256, max(256, round(2560 * scale))
    with serving(LONG) as address:
        found = ours(address, at_once, questions)
    ideal = at_once / LONG
    return (
        f"2 s, 256 at once, {questions} questions | ideal {ideal:.0f}/s | whole run {found.rate:.1f}/s, "
        f"{found.rate / ideal:.1%} | while all are busy {found.steady:.1f}/s, {found.steady / ideal:.1%} | "
        f"{found.cpu:.1f} ms of CPU each"
    )


def against_bare(scale: float) -> str:
    """Returns a line: 200 ms to an answer, 64 at once, in turns with bare litellm."""
    at_once, questions, turns = 64, max(64, round(640 * scale)), 4
    litellm = port.imported()
    rates: dict[str, list[float]] = {"ours": [], "bare": []}
    with serving(SHORT) as address:
        for _ in range(turns):
            # In the same loop: litellm has workers that belong to the first loop that it meets.
            rates["bare"].append(background.run(bare(litellm, address, at_once, questions)))
            rates["ours"].append(ours(address, at_once, questions).rate)
    # questions over seconds, of all turns together
    mine, theirs = (turns / sum(1 / rate for rate in rates[name]) for name in ("ours", "bare"))
    return (
        f"200 ms, 64 at once, {turns} turns of {questions} | {mine:.1f}/s | bare {theirs:.1f}/s | {mine / theirs:.1%}"
    )


def prompt_tokens(k: int) -> str:
    """Returns a line: prompt tokens, at four letters each, for a description that is kept, where all are new."""
    letters = 0
    told = 0

    def ask(question: Question) -> Answer:
        nonlocal letters, told
        letters += len(question.text)
        if question.task == "reflect":
            return Answer(text="none")
        lines = []
        for number in range(1, question.want + 1):
            told += 1
            words = " ".join(f"thing{told * 7 + part:05}" for part in range(7))
            lines.append(f"{number}. A photo of the class crane, {words}.")
        return Answer(text="\n".join(lines))

    cls = identify(Class(label=0, class_="crane", tail=True), "crane")
    first = [
        identify(Description(label=0, class_="crane", text=f"A photo of the class crane, {n}.", origin="described"), n)
        for n in ("wading", "in flight", "asleep on one leg", "at its nest")
    ]
    rows = extend(Group(cls, [cls, *first]), ask=ask, model="m", want=min(k, 40))
    rows = reflect(Group(cls, rows), ask=ask, model="m", k=k, rounds=3, near=0.9)
    kept = sum(isinstance(row, Description) for row in rows)
    assert kept == k, f"{kept} of {k}"
    return f"K_y = {k} | {letters / 4 / kept:.1f} prompt tokens a description"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the questions")
    args = parser.parse_args()
    for k in (50, 100, 200, 400):
        print(prompt_tokens(k), flush=True)
    gc.set_threshold(50_000, 20, 20)  # as the command does
    print(against_bare(args.scale), flush=True)
    print(against_the_ideal(args.scale), flush=True)


if __name__ == "__main__":
    main()
