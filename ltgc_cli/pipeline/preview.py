"""filter --preview: how real and generated images score, and what each threshold would pass."""

from __future__ import annotations

import shutil
import sys
from typing import Any, NamedTuple

from ltgc_cli import console, prompts, records
from ltgc_cli.config import Config
from ltgc_cli.errors import InputError
from ltgc_cli.pipeline import generate
from ltgc_cli.pipeline.dry_run import real
from ltgc_cli.pipeline.session import Session
from ltgc_cli.pipeline.streams import Streams, reading
from ltgc_cli.records import Metric
from ltgc_cli.settings import Asking, Computing, Filter, Judging, Limits, Storage
from ltgc_cli.stages import preview

_WIDE = 110
"""Columns of a terminal from which on there is room for quantiles beside the histograms."""


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
    session = Session(config[Storage].folder, config[Limits], config.get("record"))
    seeing = {"batch": computing.batch, "device": computing.device}
    llm, ask = session.ask(settings.llm, "llm", asking)
    clip, score = session.score(settings.clip, **seeing)
    with reading(streams, "filter") as given, session.watching("filter --preview"):
        spreads = preview.preview(
            records.by_class(real(given)),
            ask=ask,
            score=score,
            llm=llm,
            clip=clip,
            settings=judging,
            compare=session.compare(settings.clip, **seeing).port if judging.margin is not None else None,
            keep=session.store.put_object,
            prompts=prompts.load(settings.prompts),
            workers=asking.concurrency,
        )
    return Preview(spreads, list(preview.metrics(spreads, judging)), session.meter.summary())


def show(config: Config, streams: Streams) -> None:
    """Prints the table, and writes metric records where stdout is no terminal."""
    judging = config[Judging]
    found = measure(config, streams)
    if not streams.shown:
        for metric in found.metrics:
            sys.stdout.write(records.dump(metric) + "\n")
        sys.stdout.flush()
    narrow = streams.shown and shutil.get_terminal_size().columns < _WIDE
    stream = None if streams.shown else sys.stderr
    console.table("", *preview.table(found.spreads, judging, narrow=narrow), stream=stream)
    if found.asked:
        console.notice(f"filter --preview: {found.asked}")
    kind = "percentile of the originals" if judging.scale == "calibrated" else f"threshold on the {judging.scale} scale"
    console.notice(f"filter: a column a {kind}, and the generated images that it passes; * is --threshold")
