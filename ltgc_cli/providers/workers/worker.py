"""What runs in a worker's process: the ports that any process opens, without a store.

A worker is sent the bytes of the images that a request names, and sends back those of the images that it made.
"""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from ltgc_cli import image_formats, providers
from ltgc_cli.errors import LtgcError, ProviderError
from ltgc_cli.ports import GeneratedImage
from ltgc_cli.providers.unforeseen import foreseen_each

Kind = Literal["generate", "encode"]

_OPEN = {
    "generate": providers.open_generate,
    "encode": providers.open_encode,
}


class PortWanted(NamedTuple):
    """A port that a worker is to open."""

    kind: Kind
    spec: str
    model: str  # what it is called where it is asked for: another name here would be another model under the same keys
    options: tuple[tuple[str, Any], ...]


class Answered(NamedTuple):
    """What came of a batch."""

    answers: Sequence[Any] | LtgcError  # an answer per request, in order; or why there can be none
    images: Sequence[bytes]  # what was made
    notices: Sequence[str]  # what the models had to say to a person
    process: str  # host and process of the worker: another than before where it died and was started again


class Worker:
    """A process with its models, each loaded when it is first asked.

    Two threads may ask at once, so that one batch is computed while the images of another are written.
    """

    def __init__(self, megapixels: int = image_formats.MEGAPIXELS) -> None:
        image_formats.allow(megapixels)
        self._ports: dict[PortWanted, Any] = {}
        self._lock = threading.Lock()
        self._held = Held()
        self._said: list[str] = []

    def version(self) -> str:
        """Returns which ltgc this is; also the sign that the worker has started, and is still there."""
        return version()

    def answer(self, wanted: PortWanted, requests: Sequence[Any], images: Sequence[bytes]) -> Answered:
        """Returns what a port answers to requests about some images. Raises nothing that a person can cause."""
        names = [self._held.add(image) for image in images]
        answers: Sequence[Any] | LtgcError
        made: list[bytes] = []
        try:
            found = answers = self._port(wanted)(requests)
            made = [self._held.drop(one.sha256) for one in found if isinstance(one, GeneratedImage)]
        except LtgcError as error:
            answers = error
        finally:
            for name in names:
                self._held.drop(name)
        with self._lock:
            said, self._said = self._said, []
        return Answered(answers, made, said, f"{socket.gethostname()}, process {os.getpid()}")

    def _port(self, wanted: PortWanted) -> Any:
        with self._lock:
            if wanted not in self._ports:
                self._ports[wanted] = self._opened(wanted)
            return self._ports[wanted]

    def _opened(self, wanted: PortWanted) -> Any:
        options = {**dict(wanted.options), "objects": self._held.get, "notice": self._said.append}
        if wanted.kind == "generate":
            options["keep"] = self._held.add
        opened: Any = _OPEN[wanted.kind]
        model, port = opened(wanted.spec, **options)
        if model != wanted.model:
            raise ProviderError(
                f"{wanted.spec} is another model where a worker runs ({model}) than here ({wanted.model}); "
                "put the same files on every machine"
            )
        return foreseen_each(port)


class Held:
    """Bytes by their sha256, each as long as somebody needs it: two batches at once may need the same image."""

    def __init__(self) -> None:
        self._bytes: dict[str, bytes] = {}
        self._needed: dict[str, int] = {}
        self._lock = threading.Lock()

    def add(self, data: bytes) -> str:
        """Returns the sha256 of bytes that are held until they were dropped as often as added."""
        sha256 = hashlib.sha256(data).hexdigest()
        with self._lock:
            self._bytes[sha256] = data
            self._needed[sha256] = self._needed.get(sha256, 0) + 1
        return sha256

    def get(self, sha256: str) -> bytes:
        """Returns the bytes."""
        return self._bytes[sha256]

    def drop(self, sha256: str) -> bytes:
        """Returns the bytes, which one fewer needs from now on."""
        with self._lock:
            data = self._bytes[sha256]
            self._needed[sha256] -= 1
            if not self._needed[sha256]:
                del self._bytes[sha256], self._needed[sha256]
        return data

    def __len__(self) -> int:
        return len(self._bytes)


def version() -> str:
    """Returns the version of ltgc."""
    from importlib.metadata import version

    return version("ltgc")
