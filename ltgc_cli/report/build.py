"""A report, made of records and written: what `ltgc report`, `demo`, `run` and `ltgc.write_report` have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ltgc_cli import console, usage
from ltgc_cli.files import write_atomically
from ltgc_cli.records import Record
from ltgc_cli.report import figures, page
from ltgc_cli.report.content import Content, content_of, only, without_repeats
from ltgc_cli.report.page import Run
from ltgc_cli.report.thumbnails import SHARP, fitted, is_tile, thumbnails
from ltgc_cli.settings import Report
from ltgc_cli.store import Store


class Provenance(NamedTuple):
    """What the store knows of where records came from."""

    runs: Sequence[Run] = ()  # the runs that led to them, the first one first
    gap: str = ""  # where the way back through the runs is broken, in words
    curves: Mapping[str, Sequence[Mapping[str, float]]] = {}  # the training curve of each method
    real_scores: Mapping[int, Sequence[float]] = {}  # what the real images scored, by label


def write(rows: Iterable[Record], store: Store, provenance: Provenance, settings: Report) -> None:
    """Writes the report of some records. Raises InputError where the file is no report, or a name is not known."""
    rows = without_repeats(rows)
    content = content_of(rows, settings.baseline)
    content = only(content, settings.class_) if settings.class_ else content
    content, images = _thumbnails(content, store, None if settings.class_ else settings.size)
    costs = usage.sums(rows, ("stage", "model"))
    text = page.html(
        content,
        images=images.__getitem__,
        figures=_figures(rows, content, provenance),
        runs=provenance.runs,
        costs=usage.rows(costs) if costs else (),
        gap=provenance.gap,
        title=settings.title or page.TITLE,
    )
    page.check_output(settings.output)  # again: reading the records may have taken long
    write_atomically(settings.output, text.encode(errors="replace"))
    _notify(settings.output, len(text), content, images.values())


def _thumbnails(content: Content, store: Store, size: float | None) -> tuple[Content, dict[str, str]]:
    """Returns the content with the images that there is room for, and their addresses by sha256."""
    pixels = SHARP
    if size is not None:
        content, pixels = fitted(content, store.get_object, size * 1e6)
    with console.progress("report", len(content.images)) as progress:
        return content, thumbnails(content.images, store.get_object, pixels, on_each=progress.advance)


def _figures(rows: Sequence[Record], content: Content, provenance: Provenance) -> dict[str, str]:
    """Returns the plots that the records have something for, as SVG by name."""
    both = content.comparison
    gains = (both.baseline.title, both.method.title) if both else ("", "")
    made = {
        "accuracy": figures.accuracy(rows),
        "gains": figures.gains(rows, *gains),
        "distribution": figures.distribution(rows),
        "scores": figures.scores(rows, provenance.real_scores),
        "curves": figures.curves(provenance.curves),
    }
    return {name: figures.svg(figure) for name, figure in made.items() if figure is not None}


def _notify(output: Path, size: int, content: Content, addresses: Iterable[str]) -> None:
    left_out = sum(cls.left_out for cls in content.shown)
    lost = sum(map(is_tile, addresses))
    text = f"report: {output}, {size / 1e6:.1f} MB" if size > 1e5 else f"report: {output}, {size / 1e3:.0f} kB"
    if left_out:
        text += f"; {left_out:,} images were left out (--size, --class)"
    if lost:
        text += f"; {lost:,} images could not be read, and have the reason in their place (is this the --cache-dir?)"
    console.notice(text)
