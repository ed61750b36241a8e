"""adapt: a LoRA of the text-to-image model, trained on original images, so that it generates in their look.

Loads no torch until something is trained.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ltgc_cli import console, records
from ltgc_cli.config import Config
from ltgc_cli.errors import InputError, ProviderError, Refused
from ltgc_cli.files import check_new_folder, copy_folder, read_regular, sha256_file, write_atomically
from ltgc_cli.learn import datasets
from ltgc_cli.learn.datasets import Item, Source
from ltgc_cli.pipeline import adapter, looks, originals
from ltgc_cli.pipeline.class_table import agreed, class_record
from ltgc_cli.pipeline.data import open_data
from ltgc_cli.pipeline.generate import source_of
from ltgc_cli.pipeline.originals import Originals
from ltgc_cli.pipeline.session import Session
from ltgc_cli.pipeline.stage import Stage
from ltgc_cli.pipeline.streams import read_again
from ltgc_cli.providers import extras
from ltgc_cli.providers.t2i import diffusers
from ltgc_cli.providers.t2i.examples import LORA, PIPELINES, Example
from ltgc_cli.records import Checkpoint, Group, Image, Record, identify
from ltgc_cli.settings import Adapt, AdaptedModel, AdaptRun
from ltgc_cli.stages.adapt import examples
from ltgc_cli.text import counted

_SETTINGS = "settings.json"
_SHOWN = 3  # files that are no image, by their names
# Part of every artifact's hash, and of what an adapter is told apart by: raise it when the same settings train to other
# weights.
VERSION = 1


class Learnt(NamedTuple):
    """What is learnt from."""

    examples: list[Example]
    classes: int
    get: Callable[[str], bytes]
    """Gives an image's bytes by its sha256, those that a dry run does not store too."""


def adapt(session: Session, config: Config) -> Stage:
    """Returns adapt: one record, the adapter's checkpoint, before the lines of the stream; an earlier one is left out.

    Raises InputError for a model that cannot be adapted.
    """
    how, model = config[AdaptRun], config[AdaptedModel]
    data = source_of(config)
    check(model, how)
    name = diffusers.identity(model.t2i, config=model.t2i_config)
    known = {"t2i": name, "data": _fingerprint(data), "pixels": datasets.pixels_version(data), "version": VERSION}
    flags = config.hashed(Adapt, AdaptedModel, **known)

    def run(given: Iterator[Record]) -> Iterator[Record]:
        with read_again(given, session.folder) as lines:
            learnt = learn_from(records.by_class(lines()), session, config[Adapt].from_classes, data)
            yield _checkpoint(session, config, flags, learnt)
            yield from (row for row in lines() if not isinstance(row, Checkpoint) or row.classifies)

    def lasts(artifact: Path) -> bool:
        return not adapter.damage(_folder(session, artifact))

    def finish(artifact: Path) -> None:
        if how.out:
            _copy_out(_folder(session, artifact), how.out)

    return Stage("adapt", flags, run, whole=True, optional=bool(data), finish=finish, lasts=lasts)


def look_ahead(config: Config) -> None:
    """Raises InputError for a package that the training needs and that is not here."""
    if config[Adapt].adam_8bit:
        extras.check("--adam-8bit", "bitsandbytes", "adam8bit")


def check_enough(most: int, least: int, *, data: bool) -> None:
    """Raises InputError where the largest class has fewer images than a class needs to be learnt from.

    data -- whether all training images of a data set count
    """
    if most < least:
        raise _too_few(most, least, data)


def learn_from(groups: Iterable[Group], session: Session, least: int, data: Source | None) -> Learnt:
    """Returns what is learnt from: the images of classes with at least so many, of the data where some is named.

    What is no image is left out, which is said: it is no reason to stop behind stages that were paid for.
    Raises InputError where no class has so many, and where a label is another class in the data.
    """
    of_data = _Photos(data, session) if data else None
    get = of_data.get if of_data else session.store.get_object
    found: list[Example] = []
    broken: list[str] = []
    classes = most = 0
    for group in of_data.all(groups) if of_data else groups:
        number = of_data.count(group) if of_data else len(group.originals)
        most = max(most, number)
        if group.cls.label >= 0 and number >= least:
            classes += 1
            images, missing = of_data.images(group) if of_data else (group.originals, [])
            whole = [image for image in images if looks.readable(partial(get, image.sha256))]
            broken += missing + [image.name or image.sha256[:12] for image in images if image not in whole]
            found += examples(group.cls, whole, group.rows)
    if broken:
        session.remarks.append(f"{counted(len(broken), 'file')} left out, no image: {', '.join(broken[:_SHOWN])}")
    if not found:
        raise _too_few(most, least, bool(data))
    return Learnt(found, classes, get)


