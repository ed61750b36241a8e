"""What the stages that make images do with a stream, once nothing has answered for them: describe to filter.

`generate` says what they are and by what their artifacts are found, and imports this when one of them runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain

from ltgc_cli import console, copies, records, trial
from ltgc_cli.config import Config
from ltgc_cli.engine import AtOnce, in_order, in_parts
from ltgc_cli.errors import Refused, Unreadable
from ltgc_cli.learn import checks
from ltgc_cli.learn.datasets import Item, Source
from ltgc_cli.pipeline import adapter, ahead, originals, shards
from ltgc_cli.pipeline import senses as senses_file
from ltgc_cli.pipeline.adapter import Adapters
from ltgc_cli.pipeline.class_table import class_info, named
from ltgc_cli.pipeline.data import check_names
from ltgc_cli.pipeline.originals import Originals
from ltgc_cli.pipeline.session import Asked, Session
from ltgc_cli.pipeline.shards import Shard
from ltgc_cli.pipeline.streams import read_again
from ltgc_cli.ports import Compare, Generate, Score
from ltgc_cli.prompts import Prompts
from ltgc_cli.providers import Opened
from ltgc_cli.records import Class, Group, Image, Metric, Record, failed
from ltgc_cli.settings import Asking, Computing, Describe, Extend, Judging, Reflect, Render, Style, TextToImage
from ltgc_cli.stages import reflect as reflecting
from ltgc_cli.stages import senses, verdicts
from ltgc_cli.stages.describe import describe as described
from ltgc_cli.stages.extend import extend as extended
from ltgc_cli.stages.filter import Round, evaluate, useless
from ltgc_cli.stages.render import Without
from ltgc_cli.stages.render import render as rendered
from ltgc_cli.stages.senses import NameInfo
from ltgc_cli.text import agreeing, counted


def describe(
    given: Iterator[Record], session: Session, config: Config, asked: Asked, texts: Prompts, *, data: Source | None,
    below: int, known: Mapping[str, NameInfo], shard: Shard | None,
) -> Iterator[Record]:  # fmt: skip
    """Returns describe's records, over a data set where there is one."""
    settings, asking = config[Describe], config[Asking]
    model, ask, tries = asked

    def one(item: tuple[Class, Record | Item], found: Originals | None = None) -> list[Record]:
        cls, record = item
        if found and isinstance(record, Item):
            try:
                record = originals.read(found, cls, record, session.keep)
            except Unreadable as error:
                return [failed(cls, "describe", f"{record.name}: {error}", (record.name,))]
            except Refused as error:  # it was there when the run began
                session.meter.unread()
                return [failed(cls, "describe", f"{record.name}: {error}")]
        assert isinstance(record, Record)
        if isinstance(record, Image) and record.origin == "original" and cls.tail:
            return described(record, cls, ask=ask, tries=tries, model=model, prompts=texts)
        return [record]

    def with_names(groups: list[Group]) -> list[Group]:
        if settings.senses:
            classes = [group.cls for group in groups]
            groups = senses.with_names(groups, senses_file.senses_by_label(classes, known, settings.senses))
        if data:
            check_names([group.cls for group in groups], settings.lmm, given=data.classes is not None)
        return groups

    def with_senses(groups: list[Group]) -> list[Group]:
        groups = senses.with_senses(
            groups, ask=ask, tries=tries, model=model, prompts=texts, workers=asking.concurrency
        )
        _report_senses(session, [group.cls for group in groups])
        return groups

    def parted(groups: list[Group]) -> Sequence[Group]:
        places = shards.places("describe", shard, len(groups))
        return groups[places.start : places.stop]

    def of_data(data: Source) -> Iterator[Record]:
        found = originals.listed(data, below, shard)
        groups = with_names([Group(cls, [cls]) for cls in found.classes])
        if settings.disambiguate:
            unclear = senses.ambiguous([group.cls for group in groups])
            groups = with_senses(originals.shown(found, groups, unclear, senses.SHOWN, session.keep))
        for text in checks.check_table([class_info(group.cls) for group in groups]):  # before anything is paid
            console.notice(f"describe: {text}: mix-train will not train on these")
        session.expect(found.total())
        rows = originals.rows(found, parted(groups))
        return flat(in_order(partial(one, found=found), rows, asking.concurrency))

    if data:
        return of_data(data)
    groups: Iterable[Group] = records.by_class(given)
    if shard:
        groups = shards.without_others_lines(groups, shard)
    if known or settings.disambiguate:  # both look at all names at once
        groups = with_names(list(groups))
        groups = with_senses(groups) if settings.disambiguate else groups
    if shard:
        groups = parted(list(groups))
    groups = _with_images(groups, session)
    rows = ((group.cls, row) for group in groups for row in group.rows)
    return flat(in_order(one, rows, asking.concurrency))


