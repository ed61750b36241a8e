"""mix-train, between records and tensors. Imported only where something is really trained."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ltgc_cli import console, records
from ltgc_cli.cli.session import Session
from ltgc_cli.errors import InputError
from ltgc_cli.learn import checkpoints, datasets, train
from ltgc_cli.learn.datasets import ClassInfo, Sample, Source
from ltgc_cli.learn.settings import Settings
from ltgc_cli.providers import torch_setup
from ltgc_cli.providers.clip import open_clip
from ltgc_cli.records import Checkpoint, Image


def fit(
    session: Session,
    data: Source,
    classes: Sequence[ClassInfo],
    drawn: Sequence[Image],
    clip: str,
    settings: Settings,
    folder: Path,
) -> None:
    """Trains a checkpoint into a folder; one that was begun there is gone on with."""
    dataset = datasets.align(datasets.open_data(data, "train"), classes)
    generated = [Sample(image.label, partial(session.store.get_object, image.sha256), image.id) for image in drawn]
    loaded = open_clip.load(clip, torch_setup.device())
    with console.progress(f"training on {len(dataset.items):,} real and {len(drawn):,} drawn images") as progress:

        def on_step(state: train.Progress) -> None:
            progress.total = state.steps
            progress.advance(state.step - progress.done, f"loss {state.loss:.3f}")

        trained = train.train(
            loaded, classes, datasets.samples(dataset), generated, settings, on_step=on_step, resume=folder
        )
    checkpoints.save(folder, trained.classifier, classes, settings, loaded, trained.curve)
    (folder / train.STATE).unlink(missing_ok=True)


def folder_of(session: Session, checkpoint: Checkpoint) -> Path:
    """Returns a checkpoint's folder. Raises InputError for a name that is no sha256, so that none leads elsewhere."""
    session.store.object_path(checkpoint.sha256)
    return session.store.folder / "checkpoints" / checkpoint.sha256


def export(session: Session, artifact: Path, out: Path, clip: str) -> None:
    """Copies the last checkpoint of an artifact to a new folder, with one merged file that plain open_clip loads."""
    with artifact.open(encoding="utf-8") as lines:
        found = [row for row in records.read(lines, str(artifact)) if isinstance(row, Checkpoint)]
    source = folder_of(session, found[-1])
    loaded = open_clip.load(clip)
    saved = checkpoints.load(source, loaded)
    try:
        shutil.copytree(source, out)
    except FileExistsError:
        raise InputError(f"{out} is there already; name a new folder") from None
    except OSError as error:
        raise InputError(f"{out}: {error.strerror}") from None
    checkpoints.save(out, saved.classifier, saved.classes, saved.settings, loaded, saved.curve, merge=True)
    console.notice(f"mix-train: checkpoint in {out} ({checkpoints.MERGED} is one file for open_clip)")
