"""The report of a stream: its records, with what the store knows of where they came from, as one HTML file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from ltgc_cli import console, records, usage, written
from ltgc_cli.errors import InputError
from ltgc_cli.manifest import Manifest
from ltgc_cli.pipeline import lineage
from ltgc_cli.pipeline.dry_run import real
from ltgc_cli.records import Record
from ltgc_cli.report import figures, neighbours, page
from ltgc_cli.report.content import Content, content_of, only, without_repeats
from ltgc_cli.report.thumbnails import SHARP, fitted, is_tile, thumbnails
from ltgc_cli.settings import Report
from ltgc_cli.store import Store
from ltgc_cli.text import agreeing, counted


def write_report(given: Iterable[Record], target: written.Target, settings: Report) -> None:
    """Writes a stream's report as one HTML file.

    Raises InputError, before the stream is read, as `written.check`; for an empty stream; and where a name is not
    known.
    """
    output, store = target.path, Store(target.store)
    written.check(target)
    rows = list(real(iter(given)))
    if not rows:
        raise InputError("report found no records in its input; it shows what eval, filter or any stage wrote")
    lines = hashlib.sha256()  # the store knows a stream by the hash of its lines
    for row in rows:
        lines.update(f"{records.dump(row)}\n".encode())
    runs, gap = lineage.trace(lines.hexdigest(), store.folder)
    rows = without_repeats(rows)
    content = content_of(rows, settings.baseline)
    pixels = SHARP
    if settings.class_:
        content = only(content, settings.class_)
    else:
        content, pixels = fitted(content, store.get_object, settings.size * 1e6)
    with console.progress("report", len(content.images)) as progress:
        images = thumbnails(content.images, store.get_object, pixels, on_each=progress.advance)
    near = neighbours.neighbours(content, images)
    costs = usage.sums(rows, ("stage", "model"))
    text = page.html(
        content,
        images=images.__getitem__,
        figures=_figures(rows, settings.baseline, near, store, runs),
        near=near,
        runs=[lineage.page_run(run) for run in runs],
        costs=usage.rows(costs) if costs else (),
        gap=gap,
        title=settings.title or page.TITLE,
    )
    written.write(target, text.encode(errors="replace"))
    _notify(output, len(text), content, images.values())


def _figures(
    rows: Sequence[Record], baseline: str, near: neighbours.Neighbours, store: Store, runs: Sequence[Manifest]
) -> dict[str, str]:
    """Returns the plots that the records have something for, as SVG by name."""
    made = {
        "accuracy": figures.accuracy(rows),
        "by_count": figures.by_count(rows, baseline),
        "gains": figures.gains(rows, baseline),
        "distribution": figures.distribution(rows),
        "scores": figures.scores(rows, lineage.real_scores(rows, store, runs)),
        "confusion": figures.confusion(rows),
        "margins": figures.margins(rows),
        "rounds": figures.rounds(rows),
        "alike": neighbours.figure(near),
        "curves": figures.curves(lineage.curves(rows, store.folder)),
    }
    return {name: figures.svg(figure) for name, figure in made.items() if figure is not None}


def _notify(output: Path, size: int, content: Content, addresses: Iterable[str]) -> None:
    left_out = sum(cls.left_out for cls in content.shown)
    lost = sum(map(is_tile, addresses))
    text = f"report: {output}, {size / 1e6:.1f} MB" if size > 1e5 else f"report: {output}, {size / 1e3:.0f} kB"
    if left_out:
        text += f"; {counted(left_out, 'image')} {agreeing(left_out, 'was', 'were')} left out (--size, --class)"
    if lost:
        with_reason = agreeing(lost, "has the reason in its place", "have the reason in their place")
        text += f"; {counted(lost, 'image')} could not be read, and {with_reason} (is this the --cache-dir?)"
    console.notice(text)
