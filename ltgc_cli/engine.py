"""Maps a stage over its rows: in parallel, but with the output in the order of the input; and counts what was asked."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec

from ltgc_cli.ports import Usage

T = TypeVar("T")
U = TypeVar("U")


def in_order(f: Callable[[T], U], items: Iterable[T], workers: int) -> Iterator[U]:
    """Returns f of every item, in the order of the items, with up to `workers` calls at once.

    At most two calls a worker are under way or waiting to be taken, so memory stays flat over a long stream.
    The first error ends it: calls that have not begun are dropped, those under way finish behind it (and are stored).
    """
    pool = ThreadPoolExecutor(max_workers=workers)
    waiting: deque[Future[U]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(f, item))
            while waiting and (len(waiting) >= 2 * workers or waiting[0].done()):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


_MOST_ITEMS = 1000
"""Items of no size held back for those behind them: a stream with nothing to do must not fill the memory."""


def batches(items: Iterable[T], size: Callable[[T], int], limit: int) -> Iterator[list[T]]:
    """Returns the items in lists whose sizes sum to at least `limit` each, but for the last and for very long ones.

    >>> list(batches([1, 2, 3, 4], size=lambda item: item, limit=3))
    [[1, 2], [3], [4]]
    """
    batch: list[T] = []
    total = 0
    for item in items:
        batch.append(item)
        total += size(item)
        if total >= limit or len(batch) >= _MOST_ITEMS:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch


class Meter:
    """Counts answers: asked and found in the store, tokens, US dollars. Safe to call from many threads."""

    def __init__(self, on_change: Callable[[Meter], None] | None = None) -> None:
        self._lock = threading.Lock()
        self._on_change = on_change
        self.asked: dict[str, int] = {}
        self.found: dict[str, int] = {}
        self.tokens = 0
        self.dollars = 0.0
        self.unpriced = 0
        """Answers that used tokens and whose price is not known."""

    def __call__(self, request: msgspec.Struct, answer: Any, *, hit: bool) -> None:
        """Counts one answer. What is found in the store cost nothing this time."""
        name = type(request).__name__
        usage: Usage = getattr(answer, "usage", None) or Usage()
        with self._lock:
            counts = self.found if hit else self.asked
            counts[name] = counts.get(name, 0) + 1
        if not hit:
            self.paid(usage)
        if self._on_change:
            self._on_change(self)

    def paid(self, usage: Usage | None) -> None:
        """Counts what something cost: an answer, or a refusal (an empty answer is paid for too)."""
        if usage is None:
            return
        with self._lock:
            tokens = usage.prompt_tokens + usage.completion_tokens
            self.tokens += tokens
            self.dollars += usage.dollars or 0.0
            self.unpriced += bool(tokens and usage.dollars is None)

    def summary(self) -> str:
        """Returns what was asked and found, in words: "12 questions asked, 480 drawings from the store, $0.31"."""
        with self._lock:
            parts = [f"{_counted(n, name)} asked" for name, n in self.asked.items()]
            parts += [f"{_counted(n, name)} from the store" for name, n in self.found.items()]
        if self.tokens:
            parts.append(f"{self.tokens:,} tokens")
        if self.dollars:
            parts.append(f"${self.dollars:.2f}")
        if self.unpriced:
            parts.append(f"{self.unpriced} answers of unknown price")
        return ", ".join(parts)


def _counted(count: int, request: str) -> str:
    word = {"Question": "question", "Drawing": "drawing", "Match": "score"}[request]
    return f"{count:,} {word}{'' if count == 1 else 's'}"