def _too_few(most: int, least: int, data: bool) -> InputError:
    more = "" if data else "; with --data DATA all training images count, not those of the stream alone"
    has = f"the largest has {most:,}: --from-classes {most}" if most else "none has any"
    return InputError(f"no class has {counted(least, 'image')} to learn from, and {has}{more}")


class _Photos:
    """The training images of a data set, class by class; a dry run reads them where they lie, and keeps none."""

    def __init__(self, data: Source, session: Session) -> None:
        self._unstored: dict[str, Callable[[], bytes]] = {}
        self._session = session
        dataset = open_data(data, "train")
        self._table = {info.label: info for info in dataset.classes}
        self._items: dict[int, list[Item]] = {}
        for item in dataset.items:
            self._items.setdefault(item.label, []).append(item)
        self._found = Originals(dataset, [], self._items)

    def all(self, groups: Iterable[Group]) -> Iterator[Group]:
        """Returns the classes of a stream, and then those of the data that it lacks."""
        there = set()
        for group in groups:
            if group.cls.label >= 0:
                there.add(agreed(self._table, group.cls).label)
            yield group
        for label in sorted(self._table.keys() - there):
            yield Group(class_record(self._table[label], 0), [])

    def count(self, group: Group) -> int:
        return len(self._items.get(group.cls.label, ()))

    def images(self, group: Group) -> tuple[list[Image], list[str]]:
        """Returns the images of a class, whose bytes are in the store from now on, and what cannot be read."""
        found, missing = [], []
        for item in self._items[group.cls.label]:
            try:
                image = originals.read(self._found, group.cls, item, self._session.keep)
            except Refused:  # not so where the store cannot keep it: that stops the run
                missing.append(item.name)
                continue
            if self._session.dry:
                self._unstored[image.sha256] = partial(datasets.image_bytes, self._found.dataset, item)
            found.append(image)
        return found, missing

    def get(self, sha256: str) -> bytes:
        """Returns an image's bytes, from where it lies in a dry run."""
        return self._unstored[sha256]() if sha256 in self._unstored else self._session.store.get_object(sha256)


def _checkpoint(session: Session, config: Config, flags: Mapping[str, Any], learnt: Learnt) -> Checkpoint:
    """Returns the record of the adapter, which is trained where it is not there; a dry run says how long that takes."""
    from ltgc_cli.pipeline.dry_run import PLACEHOLDER

    content = [flags, learnt.examples]
    sha256 = hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()
    folder = session.folder / "checkpoints" / sha256
    about = {**flags, "images": len(learnt.examples), "classes": learnt.classes}
    trained = not adapter.damage(folder)
    if session.dry and not trained:
        session.remarks.append(_forecast(session, config, learnt))
    elif not trained:
        _train(session, config, learnt, folder, about)
    if not session.dry or trained:  # as it was when it was trained: with what was left open as it was used
        about = msgspec.json.decode(read_regular(folder / _SETTINGS))
    record = identify(Checkpoint(sha256=sha256, method="adapt", settings=about, of="t2i"), sha256)
    return record if trained or not session.dry else records.evolve(record, rest={PLACEHOLDER: True})


