"""--dry-run: a stage runs as it is, on the store's answers and on stand-ins for those that it lacks. Nothing is asked.

The stand-ins come from the embedded grammar, so that what a stage asks next, as reflect does, is counted too.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from ltgc_cli.errors import LtgcError
from ltgc_cli.ports import (
    Answer,
    Comparison,
    Generate,
    GeneratedImage,
    ImageRequest,
    Match,
    NearestClass,
    Question,
    Usage,
)
from ltgc_cli.providers.llm import embedded
from ltgc_cli.store import Store, key
from ltgc_cli.usage import UsageSum, total

IMAGINED = "imagined"
"""The key that marks a line which a rehearsal made: no command takes it for a real one."""

Req = TypeVar("Req", bound=msgspec.Struct)
Ans = TypeVar("Ans")


class DryRun:
    """Counts what a run would ask, and keeps the questions themselves (for a batch API)."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._seen: set[str] = set()
        self.lines: dict[tuple[str, str], UsageSum] = {}
        """By purpose (a task, `draw`, `score`) and model."""
        self.questions: list[Question] = []
        """Those that the store does not answer, each once."""
        self.originals: set[str] = set()
        """sha256 of real images: these count as alike to their class, drawings do not, so that all are redrawn."""
        self._port: Generate | None = None
        self._first: list[ImageRequest] = []
        """What is drawn for the clock."""

    def ask(self, question: Question, estimate: Callable[[Question], Usage]) -> Answer:
        """Returns the store's answer, or one that the embedded grammar would give.

        estimate -- what a question would use: tokens, and US dollars where the price is known
        """

        def stand_in(question: Question) -> Answer:
            return Answer(text=_text(question), usage=estimate(question))

        return self._answered(question, question.task, Answer, stand_in)

    def generate(
        self,
        drawings: Sequence[ImageRequest],
        port: Generate | None,
        most: int,
        estimate: Callable[[ImageRequest], Usage],
    ) -> list[GeneratedImage | Exception]:
        """Returns the store's pictures, and others that have no bytes.

        port -- what draws here, to measure how long it takes; None for an image API
        most -- pictures drawn at once
        """

        def stand_in(drawing: ImageRequest) -> GeneratedImage:
            there = drawing.original is msgspec.UNSET or self._store.object_path(drawing.original).exists()
            if port and there and len(self._first) < most:
                self._port = port
                self._first.append(drawing)
            return GeneratedImage(sha256=key(drawing), usage=estimate(drawing))

        return [self._answered(drawing, "draw", GeneratedImage, stand_in) for drawing in drawings]

    def score(self, matches: Sequence[Match]) -> list[float | Exception]:
        """Returns the store's scores; else originals are like their class, and drawings unlike it."""

        def stand_in(match: Match) -> float:
            return 1.0 if match.image in self.originals else -1.0

        return [self._answered(match, "score", float, stand_in) for match in matches]

    def compare(self, rivals: Sequence[Comparison]) -> list[NearestClass | Exception]:
        """Returns the store's answers; else nothing is like another class."""

        def stand_in(_: Comparison) -> NearestClass:
            return NearestClass(text="", cosine=-1.0)

        return [self._answered(rival, "compare", NearestClass, stand_in) for rival in rivals]

    @property
    def complete(self) -> bool:
        """Whether the store had every answer, so that what the stage made is real."""
        return not any(line.new for line in self.lines.values())

    def seconds_to_draw(self) -> float | None:
        """Returns about how long the new drawings would take, from a batch drawn for the clock and not kept.

        None where nothing is drawn here.
        """
        new = sum(line.new for (purpose, _), line in self.lines.items() if purpose == "draw")
        if not self._port or not new:
            return None
        self._port(self._first[:1])  # loads the model
        started = time.monotonic()
        self._port(self._first)
        return (time.monotonic() - started) / len(self._first) * new

    def _answered(self, request: Req, purpose: str, answer_type: type[Ans], stand_in: Callable[[Req], Ans]) -> Ans:
        k = key(request)
        entry = self._store.get(k)
        answer = msgspec.convert(entry["answer"], answer_type) if entry else stand_in(request)
        with self._lock:
            if k not in self._seen:
                self._seen.add(k)
                self._count(request, purpose, None if entry else getattr(answer, "usage", Usage(dollars=0.0)))
        return answer

    def _count(self, request: Any, purpose: str, usage: Usage | None) -> None:
        """Counts a request: found, or where there is a usage to be asked."""
        line = self.lines.setdefault((purpose, request.model), UsageSum())
        if usage is None:
            line.found += 1
            return
        line.add(usage)
        if isinstance(request, Question):
            self.questions.append(request)


def bytes_unkept(data: bytes) -> str:
    """Returns the sha256 of bytes that are thrown away: a `keep` for drawings that only measure."""
    return hashlib.sha256(data).hexdigest()


COLUMNS = ("", "model", "in the store", "to ask", "tokens in", "tokens out", "US dollars")


def rows(lines: Mapping[tuple[str, str], UsageSum]) -> list[tuple[str, ...]]:
    """Returns a table of what would be asked, a purpose and model a row, the total last where there are several."""
    named = [*lines.items(), *([(("all", ""), total(lines.values()))] if len(lines) > 1 else [])]
    return [
        (
            *key,
            f"{bill.found:,}",
            f"{bill.new:,}",
            f"{bill.prompt_tokens:,}" if bill.prompt_tokens else "",
            f"{bill.completion_tokens:,}" if bill.completion_tokens else "",
            bill.priced(),
        )
        for key, bill in named
    ]


def _text(question: Question) -> str:
    """Returns an answer of the right shape. The grammar has no eyes, so it is asked to extend instead."""
    if question.task == "sense":
        return "the one in its photos"  # so that all that comes after it counts as new
    seen = question.task == "describe"
    asked = msgspec.structs.replace(question, task="extend", want=1) if seen else question
    try:
        return embedded.ask(asked).text
    except LtgcError:
        return ""
