"""The command that classifies images with a trained checkpoint: predict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ltgc_cli import console
from ltgc_cli.cli.app import app
from ltgc_cli.cli.flags import NamedPath, command
from ltgc_cli.config import Config
from ltgc_cli.errors import DONE, FELL_SHORT
from ltgc_cli.settings import Output, Predict

if TYPE_CHECKING:
    from ltgc_cli.pipeline.stage import Ran

_ROWS = 40
"""Images shown in a table; lines have them all."""


@command(app)
def predict(
    config: Config,
    images: Annotated[
        list[Path], typer.Argument(click_type=NamedPath(), help="Image files, and folders of them.", show_default=False)
    ],
) -> Ran:
    """Classify images with a checkpoint: the likeliest classes of each, one line of JSON an image.

    Reads image files and a checkpoint's folder. Writes a line for each image, or one with the reason why it cannot be
    read. Asks nobody. Of images in folders that are called as classes of the checkpoint the accuracy is said too.

    \b
    ltgc predict --checkpoint trained/ photo.jpg
    ltgc predict --checkpoint trained/ birds-test/ -o predictions.jsonl     # with the accuracy, class by folder
    ltgc predict --checkpoint trained/ photo.jpg more-photos/ | jq -r '[.image, .top[0].class] | @tsv'
    """
    from ltgc_cli.pipeline.evaluation import predict as predicting
    from ltgc_cli.pipeline.stage import Ran
    from ltgc_cli.pipeline.streams import Streams, output_of, writing

    files = predicting.image_files(images, follow_links=config[Predict].follow_links)
    streams = Streams(output=output_of(config, *images), json=config[Output].json)
    shown: list[tuple[str, ...]] = []
    failed = 0
    with writing(streams) as write:
        for row in predicting.predict(files, config[Predict], images):
            if row["kind"] == "failure":
                failed += 1
                console.error(row["reason"])
            write((json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n").encode())
            if streams.shown and row["kind"] == "prediction" and len(shown) < _ROWS:
                shown.append(_cells(row))
    if streams.shown:
        console.table("", ("image", "class", "%", "or"), shown)
        if len(files) - failed > len(shown):
            everything = streams.output.path if streams.output else "-o FILE"
            console.notice(f"… and {len(files) - failed - len(shown):,} more; {everything} has them all")
    return Ran(exit_code=FELL_SHORT if failed else DONE)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    first, *others = row["top"]
    rest = ", ".join(f"{one['class']} {100 * one['probability']:.1f}" for one in others)
    return row["image"], first["class"], f"{100 * first['probability']:.1f}", rest
