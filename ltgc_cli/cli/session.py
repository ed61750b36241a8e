"""What the stages of one command share: the store, the ports behind it, the counting and the recording."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from ltgc_cli import console, providers, store
from ltgc_cli.engine import Meter
from ltgc_cli.errors import Refused
from ltgc_cli.ports import Answer, Ask, Paint, Picture, Question, Score
from ltgc_cli.providers import Opened, replay

Req = TypeVar("Req", bound=msgspec.Struct)
Ans = TypeVar("Ans")


def default_folder() -> Path:
    """Returns where the store lies unless --cache-dir, LTGC_CACHE_DIR or ltgc.toml says otherwise."""
    return Path(os.path.expanduser("~")) / ".ltgc"


class Session:
    """One command's store and counters. The ports that it opens keep every answer before they hand it on."""

    def __init__(self, folder: Path, record: Path | None = None) -> None:
        self.store = store.Store(folder)
        self.meter = Meter()
        self.refused = 0
        self._record = replay.recorder(record, objects=self.store.get_object) if record else None
        self._progress: console.Progress | None = None
        self._expected = 0
        self._said: set[str] = set()

    def ask(self, spec: str, kind: Literal["llm", "lmm"], **options: Any) -> Opened[Ask]:
        """Returns a language model (kind `llm`) or a vision-language model (kind `lmm`)."""
        model, port = providers.open_ask(
            spec, kind=kind, objects=self.store.get_object, notice=self.notice_once, **options
        )
        return Opened(model, store.cached(self._counting_one(port), self.store, Answer, self._tally))

    def paint(self, spec: str, **options: Any) -> Opened[Paint]:
        """Returns a text-to-image model."""
        model, port = providers.open_paint(spec, keep=self.store.put_object, notice=self.notice_once, **options)
        return Opened(model, store.cached_batch(self._counting(port), self.store, Picture, self._tally))

    def score(self, spec: str, **options: Any) -> Opened[Score]:
        """Returns a CLIP model as a judge of images."""
        model, port = providers.open_score(spec, objects=self.store.get_object, notice=self.notice_once, **options)
        return Opened(model, store.cached_batch(self._counting(port), self.store, float, self._tally))

    def notice_once(self, text: str) -> None:
        """Says something on stderr, the first time only."""
        if text not in self._said:
            self._said.add(text)
            console.notice(text)

    def expect(self, work: int) -> None:
        """Says how many requests a stage will make, where that is known."""
        self._expected += work
        if self._progress:
            self._progress.total = self._expected

    @contextmanager
    def watching(self, title: str) -> Iterator[console.Progress]:
        """Shows what is asked and found while a stage runs."""
        with console.progress(title, self._expected or None) as progress:
            self._progress = progress
            try:
                yield progress
            finally:
                self._progress = None

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
            except Refused:
                self.refused += 1
                raise

        return ask

    def _counting(
        self, port: Callable[[Sequence[Req]], Sequence[Ans | Exception]]
    ) -> Callable[[Sequence[Req]], Sequence[Ans | Exception]]:
        def ask(requests: Sequence[Req]) -> Sequence[Ans | Exception]:
            answers = port(requests)
            self.refused += sum(isinstance(answer, Exception) for answer in answers)
            return answers

        return ask
