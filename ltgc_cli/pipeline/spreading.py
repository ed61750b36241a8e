"""Ports whose answers come from workers (`--engine ray`): the store, the budget and the keys are here as ever."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

from ltgc_cli import providers
from ltgc_cli.engine import in_order
from ltgc_cli.providers import Opened
from ltgc_cli.providers.opened import Keep, Notice, Objects
from ltgc_cli.providers.workers import pool
from ltgc_cli.settings import Workers

Port = Callable[[Sequence[Any]], Sequence[Any]]


class Spreading:
    """The workers of one session, and the ports that they answer."""

    def __init__(self, settings: Workers, objects: Objects, notice: Notice) -> None:
        self._objects, self._notice = objects, notice
        self._pool = pool.Pool(settings, notice)
        self._encoders: dict[tuple[Any, ...], Port] = {}
        self.calls_at_once = pool.calls_at_once(settings)
        """Batches that are under way at once."""

    def close(self) -> None:
        """Ends the workers."""
        self._pool.close()

    def generate(self, spec: str, opened: Opened[Port], keep: Keep, **options: Any) -> Opened[Port]:
        """Returns the port by which workers generate in the place of one that is opened here."""
        return pool.spread(self._pool, "generate", spec, opened, objects=self._objects, keep=keep, **options)

    def encoder(self, spec: str, options: Mapping[str, Any]) -> Port:
        """Returns the port by which workers encode images; texts are encoded here.

        One for scores and comparisons: what a score has just seen is compared without being encoded again, by whichever
        worker it was.
        """
        place = (spec, *sorted(options.items()))
        if place not in self._encoders:
            opened = providers.open_encode(spec, objects=self._objects, notice=self._notice, **options)
            port = pool.spread(self._pool, "encode", spec, opened, objects=self._objects, **options).port
            self._encoders[place] = self.in_batches(port, options["batch"])
        return self._encoders[place]

    def in_batches(self, port: Port, batch: int) -> Port:
        """Returns a port with its requests cut into batches that are under way at once, each done when it comes."""

        def ask(requests: Sequence[Any]) -> Sequence[Any]:
            each = list(dict.fromkeys(requests))  # two batches under way would both ask the same
            batches = [each[start : start + batch] for start in range(0, len(each), batch)]
            found = chain.from_iterable(in_order(port, batches, self.calls_at_once))
            answers = dict(zip(each, found, strict=True))
            return [answers[request] for request in requests]

        return ask


def spreads(spec: str) -> bool:
    """Returns whether workers can answer for a model."""
    return pool.spreads(spec)
