"""eval as a plan: what is measured, on what. Loads no torch until a classifier is measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ltgc_cli import console
from ltgc_cli.config import Config
from ltgc_cli.errors import InputError
from ltgc_cli.learn import datasets
from ltgc_cli.learn.datasets import Source
from ltgc_cli.pipeline.class_table import class_info
from ltgc_cli.pipeline.data import open_data
from ltgc_cli.pipeline.evaluation.methods import ClassTable, about_validation, distinct_names
from ltgc_cli.pipeline.generate import source_of
from ltgc_cli.pipeline.session import Session
from ltgc_cli.pipeline.stage import Stage
from ltgc_cli.pipeline.training.check import Dropped, look, whole
from ltgc_cli.records import Checkpoint, Class, Record
from ltgc_cli.settings import Asking, Evaluation

MEASURES = 2  # part of every artifact's hash: raise it when what is measured changes


def evaluate(session: Session, config: Config) -> Stage:
    """Returns eval: metric records for every checkpoint of the stream, and for whatever else is to be measured."""
    settings, asking = config[Evaluation], config[Asking]
    data, split = source_of(config), settings.split
    if data is None:
        raise InputError("eval needs --data")
    val = source_of(config, settings.val) if settings.val else None
    if val and not settings.posthoc:
        raise InputError("--val is what --posthoc chooses τ on; add --posthoc, or leave it out")
    direct = settings.direct
    opened = session.ask(direct, "lmm", asking, settings.image_size) if direct else None
    # Without --clip each checkpoint's own is taken, which its record in the input tells apart.
    identity = session.score(settings.clip or "embedded").model
    with about_validation():
        chosen_on = datasets.fingerprint(val or data, "val") if settings.posthoc else None
    known = {"clip": identity, "device": None, "data": datasets.fingerprint(data, split), "measures": MEASURES}
    known["pixels"] = datasets.pixels_version(data, val)
    asked: dict[str, Any] = {"direct": None, "image_size": None}
    if opened:
        asked = {"direct": opened.model, "image_size": settings.image_size, "max_tokens": asking.max_tokens}
        asked["reasoning_effort"] = asking.reasoning_effort
    drop = Dropped(broken=settings.drop_broken)
    left_out = look(session, data, split).broken if drop.broken else []
    hashed = config.hashed(Evaluation, **known, val=chosen_on, left_out=left_out or None, **asked)
    optional = bool(settings.zero_shot or direct or settings.compare)

    def run(given: Iterator[Record]) -> Iterator[Record]:
        from ltgc_cli.pipeline.evaluation import ask_directly, metric_records

        classes: dict[int, Class] = {}
        checkpoints: dict[str, Checkpoint] = {}
        for record in given:
            if isinstance(record, Checkpoint) and record.classifies:
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
            predictions = measure(session, settings, data, val, names, table if settings.zero_shot else None)
            yield from metric_records.measured(predictions, split, session.notice_once)
        if direct and opened and table:
            dataset = whole(session, data, split, drop).dataset if drop.broken else datasets.open_data(data, split)
            replies = ask_directly.ask(session, dataset, table, opened, asking.concurrency)
            if not session.dry:
                answers = ask_directly.measured(replies, table, opened.model)
                yield from metric_records.measured(answers, split, session.notice_once)
        if settings.compare and not session.dry:
            yield from metric_records.published(settings.compare, asked_directly=bool(direct))

    return Stage("eval", hashed, run, whole=True, optional=optional, by_class=False)


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
    own = open_data(data, split).classes
    # A data set that tells no splits apart has only ("train",): its counts may well be the test set's.
    if "train" in (there := datasets.splits(data)) and len(there) > 1:
        return ClassTable(own, {info.label: info.count for info in own})
    console.notice(
        f"eval: {data.spec} has no training images beside these, so many, medium and few are not known; "
        "pipe in the stream with the class table that was trained on"
    )
    return ClassTable(own, None)
