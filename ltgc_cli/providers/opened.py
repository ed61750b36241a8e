"""What a provider's `open_port` gets and gives: options, and a port with the name of its model."""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar, cast

import msgspec

from ltgc_cli.errors import ProviderError
from ltgc_cli.files import sha256_file
from ltgc_cli.ports import Question

Port = TypeVar("Port")
Objects = Callable[[str], bytes]  # gives an image's bytes by their sha256
Keep = Callable[[bytes], str]  # stores an image's bytes and returns their sha256; called from several threads
Notice = Callable[[str], None]
Encode = Callable[[Sequence[str]], Sequence[Any]]  # gives CLIP's features of images, as arrays, or a Refused for one
Dtype = Literal["float32", "float16", "bfloat16"]


class Opened(NamedTuple, Generic[Port]):
    """A port, and its model's name as keys and records have it: never a path."""

    model: str
    port: Port


class AskOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a language model is asked."""

    objects: Objects
    notice: Notice = lambda text: None
    api_base: str | None = None  # the server, where it is not the provider's own
    model_id: str | None = None  # the user's own name for the weights behind the model's name
    timeout: float = 120.0  # seconds that one request may take
    limit: float = 600.0  # seconds that one question may take, with all its requests and the waits between them
    concurrency: int = 16  # questions asked at once
    price: Callable[[int, int], float] | None = None
    """Gives the dollars of prompt and completion tokens, for a model that litellm has no price of."""
    repeat: Callable[[Question], bool] = lambda question: True
    """Says whether a question may be paid for once more, as its answer was empty or a refusal."""
    takes_no_schema: Callable[[Question], None] | None = None
    """Told of a question that was answered only without its schema; None for a model that is known to take one."""


class GenerateOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a text-to-image model is loaded and asked."""

    keep: Keep
    notice: Notice = lambda text: None
    objects: Objects | None = None  # gives the originals that images are started from
    batch: int = 32  # images generated at once, or fewer where the memory runs out
    api_base: str | None = None
    model_id: str | None = None
    price: str | None = None  # the user's own for an image API, as for prices.find
    device: str | None = None
    dtype: Dtype | None = None
    t2i_config: str | None = None  # of a model in a single file: a folder or an id with its parts' configs
    lora: str | None = None
    lora_scale: float | None = None  # its strength, 1 where none is set
    compile: bool = False
    attention_slicing: bool = False


class ClipOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a CLIP model is loaded and asked."""

    objects: Objects
    notice: Notice = lambda text: None
    batch: int = 64  # images that the model sees at once
    device: str | None = None
    encode: Encode | None = None  # encodes images elsewhere: the model here then sees texts alone


def with_notice(opened: Opened[Port], notice: Notice, text: str) -> Opened[Port]:
    """Returns the port, which notifies the user when it is first asked: not where the store answers all."""
    port: Any = opened.port
    lock = threading.Lock()
    notify = functools.cache(lambda: notice(text))

    def ask(request: Any) -> Any:
        with lock:
            notify()
        return port(request)

    return Opened(opened.model, cast(Port, ask))


def file_identity(name: str, path: Path) -> str:
    """Returns `name@` and the first 12 digits of the sha256 of a file's bytes."""
    return f"{name}@{sha256_file(path)[:12]}"


def folder_identity(name: str, folder: Path) -> str:
    """Returns `name@` and 12 digits of the sha256 over the folder's files, their relative names and bytes.

    Hidden files and texts about the model (`*.md`) are left out: a better model card must not make anyone pay again.
    """
    files = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    counted = {
        name.as_posix(): path
        for name, path in files.items()
        if name.suffix != ".md" and not any(part.startswith(".") for part in name.parts)
    }
    if not counted:
        raise ProviderError(f"{folder}: no model is in this folder")
    lines = (f"{relative}\n{sha256_file(counted[relative])}\n" for relative in sorted(counted))
    return f"{name}@{hashlib.sha256(''.join(lines).encode()).hexdigest()[:12]}"
