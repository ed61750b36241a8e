"""One event loop in one background thread, behind ports that are plain functions called from many threads."""

from __future__ import annotations

import asyncio
import atexit
import functools
import threading
import warnings
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_GRACE = 15.0  # seconds that the questions under way have at the end of the program

_starting = threading.Lock()
_pausing: set[asyncio.Task[Any]] = set()
_ending = False


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Returns what a coroutine returns, run in the background thread; the calling thread waits.

    Interrupted (Ctrl-C), it ends at once and the coroutine is cancelled. At the program's end those under way have a
    few seconds to finish, as their answers may be paid for, and are then cancelled; those in a `pause` are at once.
    """
    with _starting:
        try:
            loop = _loop()
        except BaseException:  # no files or threads are left for it
            coroutine.close()
            raise
    future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


async def pause(seconds: float) -> None:
    """Waits before a question is asked again: of one that does, the server has nothing that is paid for.

    Raises CancelledError when the program ends, in which nothing new can be asked.
    """
    task = asyncio.current_task()
    if _ending or task is None:
        raise asyncio.CancelledError
    _pausing.add(task)
    try:
        await asyncio.sleep(seconds)
    finally:
        _pausing.discard(task)


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # what fails is raised in `run`; of the rest a user can do nothing
    thread = threading.Thread(target=_run, args=(loop,), name="questions", daemon=True)
    thread.start()
    # Python waits for all threads, those in `run` too, before it calls what `atexit` has. This hook comes before that;
    # it has no public name, and without it a program would only end later.
    before_threads_are_joined = getattr(threading, "_register_atexit", atexit.register)
    before_threads_are_joined(_cancel_soon, loop)
    atexit.register(_stop, loop, thread)
    return loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()


def _cancel_soon(loop: asyncio.AbstractEventLoop) -> None:
    def cancel() -> None:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.call_later(1, cancel)  # a library may take one for a lost connection, and ask again

    def end() -> None:
        global _ending
        _ending = True
        for task in _pausing:
            task.cancel()
        loop.call_later(_GRACE, cancel)

    loop.call_soon_threadsafe(end)


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    # What had not begun when the program ended needs no mention.
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(1)
