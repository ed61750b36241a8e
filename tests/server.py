"""A real HTTP server on this machine's loopback, in a thread of its own; what it answers is a dict of handlers."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextmanager
def serving(routes: Mapping[str, Handler], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Returns the address of a server while it runs. Routes are like `{"POST /v1/chat/completions": handler}`."""
    app = web.Application(client_max_size=2**28)
    for route, handler in routes.items():
        method, path = route.split(" ")
        app.router.add_route(method, path, handler)
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(app)
    started = threading.Event()
    address: list[str] = []

    async def start() -> None:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        address.append("{}://{}:{}".format("https" if tls else "http", *runner.addresses[0][:2]))
        started.set()

    def run() -> None:
        loop.run_until_complete(start())
        loop.run_forever()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    started.wait(10)
    try:
        yield address[0]
    finally:
        with suppress(TimeoutError):  # of a handler that never ends
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
