"""`ltgc report`: one HTML file that shows a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ltgc_cli import console
from ltgc_cli.cli import app
from ltgc_cli.cli import options as o
from ltgc_cli.errors import InputError

if TYPE_CHECKING:
    from ltgc_cli.records import Record
    from ltgc_cli.report.story import Story
    from ltgc_cli.store import Store


@app.command()
def report(
    input: o.Input = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The HTML file, which appears when it is complete.")
    ] = Path("report.html"),
    title: Annotated[str, typer.Option(help="What stands at the top.")] = "Long-tail recognition with generated images",
    only: Annotated[
        list[str] | None,
        typer.Option("--class", metavar="NAME", help="Only this class, with all its drawings; repeatable."),
    ] = None,
    size: Annotated[
        float, typer.Option(min=1, metavar="MB", help="About how large the file may become: fewer pictures if need be.")
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
    """Make one HTML file that shows a run: accuracy, every drawing with its score, what it cost. Opens from disk.

    \b
    ltgc report -i eval.jsonl -o report.html
    ltgc mix-train -i filtered.jsonl --data birds/ | ltgc eval --data birds-test/ | ltgc report
    """
    from ltgc_cli import records
    from ltgc_cli.cli.session import default_folder
    from ltgc_cli.report import page, story, thumbnails
    from ltgc_cli.store import Store

    console.configure(quiet=quiet)
    assert input
    with input.open("rb") as stream:
        rows = list(records.read(stream, str(input)))
    told = story.told(rows, baseline)
    store = Store(cache_dir or default_folder())
    pictures = thumbnails.thumbnails(story.shas(told), store.get_object)
    output.write_text(page.html(told, pictures=pictures.__getitem__, title=title))
