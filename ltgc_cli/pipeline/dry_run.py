"""--dry-run: a stage runs on the store's answers and on placeholders for those that it lacks. Nothing is asked.

The placeholders come from the embedded grammar, so that what a stage asks next, as reflect does, is counted too.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ltgc_cli import console, records
from ltgc_cli.errors import InputError, LtgcError, ProviderError
from ltgc_cli.pipeline import estimates
from ltgc_cli.pipeline.session import NO_LIMITS, Session
from ltgc_cli.ports import (
    Answer,
    Ask,
    Compare,
    Comparison,
    Generate,
    GeneratedImage,
    ImageRequest,
    Match,
    NearestClass,
    Question,
    Score,
    Usage,
    own_server,
)
from ltgc_cli.providers import Opened, prices
from ltgc_cli.providers.llm import embedded
from ltgc_cli.providers.llm import litellm as chat
from ltgc_cli.records import Image, Record
from ltgc_cli.settings import Asking, Limits
from ltgc_cli.store import Store, existing, key
from ltgc_cli.usage import UsageSum, total

PLACEHOLDER = "imagined"
"""The key that marks a line made in a dry run: no command takes it for a real one."""

Req = TypeVar("Req", bound=msgspec.Struct)
Ans = TypeVar("Ans")


class DrySession(Session):
    """A session whose ports ask nothing: they count what would be asked, and keep the questions (for a batch API)."""

    dry = True

    def __init__(
        self,
        folder: Path,
        limits: Limits = NO_LIMITS,
        record: Path | None = None,
        *,
        half_price: bool = False,
        for_batch: Session | None = None,
    ) -> None:
        """Returns a session.

        half_price -- whether a batch API would be asked
        for_batch -- the session that then asks its questions in a batch: the images that they show are kept, and the
            senses of names are asked at once, because all later questions depend on them. What they cost is that
            session's to count, and its limits hold
        """
        super().__init__(folder, limits, record, opened=Store if for_batch else existing)
        if for_batch:
            self.meter, self._budget = for_batch.meter, for_batch._budget
        self.sums: dict[tuple[str, str], UsageSum] = {}
        """What would be asked, by purpose (a task, `generate`, `score`, `compare`) and model."""
        self.questions: list[Question] = []
        """For a batch: those that the store does not answer, each once."""
        self._half_price, self._for_batch = half_price, for_batch is not None
        self._lock = threading.Lock()
        self._new = new_keys()
        self._originals: set[str] = set()
        self._measure: Callable[[], float] | None = None
        self._first: list[ImageRequest] = []

    def keep(self, data: bytes, source: Path | None = None) -> str:
        return super().keep(data, source) if self._for_batch else hashlib.sha256(data).hexdigest()

    def report(self, text: str) -> None:
        pass

    def watched(self, given: Iterator[Record]) -> Iterator[Record]:
        for record in given:
            if isinstance(record, Image) and record.origin == "original":
                self._originals.add(record.sha256)
            yield record

    def score(self, spec: str, **options: Any) -> Opened[Score]:
        """Returns a judge for which originals are like their class and generated images unlike it, so that filter
        regenerates all of them."""

        def placeholder(match: Match) -> float:
            return 1.0 if match.image in self._originals else -1.0

        def score(matches: Sequence[Match]) -> list[float]:
            return [self._answered(match, "score", float, placeholder) for match in matches]

        return Opened(super().score(spec, **options).model, score)

    def compare(self, spec: str, **options: Any) -> Opened[Compare]:
        """Returns a finder for which originals are like no other class and generated images like one, as above."""

        def placeholder(one: Comparison) -> NearestClass:
            return NearestClass(text="", cosine=-1.0 if one.image in self._originals else 1.0)

        def compare(comparisons: Sequence[Comparison]) -> list[NearestClass]:
            return [self._answered(one, "compare", NearestClass, placeholder) for one in comparisons]

        return Opened(super().compare(spec, **options).model, compare)

    @property
    def complete(self) -> bool:
        """Whether the store had every answer, so that what the stage made is real."""
        return not any(one.new for one in self.sums.values())

    def seconds_to_generate(self) -> float | None:
        """Returns about how long the new images would take, from a batch that is generated and not kept.

        None where nothing is generated on this machine.
        """
        new = sum(one.new for (purpose, _), one in self.sums.items() if purpose == "generate")
        return self._measure() / len(self._first) * new if self._measure and new else None

    def _tries_schema(self, spec: str, asking: Asking) -> bool:
        # In a batch nothing is asked again at once: what a server refuses there would cost the whole price.
        return not self._half_price and super()._tries_schema(spec, asking)

    def _kept_answers(self, port: Ask, price: prices.Price | None) -> Ask:
        real = super()._kept_answers(port, price)
        estimate = partial(estimates.estimated, price=price and prices.in_batch(price) if self._half_price else price)

        # A price list that has the model is proof enough of it; a price that was typed is none.
        sure = price is estimates.FREE or (price and not self.limits.price)
        check = (lambda model: None) if sure else cache(chat.check_known)

        def placeholder(asked: Question) -> Answer:
            check(asked.model)
            return Answer(text=_text(asked), usage=estimate(asked))

        def ask(question: Question) -> Answer:
            if self._for_batch and question.task == "sense":
                return real(question)
            return self._answered(question, question.task, Answer, placeholder)

        return ask

    def _kept_images(self, port: Generate, spec: str, batch: int, price: prices.Price | None) -> Generate:
        here = not spec.startswith("litellm:")

        def placeholder(request: ImageRequest) -> GeneratedImage:
            there = request.original is msgspec.UNSET or self.store.object_path(request.original).exists()
            if here and there and len(self._first) < batch:
                self._first.append(request)
                self._measure = partial(_seconds, port, self._first)
            return GeneratedImage(sha256=key(request), usage=estimates.image(request, price))

        def generate(requests: Sequence[ImageRequest]) -> list[GeneratedImage]:
            return [self._answered(request, "generate", GeneratedImage, placeholder) for request in requests]

        return generate

    def _answered(self, request: Req, purpose: str, answer_type: type[Ans], placeholder: Callable[[Req], Ans]) -> Ans:
        k = key(request)
        entry = self.store.get(k)
        answer = msgspec.convert(entry["answer"], answer_type) if entry else None
        if answer is None or (isinstance(answer, GeneratedImage) and not self.store.has_object(answer.sha256)):
            entry, answer = None, placeholder(request)
        with self._lock:
            if self._new(k):
                self._count(request, purpose, None if entry else getattr(answer, "usage", Usage(dollars=0.0)))
        return answer

    def _count(self, request: Any, purpose: str, usage: Usage | None) -> None:
        """Counts a request: found in the store, or where there is a usage to be asked."""
        one = self.sums.setdefault((purpose, request.model), UsageSum())
        if usage is None:
            one.found += 1
            return
        one.add(usage)
        if isinstance(request, Question) and self._for_batch:
            self.questions.append(request)


_PART, _KEPT = 4, 20  # hex digits of a key: those that say in which part of the memory it is, and those that are kept


def new_keys() -> Callable[[str], bool]:
    """Returns a function that says of a key, the hex of a hash, whether it is the first time that it is told of it.

    A set of millions of texts takes a gigabyte; this one takes eight bytes each. That two of ten million keys are one
    to it happens once in ten billion times.

    >>> new = new_keys()
    >>> new("00" * 32), new("01" * 32), new("00" * 32)
    (True, True, False)
    """
    parts: defaultdict[str, bytearray] = defaultdict(bytearray)
    size = (_KEPT - _PART) // 2

    def new(key: str) -> bool:
        kept, part = bytes.fromhex(key[_PART:_KEPT]), parts[key[:_PART]]
        at = part.find(kept)
        while at % size and at > 0:  # across two of them
            at = part.find(kept, at + 1)
        if at < 0:
            part.extend(kept)
        return at < 0

    return new


def marked(made: Iterator[Record], session: DrySession) -> Iterator[Record]:
    """Returns the records that a stage made in a dry run, marked where they stand for answers that were never asked."""
    for record in made:
        if not record.line and not session.complete:
            record = records.evolve(record, rest={**record.rest, PLACEHOLDER: True})
        yield record


def real(given: Iterator[Record]) -> Iterator[Record]:
    """Returns the records. Raises InputError at the first that a dry run made."""
    for number, record in enumerate(given, start=1):
        if PLACEHOLDER in record.rest:
            raise InputError(f"record {number} comes from a --dry-run and stands for an answer that was never asked")
        yield record


def summary(stage: str, session: DrySession, caveats: Sequence[str], stream: Any = None) -> None:
    """Says what a run would ask, and what it would cost; on stdout, or on a stream."""
    if session.sums:
        console.table("", COLUMNS, rows(session.sums), stream=stream)
    for text in [*(caveats if session.sums else ()), *session.remarks]:
        console.notice(f"{stage}: {text}")
    if not session.sums:
        console.notice(f"{stage}: nothing would be asked")
        return
    try:
        seconds = session.seconds_to_generate()
        if seconds is not None:
            console.notice(f"{stage}: generating the images takes about {console.duration(seconds)} here")
    except ProviderError as error:
        console.notice(f"{stage}: how long generating takes cannot be measured: {error}")
    console.notice(f"{stage}: a dry run; nothing was asked, and nothing kept")


COLUMNS = ("", "model", "in the store", "to ask", "tokens in", "tokens out", "US dollars")


def rows(sums: Mapping[tuple[str, str], UsageSum]) -> list[tuple[str, ...]]:
    """Returns a table of what would be asked, a purpose and model a row, the total last where there are several."""
    named = [*sums.items(), *([(("all", ""), total(sums.values()))] if len(sums) > 1 else [])]
    return [
        (
            *key,
            f"{one.found:,}",
            f"{one.new:,}",
            f"{one.prompt_tokens:,}" if one.prompt_tokens else "",
            f"{one.completion_tokens:,}" if one.completion_tokens else "",
            "0, your own server" if one.new and own_server(key[1]) and not one.dollars else one.priced(),
        )
        for key, one in named
    ]


def _seconds(port: Generate, requests: list[ImageRequest]) -> float:
    """Returns how long a batch takes, the loading of the model left out."""
    port(requests[:1])
    started = time.monotonic()
    port(requests)
    return time.monotonic() - started


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
