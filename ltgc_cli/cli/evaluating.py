"""The command that measures: eval."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ltgc_cli.cli import app
from ltgc_cli.cli import flags as f
from ltgc_cli.cli import options as o


@app.command("eval")
def eval_(
    data: o.Data,
    root: o.Root = None,
    classes: o.Classes = None,
    split: Annotated[Literal["test", "val"], typer.Option(help="Which part of a data set that has several.")] = "test",
    zero_shot: Annotated[bool, typer.Option("--zero-shot", help="Measure CLIP itself, untrained, too.")] = False,
    clip: o.Clip = "embedded",
    input: o.Input = None,
    output: o.Output = None,
    json: o.Json = False,
    cache_dir: o.CacheDir = None,
    quiet: o.Quiet = False,
) -> None:
    """Measure accuracy over many-, medium- and few-shot classes on a balanced test set.

    \b
    ltgc eval --data birds-test/ -i trained.jsonl
    ltgc eval --data digits-lt --zero-shot
    """
    from ltgc_cli.cli.evaluating_plan import evaluating

    session = f.session(cache_dir, None, quiet)
    alone = zero_shot and not input and f.nothing_piped()
    plan = evaluating(
        session, data=f.source(data, root, classes), split=split, clip=clip, zero_shot=zero_shot, alone=alone
    )
    f.finish(plan, f.streams(input, output, json, own=alone), session)