def extend(
    given: Iterator[Record], config: Config, asked: Asked, texts: Prompts, *, known: Mapping[int, NameInfo],
    shard: Shard | None,
) -> Iterator[Record]:  # fmt: skip
    """Returns extend's records, over classes that are only named where some are."""
    settings = config[Extend]
    model, ask, tries = asked

    def one(group: Group, at_once: AtOnce) -> list[Record]:
        check_names([group.cls], settings.llm, given=True)
        return extended(group, ask=ask, tries=tries, model=model, want=settings.n, prompts=texts, at_once=at_once)

    groups: Iterable[Group] = records.by_class(given)
    if settings.class_:
        own = senses.with_names([Group(cls, []) for cls in named(settings.class_)], known)
        check_names([group.cls for group in own], settings.llm, given=True)
        places = shards.places("extend", shard, len(own))
        groups = own[places.start : places.stop]
    return flat(in_parts(one, groups, config[Asking].concurrency))


def reflect(
    given: Iterator[Record], session: Session, config: Config, asked: Asked, texts: Prompts
) -> Iterator[Record]:
    """Returns reflect's records, and leaves remarks on how many descriptions the classes have."""
    settings = config[Reflect]
    model, ask, tries = asked
    counts: list[reflecting.DescriptionCount] = []

    def one(group: Group, at_once: AtOnce) -> tuple[list[Record], reflecting.DescriptionCount]:
        rows = reflecting.reflect(
            group, ask=ask, tries=tries, model=model, k=settings.k, rounds=settings.rounds, near=settings.near,
            prompts=texts, at_once=at_once,
        )  # fmt: skip
        # Placeholders repeat themselves: how many a model's answers would come to, nobody knows in a dry run.
        return rows, reflecting.count(group.cls, group.rows if session.dry else rows)

    for rows, count in in_parts(one, records.by_class(given), config[Asking].concurrency):
        counts += [count] if count.tail else []
        yield from rows
    session.remarks += [] if session.dry else reflecting.summary(counts, settings.k)
    session.remarks += reflecting.more_than_wanted({one.class_: one.described for one in counts}, settings.k)


def render(
    given: Iterator[Record], session: Session, config: Config, opened: Opened[Generate], adapters: Adapters
) -> Iterator[Record]:
    """Returns render's records, the images by the adapter of the stream where it has one."""
    settings, given = config[Render], adapter.peeked(adapters.watch(given))
    if (first := next(given, None)) is None:  # a part without a class knows of no adapter
        return iter(())
    batch = session.at_once(config[TextToImage].t2i, config[Computing].batch)
    model, generate = adapter.adapted(session, config, opened, adapters.found)
    without = None
    if settings.unadapted:
        without = Without(settings.unadapted, adapter.unadapted(session, config, opened, adapters.found))
    groups = records.by_class(chain([first], given))
    return flat(
        rendered(
            groups,
            generate=generate,
            model=model,
            style=config[Style],
            batch=batch,
            plain=settings.plain,
            without=without,
        )
    )


