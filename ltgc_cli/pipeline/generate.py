"""The stages that make images, describe to filter, put together: from settings to stages that are ready to run.

The commands, `ltgc run`, `ltgc demo`, forecasts and the Python API all come through here. A stage's own module is
imported when it runs: what its artifact answers needs none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ltgc_cli import console, prompts, records, trial
from ltgc_cli.answers import READER
from ltgc_cli.config import Config
from ltgc_cli.engine import in_order
from ltgc_cli.errors import InputError
from ltgc_cli.learn import checks, datasets
from ltgc_cli.learn.datasets.names import as_read
from ltgc_cli.pipeline import senses as senses_file
from ltgc_cli.pipeline.class_table import class_info, class_record
from ltgc_cli.pipeline.data import check_names, open_data
from ltgc_cli.pipeline.session import Session
from ltgc_cli.pipeline.stage import Stage
from ltgc_cli.ports import Generate
from ltgc_cli.prompts import PAPER, Prompts
from ltgc_cli.providers import Opened
from ltgc_cli.providers.t2i import image_api
from ltgc_cli.providers.workers import pool
from ltgc_cli.records import Class, Group, Image, Metric, Record, identify
from ltgc_cli.review import verdict_file
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
    Style,
    TextToImage,
    Workers,
)
from ltgc_cli.stages import verdicts
from ltgc_cli.text import agreeing, counted

if TYPE_CHECKING:
    from ltgc_cli.stages.filter import Round

TRIAL = 1  # part of every filter artifact's hash: raise it when what CLIP is tried on changes

TAILS = {"few": 20}
"""Names for --tail besides a number of images."""


def describe(session: Session, config: Config) -> Stage:
    """Returns describe over a data set, or over the class and image records of the stream where none is named."""
    settings, asking = config[Describe], config[Asking]
    data = source_of(config)
    texts = prompts.load(settings.prompts)
    model, ask, tries = session.ask(settings.lmm, "lmm", asking, settings.image_size)
    below = tail_below(settings.tail)
    known = senses_file.load(settings.senses) if settings.senses else {}

    def one(item: tuple[Class, Record]) -> list[Record]:
        from ltgc_cli.stages.describe import describe

        cls, record = item
        if isinstance(record, Image) and record.origin == "original" and cls.tail:
            return describe(record, cls, ask=ask, tries=tries, model=model, prompts=texts)
        return [record]

    def with_senses(groups: list[Group]) -> list[Group]:
        from ltgc_cli.stages import senses

        if settings.senses:
            classes = [group.cls for group in groups]
            groups = senses.with_names(groups, senses_file.senses_by_label(classes, known, settings.senses))
        if data:
            check_names([group.cls for group in groups], settings.lmm, given=data.classes is not None)
        if settings.disambiguate:
            see = partial(senses.with_senses, ask=ask, tries=tries, model=model, prompts=texts)
            groups = see(groups, workers=asking.concurrency)
            _report_senses(session, [group.cls for group in groups])
        return groups

    def run(given: Iterator[Record]) -> Iterator[Record]:
        groups: Iterable[Group] = originals(data, below, session.keep) if data else records.by_class(given)
        if data or known or settings.disambiguate:  # all of these look at all names at once
            groups = with_senses(list(groups))
        if data:
            groups = list(groups)
            for text in checks.check_table([class_info(group.cls) for group in groups]):  # before anything is paid
                console.notice(f"describe: {text}: mix-train will not train on these")
            session.expect(sum(map(_originals, groups)))
        rows = ((group.cls, row) for group in groups for row in group.rows)
        return _flat(in_order(one, rows, asking.concurrency))

    source = datasets.fingerprint(data, "train") if data else ""
    known_senses = msgspec.to_builtins(known) if settings.senses else None
    hashed = config.hashed(
        Describe, Asking, lmm=model, tail=below, senses=known_senses, prompts=_replaced(texts), reader=READER
    )
    return Stage("describe", hashed, run, source, work=_originals)


def extend(session: Session, config: Config) -> Stage:
    """Returns extend over the classes of the stream, or over classes that are only named."""
    settings, asking = config[Extend], config[Asking]
    if settings.senses and not settings.class_:
        raise InputError("--senses goes with --class here; for classes of a data set give it to ltgc describe")
    texts = prompts.load(settings.prompts)
    model, ask, tries = session.ask(settings.llm, "llm", asking)
    classes = list(named(settings.class_))
    known = {}
    if settings.senses:
        known = senses_file.senses_by_label(classes, senses_file.load(settings.senses), settings.senses)

    def run(given: Iterator[Record]) -> Iterator[Record]:
        from ltgc_cli.stages import senses
        from ltgc_cli.stages.extend import extend

        def one(group: Group) -> list[Record]:
            check_names([group.cls], settings.llm, given=True)
            return extend(group, ask=ask, tries=tries, model=model, want=settings.n, prompts=texts)

        groups: Iterable[Group] = records.by_class(given)
        if classes:
            groups = senses.with_names([Group(cls, []) for cls in classes], known)
            check_names([group.cls for group in groups], settings.llm, given=True)
        return _flat(in_order(one, groups, asking.concurrency))

    source = hashlib.sha256("\0".join(settings.class_).encode()).hexdigest() if classes else ""
    known_senses = msgspec.to_builtins(known) if settings.senses else None
    hashed = config.hashed(Extend, Asking, llm=model, senses=known_senses, prompts=_replaced(texts), reader=READER)
    return Stage("extend", hashed, run, source, work=lambda group: group.cls.tail)


def reflect(session: Session, config: Config) -> Stage:
    """Returns reflect over the classes of the stream."""
    settings, asking = config[Reflect], config[Asking]
    texts = prompts.load(settings.prompts)
    model, ask, tries = session.ask(settings.llm, "llm", asking)

    def run(given: Iterator[Record]) -> Iterator[Record]:
        from ltgc_cli.stages import reflect

        k, rounds, near = settings.k, settings.rounds, settings.near
        stage = partial(
            reflect.reflect, ask=ask, tries=tries, model=model, k=k, rounds=rounds, near=near, prompts=texts
        )
        counts: list[reflect.DescriptionCount] = []

        def one(group: Group) -> tuple[list[Record], reflect.DescriptionCount]:
            rows = stage(group)
            # Placeholders repeat themselves: how many a model's answers would come to, nobody knows in a dry run.
            return rows, reflect.count(group.cls, group.rows if session.dry else rows)

        for rows, count in in_order(one, records.by_class(given), asking.concurrency):
            counts += [count] if count.tail else []
            yield from rows
        session.remarks += [] if session.dry else reflect.summary(counts, k)
        session.remarks += reflect.more_than_wanted({one.class_: one.described for one in counts}, k)

    return Stage(
        "reflect",
        config.hashed(Reflect, Asking, llm=model, prompts=_replaced(texts), reader=READER),
        run,
        caveats=("real answers repeat themselves more, or less, than placeholders: the number of rounds is a guess",),
    )


def render(session: Session, config: Config) -> Stage:
    """Returns render over the classes of the stream."""
    model, generate = _opened(session, config)

    def run(given: Iterator[Record]) -> Iterator[Record]:
        from ltgc_cli.stages.render import render

        groups, plain = records.by_class(given), config[Render].plain
        batch = session.at_once(config[TextToImage].t2i, config[Computing].batch)
        return _flat(render(groups, generate=generate, model=model, style=config[Style], batch=batch, plain=plain))

    api = config[TextToImage].t2i.startswith("litellm:")
    return Stage(
        "render",
        config.hashed(Render, Style, TextToImage, t2i=model),
        run,
        caveats=("at the price of the finest quality, which the API may choose",) if api else (),
    )


def filter(session: Session, config: Config) -> Stage:
    """Returns filter over the whole stream: its threshold may be common to all classes."""
    settings, judging, asking, computing = config[Filter], config[Judging], config[Asking], config[Computing]
    check_threshold(judging)
    texts = prompts.load(settings.prompts)
    by_hand = verdict_file.load(settings.verdicts) if settings.verdicts else None
    t2i, generate = _opened(session, config)
    llm, ask, tries = session.ask(settings.llm, "llm", asking)
    clip, score = session.score(settings.clip, batch=computing.batch, device=computing.device)
    compare = session.compare(settings.clip, batch=computing.batch, device=computing.device).port

    def run(given: Iterator[Record]) -> Iterator[Record]:
        from ltgc_cli.stages.filter import evaluate, useless

        found = evaluate(
            records.by_class(given),
            ask=ask,
            tries=tries,
            generate=generate,
            score=score,
            compare=compare,
            keep=session.keep,
            llm=llm,
            t2i=t2i,
            clip=clip,
            verdicts=by_hand or {},
            settings=judging,
            style=config[Style],
            prompts=texts,
            workers=asking.concurrency,
            batch=session.at_once(config[TextToImage].t2i, computing.batch),
            on_trial=lambda tried: report_trial(session, tried),
            on_round=lambda done: _report_round(session, done),
        )
        if lost := useless(row for rows in found for row in rows):
            answers = counted(lost, "rewriting")
            console.notice(
                f"filter: {answers} said nothing new or nothing of use: images were regenerated from old texts"
            )
        if by_hand is not None:
            there = verdicts.image_keys((row for rows in found for row in rows), replaced=True)
            console.notice(f"filter: {verdicts.summary(by_hand, there)}")
        return _flat(found)

    hashed = config.hashed(
        Filter,
        Judging,
        Style,
        TextToImage,
        Asking,
        llm=llm,
        t2i=t2i,
        clip=clip,
        threshold=judging.level,
        verdicts=None if by_hand is None else verdicts.fingerprint(by_hand),
        prompts=_replaced(texts),
        reader=READER,
        trial=TRIAL,
    )
    caveats = ("at the most: as if no generated image ever passed",) if judging.mode == "refine" else ()
    return Stage("filter", hashed, run, whole=True, caveats=caveats, finish=_repeat_doubt)


def source_of(config: Config, data: str | None = None) -> datasets.Source | None:
    """Returns the data set that a command's settings name, None where they name none.

    data -- other images of the same kind: validation or test images
    """
    named = config[Data]
    spec = data or named.data
    if not spec:
        return None
    return datasets.Source(spec, named.root, named.classes, named.image_column, named.label_column)


def _opened(session: Session, config: Config) -> Opened[Generate]:
    """Returns the text-to-image model. Raises InputError for settings that an image API does not take."""
    model, computing = config[TextToImage], config[Computing]
    if model.t2i.startswith("litellm:"):  # before filter pays for its questions
        image_api.check(model.t2i.removeprefix("litellm:"), [config[Style], model, computing])
    if config[Workers].engine == "ray":
        pool.check()
    return session.generate(
        model.t2i,
        batch=computing.batch,
        t2i_config=model.t2i_config,
        lora=model.lora,
        device=computing.device,
        dtype=model.dtype,
        compile=model.compile,
        attention_slicing=model.attention_slicing,
        api_base=model.t2i_api_base,
        model_id=model.t2i_model_id,
    )


def check_threshold(judging: Judging) -> None:
    """Raises InputError for a threshold that the scale does not have, and warns of one that is probably not meant."""
    level, scale = judging.level, judging.scale
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
    if not tail.isascii() or not tail.isdigit():
        raise InputError(f"--tail {tail}: a number of training images is wanted, or one of: {', '.join(TAILS)}")
    return int(tail)


def named(names: Sequence[str]) -> Iterator[Class]:
    """Returns classes that have no data, labelled in the order given, under names as people write them."""
    if len(set(names)) < len(names):
        raise InputError("--class names one class twice")
    for name in names:
        if not name.strip() or not name.isprintable():
            raise InputError(f"--class {name!r}: a name in one line is wanted")
    for info in as_read([datasets.ClassInfo(label=label, name=name) for label, name in enumerate(names)]):
        yield Class(label=info.label, class_=info.name, synonyms=info.synonyms, tail=True)


def originals(data: datasets.Source, below: int, keep: Callable[[bytes], str]) -> Iterator[Group]:
    """Returns the data set class by class: the class record, and the original images of a tail class."""
    dataset = open_data(data, "train")
    items: dict[int, list[datasets.Item]] = {}
    for item in dataset.items:
        items.setdefault(item.label, []).append(item)
    for info in dataset.classes:
        cls = class_record(info, below)
        rows: list[Record] = [cls]
        for item in items.get(info.label, []) if cls.tail else []:
            sha256 = keep(datasets.image_bytes(dataset, item))
            image = Image(label=info.label, class_=info.name, sha256=sha256, origin="original", name=item.name)
            rows.append(identify(image, item.name, sha256))
        yield Group(cls, rows)


def _originals(group: Group) -> int:
    return group.cls.tail * len(group.originals)


def _report_senses(session: Session, classes: Sequence[Class]) -> None:
    for cls in classes:
        if cls.made and cls.made.prompt.startswith("sense") and cls.sense:
            session.report(f"describe: {cls.class_} (label {cls.label}) is taken as: {cls.sense}")


def _replaced(texts: Prompts) -> Any:
    return None if texts == PAPER else msgspec.to_builtins(texts)


def report_trial(session: Session, tried: Sequence[Metric]) -> None:
    """Says how well CLIP tells the originals' classes apart, and what to think of a judge that does not."""
    session.report(f"filter: {trial.words(tried[-1])}")
    doubt = trial.doubt(tried[-1])
    if doubt and not session.dry:
        (console.warning if trial.trust(tried[-1]) == "poor" else console.notice)(f"filter: {doubt}")
    elif weak := trial.weak(tried):
        session.report(f"filter: trust less the thresholds of classes that CLIP mostly takes for others: {weak}")


def _repeat_doubt(artifact: Path) -> None:
    """Says again, under the summary, what to think of a judge that cannot tell the classes apart."""
    with artifact.open("rb") as lines:
        tried = [line for line in lines if f'"{trial.NAME}","group":"all"'.encode() in line]
    metric = trial.of_all(map(records.parse, (line.decode() for line in tried)))
    if metric and trial.trust(metric) == "poor":
        console.warning(f"filter: {trial.doubt(metric)}")


def _report_round(session: Session, done: Round) -> None:
    if not done.scored:
        return
    share, images = done.passed / done.scored, counted(done.scored, "generated image")
    passed = f"{done.passed:,} of {images} {agreeing(done.passed, 'passes', 'pass')}"
    again = f"; {done.regenerated:,} {agreeing(done.regenerated, 'is', 'are')} rewritten and regenerated"
    session.report(f"filter: round {done.number}: {passed} ({share:.0%}){again if done.regenerated else ''}")


def _flat(lists: Iterable[list[Record]]) -> Iterator[Record]:
    for rows in lists:
        yield from rows
