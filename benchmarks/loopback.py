"""A language model's server on loopback, in a process of its own, that answers always after the same time."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any


def asked(content: Any) -> str:
    """Returns a message's text, and of each image the end of its bytes: other images are asked about otherwise."""
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") + part.get("image_url", {}).get("url", "")[-40:] for part in content)


def serve(latency: float, answer: Callable[[str], str], ready: Connection) -> None:
    """Answers every question `latency` seconds after it came, until it is ended."""
    from aiohttp import web

    async def respond(request: web.Request) -> web.Response:
        came = time.monotonic()
        prompt = "\n".join(asked(message["content"]) for message in json.loads(await request.read())["messages"])
        text = answer(prompt)
        usage = {"prompt_tokens": len(prompt) // 4, "completion_tokens": len(text) // 4}
        body = {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": "gpt-4o",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
            "usage": {**usage, "total_tokens": sum(usage.values())},
        }
        await asyncio.sleep(max(0.0, came + latency - time.monotonic()))
        return web.json_response(body)

    async def forever() -> None:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_post("/v1/chat/completions", respond)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        ready.send("http://{}:{}/v1".format(*runner.addresses[0][:2]))
        await asyncio.Event().wait()

    asyncio.run(forever())


@contextmanager
def serving(latency: float, answer: Callable[[str], str]) -> Iterator[str]:
    """The address of such a server while it runs.

    answer -- returns what is said to a prompt; a function of a module, for it goes to another process
    """
    spawning = multiprocessing.get_context("spawn")
    here, there = spawning.Pipe()
    process = spawning.Process(target=serve, args=(latency, answer, there), daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        process.terminate()
        process.join()
