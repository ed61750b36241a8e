"""filter --preview: how real and drawn images score, and what each bar would pass, for a person and for a pipe."""

from __future__ import annotations

import shutil
import sys

from ltgc_cli import console, records
from ltgc_cli import prompts as p
from ltgc_cli.pipeline.session import Asking, Session
from ltgc_cli.pipeline.stage import Streams, reading, real
from ltgc_cli.settings import Judging
from ltgc_cli.stages import preview

_WIDE = 110
"""Columns of a terminal from which on there is room for quantiles beside the histograms."""


def show(
    session: Session,
    streams: Streams,
    *,
    llm: str,
    clip: str,
    settings: Judging,
    prompts: p.Prompts,
    asking: Asking,
    batch: int,
    device: str | None,
) -> None:
    """Prints the table, and writes metric records where stdout is no terminal. Nothing is rewritten or redrawn."""
    llm_model, ask = session.ask(llm, "llm", asking)
    clip_model, score = session.score(clip, batch=batch, device=device)
    with reading(streams, "filter") as given, session.watching("filter --preview"):
        spreads = preview.preview(
            records.by_class(real(given)),
            ask=ask,
            score=score,
            llm=llm_model,
            clip=clip_model,
            settings=settings,
            compare=session.compare(clip, batch=batch, device=device).port if settings.margin is not None else None,
            keep=session.store.put_object,
            prompts=prompts,
            workers=asking.workers,
        )
    person = console.is_terminal() and not streams.json
    if not person:
        for metric in preview.metrics(spreads, settings):
            sys.stdout.write(records.dump(metric) + "\n")
        sys.stdout.flush()
    narrow = person and shutil.get_terminal_size().columns < _WIDE
    console.table("", *preview.table(spreads, settings, narrow=narrow), stream=None if person else sys.stderr)
    asked = session.meter.summary()
    if asked:
        console.notice(f"filter --preview: {asked}")
    bar = "percentile of the originals" if settings.scale == "calibrated" else f"bar on the {settings.scale} scale"
    console.notice(f"filter: a column a {bar}, and the drawings that it passes; * is the one in use (--threshold)")
