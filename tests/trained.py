"""Checkpoints of the embedded CLIP in a store, without training: what eval and predict read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch

from ltgc_cli.learn import checkpoints, datasets, model
from ltgc_cli.learn.datasets import ClassInfo
from ltgc_cli.learn.settings import resolved
from ltgc_cli.pipeline.session import Session
from ltgc_cli.providers.clip import open_clip
from ltgc_cli.records import Checkpoint, identify
from ltgc_cli.settings import Training

COUNTS = {"zero": 9, "one": 3, "two": 2}
"""Training images of the three classes of `digits`."""


def digits(root: Path, **per_class: int) -> Path:
    """A folder with train, val and test of three digits: `test=6` says how many images each class has there."""
    data = {split: datasets.open_data("digits-lt", split) for split in ("val", "test")}
    for part in ("train", "val", "test"):
        source = data["val" if part == "val" else "test"]
        for label, name in enumerate(COUNTS):
            own = [item for item in source.items if item.label == label]
            first = 40 if part == "train" else 0  # the last of digits-lt's test images are trained on here
            for item in own[first : first + (COUNTS[name] if part == "train" else per_class.get(part, 6))]:
                path = root / part / name / f"{item.name.rpartition('/')[2]}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(datasets.image_bytes(source, item))
    return root


def classes_of(data: Path) -> tuple[ClassInfo, ...]:
    return datasets.open_data(str(data), "train").classes


def checkpoint(
    session: Session,
    data: Path,
    method: str = "LTGC",
    *,
    bias: Sequence[float] = (),
    prior: Sequence[float] | None = None,
    images: Sequence[bytes] = (),
    val_images: Sequence[bytes] = (),
    clip: str = "embedded",
    **settings: Any,
) -> Checkpoint:
    """A checkpoint in the session's store. `bias` is added to the logits, in the order of the class table."""
    loaded = open_clip.load(clip)
    classes = classes_of(data)
    used = resolved(Training(tune="head", head="linear", **settings), generated=0, classes=len(classes))
    classifier = model.start(loaded, classes, used)
    if bias:
        with torch.no_grad():
            classifier.head.bias += torch.tensor(bias)
    about = [method, list(bias), msgspec.to_builtins(used), list(prior or ())]
    sha256 = hashlib.sha256(repr(about).encode()).hexdigest()
    folder = session.store.folder / "checkpoints" / sha256
    kept = None if prior is None else torch.tensor(prior)
    seen = frozenset(images), frozenset(val_images)
    checkpoints.save(folder, checkpoints.Saved(classifier, classes, used, (), kept, *seen), loaded)
    return identify(Checkpoint(sha256=sha256, method=method, settings=msgspec.to_builtins(used)), sha256)


def hashes(folder: Path) -> list[bytes]:
    return [hashlib.sha256(path.read_bytes()).digest()[:16] for path in sorted(folder.rglob("*.png"))]


def by_group(rows: Sequence[Any], name: str = "accuracy") -> dict[str, dict[str, float | None]]:
    """What was measured, by method and group."""
    found: dict[str, dict[str, float | None]] = {}
    for row in rows:
        if getattr(row, "name", "") == name and row.group in ("many", "medium", "few", "all"):
            found.setdefault(row.method, {})[row.group] = row.value
    return found
