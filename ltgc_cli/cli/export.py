"""The command that takes images elsewhere: export."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ltgc_cli import console
from ltgc_cli.cli.app import app
from ltgc_cli.cli.flags import command
from ltgc_cli.config import Config
from ltgc_cli.errors import DONE, FELL_SHORT
from ltgc_cli.settings import Export, Input, Storage
from ltgc_cli.text import counted

if TYPE_CHECKING:
    from ltgc_cli.pipeline.export import Exported
    from ltgc_cli.pipeline.stage import Ran

_SHOWN = 10  # originals that cannot be read and are named; the rest are counted


@command(app)
def export(config: Config) -> Ran:
    """Write the generated images of a stream to a new folder, with their class table (classes.csv).

    Reads class and image records, and the images in the store. Asks nobody.

    Files are named by their hashes. Labels are those of the stream: a folder's name begins with its label
    (0003_trogon_rufus), and there is one for every label from 0 on, so that the position of a folder in a listing is
    its label too.

    \b
    ltgc export -i filtered.jsonl --out new/
    ltgc export -i filtered.jsonl --out new/ --format list   # for --data new/list.txt --classes new/classes.csv
    ltgc export -i filtered.jsonl --data birds/ --with-originals --out all/   # to train elsewhere on all of it
    """
    from ltgc_cli.pipeline import export as exporting
    from ltgc_cli.pipeline.dry_run import real
    from ltgc_cli.pipeline.generate import source_of
    from ltgc_cli.pipeline.stage import Ran
    from ltgc_cli.pipeline.streams import Streams, reading
    from ltgc_cli.store import Store

    with reading(Streams(config[Input].input), "export") as given:
        done = exporting.export(real(given), Store(config[Storage].folder), config[Export], source_of(config))
    _notify(done, config[Export])
    return Ran(exit_code=FELL_SHORT if done.unreadable else DONE)


def _notify(done: Exported, settings: Export) -> None:
    images = f"{done.generated:,} generated and {done.originals:,} original images"
    images = images if settings.with_originals else counted(done.generated, "image")
    console.notice(f"export: {images} of {counted(done.classes, 'class')} in {settings.out}, with classes.csv")
    if done.repeated:
        console.notice(f"export: {counted(done.repeated, 'image')} left out that the class has already")
    for reason in done.unreadable[:_SHOWN]:
        console.error(f"left out: {reason}")
    if len(done.unreadable) > _SHOWN:
        console.error(f"and {len(done.unreadable) - _SHOWN:,} more were left out")
    if done.elsewhere:
        console.notice(
            f"export: {counted(done.elsewhere, 'original')} of its classes are not in the stream, which holds those "
            "that were described; --data DATA takes all"
        )
