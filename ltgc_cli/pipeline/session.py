"""What the stages of one command share: the store, the ports behind it, the limits, the counting and the recording."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, cached_property, partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import UNSET

from ltgc_cli import console, providers
from ltgc_cli.budget import Budget, guarded, guarded_batch
from ltgc_cli.errors import BudgetError, InputError, Refused
from ltgc_cli.keys import key
from ltgc_cli.meter import Meter
from ltgc_cli.pipeline import earlier, estimates
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
    Tries,
    own_server,
)
from ltgc_cli.providers import Opened, prices, secrets
from ltgc_cli.providers.llm import no_schema
from ltgc_cli.providers.unforeseen import foreseen, foreseen_each
from ltgc_cli.records import Record
from ltgc_cli.settings import Asking, Limits, Workers

if TYPE_CHECKING:
    from ltgc_cli.pipeline.spreading import Spreading
    from ltgc_cli.store import OnAnswer, Store

Req = TypeVar("Req", bound=msgspec.Struct)
Ans = TypeVar("Ans")
In = TypeVar("In")
Out = TypeVar("Out")
Port = TypeVar("Port")

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


NO_LIMITS, HERE = Limits(), Workers()
_ONE_TRY = 120.0  # seconds that one request may take at least


class Asked(NamedTuple):
    """A language model: its name, the port that asks it, and how often a question is tried."""

    model: str
    port: Ask
    tries: Tries


def deferred(make: Callable[[], Callable[[In], Out]]) -> Callable[[In], Out]:
    """Returns a port that is made when it is first asked, once: what an artifact answers opens no store."""
    made: list[Callable[[In], Out]] = []
    making = threading.Lock()

    def ask(request: In) -> Out:
        if not made:  # no lock where it is there: each request comes by here
            with making:
                if not made:
                    made.append(make())
        return made[0](request)

    return ask


class Session:
    """One command's store and counters. The ports that it opens keep every answer before they hand it on."""

    dry = False
    """Whether nothing is really asked: a dry run."""

    def __init__(
        self,
        folder: Path,
        limits: Limits = NO_LIMITS,
        record: Path | None = None,
        *,
        opened: Callable[[Path], Store] | None = None,
        engine: Workers = HERE,
    ) -> None:
        """Returns a session.

        opened -- opens the store in the folder, when it is first wanted; engine -- says who generates and scores
        """
        self.folder = folder
        self._opened = opened
        self.meter = Meter()
        self.remarks: list[str] = []
        """What a person must know of a stage's result: said behind its summary, and after a dry run."""
        self.limits = limits
        self._budget = Budget(limits.max_cost, limits.max_calls)
        self._record = self._recorder(record) if record else None
        self._progress: console.ProgressLine | None = None
        self._expected = 0
        self._notices: set[str] = set()
        self._asked_now: set[str] = set()  # keys of what this run asked, where failures are asked again
        self._ahead: list[Callable[[], object]] = []  # what is looked at before the first question
        self._looking = threading.Lock()
        self._workers = self._spreading(engine) if engine.engine == "ray" else None

    def _spreading(self, engine: Workers) -> Spreading:
        from ltgc_cli.pipeline.spreading import Spreading

        return Spreading(engine, self._object, self.notice_once)

    def close(self) -> None:
        """Ends the workers, where there are any; the store stays open."""
        if self._workers:
            self._workers.close()

    def at_once(self, spec: str, batch: int) -> int:
        """Returns how many requests to hand over at once, so that all who answer for a model have a batch."""
        workers = self._workers_for(spec)
        return batch * workers.calls_at_once if workers else batch

    def _workers_for(self, spec: str) -> Spreading | None:
        """Returns the workers where they answer for a model, None where this process does."""
        if not self._workers:
            return None
        from ltgc_cli.pipeline.spreading import spreads

        return self._workers if spreads(spec) else None

    @cached_property
    def store(self) -> Store:
        """The store. Raises InputError where it cannot be opened."""
        from ltgc_cli.store import Store

        if self._opened:
            return self._opened(self.folder)
        store = Store(self.folder)
        store.sweep()
        return store

    def _recorder(self, record: Path) -> OnAnswer:
        from ltgc_cli.providers import replay

        return replay.recorder(record, objects=lambda sha256: self.store.get_object(sha256))

    def _object(self, sha256: str) -> bytes:
        """Returns an image's bytes. Raises Refused where they are gone or damaged: that is one request's trouble."""
        try:
            return self.store.get_object(sha256)
        except InputError as error:
            raise Refused(str(error)) from None

    def ask(self, spec: str, kind: Literal["llm", "lmm"], asking: Asking, image_size: int | None = None) -> Asked:
        """Returns a language model (kind `llm`) or a vision-language model (kind `lmm`).

        image_size -- the longest side, in pixels, that images are shown with
        Raises InputError where a limit in dollars is set and the model's price is not known, or as `open_ask`.
        """
        price = self._price(spec)
        if price is not estimates.FREE and self.limits.price and "," not in self.limits.price:
            raise InputError(f"--price {self.limits.price}: two prices are wanted for {spec}, IN,OUT")
        real, learnt = providers.is_real(spec), self.folder / no_schema.FILE
        tried = real and self._tries_schema(spec, asking)
        server = earlier.server(spec, asking.api_base) if real else spec  # a schema is the server's to take
        self._warn_of_password(asking.api_base, "LTGC_API_BASE")
        schema = real and (tried or prices.takes_schema(spec))
        given = self.limits.price or own_server(spec)  # a price that litellm itself does not know
        model, port = providers.open_ask(
            spec,
            kind=kind,
            objects=self._object,
            notice=self.notice_once,
            api_base=asking.api_base,
            model_id=asking.model_id,
            timeout=max(_ONE_TRY, asking.time_limit / 5),
            limit=asking.time_limit,
            concurrency=asking.concurrency,
            price=partial(prices.dollars, price) if price and given else None,
            repeat=lambda question: self._budget.repeat(question, estimates.most(question, price)),
            takes_no_schema=(lambda question: no_schema.learn(learnt, server)) if tried else None,
        )
        kept = deferred(lambda: self._kept_answers(foreseen(port), price))
        before = cache(lambda: earlier.names(self.store, Question, spec, asking.api_base, asking.model_id))

        def as_asked(question: Question) -> Question:
            # Everything that changes the answer goes into the question before its key is made.
            if real:
                structured = bool(schema) and server not in no_schema.known(learnt)
                question = _prepared(question, asking, image_size, structured=structured)
                other = msgspec.structs.replace(
                    question, schema=SCHEMAS[question.task] if question.schema is UNSET else UNSET
                )
                question = earlier.as_stored(self.store, [question, other], before)
            return question

        def ask(question: Question) -> Answer:
            answer = kept(as_asked(question))
            return self._read(answer) if answer.raw else answer

        return Asked(model, ask, lambda question: self._tries(question, lambda one: key(as_asked(one))))

    def _read(self, answer: Answer) -> Answer:
        """Returns an answer that had no text when it came. Raises Refused where it still has none: it is kept."""
        from ltgc_cli.providers.llm import said

        try:
            return foreseen(said.read, "what reads the answer")(answer)
        except Refused:
            self.meter.unread()
            raise

    def ask_in_batch(self, spec: str, api_base: str | None, questions: Sequence[Question]) -> None:
        """Asks questions through the provider's batch API, so that a run finds their answers in the store.

        What was refused in the batch is asked again by the run, one by one. Raises BudgetError.
        """
        from ltgc_cli.providers.llm import batches
        from ltgc_cli.store import cached_batch

        price = self._price(spec)
        send = partial(
            batches.answer,
            spec=spec,
            objects=self._object,
            folder=self.folder / "batches",
            api_base=api_base,
            price=self.limits.price,
            notice=self.notice_once,
        )
        most = partial(estimates.most, price=price and prices.in_batch(price))
        # A batch that an earlier version sent has the keys that questions had then.
        old, sent_before = earlier.server(spec, api_base), batches.waited_for(self.folder / "batches")
        before = [msgspec.structs.replace(question, model=old) for question in questions]
        questions = [then if key(then) in sent_before else now for now, then in zip(questions, before, strict=True)]
        self._asked_now.update(map(key, questions))
        sent = cached_batch(self._looked(guarded_batch(send, self._budget, most)), self.store, Answer, self._tally)
        over = [answer for answer in sent(questions) if isinstance(answer, BudgetError)] if questions else []
        if over:
            raise over[0]

    def generate(self, spec: str, batch: int, **options: Any) -> Opened[Generate]:
        """Returns a text-to-image model.

        batch -- images generated at once; options -- how the model is loaded
        """
        opened = providers.open_generate(
            spec,
            keep=self.keep,
            objects=self._object,
            notice=self.notice_once,
            price=self.limits.price,
            batch=batch,
            **options,
        )
        self._warn_of_password(options.get("api_base"), "LTGC_T2I_API_BASE")
        workers = self._workers_for(spec)
        model, port = workers.generate(spec, opened, self.keep, batch=batch, **options) if workers else opened
        price = self._image_price(spec) if spec.startswith("litellm:") else estimates.FREE  # a limit must hold
        kept: Generate = deferred(lambda: self._kept_images(port, spec, batch, price))
        kept = workers.in_batches(kept, batch) if workers else kept
        api, before = spec.startswith("litellm:"), cache(lambda: earlier.names_of_images(self.store, spec, options))

        def read(requests: Sequence[ImageRequest]) -> Sequence[GeneratedImage | Exception]:
            return [self._image_read(answer, options.get("api_base")) for answer in kept(requests)]

        def generate(requests: Sequence[ImageRequest]) -> Sequence[GeneratedImage | Exception]:
            requests = [earlier.as_stored(self.store, [one], before) for one in requests] if api else requests
            answers = self._images(requests, read)
            over = next((answer for answer in answers if isinstance(answer, BudgetError)), None)
            if over:  # what was generated before is in the store by now
                raise over
            return answers

        return Opened(model, generate)

    def _image_read(self, image: GeneratedImage | Exception, server: str | None) -> GeneratedImage | Exception:
        """Returns an image that could not be read when it came, as this version reads it, or Refused: it is kept."""
        if isinstance(image, Exception) or image.unread is UNSET:
            return image
        from ltgc_cli.providers.t2i import image_api

        def read(one: GeneratedImage) -> GeneratedImage:
            return image_api.read(one, self._object, self.keep, server=server, fetch=not self.dry)

        try:
            return foreseen(read, "what reads the image")(image)
        except Refused as refused:
            self.meter.unread()
            return refused

    def score(self, spec: str, **options: Any) -> Opened[Score]:
        """Returns a CLIP model as a judge of images."""
        model, port = providers.open_score(spec, **self._seeing(spec, options))
        return Opened(model, self._kept_batch(port, float))

    def compare(self, spec: str, **options: Any) -> Opened[Compare]:
        """Returns a CLIP model as a finder of the class that an image is most alike."""
        model, port = providers.open_compare(spec, **self._seeing(spec, options))
        return Opened(model, self._kept_batch(port, NearestClass))

    def _warn_of_password(self, server: str | None, variable: str) -> None:
        if server and secrets.is_typed(server):
            self.notice_once(
                f"the password in {secrets.shown(server)} was typed, and so is in this machine's list of processes; "
                f"{variable}=… in the environment is not"
            )

    def _seeing(self, spec: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the options of a CLIP model; with workers, images are encoded by those."""
        known = {"objects": self._object, "notice": self.notice_once, **options}
        workers = self._workers_for(spec)
        return {**known, "encode": workers.encoder(spec, options)} if workers else known

    def _kept_batch(
        self, port: Callable[[Sequence[Req]], Sequence[Ans | Exception]], answer_type: type[Ans]
    ) -> Callable[[Sequence[Req]], list[Ans | Exception]]:
        """Returns a port of many requests with every answer kept."""

        def made() -> Callable[[Sequence[Req]], list[Ans | Exception]]:
            from ltgc_cli.store import cached_batch

            return cached_batch(self._counting(foreseen_each(port)), self.store, answer_type, self._tally)

        return deferred(made)

    def look_first(self, check: Callable[[], object]) -> None:
        """Has something looked at before the next question is paid; what the store answers needs none.

        check -- raises where it would stop the run later
        """
        self._ahead.append(check)

    def _look(self) -> None:
        with self._looking:
            while self._ahead:
                self._ahead[0]()
                del self._ahead[0]

    def notice_once(self, text: str) -> None:
        """Says something on stderr, the first time only."""
        if text not in self._notices:
            self._notices.add(text)
            console.notice(text)

    def report(self, text: str) -> None:
        """Says on stderr how a stage gets on; a dry run has nothing to say of it."""
        console.notice(text)

    def watched(self, given: Iterator[Record]) -> Iterator[Record]:
        """Returns the records that a stage reads; a dry run takes note of the real images among them."""
        return given

    def keep(self, data: bytes, source: Path | None = None) -> str:
        """Returns the sha256 of bytes that are in the store from now on; a dry run keeps none.

        source -- a file with these bytes, whose blocks the store may share
        """
        return self.store.put_object(data, source)

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

    def _kept_answers(self, port: Ask, price: prices.Price | None) -> Ask:
        """Returns a language model's port within the budget, with every answer kept."""
        from ltgc_cli.store import cached

        paid = self._looked(guarded(port, self._budget, partial(estimates.most, price=price)))
        return cached(self._counting_one(paid), self.store, Answer, self._tally)

    def _looked(self, port: Callable[[In], Out]) -> Callable[[In], Out]:
        """Returns a port that is paid for, which is asked only when all is looked at that could stop the run."""

        def ask(request: In) -> Out:
            self._look()
            return port(request)

        return ask

    def _kept_images(self, port: Generate, spec: str, batch: int, price: prices.Price | None) -> Generate:
        """Returns a text-to-image model's port with every image kept."""
        if not spec.startswith("litellm:"):
            return self._kept_batch(port, GeneratedImage)
        paid = guarded_batch(foreseen_each(port), self._budget, partial(estimates.most_image, price=price))
        return self._one_by_one(self._counting(self._looked(paid)), batch)

    def _images(self, requests: Sequence[ImageRequest], kept: Generate) -> Sequence[GeneratedImage | Exception]:
        """Returns the images, each the first of its tries that is one."""
        tries = [self._tries(request, key) for request in requests]
        answers = list(kept([next(one) for one in tries]))
        while True:
            refused = [place for place, answer in enumerate(answers) if isinstance(answer, Refused)]
            again = {place: one for place in refused if (one := next(tries[place], None))}
            if not again:
                return answers
            for place, answer in zip(again, kept(list(again.values())), strict=True):
                answers[place] = answer

    def _one_by_one(self, port: Generate, at_once: int) -> Generate:
        """Returns the port with each image stored as it comes: killed, a run has lost none that was paid for."""
        from concurrent.futures import ThreadPoolExecutor

        from ltgc_cli.engine import mapped
        from ltgc_cli.providers.t2i import image_api
        from ltgc_cli.store import cached

        def alone(request: ImageRequest) -> GeneratedImage:
            (image,) = port([request])
            if isinstance(image, Exception):
                raise image
            return image

        ask = cached(alone, self.store, GeneratedImage, self._tally)

        def one(request: ImageRequest) -> GeneratedImage | Exception:
            try:
                return ask(request)
            except (Refused, BudgetError) as error:
                return error

        def generate(requests: Sequence[ImageRequest]) -> list[GeneratedImage | Exception]:
            with ThreadPoolExecutor(min(at_once, image_api.AT_ONCE)) as pool:
                return mapped(pool, one, requests)

        return generate

    def _tries(self, request: Req, key_of: Callable[[Req], str]) -> Iterator[Req]:
        """Returns a request and then, as long as nobody has enough, its retries in the store; one more with
        --retry-failures. What this run itself asked is not asked again by it.

        key_of -- returns a request's key in the store
        """
        again = self.limits.retry_failures
        for number in count():
            one = msgspec.structs.replace(request, retry=number) if number else request
            k = key_of(one) if number or again else ""
            asked_before = bool(k) and k in self.store and k not in self._asked_now
            if number and not (asked_before or again):
                return
            if again and not asked_before:
                self._asked_now.add(k)
                again = False
            yield one

    def _tries_schema(self, spec: str, asking: Asking) -> bool:
        """Returns whether a JSON schema is tried though nobody says that the model's server takes one."""
        return prices.takes_schema(spec) is None or asking.api_base is not None

    def _image_price(self, spec: str) -> prices.Price | None:
        return self._price(spec.removeprefix("litellm:"), "US dollars per image: --price 0.04")

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
            self._progress.advance(1, self.meter.summary)

    def _counting_one(self, port: Callable[[Question], Answer]) -> Callable[[Question], Answer]:
        def ask(question: Question) -> Answer:
            try:
                return port(question)
            except Refused as refused:
                self.meter.fail(question, refused)
                raise

        return ask

    def _counting(
        self, port: Callable[[Sequence[Req]], Sequence[Ans | Exception]]
    ) -> Callable[[Sequence[Req]], Sequence[Ans | Exception]]:
        def ask(requests: Sequence[Req]) -> Sequence[Ans | Exception]:
            answers = port(requests)
            for request, answer in zip(requests, answers, strict=True):
                if isinstance(answer, Exception):
                    self.meter.fail(request, answer)
            return answers

        return ask


def _prepared(question: Question, asking: Asking, image_size: int | None, *, structured: bool) -> Question:
    changes: dict[str, Any] = {}
    if asking.max_tokens:
        changes["max_tokens"] = asking.max_tokens
    if asking.reasoning_effort:
        changes["reasoning_effort"] = asking.reasoning_effort
    if image_size and question.images:
        changes["image_size"] = image_size
    if structured:
        changes["schema"] = SCHEMAS[question.task]
    return msgspec.structs.replace(question, **changes) if changes else question
