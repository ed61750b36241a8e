"""`ltgc cost`: what the records of a stream cost, by stage, model and class."""

from __future__ import annotations

from typing import Annotated

import typer

from ltgc_cli import console
from ltgc_cli.cli import app
from ltgc_cli.cli import options as o
from ltgc_cli.errors import InputError, nearest

BY = ("stage", "model", "class")


@app.command()
def cost(
    by: Annotated[
        list[str] | None,
        typer.Option("--by", metavar="stage|model|class", help="What to sum by; repeatable [stage and model]."),
    ] = None,
    input: o.Input = None,
    output: o.Output = None,
    json: o.Json = False,
) -> None:
    """Sum up what the records of a stream cost, by stage, model and class.

    Reads records of any kind, those of a --dry-run too. Writes metric records; on a terminal a table. Asks nobody.

    \b
    ltgc cost -i filtered.jsonl
    ltgc cost --by class -i filtered.jsonl
    ltgc describe --data birds/ --lmm gpt-4o --dry-run | ltgc extend --llm gpt-4o --dry-run | ltgc cost
    """
    import sys

    from ltgc_cli.pipeline.stage import Streams, reading, writing
    from ltgc_cli.pipeline.usage import metrics, rows, sums
    from ltgc_cli.records import dump

    groups = by or ["stage", "model"]
    for name in groups:
        if name not in BY:
            raise InputError(f"--by {name}: one of {', '.join(BY)} is wanted{nearest(name, BY)}")
    streams = Streams(input, output, json)
    with reading(streams, "cost") as given:
        found = sums(given, groups)
    with writing(streams) as write:
        for metric in metrics(found, groups):
            write(f"{dump(metric)}\n".encode())
    if not found:
        console.notice("cost: nothing in the stream cost anything: what embedded and local models do is free")
    if not output and not json:
        columns = (*groups, "records", "tokens in", "tokens out", "US dollars")
        console.table("", columns, rows(found), stream=None if console.is_terminal() else sys.stderr)
