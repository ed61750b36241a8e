"""Maps a stage over its rows: in parallel, but with the output in the order of the input."""

from __future__ import annotations

import contextvars
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, InvalidStateError, ThreadPoolExecutor, wait
from contextlib import suppress
from itertools import pairwise
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

import msgspec

from ltgc_cli.meter import Meter as Meter

T = TypeVar("T")
U = TypeVar("U")


def submitted(pool: ThreadPoolExecutor, f: Callable[..., U], *given: Any) -> Future[U]:
    """Returns a call under way in a pool, which knows what its caller has set for itself: whether it is quiet."""
    return pool.submit(contextvars.copy_context().run, f, *given)


def mapped(pool: ThreadPoolExecutor, f: Callable[[T], U], items: Iterable[T]) -> list[U]:
    """Returns f of every item, computed in a pool."""
    calls = [submitted(pool, f, item) for item in items]
    return [call.result() for call in calls]


def in_order(f: Callable[[T], U], items: Iterable[T], workers: int) -> Iterator[U]:
    """Returns f of every item, in the order of the items, with up to `workers` calls at once.

    At most two calls a worker are under way or waiting to be taken, so memory stays flat over a long stream.
    The first error ends it as soon as it happens (a refused key does not wait behind a server that hangs): calls that
    have not begun are dropped, those under way finish behind it (and are stored).
    """
    pool = ThreadPoolExecutor(max_workers=workers)
    waiting: deque[Future[U]] = deque()
    broken: Future[U] = Future()

    def watch(call: Future[U]) -> None:
        error = None if call.cancelled() else call.exception()
        with suppress(InvalidStateError):  # another was first
            if error:
                broken.set_exception(error)

    def first() -> U:
        if not waiting[0].done():
            wait((waiting[0], broken), return_when=FIRST_COMPLETED)
        return broken.result() if broken.done() else waiting.popleft().result()

    try:
        for item in items:
            call = submitted(pool, f, item)
            call.add_done_callback(watch)
            waiting.append(call)
            while waiting and (len(waiting) >= 2 * workers or waiting[0].done()):
                yield first()
        while waiting:
            yield first()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


class _Batch(msgspec.Struct, Generic[T]):
    """Items that are worked on together; `left` of them are still being prepared."""

    round: int
    items: list[T]
    left: int
    again: list[tuple[T, Future[None]]] | None = None  # what goes on, once the batch has been worked on


class _Round(msgspec.Struct, Generic[T]):
    """A round under way. What goes on from its batches leaves it in their order, whichever was ready first."""

    waiting: deque[tuple[T, Future[None]]] = msgspec.field(default_factory=deque)  # items that are in no batch yet
    batches: deque[_Batch[T]] = msgspec.field(default_factory=deque)  # those whose items did not go on yet
    complete: bool = False  # no more items come in
    had_items: bool = False


def in_rounds(
    items: Sequence[T],
    numbers: Sequence[int],
    *,
    prepare: Callable[[T, int], None],
    work: Callable[[list[T], int], Sequence[T]],
    workers: int,
    batch: int,
    on_round: Callable[[int], None] = lambda _: None,
) -> None:
    """Takes the items through numbered rounds; what `work` returns of a batch goes through the next round as well.

    `prepare` runs for up to `workers` items at once. `work` runs here, for one batch at a time, as soon as all of its
    items are prepared: while some are prepared others are worked on, those of later rounds too. Batches are cut in
    the order of the items, so what is in one depends on no worker and no clock. `on_round` gets the number of each
    round that had items, in order, once the last of them has been worked on. The first error ends it.
    """
    pool = ThreadPoolExecutor(max_workers=workers)
    ready: SimpleQueue[Future[None]] = SimpleQueue()
    batches: dict[Future[None], _Batch[T]] = {}
    rounds = [_Round[T]() for _ in [*numbers, None]]  # none is worked on in the last: it takes what goes on to the end

    def begun(found: Sequence[T], place: int) -> list[tuple[T, Future[None]]]:
        return [
            (item, submitted(pool, prepare, item, number)) for number in numbers[place : place + 1] for item in found
        ]

    def cut(place: int) -> None:
        this = rounds[place]
        while len(this.waiting) >= batch or (this.complete and this.waiting):  # only the last one is short
            part = [this.waiting.popleft() for _ in range(min(batch, len(this.waiting)))]
            one = _Batch(place, [item for item, _ in part], len(part))
            this.batches.append(one)
            this.had_items = True
            for _, future in part:
                batches[future] = one
                future.add_done_callback(ready.put)

    def settle() -> None:
        for place, (this, following) in enumerate(pairwise(rounds)):
            while this.batches and this.batches[0].again is not None:
                following.waiting.extend(this.batches.popleft().again or ())
            if this.complete and not this.batches and not following.complete:
                following.complete = True
                if this.had_items:
                    on_round(numbers[place])
            cut(place + 1)

    try:
        rounds[0].waiting.extend(begun(items, 0))
        rounds[0].complete = True
        cut(0)
        while any(this.batches for this in rounds):
            future = ready.get()
            future.result()
            one = batches.pop(future)
            one.left -= 1
            if not one.left:
                one.again = begun(work(one.items, numbers[one.round]), one.round + 1)
                settle()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
