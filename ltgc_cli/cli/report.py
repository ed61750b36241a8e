"""`ltgc report`: a run as one HTML file, to be looked at and shown to others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ltgc_cli import console
from ltgc_cli.cli import app
from ltgc_cli.cli import flags as f
from ltgc_cli.cli import options as o
from ltgc_cli.errors import InputError

if TYPE_CHECKING:
    from ltgc_cli.pipeline.lineage import Lineage
    from ltgc_cli.records import Record
    from ltgc_cli.report.page import Cost
    from ltgc_cli.report.story import Story
    from ltgc_cli.store import Store

_HEAD = 4096
"""Bytes of a file that are looked at to see whether it is a report."""


@app.command()
def report(
    input: o.Input = None,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The HTML file, which appears when it is complete.",
            rich_help_panel=o.STREAMS,
        ),
    ] = Path("report.html"),
    title: Annotated[str, typer.Option(metavar="TEXT", help="What stands at the top [what the method is].")] = "",
    only: Annotated[
        list[str] | None,
        typer.Option("--class", metavar="NAME", help="Show this class alone, with all of its drawings; repeatable."),
    ] = None,
    size: Annotated[
        float,
        typer.Option(min=1, metavar="MB", help="About how large the file may be; it has fewer pictures if need be."),
    ] = 64,
    baseline: Annotated[
        str,
        typer.Option(
            metavar="METHOD",
            help="What gains are measured against [the strongest method of the stream without generated images].",
        ),
    ] = "",
    cache_dir: o.CacheDir = None,
    quiet: o.Quiet = False,
) -> None:
    """Show a run in one HTML file: accuracy and gains, every drawing with its score and history, what it cost.

    The file holds all that it shows: it opens from disk, fetches nothing, and can be sent to others.

    \b
    ltgc report -i eval.jsonl -o report.html
    ltgc eval -i trained.jsonl --data birds-test/ | ltgc report --title "Birds, first run"
    """
    from ltgc_cli.files import write_atomically
    from ltgc_cli.pipeline import lineage as provenance
    from ltgc_cli.report import page
    from ltgc_cli.report import story as telling
    from ltgc_cli.store import Store

    console.configure(quiet=quiet)
    check_ours(output)
    given, digest = _read(input)
    rows = telling.once(given)
    story = telling.told(rows, baseline)
    story = telling.only(story, only) if only else story
    store = Store(cache_dir or f.default_folder())
    lineage = provenance.trace(digest, store.folder)
    story, pictures = _pictures(story, store, None if only else size)
    text = page.html(
        story,
        pictures=pictures.__getitem__,
        figures=_plots(rows, story, store, lineage),
        runs=[provenance.page_run(done) for done in lineage.runs],
        costs=_costs(rows),
        gap=lineage.gap,
        title=title or page.TITLE,
    )
    write_atomically(output, text.encode(errors="replace"))
    _tell(output, len(text), story, pictures.values())


def _tell(output: Path, size: int, story: Story, addresses: Iterable[str]) -> None:
    from ltgc_cli.report.thumbnails import is_tile

    left = sum(cls.left_out for cls in story.shown)
    lost = sum(map(is_tile, addresses))
    said = f"report: {output}, {size / 1e6:.1f} MB" if size > 1e5 else f"report: {output}, {size / 1e3:.0f} kB"
    if left:
        said += f"; {left:,} pictures were left out (--size, --class)"
    if lost:
        said += f"; {lost:,} pictures could not be read, and have the reason in their place (is this the --cache-dir?)"
    console.notice(said)


def check_ours(output: Path) -> None:
    """Raises InputError where a file would be overwritten that is no report, or its folder is not there."""
    from ltgc_cli.report.page import is_report

    try:
        with output.open("rb") as file:
            start = file.read(_HEAD).decode(errors="replace")
    except FileNotFoundError:
        if not output.parent.is_dir():
            raise InputError(
                f"{output}: there is no folder {output.parent}; make it, or name another with -o"
            ) from None
        return
    except OSError as error:
        raise InputError(f"{output}: {error.strerror}") from None
    if start and not is_report(start):
        raise InputError(f"{output} is there already and is no report of ltgc; name another file with -o")


def _read(input: Path | None) -> tuple[list[Record], str]:
    """Returns the records of the stream, and the sha256 of its bytes."""
    import hashlib
    import sys
    from contextlib import nullcontext

    from ltgc_cli import records
    from ltgc_cli.files import hashing
    from ltgc_cli.pipeline import stage as runner

    if not input and f.nothing_piped():
        raise InputError("report has nothing to read: pipe records into it, or give -i FILE")
    running = hashlib.sha256()
    with input.open("rb") if input else nullcontext(sys.stdin.buffer) as stream:
        lines = hashing(stream, running)
        rows = list(runner.real(records.read(lines, str(input or "stdin"))))
    if not rows:
        raise InputError(f"{input or 'stdin'} holds no records; a report shows what eval, filter or any stage wrote")
    return rows, running.hexdigest()


def _pictures(story: Story, store: Store, size: float | None) -> tuple[Story, dict[str, str]]:
    """Returns the story with the pictures that there is room for, and their addresses by sha256."""
    from ltgc_cli.report import fitting, thumbnails
    from ltgc_cli.report import story as telling

    fit = fitting.Fit(story, thumbnails.SHARP)
    if size is not None:
        fit = fitting.fitted(story, store.get_object, size * 1e6)
    shas = telling.shas(fit.story)
    with console.progress("report", len(shas)) as progress:
        found = thumbnails.thumbnails(shas, store.get_object, fit.pixels, on_each=progress.advance)
    return fit.story, found


def _plots(rows: Sequence[Record], story: Story, store: Store, lineage: Lineage) -> dict[str, str]:
    """Returns the plots that the stream has something for, as SVG by name."""
    from ltgc_cli.pipeline import lineage as provenance
    from ltgc_cli.report import figures

    scored = provenance.with_real_scores(rows, store, lineage.runs)
    both = story.comparison
    gains = (both.baseline.title, both.method.title) if both else ("", "")
    made = {
        "accuracy": figures.accuracy(rows),
        "gains": figures.gains(rows, *gains),
        "distribution": figures.distribution(rows),
        "scores": figures.scores(scored),
        "curves": figures.curves(provenance.curves(rows, store.folder)),
    }
    return {name: figures.svg(figure) for name, figure in made.items() if figure is not None}


def _costs(rows: Iterable[Record]) -> list[Cost]:
    """Returns what the records cost by stage and model, the total last; nothing where nothing was paid."""
    from ltgc_cli import usage as bill
    from ltgc_cli.report.page import Cost

    found = bill.sums(rows, ("stage", "model"))
    if not found:
        return []
    named = [*found.items(), (("all", ""), bill.total(found.values()))]
    return [
        Cost(stage, model, one.new, one.prompt_tokens, one.completion_tokens, one.priced())
        for (stage, model), one in named
    ]