def filter(
    given: Iterator[Record], session: Session, config: Config, asked: Asked, texts: Prompts, *, t2i: Opened[Generate],
    clip: Opened[Score], compare: Compare, by_hand: verdicts.Verdicts | None, shard: Shard | None,
) -> Iterator[Record]:  # fmt: skip
    """Returns filter's records; the stream is read more than once."""
    judging, adapters = config[Judging], Adapters()
    lost, there, copied = 0, set[verdicts.ImageKey](), list[Record]()
    given = adapter.peeked(adapters.watch(given))
    if judging.mode == "refine":  # else nothing is generated, and nothing need be there
        t2i = adapter.adapted(session, config, t2i, adapters.found)
    with read_again(given, session.store.folder) as lines:
        for rows in evaluate(
            lambda: records.by_class(lines()),
            ask=asked.port,
            tries=asked.tries,
            generate=t2i.port,
            score=clip.port,
            compare=compare,
            keep=session.keep,
            llm=asked.model,
            t2i=t2i.model,
            clip=clip.model,
            verdicts=by_hand or {},
            settings=judging,
            style=config[Style],
            prompts=texts,
            workers=config[Asking].concurrency,
            batch=session.at_once(config[TextToImage].t2i, config[Computing].batch),
            part=partial(shards.places, "filter", shard),
            on_trial=lambda tried: report_trial(session, tried),
            on_round=lambda done: _report_round(session, done),
        ):
            lost += useless(rows)
            there |= verdicts.image_keys(rows, replaced=True) & by_hand.keys() if by_hand else set()
            copied += [row for row in rows if isinstance(row, Metric) and row.name == copies.NAME]
            yield from rows
    if lost:
        answers = counted(lost, "rewriting")
        console.notice(f"filter: {answers} said nothing new or nothing of use: images were regenerated from old texts")
    if judging.novelty is not None and (found := copies.words(copied)):
        session.report(f"filter: {found}")
    if by_hand is not None:
        console.notice(f"filter: {verdicts.summary(by_hand, there)}")


def _with_images(groups: Iterable[Group], session: Session) -> Iterator[Group]:
    """Returns the classes; one whose images are not there stops the run before its first question."""
    for group in groups:
        if not all(session.store.object_path(one.sha256).is_file() for one in ahead.tail_originals(group)):
            session.look_first(partial(ahead.check_images, [group], ahead.tail_originals, session.store))
        yield group


def _report_senses(session: Session, classes: Sequence[Class]) -> None:
    for cls in classes:
        if cls.made and cls.made.prompt.startswith("sense") and cls.sense:
            session.report(f"describe: {cls.class_} (label {cls.label}) is taken as: {cls.sense}")


def report_trial(session: Session, tried: Sequence[Metric]) -> None:
    """Says how well CLIP tells the originals' classes apart, and what to think of a judge that does not."""
    session.report(f"filter: {trial.words(tried[-1])}")
    doubt = trial.doubt(tried[-1])
    if doubt and not session.dry:
        (console.warning if trial.trust(tried[-1]) == "poor" else console.notice)(f"filter: {doubt}")
    elif weak := trial.weak(tried):
        session.report(f"filter: trust less the thresholds of classes that CLIP mostly takes for others: {weak}")


def _report_round(session: Session, done: Round) -> None:
    if not done.scored:
        return
    share, images = done.passed / done.scored, counted(done.scored, "generated image")
    passed = f"{done.passed:,} of {images} {agreeing(done.passed, 'passes', 'pass')}"
    again = f"; {done.regenerated:,} {agreeing(done.regenerated, 'is', 'are')} rewritten and regenerated"
    session.report(f"filter: round {done.number}: {passed} ({share:.0%}){again if done.regenerated else ''}")


def flat(lists: Iterable[list[Record]]) -> Iterator[Record]:
    for rows in lists:
        yield from rows
