"""The command that takes generated images elsewhere: export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ltgc_cli import console
from ltgc_cli.cli import app
from ltgc_cli.cli import flags as f
from ltgc_cli.cli import options as o


@app.command()
def export(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="A new folder for the images and the class table.")],
    format: Annotated[
        Literal["imagefolder", "list", "metadata"],
        typer.Option(
            help="imagefolder: a folder for each label, empty ones too; list: `path label` lines; "
            "metadata: Hugging Face's metadata.jsonl."
        ),
    ] = "imagefolder",
    input: o.Input = None,
    cache_dir: o.CacheDir = None,
    quiet: o.Quiet = False,
) -> None:
    """Write the generated images of a stream to a new folder, with their class table (classes.csv).

    Reads class and image records, and the images in the store. Asks nobody.

    Files are named by their hashes. Labels are those of the stream: a folder is named by its label, and there is one
    for every label from 0 on, so that the position of a folder in a listing is its label too.

    \b
    ltgc export -i filtered.jsonl --out new/
    ltgc export -i filtered.jsonl --out new/ --format list   # for --data new/list.txt --classes new/classes.csv
    """
    from ltgc_cli.pipeline import export as exporting
    from ltgc_cli.pipeline.stage import reading, real

    session = f.session(cache_dir, None, quiet)
    with reading(f.streams(input, None, True), "export") as given:
        done = exporting.export(real(given), session.store, out, format)
    console.notice(f"export: {done.images:,} images of {done.classes:,} classes in {out}, with classes.csv")
    if done.repeated:
        console.notice(f"export: {done.repeated:,} images were there twice in a class, and are written once")
