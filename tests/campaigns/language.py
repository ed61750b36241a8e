"""A language model on loopback, in a process of its own, that writes down what it is asked and what it has answered.

    with language(folder) as model:
        start(["extend", "--llm", MODEL, "--api-base", model.address, …])
    model.log()  # a line for each question, and for each answer that was sent

What it answers depends on the question alone. Faulty ones are answered as `--faults` says: tests/faulty_server.py.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ports.openai_chat import chat
from server import serving

MODEL = "openai/gpt-4o"
_SUBJECT = re.compile(r"(?:the|for|of) class (.+?)(?:[.:,]| in this| with \{| \{|$)", re.MULTILINE)
_WANTED = re.compile(r"Answer with (\d+) descriptions")


class Language(NamedTuple):
    """Where the model is asked, and where it writes."""

    address: str
    file: Path

    def asked(self) -> Counter[str]:
        """Returns how often each question came."""
        return Counter(line[2:] for line in self._lines() if line.startswith("? "))

    def answered(self) -> Counter[str]:
        """Returns how often each question was answered, all of the answer sent."""
        return Counter(line[2:] for line in self._lines() if line.startswith("! "))

    def _lines(self) -> list[str]:
        return self.file.read_text().splitlines() if self.file.exists() else []


@contextmanager
def language(folder: Path, latency: float = 0.005) -> Iterator[Language]:
    """A model that answers after some seconds, while the block runs."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "asked.log"
    command = [sys.executable, "-m", "campaigns.language", str(file), str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as server:
        assert server.stdout
        address = server.stdout.readline().strip()
        try:
            yield Language(f"{address}/v1", file)
        finally:
            server.terminate()


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
    """Returns the text of a request; of its images, which may be sent in other bytes, nothing."""
    contents = [message["content"] for message in body["messages"]]
    parts = [part for one in contents for part in (one if isinstance(one, list) else [{"type": "text", "text": one}])]
    return "\n".join(part["text"] for part in parts if part["type"] == "text")


def mark(body: dict[str, Any]) -> str:
    """Returns what a question is written down as: the hash of all that was sent."""
    return hashlib.sha256(repr(body["messages"]).encode()).hexdigest()[:24]


def _serve(file: Path, latency: float) -> None:
    routes = chat(answer, latency=latency)
    log = file.open("a", buffering=1)
    for path, handle in list(routes.items()):

        async def written(request: Any, handle: Any = handle) -> Any:
            name = mark(await request.json())
            log.write(f"? {name}\n")
            response = await handle(request)
            await response.prepare(request)
            await response.write_eof()
            log.write(f"! {name}\n")
            return response

        routes[path] = written
    with serving(routes) as address:
        print(address, flush=True)
        while sys.stdin.read(1):  # until whoever started it has gone
            time.sleep(1)


if __name__ == "__main__":
    arguments: Sequence[str] = sys.argv[1:]
    _serve(Path(arguments[0]), float(arguments[1]))
