"""The command that takes generated images elsewhere: export."""

from __future__ import annotations

from ltgc_cli import console
from ltgc_cli.cli.app import app
from ltgc_cli.cli.flags import command
from ltgc_cli.config import Config
from ltgc_cli.settings import Export, Input, Storage
from ltgc_cli.text import agreeing, counted


@command(app)
def export(config: Config) -> None:
    """Write the generated images of a stream to a new folder, with their class table (classes.csv).

    Reads class and image records, and the images in the store. Asks nobody.

    Files are named by their hashes. Labels are those of the stream: a folder is named by its label, and there is one
    for every label from 0 on, so that the position of a folder in a listing is its label too.

    \b
    ltgc export -i filtered.jsonl --out new/
    ltgc export -i filtered.jsonl --out new/ --format list   # for --data new/list.txt --classes new/classes.csv
    """
    from ltgc_cli.pipeline import export as exporting
    from ltgc_cli.pipeline.dry_run import real
    from ltgc_cli.pipeline.streams import Streams, reading
    from ltgc_cli.store import Store

    with reading(Streams(config[Input].input), "export") as given:
        done = exporting.export(real(given), Store(config[Storage].folder), config[Export])
    what = f"{counted(done.images, 'image')} of {counted(done.classes, 'class')}"
    console.notice(f"export: {what} in {config[Export].out}, with classes.csv")
    if done.repeated:
        were = f"{counted(done.repeated, 'image')} {agreeing(done.repeated, 'was', 'were')}"
        console.notice(
            f"export: {were} there twice in a class, and {agreeing(done.repeated, 'is', 'are')} written once"
        )
