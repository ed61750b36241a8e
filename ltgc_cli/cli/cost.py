"""`ltgc cost`: what the records of a stream cost, by stage, model and class."""

from __future__ import annotations

from ltgc_cli import console
from ltgc_cli.cli.app import app
from ltgc_cli.cli.flags import command
from ltgc_cli.config import Config
from ltgc_cli.settings import Cost, Input, Output


@command(app)
def cost(config: Config) -> None:
    """Sum up what the records of a stream cost, by stage, model and class.

    Reads records of any kind, those of a --dry-run too. Writes metric records; on a terminal a table. Asks nobody.

    \b
    ltgc cost -i filtered.jsonl
    ltgc cost --by class -i filtered.jsonl
    ltgc describe --data birds/ --lmm gpt-4o --dry-run | ltgc extend --llm gpt-4o --dry-run | ltgc cost
    """
    from ltgc_cli.pipeline.streams import Streams, output_of, reading, writing
    from ltgc_cli.records import dump
    from ltgc_cli.usage import metrics, rows, sums

    groups = config[Cost].by or ("stage", "model")
    streams = Streams(config[Input].input, output_of(config), config[Output].json)
    with reading(streams, "cost") as given:
        found = sums(given, groups)
    with writing(streams) as write:
        for metric in metrics(found, groups):
            write(f"{dump(metric)}\n".encode())
    if not found:
        console.notice("cost: nothing in the stream cost anything: what embedded and local models do is free")
    if not streams.json:
        columns = (*groups, "records", "tokens in", "tokens out", "US dollars")
        console.table("", columns, rows(found), streams.table)
