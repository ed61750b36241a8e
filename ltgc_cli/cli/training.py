"""mix-train and eval, between records and tensors. Imported only where something is really trained or measured."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from ltgc_cli import console, records
from ltgc_cli.cli.session import Session
from ltgc_cli.errors import InputError
from ltgc_cli.learn import datasets, evaluate, model, train
from ltgc_cli.learn.datasets import ClassInfo, Sample
from ltgc_cli.learn.settings import Settings
from ltgc_cli.providers import torch_setup
from ltgc_cli.providers.clip import open_clip
from ltgc_cli.records import Checkpoint, Image, Metric, identify

ZERO_SHOT = "zero-shot CLIP"


def fit(
    session: Session,
    data: str,
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
    model.save(folder, trained.classifier, classes, settings, loaded, trained.curve)
    (folder / train.STATE).unlink(missing_ok=True)


def measure(session: Session, data: str, split: datasets.Split, checkpoint: Checkpoint, clip: str) -> Iterator[Metric]:
    """Returns the accuracy of a checkpoint on a split, over many, medium, few and all, and class by class."""
    loaded = open_clip.load(clip, torch_setup.device())
    saved = model.load(folder_of(session, checkpoint), loaded)
    parents = (checkpoint.id,)
    yield from _metrics(saved.classifier, loaded, saved.classes, data, split, checkpoint.method, parents)


def measure_zero_shot(data: str, split: datasets.Split, classes: Sequence[ClassInfo], clip: str) -> Iterator[Metric]:
    """Returns the accuracy of CLIP itself, told nothing but the classes' names."""
    loaded = open_clip.load(clip, torch_setup.device())
    yield from _metrics(model.zero_shot(loaded, classes), loaded, classes, data, split, ZERO_SHOT, ())


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
    saved = model.load(source, loaded)
    try:
        shutil.copytree(source, out)
    except FileExistsError:
        raise InputError(f"{out} is there already; name a new folder") from None
    except OSError as error:
        raise InputError(f"{out}: {error.strerror}") from None
    model.save(out, saved.classifier, saved.classes, saved.settings, loaded, saved.curve, merge=True)
    console.notice(f"mix-train: checkpoint in {out} ({model.MERGED} is one file for open_clip)")


def _metrics(
    classifier: model.Classifier,
    loaded: open_clip.Loaded,
    classes: Sequence[ClassInfo],
    data: str,
    split: datasets.Split,
    method: str,
    parents: tuple[str, ...],
) -> Iterator[Metric]:
    dataset = datasets.align(datasets.open_data(data, split), classes)
    labels = [item.label for item in dataset.items]
    logits = evaluate.predict(classifier, loaded, datasets.samples(dataset))
    predicted = evaluate.predicted_labels(logits, [info.label for info in classes])
    counts = {info.label: info.count for info in classes}
    groups = [datasets.shot(counts[label]) for label in labels]
    for group, value in evaluate.accuracy_by_shot(labels, predicted, counts).items():
        images = len(labels) if group == "all" else groups.count(group)
        metric = Metric(name="accuracy", group=group, value=_rounded(value), method=method, images=images)
        yield identify(records.evolve(metric, parents=parents), group, method, split)
    names = {info.label: info.name for info in classes}
    for label, accuracy in evaluate.accuracy_by_class(labels, predicted).items():
        metric = Metric(
            label=label,
            class_=names[label],
            name="accuracy",
            group="class",
            value=_rounded(accuracy),
            method=method,
            images=labels.count(label),
            parents=parents,
        )
        yield identify(metric, method, split)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
