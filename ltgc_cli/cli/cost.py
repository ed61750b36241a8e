"""`ltgc cost`: what the records of a stream cost, by stage, model and class."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ltgc_cli import console
from ltgc_cli.cli import app
from ltgc_cli.cli import options as o
from ltgc_cli.errors import InputError
from ltgc_cli.text import nearest

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

    from ltgc_cli.records import dump, read
    from ltgc_cli.usage import metrics, rows, sums

    if not input and sys.stdin.isatty():
        raise InputError("cost has nothing to read: pipe records into it, or give -i FILE")
    groups = by or ["stage", "model"]
    for name in groups:
        if name not in BY:
            raise InputError(f"--by {name}: one of {', '.join(BY)} is wanted{nearest(name, BY)}")
    with input.open("rb") if input else sys.stdin.buffer as stream:
        found = sums(read(stream, str(input or "stdin")), groups)
    if output or json or not console.is_terminal():
        text = "".join(dump(metric) + "\n" for metric in metrics(found, groups))
        _write(text, output)
    if not found:
        console.notice("cost: nothing in the stream cost anything: what embedded and local models do is free")
    if not output and not json:
        columns = (*groups, "records", "tokens in", "tokens out", "US dollars")
        console.table("", columns, rows(found), stream=None if console.is_terminal() else sys.stderr)


def _write(text: str, output: Path | None) -> None:
    import sys

    from ltgc_cli.files import write_atomically

    if output:
        write_atomically(output, text.encode())
    else:
        sys.stdout.write(text)
