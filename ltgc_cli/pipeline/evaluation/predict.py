"""The command that classifies images with a trained checkpoint: predict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ltgc_cli import console
from ltgc_cli.cli import app
from ltgc_cli.cli import options as o
from ltgc_cli.errors import FELL_SHORT, InputError

if TYPE_CHECKING:
    import torch

    from ltgc_cli.learn.datasets import ClassInfo
    from ltgc_cli.learn.images import Frame

_BATCH = 64
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

    from ltgc_cli.pipeline.stage import Streams, writing

    console.configure(quiet=quiet)
    files = found(images)
    person = console.is_terminal() and not output and not json
    shown: list[tuple[str, ...]] = []
    failed = 0
    with writing(Streams(output=output, json=json)) as write:
        for row in predictions(files, checkpoint, clip, device, top=top, tte=tte):
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


def found(paths: Sequence[Path]) -> list[Path]:
    """Returns the image files: those named, and those in the folders named, nested ones too, sorted.

    Raises InputError for a path that is not there, or a folder without an image.
    """
    from ltgc_cli.learn.datasets import IMAGE_SUFFIXES

    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
        inside = [path]
        if path.is_dir():
            inside = sorted(
                file
                for file in path.rglob("*")
                if file.suffix.lower() in IMAGE_SUFFIXES
                and file.is_file()
                and not any(part.startswith(".") for part in file.relative_to(path).parts)
            )
            if not inside:
                raise InputError(f"{path}: no image in it ({', '.join(sorted(IMAGE_SUFFIXES))})")
        files += inside
    return list(dict.fromkeys(files))


def predictions(
    files: Sequence[Path], checkpoint: Path, clip: str | None, device: str | None, *, top: int, tte: bool
) -> Iterator[dict[str, Any]]:
    """Returns a line for each file, in order: its likeliest classes, or why it could not be read.

    clip -- the spec of the CLIP model, by default the one that the checkpoint names
    Raises InputError where the checkpoint is not whole or belongs to another CLIP model.
    """
    from concurrent.futures import ThreadPoolExecutor

    import torch

    from ltgc_cli.learn import evaluate, images
    from ltgc_cli.pipeline.evaluation.measure import clip_of, load, loaded_clip

    loaded = loaded_clip(clip or clip_of(checkpoint), device)
    saved = load(checkpoint, loaded)
    frame = evaluate.frame_of(loaded, tte=tte)

    def read(part: Sequence[Path]) -> list[torch.Tensor | str]:
        with ThreadPoolExecutor(images.THREADS) as threads:
            return list(threads.map(lambda path: _decoded(path, frame), part))

    starts = range(0, len(files), _BATCH)
    with console.progress("predict", len(files)) as progress:
        parts = (files[start : start + _BATCH] for start in starts)
        for start, part in zip(starts, images.ahead(read, parts, depth=2), strict=True):
            frames = [one for one in part if isinstance(one, torch.Tensor)]
            rows = iter(evaluate.logits(saved.classifier, loaded, torch.stack(frames), frame) if frames else ())
            for path, one in zip(files[start:], part, strict=False):
                progress.advance()
                name = str(path).encode(errors="replace").decode()
                if isinstance(one, str):
                    yield {"kind": "failure", "image": name, "stage": "predict", "reason": one}
                else:
                    yield {"kind": "prediction", "image": name, "top": _likeliest(next(rows), saved.classes, top)}


def _decoded(path: Path, frame: Frame) -> torch.Tensor | str:
    """Returns what the model sees of an image, or in one line why it cannot be read."""
    from ltgc_cli.learn import images
    from ltgc_cli.learn.datasets import Sample

    try:
        return images.decode(Sample(-1, path.read_bytes, str(path)), frame)
    except InputError as error:
        return str(error)
    except OSError as error:
        return f"{path}: {error.strerror}"


def _likeliest(logits: Any, classes: Sequence[ClassInfo], top: int) -> list[dict[str, Any]]:
    import numpy as np

    raised = np.exp(logits.astype(np.float64) - logits.max())
    shares = raised / raised.sum()
    return [
        {"label": classes[place].label, "class": classes[place].name, "probability": round(float(shares[place]), 6)}
        for place in np.argsort(-shares, kind="stable")[:top]
    ]


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    first, *others = row["top"]
    rest = ", ".join(f"{one['class']} {100 * one['probability']:.1f}" for one in others)
    return row["image"], first["class"], f"{100 * first['probability']:.1f}", rest
