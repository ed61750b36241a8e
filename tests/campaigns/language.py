"""A language model on loopback that counts what it is asked, and what it has answered.

    with language() as model:
        start(["extend", *flags(model), …])
    model.asked, model.answered

What it answers depends on the question alone.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from aiohttp import web
from faulty_server import faulty
from ports.openai_chat import chat
from server import Handler, serving

MODEL = "openai/gpt-4o"
_SUBJECT = re.compile(r"(?:the|for|of) class (.+?)(?:[.:,]| in this| with \{| \{|$)", re.MULTILINE)
_WANTED = re.compile(r"Answer with (\d+) descriptions")


class Language(NamedTuple):
    """Where the model is asked, and what came and went."""

    address: str
    asked: Counter[str]
    """How often each question came."""
    answered: Counter[str]
    """How often each question was answered well, all of the answer sent."""
    routes: dict[str, Handler]
    sound: dict[str, Handler]

    def turn_bad(self, share: float, seed: int, modes: Sequence[str]) -> None:
        """From now on a share of the answers is wrong, in these ways of faulty_server.py."""
        self.routes.update(faulty(self.sound, share, seed, modes))

    def get_well(self) -> None:
        """From now on every answer is sound."""
        self.routes.update(self.sound)


@contextmanager
def language(latency: float = 0.005) -> Iterator[Language]:
    """A model that answers after some seconds."""
    asked, answered = Counter[str](), Counter[str]()
    sound = {path: _counting(handle, answered) for path, handle in chat(answer, latency=latency).items()}
    routes = dict(sound)
    with serving({path: _counted(routes, path, asked) for path in routes}) as address:
        yield Language(f"{address}/v1", asked, answered, routes, sound)


def flags(model: Language, concurrency: int = 4, lmm: bool = False) -> list[str]:
    """Returns the flags that make a stage ask this model."""
    return ["--lmm" if lmm else "--llm", MODEL, "--api-base", model.address, "--concurrency", str(concurrency)]


def answer(body: dict[str, Any]) -> str:
    """Returns what the model says: descriptions of the class that a question is about."""
    text = said(body)
    if "Answer only with the numbers" in text:
        return "none"
    subjects = _SUBJECT.findall(text)
    subject = subjects[-1] if subjects else "thing"
    count = int(found[1]) if (found := _WANTED.search(text)) else 1
    year = int(hashlib.sha256(text.encode()).hexdigest()[:6], 16)
    start = f"A photo of the class {subject}"
    if "Template 2" in text:
        return f"{start} with a long neck and thin legs."
    lines = [f"{start}, seen {number} times in year {year}." for number in range(count)]
    return lines[0] if count == 1 else "\n".join(f"{at}. {line}" for at, line in enumerate(lines, start=1))


def said(body: dict[str, Any]) -> str:
    """Returns the text of a request, its images left out."""
    contents = [message["content"] for message in body["messages"]]
    parts = [part for one in contents for part in (one if isinstance(one, list) else [{"type": "text", "text": one}])]
    return "\n".join(part["text"] for part in parts if part["type"] == "text")


def _counted(routes: dict[str, Handler], path: str, asked: Counter[str]) -> Handler:
    async def counted(request: web.Request) -> web.StreamResponse:
        asked[await _mark(request)] += 1
        return await routes[path](request)

    return counted


def _counting(handle: Handler, answered: Counter[str]) -> Handler:
    async def counting(request: web.Request) -> web.StreamResponse:
        response = await handle(request)
        await response.prepare(request)
        await response.write_eof()
        answered[await _mark(request)] += 1
        return response

    return counting


async def _mark(request: web.Request) -> str:
    """Returns what a question is counted as: the hash of all that was sent."""
    return hashlib.sha256(repr((await request.json())["messages"]).encode()).hexdigest()[:24]
