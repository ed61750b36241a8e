"""Measure another program's classifier as `ltgc eval` measures ours: LIFT's, say, from its logits on the test images.

    python benchmarks/lift.py lift.npz --data digits-lt:0:100
    python benchmarks/lift.py lift.pt --data train.txt --classes classes.csv --method LIFT > lift.jsonl

FILE holds the logits of each test image, a number for each class by its label, and the image's label:

- .npz: arrays `logits` [images, classes] and `labels` [images]
- .pt: a mapping of tensors with these names, as torch.save writes it
- .npy: one array [images, 1 + classes], the label first
- .csv: the same, a line an image; a heading is skipped

docs/comparison.md says how LIFT writes one. --data is the training set: it says how many images each class has. On
stdout come metric records, which `ltgc report` shows beside those of `ltgc eval`; on stderr the table of them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ltgc_cli import records
from ltgc_cli.cli import show
from ltgc_cli.errors import InputError, LtgcError
from ltgc_cli.learn import datasets
from ltgc_cli.learn.datasets import ClassInfo, Source
from ltgc_cli.pipeline.evaluation.metric_records import Predictions, rows
from ltgc_cli.records import Metric

Table = tuple[NDArray[np.float64], NDArray[np.int64]]
"""Logits [images, classes] and labels [images]."""


def _npz(path: Path) -> tuple[Any, Any]:
    with np.load(path, allow_pickle=False) as arrays:
        return arrays["logits"], arrays["labels"]


def _pt(path: Path) -> tuple[Any, Any]:
    import torch

    found = torch.load(path, map_location="cpu", weights_only=True)
    return found["logits"].float().numpy(), found["labels"].numpy()


def _npy(path: Path) -> tuple[Any, Any]:
    return _label_first(np.load(path, allow_pickle=False))


def _csv(path: Path) -> tuple[Any, Any]:
    lines = path.read_text(encoding="utf-8").splitlines()
    heading = 1 if lines and lines[0].lstrip()[:1].isalpha() else 0
    return _label_first(np.loadtxt(lines[heading:], delimiter=",", ndmin=2))


def _label_first(whole: NDArray[Any]) -> tuple[Any, Any]:
    return whole[:, 1:], whole[:, 0]


READERS: dict[str, Callable[[Path], tuple[Any, Any]]] = {".npz": _npz, ".pt": _pt, ".npy": _npy, ".csv": _csv}
"""What reads a file, by its ending. Nothing is unpickled: a file of someone else's may not run anything here."""


def read(path: Path) -> Table:
    """Returns the logits and labels of a file. Raises InputError for one that cannot be read or has other shapes."""
    if (reader := READERS.get(path.suffix)) is None:
        raise InputError(f"{path}: logits are read from {', '.join(READERS)}")
    try:
        logits, labels = (np.asarray(part) for part in reader(path))
    except Exception as error:  # each format has its own; a pickle, a missing array, no file
        wanted = "arrays logits [images, classes] and labels [images]"
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} cannot be read ({reason}): it must hold {wanted}, and no pickled objects") from None
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise InputError(f"{path}: logits {logits.shape} and labels {labels.shape} are not [images, classes], [images]")
    logits = logits.astype(np.float64)
    if bad := np.flatnonzero(~np.isfinite(logits).all(1)).tolist():
        raise InputError(f"{path}: the logits of {len(bad)} images are not finite, first those of image {bad[0]}")
    whole = labels.astype(np.int64)
    if (whole != labels).any():
        raise InputError(f"{path}: labels are whole numbers")
    return logits, whole


def measured(
    logits: NDArray[np.float64], labels: NDArray[np.int64], classes: Sequence[ClassInfo], method: str
) -> list[Metric]:
    """Returns the metric records of logits [images, classes] and labels [images], as eval has them.

    classes -- of the training set, whose counts say what group a class is in. Raises InputError where labels or the
    number of classes are not theirs.
    """
    table = {info.label: info for info in classes}
    if list(sorted(table)) != list(range(logits.shape[1])):
        raise InputError(
            f"there are logits of {logits.shape[1]} classes; --data has {len(table)}: {_some(sorted(table))}"
        )
    if strange := sorted(set(labels.tolist()) - table.keys()):
        raise InputError(f"the file has labels that --data has not: {_some(strange)}")
    raised = np.exp(logits - logits.max(1, keepdims=True))
    found = Predictions(
        method,
        labels.tolist(),
        logits.argmax(1).astype(np.int64),
        {label: info.name for label, info in table.items()},
        {label: info.count for label, info in table.items()},
        confidences=raised.max(1) / raised.sum(1),
    )
    return rows(found, "test")


def _some(labels: Sequence[int]) -> str:
    return ", ".join(map(str, labels[:5])) + (", …" if len(labels) > 5 else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--data", required=True, help="the training set, as for ltgc")
    parser.add_argument("--root", type=Path, help="as for ltgc")
    parser.add_argument("--classes", type=Path, help="as for ltgc")
    parser.add_argument("--method", default="LIFT", help="what tables call it [LIFT]")
    args = parser.parse_args()
    try:
        classes = datasets.open_data(Source(args.data, args.root, args.classes), "train").classes
        found = measured(*read(args.file), classes, args.method)
    except LtgcError as error:
        sys.exit(f"error: {error}")
    show.accuracy(found, sys.stderr)
    show.measures(found, sys.stderr)
    sys.stdout.writelines(records.dump(row) + "\n" for row in found)


if __name__ == "__main__":
    main()
