"""A first look at a data set with CLIP, before anything is asked or generated."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from ltgc_cli import providers
from ltgc_cli.learn import datasets
from ltgc_cli.learn.datasets import Dataset
from ltgc_cli.records import Class, Metric
from ltgc_cli.stages.clip_trial import try_clip

MOST = 64
"""Real images that are opened, of all classes together."""


def look(data: Dataset, table: Sequence[Class], spec: str) -> Metric | None:
    """Returns how well CLIP tells some real images of the tail classes apart.

    None where it would have to be downloaded first, and where there is nothing to try it on. Nothing is kept.
    Raises LtgcError where the model or an image's file cannot be read.
    """
    from ltgc_cli.doctor import models

    objects: dict[str, bytes] = {}

    def keep(content: bytes) -> str:
        sha256 = hashlib.sha256(content).hexdigest()
        objects[sha256] = content
        return sha256

    images: dict[int, list[str]] = {}
    chosen = _in_turn(data, {cls.label for cls in table if cls.tail})
    if len(table) < 2 or not chosen or not models.on_disk(spec):
        return None
    for item in chosen:
        images.setdefault(item.label, []).append(keep(datasets.image_bytes(data, item)))
    model, score = providers.open_score(spec, objects=objects.__getitem__)
    compare = providers.open_compare(spec, objects=objects.__getitem__).port
    found = try_clip(table, images, score=score, compare=compare, keep=keep, model=model)
    return found[-1] if found else None


def _in_turn(data: Dataset, labels: set[int]) -> list[datasets.Item]:
    """Returns at most MOST images of the classes, one of each class in turn."""
    queues: dict[int, list[datasets.Item]] = {}
    for item in data.items:
        if item.label in labels:
            queues.setdefault(item.label, []).append(item)
    rounds = (queue[turn] for turn in range(MOST) for queue in queues.values() if turn < len(queue))
    return [item for item, _ in zip(rounds, range(MOST), strict=False)]
