"""How long one big class takes, in answers that wait for each other, and what its descriptions cost.

    python benchmarks/rounds.py                   # K_y = 100, 300 and 800 at 0.5 s an answer, half a minute
    python benchmarks/rounds.py --latency 2       # two minutes
    PYTHONPATH=/another/checkout python benchmarks/rounds.py      # the same of another version

It runs `ltgc extend` and `ltgc reflect` as commands against a server on loopback, which answers after `--latency`
seconds and has places for all questions. A round is the time of two answers: that of the questions for descriptions,
and that of Prompt 3's checks. Time is taken at the server, from the first question that comes to the last answer that
goes, so that starting the command is not in it.

The server's model is a script that repeats itself as models do: it has favourite features, views, places and times
(Zipf's law), sees to it that nothing in its own answer or in the list of the question is the same, knows nothing of
its other answers, and mostly takes up the views, places and times that a question names.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import multiprocessing
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

_FEATURES = [
    f"with {how} {what}"
    for what in ("wings", "legs", "neck", "head", "bill", "tail", "eyes", "feathers")
    for how in ("long", "grey", "red", "spread", "wet", "bright", "dark", "striped", "folded", "pale")
]
_VIEWS = ("seen close up", "seen from above", "seen from behind", "seen from the side", "far away", "half hidden")
_PLACES = [
    f"{where} {what}"
    for where in ("in", "beside", "above")
    for what in ("a marsh", "a river", "a field", "a lake", "a wood", "a meadow", "a beach", "a road", "a village")
]
_TIMES = ("at dusk", "in bright sun", "in fog", "at dawn", "in snow", "in rain", "at noon", "under clouds")
_NAMED = re.compile(r"such as these or others that suit the class [^:]+: (.+)\.")
_TAKEN_UP = 0.8  # of the views, places and times that a question names
_EXCLUDED = 0.03  # of a list by Prompt 3


def said(text: str, want: int) -> str:
    """Returns what the scripted model answers: a list of descriptions, or the numbers to exclude."""
    rng = random.Random(hashlib.sha256(text.encode()).digest())
    if "Descriptions list:" in text:
        listed = len(re.findall(r"^\d+\. ", text, re.MULTILINE))
        return ", ".join(str(n) for n in range(1, listed + 1) if rng.random() < _EXCLUDED) or "none"
    named = _NAMED.search(text)
    scenes = [part.split(", ") for part in named[1].split("; ")] if named else [[], [], []]
    there = set(re.findall(r"^\d+\. (.+)$", text, re.MULTILINE))
    lines: list[str] = []
    while len(lines) < want:
        scene = [_chosen(rng, own, led) for own, led in zip((_VIEWS, _PLACES, _TIMES), scenes, strict=True)]
        line = f"A photo of the class crane, {', '.join([_favourite(rng, _FEATURES), *scene])}."
        if line not in there:
            there.add(line)
            lines.append(line)
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, start=1))


def _chosen(rng: random.Random, own: Sequence[str], named: Sequence[str]) -> str:
    return rng.choice(named) if named and rng.random() < _TAKEN_UP else _favourite(rng, own)


def _favourite(rng: random.Random, bank: Sequence[str]) -> str:
    return rng.choices(bank, [1 / place for place in range(1, len(bank) + 1)])[0]


class Seen(NamedTuple):
    """What a server was asked."""

    seconds: float
    """From the first question to the last answer."""
    questions: Counter[str]
    """By what is asked for: `descriptions`, `repeats`."""
    letters: int
    """Of all prompts."""
    most: int
    """Questions under way at once."""


def serve(latency: float, pipe: Connection) -> None:
    """Answers everything after `latency` seconds, until it is asked what it saw."""
    from aiohttp import web

    questions: Counter[str] = Counter()
    letters = most = now = 0
    begun = ended = 0.0

    async def answer(request: web.Request) -> web.Response:
        nonlocal letters, most, now, begun, ended
        begun = begun or time.monotonic()
        asked = (await request.json())["messages"][0]["content"]
        wanted = re.search(r"^Answer with (\d+) descriptions", asked, re.MULTILINE)
        questions["descriptions" if wanted else "repeats"] += 1
        letters += len(asked)
        now += 1
        most = max(most, now)
        until = time.monotonic() + latency
        text = said(asked, int(wanted[1]) if wanted else 0)
        await asyncio.sleep(until - time.monotonic())
        now -= 1
        ended = time.monotonic()
        message = {"role": "assistant", "content": text}
        usage = {"prompt_tokens": len(asked) // 4, "completion_tokens": len(text) // 4, "total_tokens": 0}
        choices = [{"index": 0, "finish_reason": "stop", "message": message}]
        body = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": choices, "usage": usage}
        return web.Response(body=json.dumps(body).encode(), content_type="application/json")

    async def until_asked() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        pipe.send("http://{}:{}/v1".format(*runner.addresses[0][:2]))
        await asyncio.to_thread(pipe.recv)
        pipe.send(Seen(ended - begun, questions, letters, most))

    asyncio.run(until_asked())


def command(folder: Path, latency: float, *arguments: str) -> Seen:
    """Returns what a server saw of one command."""
    spawning = multiprocessing.get_context("spawn")
    here, there = spawning.Pipe()
    process = spawning.Process(target=serve, args=(latency, there), daemon=True)
    process.start()
    given = ["--llm", "openai/m", "--api-base", here.recv(), "--concurrency", "256", "--json", "-q"]
    environment = os.environ | {"LTGC_CACHE_DIR": str(folder / "store"), "OPENAI_API_KEY": "none"}
    subprocess.run([sys.executable, "-m", "ltgc_cli", *arguments, *given], env=environment, cwd=folder, check=False)
    here.send("enough")
    seen: Seen = here.recv()
    process.join()
    return seen


def one_class(k: int, latency: float) -> list[str]:
    """Returns two lines: `extend -n K` of a class that is only named, and `reflect -k K` behind an extend as it is."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        named = ("extend", "--class", "crane")
        whole = command(folder, latency, *named, "-n", str(k), "-o", "whole.jsonl")
        command(folder, 0.0, *named, "-n", "40", "-o", "some.jsonl")
        some = kept(folder / "some.jsonl")
        rest = command(folder, latency, "reflect", "-k", str(k), "-i", "some.jsonl", "-o", "rest.jsonl")
        return [
            _line(f"extend -n {k}", whole, kept(folder / "whole.jsonl"), latency),
            _line(f"reflect -k {k}", rest, kept(folder / "rest.jsonl") - some, latency),
        ]


def kept(file: Path) -> int:
    """Returns how many descriptions a file holds."""
    return sum(json.loads(line)["kind"] == "description" for line in file.read_text().splitlines())


def _line(title: str, seen: Seen, new: int, latency: float) -> str:
    asked, checked = seen.questions["descriptions"], seen.questions["repeats"]
    return (
        f"{title} | {seen.seconds / latency:.1f} answers' time, {seen.seconds / latency / 2:.1f} rounds | "
        f"{asked} questions, {checked} checks, at most {seen.most} at once | {new} new, {new / max(asked, 1):.1f} a "
        f"question | {seen.letters / 4 / max(new, 1):.1f} prompt tokens each"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", type=float, default=0.5, help="seconds to an answer")
    parser.add_argument("-k", type=int, nargs="*", default=[100, 300, 800], help="descriptions wanted")
    args = parser.parse_args()
    for k in args.k:
        print(*one_class(k, args.latency), sep="\n", flush=True)


if __name__ == "__main__":
    main()
