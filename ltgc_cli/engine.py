"""Maps a stage over its rows: in parallel, but with the output in the order of the input."""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, InvalidStateError, ThreadPoolExecutor, wait
from contextlib import suppress
from itertools import pairwise
from queue import SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

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


def _until_an_error() -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Returns what is put around all calls of a run: once one of them has failed no other begins.

    A worker takes its next call before anybody can drop it, and that may be a question that is paid for in vain.
    """
    failed = threading.Event()

    def within(f: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            if failed.is_set():
                raise CancelledError("the run has ended")
            try:
                return f(*given)
            except BaseException:
                failed.set()
                raise

        return call

    return within


class AtOnce(Protocol):
    """Returns f of every item, in their order: of several at once, where there are workers for it."""

    def __call__(self, f: Callable[[T], U], items: Sequence[T], /) -> list[U]: ...


def one_by_one(f: Callable[[T], U], items: Sequence[T]) -> list[U]:
    """Returns f of every item, computed one after another."""
    return [f(item) for item in items]


def in_order(f: Callable[[T], U], items: Iterable[T], workers: int) -> Iterator[U]:
    """Returns f of every item, in the order of the items, with up to `workers` calls at once.

    At most two calls a worker are under way or waiting to be taken, so memory stays flat over a long stream.
    The first error ends it as soon as it happens (a refused key does not wait behind a server that hangs): calls that
    have not begun are dropped, those under way finish behind it (and are stored).
    """
    return in_parts(lambda item, _: f(item), items, workers)


def in_parts(f: Callable[[T, AtOnce], U], items: Iterable[T], workers: int) -> Iterator[U]:
    """Returns f of every item as `in_order` does; f gets a function besides, which spreads parts of its work.

    All of it goes through the same workers, so that `workers` is the limit of items and parts together. A worker that
    spreads its work takes of it what no other has begun, and waits for what others are at: it never waits for a place.
    """
    pool = ThreadPoolExecutor(max_workers=workers)
    waiting: deque[Future[U]] = deque()
    broken: Future[Any] = Future()
    within = _until_an_error()

    def watch(call: Future[Any]) -> None:
        error = None if call.cancelled() else call.exception()
        with suppress(InvalidStateError):  # another was first
            if error:
                broken.set_exception(error)

    def at_once(g: Callable[[Any], Any], parts: Sequence[Any]) -> list[Any]:
        calls = [submitted(pool, within(g), part) for part in parts[1:]]
        for call in calls:
            call.add_done_callback(watch)
        own = [g(part) for part in parts[:1]]
        # The run may have ended meanwhile: what it has dropped is not to be begun here.
        taken = {
            place: g(part)
            for place, (call, part) in enumerate(zip(calls, parts[1:], strict=True))
            if not call.cancelled() and call.cancel()
        }
        return own + [taken[place] if place in taken else call.result() for place, call in enumerate(calls)]

    def first() -> U:
        if not waiting[0].done():
            wait((waiting[0], broken), return_when=FIRST_COMPLETED)
        return broken.result() if broken.done() else waiting.popleft().result()

    try:
        for item in items:
            call = submitted(pool, within(f), item, at_once)
            call.add_done_callback(watch)
            waiting.append(call)
            while waiting and (len(waiting) >= 2 * workers or waiting[0].done()):
                yield first()
        while waiting:
            yield first()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


class _Taken(msgspec.Struct, Generic[T], eq=False):
    """An item on its way through the rounds."""

    item: T
    done: bool = False


_Begun = tuple[_Taken[T], "Future[None]"]  # an item, and what prepares it


class _Batch(msgspec.Struct, Generic[T]):
    """Items that are worked on together; `left` of them are still being prepared."""

    round: int
    items: list[_Taken[T]]
    left: int
    again: list[_Begun[T]] | None = None  # what goes on, once the batch has been worked on


class _Round(msgspec.Struct, Generic[T]):
    """A round under way. What goes on from its batches leaves it in their order, whichever was ready first."""

    waiting: deque[_Begun[T]] = msgspec.field(default_factory=deque)  # items that are in no batch yet
    batches: deque[_Batch[T]] = msgspec.field(default_factory=deque)  # those whose items did not go on yet
    complete: bool = False  # no more items come in
    had_items: bool = False


def in_rounds(
    items: Iterable[T],
    numbers: Sequence[int],
    *,
    prepare: Callable[[T, int], None],
    work: Callable[[list[T], int], Sequence[T]],
    workers: int,
    batch: int,
    held: int,
    begins: Callable[[T], bool] = lambda _: True,
    on_round: Callable[[int], None] = lambda _: None,
) -> Iterator[T]:
    """Takes items through numbered rounds, and returns each, in their order, when it has been through its last one.

    What `work` returns of a batch goes through the next round as well. `prepare` runs for up to `workers` items at
    once. `work` runs here, for one batch at a time, as soon as all of its items are prepared: while some are prepared
    others are worked on, those of later rounds too. Batches are cut in the order of the items, so what is in one
    depends on no worker and no clock. `on_round` gets the number of each round that had items, in order, once the last
    of them has been worked on. The first error ends it.

    held -- so many items are under way at most, so memory stays flat over a long stream. Where all of them wait for
        batches to fill, the one that holds up the first of them is cut short
    begins -- whether an item goes into the first round; one that does not only keeps its place
    """
    pool = ThreadPoolExecutor(max_workers=workers)
    ready: SimpleQueue[Future[None]] = SimpleQueue()
    batches: dict[Future[None], _Batch[T]] = {}
    rounds = [_Round[T]() for _ in [*numbers, None]]  # none is worked on in the last: it takes what goes on to the end
    source, under_way = iter(items), deque[_Taken[T]]()
    prepared = _until_an_error()(prepare)

    def begun(one: _Taken[T], place: int) -> list[_Begun[T]]:
        one.done = place == len(numbers)
        return [(one, submitted(pool, prepared, one.item, number)) for number in numbers[place : place + 1]]

    def take() -> None:
        while len(under_way) < held and not (under_way and under_way[0].done):
            try:
                one = _Taken(next(source))
            except StopIteration:
                rounds[0].complete = True
                break
            under_way.append(one)
            rounds[0].waiting.extend(begun(one, 0 if begins(one.item) else len(numbers)))
        cut(0)

    def cut(place: int, least: int = batch) -> None:
        this = rounds[place]
        while len(this.waiting) >= least or (this.complete and this.waiting):  # only the last one is short
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

    def worked(one: _Batch[T]) -> None:
        going_on = {id(item) for item in work([one.item for one in one.items], numbers[one.round])}
        one.again = []
        for each in one.items:
            one.again += begun(each, one.round + 1 if id(each.item) in going_on else len(numbers))

    try:
        while True:
            take()
            settle()
            if under_way and under_way[0].done:
                yield under_way.popleft().item
                continue
            if not under_way:
                break
            if not batches:
                cut(next(n for n, this in enumerate(rounds) if this.waiting and this.waiting[0][0] is under_way[0]), 1)
            future = ready.get()
            future.result()
            one = batches.pop(future)
            one.left -= 1
            if not one.left:
                worked(one)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
