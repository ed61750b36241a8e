"""What answers: a spec that a person writes becomes a port that a stage calls.

A new provider is one file beside these and one entry in a table below. Opening a port reads a file or two to name the
model; its library is imported, and its weights loaded, when the port is first asked something.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar, cast

from ltgc_cli.errors import InputError
from ltgc_cli.ports import Ask, Compare, Generate, Question, Score
from ltgc_cli.providers import replay
from ltgc_cli.providers.clip import judge, open_clip
from ltgc_cli.providers.identity import file_identity, folder_identity
from ltgc_cli.providers.llm import embedded as grammar
from ltgc_cli.providers.llm import embedded_lmm, litellm
from ltgc_cli.providers.t2i import blank, diffusers, image_api
from ltgc_cli.providers.t2i.pipelines import Dtype

__all__ = ["Opened", "file_identity", "folder_identity", "open_ask", "open_compare", "open_paint", "open_score"]

Port = TypeVar("Port")
_OURS = ("embedded", "blank")
Notice = Callable[[str], None]
Objects = Callable[[str], bytes]
Keep = Callable[[bytes], str]


class Opened(NamedTuple, Generic[Port]):
    """A port, and the model's name as keys and records have it: never a path."""

    model: str
    port: Port


def is_real(spec: str) -> bool:
    """Returns whether a spec names somebody's model, not one of the stand-ins that cost nothing.

    >>> is_real("gpt-4o"), is_real("replay:answers.jsonl")
    (True, False)
    """
    return spec not in _OURS and not spec.startswith("replay:")


def open_ask(
    spec: str,
    *,
    kind: Literal["llm", "lmm"],
    objects: Objects,
    notice: Notice,
    api_base: str | None = None,
    timeout: float = litellm.TIMEOUT,
    limit: float = litellm.LIMIT,
    concurrency: int = litellm.CONCURRENCY,
    price: Callable[[int, int], float] | None = None,
    repeat: Callable[[Question], bool] = lambda _: True,
) -> Opened[Ask]:
    """Returns a language model (`llm`), or a vision-language model (`lmm`); `objects` gives an image's bytes.

    The numbers, the price and `repeat` are those of `litellm.ask_port`. Raises InputError for a spec that names none.
    """

    def embedded(_: str) -> Opened[Ask]:
        if kind == "lmm":
            seeing = Opened(embedded_lmm.identity(), embedded_lmm.ask_port(objects=objects))
            return _telling(seeing, notice, embedded_lmm.NOTICE)
        return _telling(Opened(grammar.MODEL, grammar.ask), notice, grammar.NOTICE)

    def replayed(path: str) -> Opened[Ask]:
        return Opened(replay.identity(Path(path)), replay.ask_port(replay.read(Path(path))))

    def anyone(name: str) -> Opened[Ask]:
        asking = litellm.ask_port(
            name,
            objects=objects,
            api_base=api_base,
            timeout=timeout,
            limit=limit,
            concurrency=concurrency,
            price=price,
            repeat=repeat,
        )
        return Opened(litellm.identity(name, api_base), asking)

    return _open(spec, {"embedded": embedded, "replay:": replayed}, anyone)


