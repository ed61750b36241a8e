"""The command that classifies images with a trained checkpoint: predict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ltgc_cli import console
from ltgc_cli.cli import app
from ltgc_cli.cli import options as o
from ltgc_cli.errors import FELL_SHORT

_ROWS = 40
"""Images shown in a table; lines have them all."""


@app.command()
def predict(
    images: Annotated[list[Path], typer.Argument(help="Image files, and folders of them.", show_default=False)],
    checkpoint: Annotated[
        Path, typer.Option(metavar="DIR", help="What mix-train --out wrote, or a folder of the store's checkpoints.")
    ],
    top: Annotated[int, typer.Option(min=1, help="How many classes are named for each image.")] = 5,
    tte: Annotated[
        bool, typer.Option("--tte", help="Test-time ensembling, as LIFT does it: the mean logits of five crops.")
    ] = False,
    clip: Annotated[
        str | None,
        typer.Option(envvar="LTGC_CLIP", metavar="MODEL", help="The CLIP that it was trained on [the checkpoint's]."),
    ] = None,
    device: o.Device = None,
    output: o.Output = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Classify images with a checkpoint: the likeliest classes of each, one line of JSON an image.

    Reads image files and a checkpoint's folder. Writes a line for each image, or one with the reason why it cannot be
    read. Asks nobody.

    \b
    ltgc predict --checkpoint trained/ photo.jpg
    ltgc predict --checkpoint trained/ photo.jpg more-photos/ | jq -r '[.image, .top[0].class] | @tsv'
    """
    import json as jsonlib

    from ltgc_cli.pipeline.evaluation import predict as predicting
    from ltgc_cli.pipeline.stage import Streams, writing

    console.configure(quiet=quiet)
    files = predicting.image_files(images)
    person = console.is_terminal() and not output and not json
    shown: list[tuple[str, ...]] = []
    failed = 0
    with writing(Streams(output=output, json=json)) as write:
        for row in predicting.predict(files, checkpoint, top=top, tte=tte, clip=clip, device=device):
            if row["kind"] == "failure":
                failed += 1
                console.error(row["reason"])
            write((jsonlib.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n").encode())
            if person and row["kind"] == "prediction" and len(shown) < _ROWS:
                shown.append(_cells(row))
    if person:
        console.table("", ("image", "class", "%", "or"), shown)
        if len(files) - failed > len(shown):
            console.notice(f"… and {len(files) - failed - len(shown):,} more; -o FILE has them all")
    if failed:
        raise typer.Exit(FELL_SHORT)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    first, *others = row["top"]
    rest = ", ".join(f"{one['class']} {100 * one['probability']:.1f}" for one in others)
    return row["image"], first["class"], f"{100 * first['probability']:.1f}", rest
