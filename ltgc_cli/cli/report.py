"""`ltgc report`: a run as one HTML file, to be looked at and shown to others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ltgc_cli import console
from ltgc_cli.cli import app
from ltgc_cli.cli import flags as f
from ltgc_cli.cli import options as o


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
        typer.Option("--class", metavar="NAME", help="Show this class alone, with all of its images; repeatable."),
    ] = None,
    size: Annotated[
        float,
        typer.Option(min=1, metavar="MB", help="About how large the file may be; it has fewer images if need be."),
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
    """Show a run in one HTML file: accuracy, gains, every generated image with its score and history, cost.

    The file holds all that it shows: it opens from disk, fetches nothing, and can be sent to others.

    \b
    ltgc report -i eval.jsonl -o report.html
    ltgc eval -i trained.jsonl --data birds-test/ | ltgc report --title "Birds, first run"
    """
    from ltgc_cli.pipeline.report import write_report
    from ltgc_cli.pipeline.stage import reading
    from ltgc_cli.report.settings_draft import Report
    from ltgc_cli.store import Store

    console.configure(quiet=quiet)
    settings = Report(output=output, title=title, class_=tuple(only or ()), size=size, baseline=baseline)
    with reading(f.streams(input, None, True), "report") as given:
        write_report(given, Store(cache_dir or f.default_folder()), settings)
