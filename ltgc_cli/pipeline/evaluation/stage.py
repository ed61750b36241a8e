"""eval as a plan: what is measured, on what. Loads no torch until a classifier is measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ltgc_cli import console
from ltgc_cli.config import Config
from ltgc_cli.errors import InputError
from ltgc_cli.learn import datasets
from ltgc_cli.learn.datasets import Source
from ltgc_cli.pipeline.class_table import class_info
from ltgc_cli.pipeline.evaluation.methods import ClassTable, TestSetup, distinct_names, no_validation
from ltgc_cli.pipeline.generate import source_of
from ltgc_cli.pipeline.session import Session
from ltgc_cli.pipeline.stage import Stage
from ltgc_cli.records import Checkpoint, Class, Metric, Record
from ltgc_cli.settings import Asking, Evaluation

if TYPE_CHECKING:
    from ltgc_cli.pipeline.evaluation.metric_records import Predictions

MEASURES = 2
"""Part of every artifact's hash: raise it when what is measured changes."""


def evaluate(session: Session, config: Config) -> Stage:
    """Returns eval: metric records for every checkpoint of the stream, and for whatever else is to be measured."""
    settings, asking = config[Evaluation], config[Asking]
    data, split = source_of(config), settings.split
    if data is None:
        raise InputError("eval needs --data")
    val = source_of(config, settings.val) if settings.val else None
    if val and not settings.posthoc:
        raise InputError("--val is what --posthoc chooses τ on; add --posthoc, or leave it out")
    test = TestSetup(data, split, settings.clip, val, settings.tte, settings.posthoc, settings.device)
    direct = settings.direct
    opened = session.ask(direct, "lmm", asking, settings.image_size) if direct else None
    identity = session.score(settings.clip).model
    hashed = config.hashed(
        Evaluation,
        clip=identity,
        device=None,
        data=datasets.fingerprint(data, split),
        measures=MEASURES,
        val=_validation(val or data) if settings.posthoc else None,
        direct=opened.model if opened else None,
        image_size=settings.image_size if opened else None,
        max_tokens=asking.max_tokens if opened else None,
    )

    optional = bool(settings.zero_shot or direct or settings.compare)

    def run(given: Iterator[Record]) -> Iterator[Record]:
        from ltgc_cli.pipeline.evaluation import ask_directly, metric_records

        classes: dict[int, Class] = {}
        checkpoints: dict[str, Checkpoint] = {}
        for record in given:
            if isinstance(record, Checkpoint):
                checkpoints[record.id] = record
            elif isinstance(record, Class):
                _add(classes, record)
            yield record
        if not (checkpoints or optional):
            raise InputError("eval found no checkpoint in its input; pipe mix-train into it, or use --zero-shot")
        # A dry run asks, to say what that would cost, and measures nothing.
        table = _class_table(classes.values(), data, split) if settings.zero_shot or direct else None
        if not session.dry and (checkpoints or settings.zero_shot):
            from ltgc_cli.pipeline.evaluation.measure import measure

            names = distinct_names(list(checkpoints.values()))
            yield from _metrics(session, measure(session, test, names, table if settings.zero_shot else None), split)
        if direct and opened and table:
            replies = ask_directly.ask(session, data, split, table, opened, asking.concurrency)
            if not session.dry:
                yield from _metrics(session, ask_directly.measured(replies, table, opened.model), split)
        if settings.compare and not session.dry:
            yield from metric_records.published(settings.compare, asked_directly=bool(direct))

    return Stage("eval", hashed, run, whole=True, optional=optional, by_class=False)


def _validation(source: Source) -> str:
    """Returns the fingerprint of what τ is chosen on: another τ is another measurement."""
    try:
        return datasets.fingerprint(source, "val")
    except InputError as error:
        raise no_validation(error) from None


def _metrics(session: Session, found: Iterable[Predictions | Record], split: str) -> Iterator[Record]:
    """Returns the metrics of each method's predictions, then those of several runs of one method together.

    Other records stay what they are.
    """
    from ltgc_cli.pipeline.evaluation import metric_records

    runs: dict[str, list[list[Metric]]] = {}
    for one in found:
        if isinstance(one, Record):
            yield one
            continue
        if absent := metric_records.check_present(list(one.names), one.labels):
            session.notice_once(f"eval: {absent}")
        rows = metric_records.rows(one, split)
        yield from rows
        if one.run_of:
            runs.setdefault(one.run_of, []).append(rows)
    for method, several in runs.items():
        yield from metric_records.over_runs(method, several)


def _add(classes: dict[int, Class], cls: Class) -> None:
    """Adds a row of the class table. Streams that were put together have each class several times."""
    known = classes.get(cls.label)
    if known and known.class_ != cls.class_:
        raise InputError(
            f"label {cls.label} is {known.class_!r} in one line and {cls.class_!r} in another; "
            "compare checkpoints of one data set"
        )
    if known is None or known.count is None:
        classes[cls.label] = cls


def _class_table(classes: Iterable[Class], data: Source, split: datasets.Split) -> ClassTable:
    """Returns the class table of the stream, else the data's own; with counts of real training images, if known."""
    given = sorted(classes, key=lambda cls: cls.label)
    if given:
        known = {cls.label: cls.count for cls in given if cls.count is not None}
        counts = known if len(known) == len(given) else None
        if counts is None:
            console.notice("eval: the input has no training counts, so many, medium and few are not known")
        return ClassTable(tuple(class_info(cls) for cls in given), counts)
    own = datasets.open_data(data, split).classes
    # A data set that tells no splits apart has only ("train",): its counts may well be the test set's.
    if "train" in (there := datasets.splits(data)) and len(there) > 1:
        return ClassTable(own, {info.label: info.count for info in own})
    console.notice(
        f"eval: {data.spec} has no training images beside these, so many, medium and few are not known; "
        "pipe in the stream with the class table that was trained on"
    )
    return ClassTable(own, None)
