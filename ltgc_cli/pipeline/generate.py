"""The stages that make images, describe to filter, put together: from settings to stages that are ready to run.

The commands, `ltgc run`, `ltgc demo`, forecasts and the Python API all come through here. What a stage does with its
records is in `runs`, which is imported when one runs: what its artifact answers needs none of it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ltgc_cli import console, prompts, records
from ltgc_cli.answers import MOST_AT_ONCE, READER
from ltgc_cli.config import Config
from ltgc_cli.errors import InputError
from ltgc_cli.files import whole_lines
from ltgc_cli.pipeline import adapter, ahead, shards
from ltgc_cli.pipeline.adapter import Adapters
from ltgc_cli.pipeline.session import Session
from ltgc_cli.pipeline.stage import Stage
from ltgc_cli.prompts import PAPER, Prompts
from ltgc_cli.records import Group, Record
from ltgc_cli.settings import (
    HIGHEST,
    Asking,
    Computing,
    Data,
    Describe,
    Extend,
    Filter,
    Judging,
    Reflect,
    Render,
    Sharding,
    Style,
    TextToImage,
)

if TYPE_CHECKING:
    from ltgc_cli.learn.datasets import Source
    from ltgc_cli.stages.senses import NameInfo

PARTS = 1  # part of extend's hash where one question is not enough: an earlier version put one, and got few lines
TRIAL = 1  # part of every filter artifact's hash: raise it when what CLIP is tried on changes

TAILS = {"few": 20}
"""Names for --tail besides a number of images."""


def describe(session: Session, config: Config) -> Stage:
    """Returns describe over a data set, or over the class and image records of the stream where none is named."""
    settings, asking = config[Describe], config[Asking]
    data, shard, below = source_of(config), shards.shard_of(config), tail_below(settings.tail)
    texts, known = prompts.load(settings.prompts), _senses(settings.senses)
    asked = session.ask(settings.lmm, "lmm", asking, settings.image_size)

    def run(given: Iterator[Record]) -> Iterator[Record]:
        from ltgc_cli.pipeline import runs

        return runs.describe(given, session, config, asked, texts, data=data, below=below, known=known, shard=shard)

    hashed = config.hashed(
        Describe,
        Asking,
        Sharding,
        lmm=asked.model,
        tail=below,
        senses=msgspec.to_builtins(known) if settings.senses else None,
        prompts=_replaced(texts),
        reader=READER,
    )
    source = _fingerprint(data) if data else ""
    # Of a part, the images of the others may be in other stores.
    shown = None if shard else ahead.tail_originals
    whole = bool(shard)
    return Stage("describe", hashed, run, source, work=_originals, whole=whole, shown=shown, makes_images=True)


def extend(session: Session, config: Config) -> Stage:
    """Returns extend over the classes of the stream, or over classes that are only named."""
    settings, asking, shard = config[Extend], config[Asking], shards.shard_of(config)
    if settings.senses and not settings.class_:
        raise InputError("--senses goes with --class here; for classes of a data set give it to ltgc describe")
    texts = prompts.load(settings.prompts)
    asked = session.ask(settings.llm, "llm", asking)
    check_named(settings.class_)
    known = _senses_of_named(settings)

    def run(given: Iterator[Record]) -> Iterator[Record]:
        from ltgc_cli.pipeline import runs

        return runs.extend(given, config, asked, texts, known=known, shard=shard)

    def work(group: Group) -> int:
        from ltgc_cli.pipeline.data import check_names
        from ltgc_cli.stages.extend import in_questions

        check_names([group.cls], settings.llm, given=True)
        return group.cls.tail * len(in_questions(settings.n))

    hashed = config.hashed(
        Extend,
        Asking,
        Sharding,
        llm=asked.model,
        parts=PARTS if settings.n > MOST_AT_ONCE else None,
        senses=msgspec.to_builtins(known) if settings.senses else None,
        prompts=_replaced(texts),
        reader=READER,
    )
    source = hashlib.sha256("\0".join(settings.class_).encode()).hexdigest() if settings.class_ else ""
    return Stage("extend", hashed, run, source, work=work, shard=shard)


def reflect(session: Session, config: Config) -> Stage:
    """Returns reflect over the classes of the stream."""
    settings, asking = config[Reflect], config[Asking]
    texts = prompts.load(settings.prompts)
    asked = session.ask(settings.llm, "llm", asking)

    def run(given: Iterator[Record]) -> Iterator[Record]:
        from ltgc_cli.pipeline import runs

        return runs.reflect(given, session, config, asked, texts)

    return Stage(
        "reflect",
        config.hashed(Reflect, Asking, Sharding, llm=asked.model, prompts=_replaced(texts), reader=READER),
        run,
        caveats=("real answers repeat themselves more, or less, than placeholders: the number of rounds is a guess",),
        shard=shards.shard_of(config),
    )


def render(session: Session, config: Config) -> Stage:
    """Returns render over the classes of the stream."""
    opened = adapter.opened(session, config, config[TextToImage].lora)
    adapters = Adapters()

    def run(given: Iterator[Record]) -> Iterator[Record]:
        from ltgc_cli.pipeline import runs

        return runs.render(given, session, config, opened, adapters)

    api = config[TextToImage].t2i.startswith("litellm:")
    return Stage(
        "render",
        config.hashed(Render, Style, TextToImage, Sharding, t2i=opened.model),
        run,
        shard=shards.shard_of(config),
        watch=adapters.watch,
        makes_images=True,
        caveats=("at the price of the finest quality, which the API may choose",) if api else (),
    )


def filter(session: Session, config: Config) -> Stage:
    """Returns filter over the whole stream: its threshold may be common to all classes."""
    settings, judging, asking, computing = config[Filter], config[Judging], config[Asking], config[Computing]
    check_threshold(judging)
    texts, shard = prompts.load(settings.prompts), shards.shard_of(config)
    by_hand, verdicts = None, None
    if settings.verdicts:
        from ltgc_cli.review import verdict_file
        from ltgc_cli.stages.verdicts import fingerprint

        by_hand = verdict_file.load(settings.verdicts)
        verdicts = fingerprint(by_hand)
    t2i = adapter.opened(session, config, config[TextToImage].lora)
    asked = session.ask(settings.llm, "llm", asking)
    clip = session.score(settings.clip, batch=computing.batch, device=computing.device)
    compare = session.compare(settings.clip, batch=computing.batch, device=computing.device).port

    def run(given: Iterator[Record]) -> Iterator[Record]:
        from ltgc_cli.pipeline import runs

        return runs.filter(
            given, session, config, asked, texts, t2i=t2i, clip=clip, compare=compare, by_hand=by_hand, shard=shard
        )

    hashed = config.hashed(
        Filter,
        Judging,
        Style,
        TextToImage,
        Asking,
        Sharding,
        llm=asked.model,
        t2i=t2i.model,
        clip=clip.model,
        threshold=judging.level,
        verdicts=verdicts,
        prompts=_replaced(texts),
        reader=READER,
        trial=TRIAL,
    )
    caveats = ("at the most: as if no generated image ever passed",) if judging.mode == "refine" else ()
    return Stage(
        "filter",
        hashed,
        run,
        whole=True,
        caveats=caveats,
        finish=_repeat_doubt,
        shown=ahead.all_images,
        makes_images=True,
    )


def source_of(config: Config, data: str | None = None) -> Source | None:
    """Returns the data set that a command's settings name, None where they name none.

    data -- other images of the same kind: validation or test images
    """
    named = config[Data]
    spec = data or named.data
    if not spec:
        return None
    from ltgc_cli.learn.datasets import Source

    return Source(spec, named.root, named.classes, named.image_column, named.label_column, named.follow_links)


def check_threshold(judging: Judging) -> None:
    """Raises InputError for a threshold that the scale does not have, and warns of one that is probably not meant."""
    level, scale = judging.level, judging.scale
    if scale == "margin" and judging.margin is not None:
        raise InputError("--margin: on the margin scale --threshold is the margin")
    if scale == "calibrated" and not 0 <= level <= 100:
        raise InputError(f"--threshold {level}: on the calibrated scale it is a percentile, from 0 to 100")
    if scale != "calibrated" and level > HIGHEST[scale]:
        raise InputError(f"--threshold {level:g}: no score on the {scale} scale is above {HIGHEST[scale]:g}")
    if judging.threshold is not None and scale == "calibrated" and 0 < level < 1:
        console.notice(
            f"filter: --threshold {level:g} is a percentile of the originals' scores here; "
            "for a threshold on the raw cosine add --scale cosine"
        )


def tail_below(tail: str) -> int:
    """Returns the count below which a class is a tail class, from a number or a name (`few`)."""
    if tail in TAILS:
        return TAILS[tail]
    if not re.fullmatch("[0-9]{1,9}", tail):
        raise InputError(f"--tail {tail}: a number of training images is wanted, or one of: {', '.join(TAILS)}")
    return int(tail)


def check_named(names: Sequence[str]) -> None:
    """Raises InputError for names of classes that cannot be."""
    if len(set(names)) < len(names):
        raise InputError("--class names one class twice")
    for name in names:
        if not name.strip() or not name.isprintable():
            raise InputError(f"--class {name!r}: a name in one line is wanted")


def _senses(path: Path | None) -> Mapping[str, NameInfo]:
    if not path:
        return {}
    from ltgc_cli.pipeline import senses

    return senses.load(path)


def _senses_of_named(settings: Extend) -> Mapping[int, NameInfo]:
    if not settings.senses:
        return {}
    from ltgc_cli.pipeline import senses
    from ltgc_cli.pipeline.class_table import named

    return senses.senses_by_label(list(named(settings.class_)), senses.load(settings.senses), settings.senses)


def _fingerprint(data: Source) -> str:
    from ltgc_cli.learn import datasets

    return datasets.fingerprint(data, "train")


def _originals(group: Group) -> int:
    return group.cls.tail * len(group.originals)


def _replaced(texts: Prompts) -> Any:
    return None if texts == PAPER else msgspec.to_builtins(texts)


def _repeat_doubt(artifact: Path) -> None:
    """Says again, under the summary, what to think of a judge that cannot tell the classes apart."""
    from ltgc_cli import trial

    with artifact.open("rb") as lines:
        tried = [line for line in whole_lines(lines, artifact) if f'"{trial.NAME}","group":"all"'.encode() in line]
    metric = trial.of_all(map(records.parse, (line.decode() for line in tried)))
    if metric and trial.trust(metric) == "poor":
        console.warning(f"filter: {trial.doubt(metric)}")
