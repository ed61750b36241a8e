"""What the stages of one command share: the store, the ports behind it, the limits, the counting and the recording."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import UNSET

from ltgc_cli import console, providers, store
from ltgc_cli.budget import Budget, guarded, guarded_batch
from ltgc_cli.engine import Meter
from ltgc_cli.errors import BudgetError, InputError, Refused, Unreadable
from ltgc_cli.pipeline import estimates
from ltgc_cli.pipeline.dry_run import DryRun, bytes_unkept
from ltgc_cli.ports import (
    Answer,
    Ask,
    Compare,
    Generate,
    GeneratedImage,
    ImageRequest,
    NearestClass,
    Question,
    Schema,
    Score,
    Task,
)
from ltgc_cli.providers import Opened, prices, replay
from ltgc_cli.providers.t2i import image_api

Req = TypeVar("Req", bound=msgspec.Struct)
Ans = TypeVar("Ans")

SCHEMAS: dict[Task, Schema] = {
    "describe": "description",
    "extend": "descriptions",
    "reflect": "numbers",
    "template": "description",
    "refine": "description",
    "sense": "sense",
    "recognize": "name",
}
"""The JSON that an answer is held to, where the model can."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a run may spend: US dollars and questions; a dry run spends nothing and says what it would."""

    dry_run: bool = False
    max_cost: float | None = None
    max_calls: int | None = None
    price: str | None = None
    """US dollars per million tokens, in and out ("2.5,10"), where litellm's list does not know the model."""


NO_LIMITS = Limits()


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """How language and vision models are asked; `None` leaves it to the request's own default."""

    workers: int = 16
    api_base: str | None = None
    limit: float = 600.0
    """Seconds that one question may take, all tries together."""
    max_tokens: int | None = None
    image_size: int | None = None
    """The longest side, in pixels, that images are shown with."""