def _train(session: Session, config: Config, learnt: Learnt, folder: Path, about: Mapping[str, Any]) -> None:
    """Trains an adapter into a folder; one that was begun there is gone on with. What marks it as whole comes last."""
    from ltgc_cli.providers.t2i import adapting

    model, settings = config[AdaptedModel], config[Adapt]
    (folder / "done.json").unlink(missing_ok=True)  # where it is damaged

    def on_resume(step: int, steps: int) -> None:
        console.notice(f"adapt: went on at step {step:,} of {steps:,}")

    with console.progress(f"adapting to {counted(len(learnt.examples), 'image')}", settings.steps) as progress:

        def on_report(step: int, steps: int, loss: float) -> None:
            if not progress.done:
                progress.go_on_from(step)
            progress.advance(step - progress.done, f"loss {loss:.4f}")

        adapting.adapt(
            model.t2i,
            learnt.examples,
            settings,
            folder,
            objects=learnt.get,
            device=model.device,
            dtype=model.dtype,
            config=model.t2i_config,
            notice=session.notice_once,
            on_report=on_report,
            on_resume=on_resume,
        )
    used = msgspec.to_builtins(adapting.resolved(model.t2i, settings))
    write_atomically(folder / _SETTINGS, _json({**about, "lr": used["lr"], "batch": used["batch"]}))
    hashes = {name: sha256_file(folder / name) for name in (LORA, _SETTINGS)}
    write_atomically(folder / "done.json", _json({"t2i": about["t2i"], "files": hashes}))
    console.notice(f"adapt: {_said(learnt, settings)}; the adapter is in {folder}")


def _forecast(session: Session, config: Config, learnt: Learnt) -> str:
    """Returns on what an adapter would be trained, and how long that takes here."""
    from ltgc_cli.providers.t2i import adapting

    model, settings = config[AdaptedModel], config[Adapt]

    try:
        seconds = adapting.seconds_a_step(
            model.t2i,
            learnt.examples,
            settings,
            objects=learnt.get,
            device=model.device,
            dtype=model.dtype,
            config=model.t2i_config,
        )
    except ProviderError as error:
        return f"would learn from {_said(learnt, settings)}; how long that takes cannot be measured: {error}"
    return (
        f"would learn from {_said(learnt, settings)}; it takes about {console.duration(seconds * settings.steps)} here"
    )


def _said(learnt: Learnt, settings: Adapt) -> str:
    images, classes = counted(len(learnt.examples), "image"), counted(learnt.classes, "class")
    return f"{images} of {classes}, {counted(settings.steps, 'step')}"


def cannot(t2i: str) -> str:
    """Returns why a text-to-image model cannot be adapted, "" where it can, as far as its spec and a folder say.

    >>> cannot("embedded"), cannot("stabilityai/sd-turbo")
    ('', '')
    >>> cannot("litellm:dall-e-3")
    '--t2i litellm:dall-e-3 cannot be adapted: name a model that diffusers loads, or embedded'
    """
    if t2i == "blank" or t2i.startswith(("litellm:", "replay:")):
        return f"--t2i {t2i} cannot be adapted: name a model that diffusers loads, or embedded"
    try:
        family = msgspec.json.decode(read_regular(Path(t2i) / "model_index.json"), type=_Index).family
    except (OSError, ValueError):  # of the hub, or one file; or no model at all, which others say
        return ""
    return f"--t2i {t2i} is a {family}, which cannot be adapted" if family not in PIPELINES else ""


class _Index(msgspec.Struct):
    """As much of a diffusers model's index as is looked at."""

    family: str = msgspec.field(name="_class_name")


def check(model: AdaptedModel, how: AdaptRun) -> None:
    """Raises InputError for what is no model that can be adapted, and for a folder that is there already."""
    if reason := cannot(model.t2i):
        raise InputError(reason)
    if how.out and not how.out.exists():
        check_new_folder(how.out)
    elif how.out and not ((how.out / "done.json").is_file() and (how.out / LORA).is_file()):
        raise InputError(f"{how.out} is there already, and no adapter; name a new folder for --out")


def _fingerprint(data: Source | None) -> str | None:
    return datasets.fingerprint(data, "train") if data else None


def _folder(session: Session, artifact: Path) -> Path:
    """Returns the folder of the adapter that an artifact begins with."""
    with artifact.open("rb") as lines:
        record = next(records.read(lines, str(artifact)))
    assert isinstance(record, Checkpoint)
    return session.folder / "checkpoints" / record.sha256


def _copy_out(source: Path, out: Path) -> None:
    """Copies an adapter to a folder, where its copy may be already. Raises InputError for another folder."""
    if not out.exists():
        copy_folder(source, out)
    elif not (out / "done.json").is_file() or read_regular(out / "done.json") != read_regular(source / "done.json"):
        raise InputError(f"{out} is there already, and no copy of this adapter; name a new folder for --out")
    console.notice(f"adapt: the adapter is in {out}; diffusers' load_lora_weights reads it")


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=1)
