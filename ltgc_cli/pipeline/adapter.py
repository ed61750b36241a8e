"""The text-to-image model of a stage, with the adapter that `ltgc adapt` left in the stream where there is one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import msgspec

from ltgc_cli.config import Config
from ltgc_cli.errors import InputError
from ltgc_cli.files import read_regular, sha256_file
from ltgc_cli.pipeline.session import Session
from ltgc_cli.ports import Generate
from ltgc_cli.providers import Opened
from ltgc_cli.providers.t2i.examples import LORA
from ltgc_cli.records import Checkpoint, Record
from ltgc_cli.settings import Computing, Judging, Style, TextToImage, Workers
from ltgc_cli.text import one_line


class Own(NamedTuple):
    """The adapter of a stream: what errors call it, and the name of the model that it is one of."""

    name: str
    t2i: str | None


class Adapters:
    """Takes note of the adapter in a stream whose records pass by."""

    def __init__(self) -> None:
        self.found: Checkpoint | None = None

    def watch(self, given: Iterable[Record]) -> Iterator[Record]:
        """Returns the records. Raises InputError for a second adapter, and for one behind the lines of a class."""
        begun = False
        for record in given:
            if isinstance(record, Checkpoint) and not record.classifies:
                self._note(record, begun)
            begun = begun or record.label >= 0
            yield record

    def _note(self, record: Checkpoint, begun: bool) -> None:
        if self.found and self.found.sha256 != record.sha256:
            two = f"{self.found.sha256[:12]} and {record.sha256[:12]}"
            raise InputError(f"the stream has two adapters, {two}: take the line of one of them out")
        if begun and not self.found:
            raise InputError(
                f"the adapter {record.sha256[:12]} stands behind lines of classes; its line belongs before them, "
                "as ltgc adapt writes it"
            )
        self.found = record


def peeked(given: Iterator[Record]) -> Iterator[Record]:
    """Returns the records, those up to the first of a class already read: among them is the adapter, if there is one.

    >>> from ltgc_cli.records import Checkpoint, Class
    >>> adapters, stream = Adapters(), [Checkpoint(sha256="a", of="t2i"), Class(label=0, tail=True)]
    >>> rows = peeked(adapters.watch(stream))
    >>> adapters.found.sha256, len(list(rows))
    ('a', 2)
    """
    head: list[Record] = []
    for record in given:
        head.append(record)
        if record.label >= 0:
            break
    return chain(head, given)


def look_ahead(config: Config) -> None:
    """Raises InputError or ProviderError for what would stop the first image: a LoRA, a scheduler, no cluster."""
    model, workers = config[TextToImage], config[Workers]
    if workers.engine == "ray":
        from ltgc_cli.providers.workers import joining

        joining.reach(workers.ray_address)
    if config.command == "render" or config[Judging].mode == "refine":
        from ltgc_cli.providers.t2i import diffusers  # what an artifact answers ends without

        diffusers.look(model.t2i, model.lora, config[Style].scheduler, model.t2i_config)


def opened(session: Session, config: Config, lora: str | None) -> Opened[Generate]:
    """Returns the text-to-image model with a LoRA. Raises InputError for settings that an image API does not take."""
    model, computing = config[TextToImage], config[Computing]
    if model.t2i.startswith("litellm:"):  # before filter pays for its questions
        from ltgc_cli.providers.t2i import image_api

        image_api.check(model.t2i.removeprefix("litellm:"), [config[Style], model, computing])
    if config[Workers].engine == "ray":
        from ltgc_cli.providers.workers import pool

        pool.check(config[Workers])
    return session.generate(
        model.t2i,
        batch=computing.batch,
        t2i_config=model.t2i_config,
        lora=lora,
        lora_scale=model.lora_scale if lora else None,
        device=computing.device,
        dtype=model.dtype,
        compile=model.compile,
        attention_slicing=model.attention_slicing,
        api_base=model.t2i_api_base,
        model_id=model.t2i_model_id,
    )


def adapted(session: Session, config: Config, given: Opened[Generate], adapter: Checkpoint | None) -> Opened[Generate]:
    """Returns the text-to-image model with the adapter of the stream, or as it is given where the stream has none.

    In a dry run in which adapt was tried too there are no weights yet: the model is then given another name, so that
    all of its images count as new.
    Raises InputError for a LoRA besides, for another model's adapter, and for one that is not whole in the store.
    """
    from ltgc_cli.pipeline.dry_run import PLACEHOLDER  # what an artifact answers needs no dry run

    check(config[TextToImage], given.model, Own(adapter.sha256[:12], adapter.settings.get("t2i")) if adapter else None)
    if adapter is None:
        return given
    if PLACEHOLDER in adapter.rest:
        return Opened(f"{given.model} + an adapter to come", given.port)
    return opened(session, config, str(folder_of(session, adapter) / LORA))


def check(model: TextToImage, name: str, own: Own | None) -> None:
    """Returns nothing where a model goes with the adapter of its stream, or with none.

    name -- what the model is called, a LoRA apart; own -- the adapter, None where the stream has none
    """
    if own is None:
        if model.lora_scale is not None and not model.lora:
            raise InputError(
                f"--lora-scale {model.lora_scale:g} is a LoRA's strength, and there is none: name one by --lora, or "
                "pass on what ltgc adapt wrote"
            )
        return
    if model.lora:
        raise InputError(
            f"--lora {model.lora}: the stream has an adapter of its own, {own.name}; leave --lora out, or "
            "take the adapter's line out of the stream"
        )
    if own.t2i != (here := without_dtype(name, model.dtype)):
        raise InputError(
            f"--t2i {model.t2i} is {here}, and the adapter of the stream is one of {own.t2i}: name that model, or "
            "adapt this one"
        )


def unadapted(
    session: Session, config: Config, given: Opened[Generate], adapter: Checkpoint | None
) -> Opened[Generate]:
    """Returns the text-to-image model without any LoRA. Raises InputError where it has none anyway."""
    if adapter:
        return given
    if not config[TextToImage].lora:
        raise InputError("--unadapted: no LoRA is in use, so its images would be the same again; leave it out")
    return opened(session, config, None)


def folder_of(session: Session, adapter: Checkpoint) -> Path:
    """Returns the folder of an adapter. Raises InputError where it is not as it was made."""
    session.store.object_path(adapter.sha256)  # its name leads nowhere else
    folder = session.folder / "checkpoints" / adapter.sha256
    if why := damage(folder):
        raise InputError(
            f"the adapter {adapter.sha256[:12]} of the stream is not whole in {session.folder} ({why}): the same "
            "ltgc adapt makes it again, and ltgc cache import brings another store's"
        )
    return folder


def damage(folder: Path) -> str:
    """Returns why an adapter's folder is not what was made, "" where it is."""
    try:
        files = msgspec.json.decode(read_regular(folder / "done.json"), type=_Done).files
        wrong = [name for name, sha256 in files.items() if sha256_file(folder / name) != sha256]
    except FileNotFoundError:
        return "it is not there"
    except InputError as error:
        return str(error)
    except (OSError, ValueError, RecursionError) as error:
        return f"its done.json cannot be read: {one_line(getattr(error, 'strerror', '') or error)}"
    if LORA not in files:
        return f"it has no {LORA}"
    return f"{wrong[0]} was changed since" if wrong else ""


class _Done(msgspec.Struct):
    """As much of done.json as is checked: the sha256 of each file."""

    files: dict[str, str]


def without_dtype(model: str, dtype: str | None) -> str:
    """Returns a model's name without the precision that it was asked for: an adapter fits the model in any.

    >>> without_dtype("a/b (float16)", "float16"), without_dtype("a/b", None)
    ('a/b', 'a/b')
    """
    return model.removesuffix(f" ({dtype})")
