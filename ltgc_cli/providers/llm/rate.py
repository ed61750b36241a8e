"""How many questions a model is asked at once: fewer after it said that they are too many, then more again."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

_LESS = 0.75
_SUCCESSES = 25  # answers in a row after which one more question at once is tried
_APART = 0.003
"""Seconds between two requests. Hundreds that start together are worked on in lockstep, are answered together and start
together again, with nothing to do in between: at 256 at once that cost a tenth of the rate."""


class Rate:
    """Places for up to `most` questions at once; all its methods are called in one event loop.

    A burst of "too many requests" (429) takes a quarter of the places away, once, however many questions it hits: only
    one that was sent after the last cut tells anything new. 25 answers give one place back. Where the server says how
    long to wait, nobody sends anything until then.
    """

    def __init__(self, most: int, clock: Callable[[], float], sleep: Callable[[float], Awaitable[None]]) -> None:
        self.allowed = most
        self.under_way = 0
        self._most = most
        self._clock = clock
        self._sleep = sleep
        self._line: deque[asyncio.Future[None]] = deque()
        self._successes = 0
        self._cut_at = -1.0
        self._closed_until = 0.0
        self._next_start = 0.0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Returns a place, in the order in which they were asked for; it is free again at the end of the context."""
        await self._enter()
        try:
            yield
        finally:
            self._leave()

    def closed_for(self) -> float:
        """Returns the seconds until the server wants to be asked again."""
        return max(0.0, self._closed_until - self._clock())

    async def opening(self) -> None:
        """Waits as long as the server said, and longer where it says so meanwhile."""
        while (seconds := self.closed_for()) > 0:
            await self._sleep(seconds)

    async def start(self) -> None:
        """Waits for a few milliseconds where another request has only just started."""
        now = asyncio.get_running_loop().time()
        self._next_start = max(now, self._next_start + _APART)
        if self._next_start > now:
            await asyncio.sleep(self._next_start - now)

    def answered(self) -> None:
        """Counts an answer."""
        self._successes += 1
        if self._successes >= _SUCCESSES:
            self._successes = 0
            self.allowed = min(self._most, self.allowed + 1)
            self._admit()

    def too_many(self, sent: float, wait: float | None) -> None:
        """Counts a 429 to a question sent at a time of the clock; `wait` is what the server asks for, in seconds."""
        if sent > self._cut_at:
            self._cut_at = self._clock()
            self.allowed = max(1, int(self.allowed * _LESS))
            self._successes = 0
        self._closed_until = max(self._closed_until, self._clock() + (wait or 0.0))

    async def _enter(self) -> None:
        if self.under_way < self.allowed and not self._line:
            self.under_way += 1
            return
        place = asyncio.get_running_loop().create_future()
        self._line.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._leave()
            raise

    def _leave(self) -> None:
        self.under_way -= 1
        self._admit()

    def _admit(self) -> None:
        while self._line and self.under_way < self.allowed:
            place = self._line.popleft()
            if not place.done():
                self.under_way += 1
                place.set_result(None)