class Session:
    """One command's store and counters. The ports that it opens keep every answer before they hand it on."""

    def __init__(
        self,
        folder: Path,
        record: Path | None = None,
        limits: Limits = NO_LIMITS,
        *,
        half_price: bool = False,
    ) -> None:
        self.store = store.Store(folder)
        self.meter = Meter()
        self.refused = 0
        """Requests that may be answered another time: a run with any is not whole."""
        self.rehearsal = DryRun(self.store) if limits.dry_run else None
        self.limits = limits
        self.half_price = half_price
        """Whether what can be is asked through a batch API before the stage runs."""
        self._budget = Budget(limits.max_cost, limits.max_calls)
        self._batch: Callable[[Sequence[Question]], Sequence[Answer | Exception]] | None = None
        self._record = replay.recorder(record, objects=self.store.get_object) if record else None
        self._progress: console.ProgressLine | None = None
        self._expected = 0
        self._said: set[str] = set()

    def ask(self, spec: str, kind: Literal["llm", "lmm"], asking: Asking) -> Opened[Ask]:
        """Returns a language model (kind `llm`) or a vision-language model (kind `lmm`).

        Raises InputError where a limit in dollars is set and the model's price is not known.
        """
        price = self._price(spec)
        if price is not estimates.FREE and self.limits.price and "," not in self.limits.price:
            raise InputError(f"--price {self.limits.price}: two prices are wanted for {spec}, IN,OUT")
        model, port = providers.open_ask(
            spec,
            kind=kind,
            objects=self.store.get_object,
            notice=self.notice_once,
            api_base=asking.api_base,
            limit=asking.limit,
            concurrency=asking.workers,
            price=partial(prices.dollars, price) if price and self.limits.price else None,
            repeat=lambda question: self._budget.repeat(question, estimates.most(question, price)),
        )
        paid = guarded(port, self._budget, partial(estimates.most, price=price))
        kept = store.cached(self._counting_one(paid), self.store, Answer, self._tally)
        real = providers.is_real(spec)
        structured = real and price is not None and price.supports_response_schema

        expected = price
        if self.half_price:
            from ltgc_cli.providers.llm import batches

            if not real:
                raise InputError(f"--batch: {spec} has no batch API; leave it out")
            expected = at_half = price and prices.in_batch(price)
            send = partial(
                batches.answer,
                spec=spec,
                objects=self.store.get_object,
                folder=self.store.folder / "batches",
                api_base=asking.api_base,
                price=self.limits.price,
                notice=self.notice_once,
            )
            sent = guarded_batch(send, self._budget, partial(estimates.most, price=at_half))
            self._batch = store.cached_batch(sent, self.store, Answer, self._tally)

        def ask(question: Question) -> Answer:
            # Everything that changes the answer goes into the question before its key is made.
            if real:
                question = self._paid_for(_prepared(question, asking, structured=structured))
            # Before a batch only the senses are really asked: all further questions depend on them.
            if self.rehearsal and not (self.half_price and question.task == "sense" and not self.limits.dry_run):
                return self.rehearsal.ask(question, partial(estimates.estimated, price=expected))
            return kept(question)

        return Opened(model, ask)

    def generate(self, spec: str, **options: Any) -> Opened[Generate]:
        """Returns a text-to-image model."""
        model, port = providers.open_generate(
            spec,
            keep=self.keep,
            objects=self.store.get_object,
            notice=self.notice_once,
            price=self.limits.price,
            **options,
        )
        api = spec.startswith("litellm:")
        price = (
            self._price(spec.removeprefix("litellm:"), "US dollars per picture: --price 0.04")
            if api
            else estimates.FREE
        )
        at_once = options.get("batch") or 1
        if api:
            paid = guarded_batch(port, self._budget, partial(estimates.most_picture, price=price))
            kept = self._one_by_one(self._counting(paid), at_once)
        else:
            kept = store.cached_batch(self._counting(port), self.store, GeneratedImage, self._tally)

        def generate(drawings: Sequence[ImageRequest]) -> list[GeneratedImage | Exception]:
            if self.rehearsal:
                here = None if api else port
                return self.rehearsal.generate(drawings, here, at_once, partial(estimates.picture, price=price))
            answers = kept(drawings)
            over = next((answer for answer in answers if isinstance(answer, BudgetError)), None)
            if over:  # what was drawn before is in the store by now
                raise over
            return answers

        return Opened(model, generate)

    def score(self, spec: str, **options: Any) -> Opened[Score]:
        """Returns a CLIP model as a judge of images."""
        model, port = providers.open_score(spec, objects=self.store.get_object, notice=self.notice_once, **options)
        kept = store.cached_batch(self._counting(port), self.store, float, self._tally)
        return Opened(model, lambda matches: (self.rehearsal.score if self.rehearsal else kept)(matches))

    def compare(self, spec: str, **options: Any) -> Opened[Compare]:
        """Returns a CLIP model as a finder of the class that an image is most alike."""
        model, port = providers.open_compare(spec, objects=self.store.get_object, notice=self.notice_once, **options)
        kept = store.cached_batch(self._counting(port), self.store, NearestClass, self._tally)
        return Opened(model, lambda rivals: (self.rehearsal.compare if self.rehearsal else kept)(rivals))

    def ask_in_batch(self, rehearse: Callable[[], None]) -> None:
        """Asks what a rehearsed run would ask, all at once, so that the run itself finds it in the store.

        What was refused in the batch is asked again by the run, one by one. Raises BudgetError.
        """
        self.rehearsal, expected = DryRun(self.store), self._expected
        try:
            rehearse()
            questions = self.rehearsal.questions
        finally:
            self.rehearsal, self._expected = None, expected
        if questions and self._batch:
            over = [answer for answer in self._batch(questions) if isinstance(answer, BudgetError)]
            if over:
                raise over[0]

    def notice_once(self, text: str) -> None:
        """Says something on stderr, the first time only."""
        if text not in self._said:
            self._said.add(text)
            console.notice(text)

    def keep(self, data: bytes) -> str:
        """Returns the sha256 of bytes that are in the store from now on; a dry run keeps none."""
        return bytes_unkept(data) if self.limits.dry_run else self.store.put_object(data)

    def expect(self, work: int) -> None:
        """Says how many requests a stage will make, where that is known."""
        self._expected += work
        if self._progress:
            self._progress.total = self._expected

    @contextmanager
    def watching(self, title: str) -> Iterator[console.ProgressLine]:
        """Shows what is asked and found while a stage runs."""
        with console.progress(title, self._expected or None) as progress:
            self._progress = progress
            try:
                yield progress
            finally:
                self._progress = None

    def _one_by_one(
        self, port: Callable[[Sequence[ImageRequest]], Sequence[GeneratedImage | Exception]], at_once: int
    ) -> Callable[[Sequence[ImageRequest]], list[GeneratedImage | Exception]]:
        """Returns the port with each picture stored as it comes: killed, a run has lost none that was paid for."""

        def alone(drawing: ImageRequest) -> GeneratedImage:
            (picture,) = port([drawing])
            if isinstance(picture, Exception):
                raise picture
            return picture

        ask = store.cached(alone, self.store, GeneratedImage, self._tally)

        def one(drawing: ImageRequest) -> GeneratedImage | Exception:
            try:
                return ask(drawing)
            except (Refused, BudgetError) as error:
                return error

        def generate(drawings: Sequence[ImageRequest]) -> list[GeneratedImage | Exception]:
            with ThreadPoolExecutor(min(at_once, image_api.AT_ONCE)) as pool:
                return list(pool.map(one, drawings))

        return generate

    def _paid_for(self, question: Question) -> Question:
        """Returns the question as it was answered before: held to a schema, or not.

        A newer price list may know that a model can be held to one, and must not make anyone pay again.
        """
        schema = SCHEMAS[question.task] if question.schema is UNSET else UNSET
        other = msgspec.structs.replace(question, schema=schema)
        return other if store.key(other) in self.store and store.key(question) not in self.store else question

    def _price(
        self, spec: str, wanted: str = "US dollars per million tokens, in and out: --price 2.5,10"
    ) -> prices.Price | None:
        if not providers.is_real(spec):
            return estimates.FREE
        price = prices.find(spec, self.limits.price)
        if price is None and self.limits.max_cost is not None:
            raise InputError(
                f"--max-cost cannot hold: the price of {spec} is not known; give it in {wanted}"
                f"{prices.nearest_model(spec)}"
            )
        return price

    def _tally(self, request: msgspec.Struct, answer: Any, *, hit: bool) -> None:
        self.meter(request, answer, hit=hit)
        if self._record:
            self._record(request, answer, hit=hit)
        if self._progress:
            self._progress.advance(1, self.meter.summary())

    def _counting_one(self, port: Callable[[Question], Answer]) -> Callable[[Question], Answer]:
        def ask(question: Question) -> Answer:
            try:
                return port(question)
            except Refused as refused:
                self.refused += not isinstance(refused, Unreadable)
                self.meter.fail(question, refused.usage)
                raise

        return ask

    def _counting(
        self, port: Callable[[Sequence[Req]], Sequence[Ans | Exception]]
    ) -> Callable[[Sequence[Req]], Sequence[Ans | Exception]]:
        def ask(requests: Sequence[Req]) -> Sequence[Ans | Exception]:
            answers = port(requests)
            for request, answer in zip(requests, answers, strict=True):
                if isinstance(answer, Exception):
                    self.refused += not isinstance(answer, Unreadable)
                    self.meter.fail(request, getattr(answer, "usage", None))
            return answers

        return ask


def _prepared(question: Question, asking: Asking, *, structured: bool) -> Question:
    changes: dict[str, Any] = {}
    if asking.max_tokens:
        changes["max_tokens"] = asking.max_tokens
    if asking.image_size and question.images:
        changes["image_size"] = asking.image_size
    if structured:
        changes["schema"] = SCHEMAS[question.task]
    return msgspec.structs.replace(question, **changes) if changes else question
