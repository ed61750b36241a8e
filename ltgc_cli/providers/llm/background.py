"""One event loop in one background thread, behind ports that are plain functions called from many threads."""

from __future__ import annotations

import asyncio
import atexit
import functools
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_starting = threading.Lock()
_LOOK = 0.2
"""Seconds between looks at whether the main thread has ended."""


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Returns what a coroutine returns, run in the background thread; the calling thread waits.

    Interrupted (Ctrl-C), it ends at once and the coroutine is cancelled; so are all once the main thread has ended,
    as Python waits for the threads that wait here.
    """
    future = asyncio.run_coroutine_threadsafe(coroutine, _running())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def _running() -> asyncio.AbstractEventLoop:
    with _starting:
        return _loop()


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=_run, args=(loop,), name="ltgc questions", daemon=True)
    thread.start()
    atexit.register(_stop, loop, thread)
    return loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    watching = loop.create_task(_watch())
    loop.run_forever()
    watching.cancel()
    loop.run_until_complete(asyncio.gather(watching, return_exceptions=True))


async def _watch() -> None:
    """Cancels every question once the main thread is at its end."""
    while threading.main_thread().is_alive():
        await asyncio.sleep(_LOOK)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    loop.call_soon_threadsafe(loop.stop)
    thread.join(1)
