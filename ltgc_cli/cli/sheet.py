"""`ltgc sheet`: the images of a run on one picture."""

from __future__ import annotations

from ltgc_cli import console
from ltgc_cli.cli.app import app
from ltgc_cli.cli.flags import command
from ltgc_cli.config import Config
from ltgc_cli.settings import Input, Sheet, Storage


@command(app)
def sheet(config: Config) -> None:
    """Show real, accepted and rejected images of each tail class side by side, as one PNG: a contact sheet.

    Reads class, image and rejected records, and the images in the store. The rarest class stands first. Beside them
    stand images of the model without its adapter (render --unadapted), and harmonised ones (mix-train --harmonise),
    where the stream has a checkpoint of those.

    \b
    ltgc sheet -i filtered.jsonl
    ltgc sheet -i filtered.jsonl --class crane --class eel -o two.png
    """
    from ltgc_cli.pipeline.sheet import write_sheet
    from ltgc_cli.pipeline.streams import Streams, reading
    from ltgc_cli.written import Target

    settings = config[Sheet]
    target = Target(settings.output, config[Storage].folder, tuple(config.named_paths()), settings.force)
    with reading(Streams(config[Input].input), "sheet") as given:
        write_sheet(given, target, settings.class_)
    console.notice(f"sheet: {settings.output}")
