"""eval, between records and tensors. Imported only where something is really measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ltgc_cli import records
from ltgc_cli.cli.session import Session
from ltgc_cli.cli.training import folder_of
from ltgc_cli.learn import checkpoints, datasets, evaluate, model
from ltgc_cli.learn.datasets import ClassInfo, Source
from ltgc_cli.providers import torch_setup
from ltgc_cli.providers.clip import open_clip
from ltgc_cli.records import Checkpoint, Metric, identify

ZERO_SHOT = "zero-shot CLIP"


def measure(
    session: Session, data: Source, split: datasets.Split, checkpoint: Checkpoint, clip: str
) -> Iterator[Metric]:
    """Returns the accuracy of a checkpoint on a split, over many, medium, few and all, and class by class."""
    loaded = open_clip.load(clip, torch_setup.device())
    saved = checkpoints.load(folder_of(session, checkpoint), loaded)
    parents = (checkpoint.id,)
    yield from _metrics(saved.classifier, loaded, saved.classes, data, split, checkpoint.method, parents)


def measure_zero_shot(data: Source, split: datasets.Split, classes: Sequence[ClassInfo], clip: str) -> Iterator[Metric]:
    """Returns the accuracy of CLIP itself, told nothing but the classes' names."""
    loaded = open_clip.load(clip, torch_setup.device())
    yield from _metrics(model.zero_shot(loaded, classes), loaded, classes, data, split, ZERO_SHOT, ())


def _metrics(
    classifier: model.Classifier,
    loaded: open_clip.Loaded,
    classes: Sequence[ClassInfo],
    data: Source,
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