def open_generate(
    spec: str,
    *,
    keep: Keep,
    notice: Notice,
    batch: int | None = None,
    objects: Objects | None = None,
    api_base: str | None = None,
    device: str | None = None,
    dtype: Dtype | None = None,
    lora: str | None = None,
    compile: bool = False,
    slicing: bool = False,
    price: str | None = None,
) -> Opened[Generate]:
    """Returns a text-to-image model that draws up to `batch` at once; `keep` stores bytes and returns their sha256.

    `objects` gives the bytes of an original that is drawn over, `api_base` is the server of an image API
    (`litellm:MODEL`) and `price` the user's own of it, `device` and what follows are for models that diffusers loads.
    Raises InputError for a spec, or a LoRA, that names none.
    """

    def blanks(_: str) -> Opened[Generate]:
        return Opened(blank.MODEL, blank.paint_port(keep))

    def replayed(path: str) -> Opened[Generate]:
        return Opened(replay.identity(Path(path)), replay.paint_port(replay.read(Path(path)), keep))

    def by_api(name: str) -> Opened[Generate]:
        ours = {
            "--device": device,
            "--dtype": dtype,
            "--lora": lora,
            "--compile": compile,
            "--attention-slicing": slicing,
        }
        if used := [flag for flag, value in ours.items() if value]:
            raise InputError(f"litellm:{name} is an image API, which takes no {', '.join(used)}; leave it out")
        drawing = image_api.paint_port(name, keep=keep, api_base=api_base, batch=batch, price=price)
        return Opened(image_api.identity(name, api_base), drawing)

    def diffused(name: str) -> Opened[Generate]:
        drawing = diffusers.paint_port(
            name, keep=keep, objects=objects, batch=batch, notice=notice,
            device=device, dtype=dtype, lora=lora, compile=compile, slicing=slicing,
        )  # fmt: skip
        return Opened(diffusers.identity(name, lora, dtype), drawing)

    def embedded(name: str) -> Opened[Generate]:
        return _telling(diffused(name), notice, diffusers.NOTICE)

    table = {"embedded": embedded, "blank": blanks, "replay:": replayed, "litellm:": by_api}
    return _open(spec, table, diffused)


def open_score(
    spec: str, *, objects: Objects, notice: Notice, batch: int | None = None, device: str | None = None
) -> Opened[Score]:
    """Returns a CLIP model as a judge of how alike images and texts are; `objects` gives an image's bytes.

    Raises InputError for a spec that names none, ProviderError for a folder without weights.
    """

    def loaded(name: str) -> Opened[Score]:
        return Opened(open_clip.identity(name), judge.score_port(name, objects=objects, batch=batch, device=device))

    def embedded(name: str) -> Opened[Score]:
        return _telling(loaded(name), notice, open_clip.NOTICE)

    def replayed(path: str) -> Opened[Score]:
        return Opened(replay.identity(Path(path)), replay.score_port(replay.read(Path(path))))

    return _open(spec, {"embedded": embedded, "replay:": replayed}, loaded)


def open_compare(
    spec: str, *, objects: Objects, notice: Notice, batch: int | None = None, device: str | None = None
) -> Opened[Compare]:
    """Returns a CLIP model as a judge of which of many texts an image is most alike; `objects` gives the list too.

    It is the one that `open_score` opened for the spec, if `objects`, `batch` and `device` are the same: loaded once.
    Raises InputError for a spec that names none, ProviderError for a folder without weights.
    """

    def loaded(name: str) -> Opened[Compare]:
        return Opened(open_clip.identity(name), judge.compare_port(name, objects=objects, batch=batch, device=device))

    def embedded(name: str) -> Opened[Compare]:
        return _telling(loaded(name), notice, open_clip.NOTICE)

    def replayed(path: str) -> Opened[Compare]:
        return Opened(replay.identity(Path(path)), replay.compare_port(replay.read(Path(path))))

    return _open(spec, {"embedded": embedded, "replay:": replayed}, loaded)


def _open(
    spec: str, table: Mapping[str, Callable[[str], Opened[Port]]], otherwise: Callable[[str], Opened[Port]]
) -> Opened[Port]:
    """Returns what the table has under the spec, or under its prefix ("replay:"), which gets the rest."""
    prefix, colon, rest = spec.partition(":")
    if colon and prefix + colon in table:
        return table[prefix + colon](rest)
    return table.get(spec, otherwise)(spec)


def _telling(opened: Opened[Port], notice: Notice, text: str) -> Opened[Port]:
    """Returns the port, which tells the user something when it is first asked: not where the store answers all."""
    port: Any = opened.port
    lock = threading.Lock()
    tell = functools.cache(lambda: notice(text))

    def ask(request: Any) -> Any:
        with lock:
            tell()
        return port(request)

    return Opened(opened.model, cast(Port, ask))
