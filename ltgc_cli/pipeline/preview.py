"""filter --preview: how real and generated images score, and what each threshold would pass."""

from __future__ import annotations

from contextlib import closing
from typing import Any, NamedTuple

from ltgc_cli import console, prompts, records
from ltgc_cli.config import Config
from ltgc_cli.errors import InputError
from ltgc_cli.pipeline import generate, runs
from ltgc_cli.pipeline.dry_run import real
from ltgc_cli.pipeline.session import Session
from ltgc_cli.pipeline.streams import Streams, read_again, reading
from ltgc_cli.records import Metric
from ltgc_cli.settings import Asking, Computing, Filter, Judging, Limits, Storage, Workers
from ltgc_cli.stages import preview
from ltgc_cli.stages.clip_trial import try_clip
from ltgc_cli.stages.overview import overview


class Preview(NamedTuple):
    """What was measured, and what it took."""

    spreads: list[Any]
    metrics: list[Metric]
    asked: str


def measure(config: Config, streams: Streams) -> Preview:
    """Returns how the images of a stream score. Nothing is rewritten or regenerated.

    Raises InputError for a dry run or an output file, which a preview has not, and for a threshold that is none.
    """
    settings, judging, asking, computing = config[Filter], config[Judging], config[Asking], config[Computing]
    if config[Limits].dry_run or streams.output:
        raise InputError("--preview shows what filter would do; it goes with neither --dry-run nor -o")
    generate.check_threshold(judging)
    if settings.verdicts:
        console.notice("filter: --preview shows what the scores say; --verdicts is left out")
    session = Session(config[Storage].folder, config[Limits], config.get("record"), engine=config[Workers])
    seeing = {"batch": computing.batch, "device": computing.device}
    llm, ask, tries = session.ask(settings.llm, "llm", asking)
    clip, score = session.score(settings.clip, **seeing)
    compare, keep = session.compare(settings.clip, **seeing).port, session.store.put_object
    with (
        closing(session),
        reading(streams, "filter") as given,
        read_again(real(given), session.store.folder) as lines,
        session.watching("filter --preview"),
    ):
        known = overview(records.by_class(lines()))
        classes, photos = [one.cls for one in known], {one.cls.label: one.originals for one in known}
        tried = try_clip(classes, photos, score=score, compare=compare, keep=keep, model=clip)
        if tried:
            runs.report_trial(session, tried)
        spreads = preview.preview(
            known,
            lambda: records.by_class(lines()),
            ask=ask,
            tries=tries,
            score=score,
            llm=llm,
            clip=clip,
            settings=judging,
            compare=compare,
            keep=keep,
            prompts=prompts.load(settings.prompts),
            workers=asking.concurrency,
        )
    for spread in spreads:
        if spread.trouble:
            console.notice(f"filter: {spread.class_}: {spread.trouble}")
    return Preview(spreads, [*preview.metrics(spreads, judging), *tried], session.meter.summary())
