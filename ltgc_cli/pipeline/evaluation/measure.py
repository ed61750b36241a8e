"""eval, between records and tensors. Imported only where a classifier is really measured.

Checkpoints are loaded here, for `predict` too, and nowhere else outside of training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from ltgc_cli import console
from ltgc_cli.errors import InputError
from ltgc_cli.learn import datasets, evaluate
from ltgc_cli.learn.checkpoints import Saved, load
from ltgc_cli.learn.datasets import ClassInfo, Dataset
from ltgc_cli.learn.model import zero_shot
from ltgc_cli.pipeline.evaluation.metric_records import Measured
from ltgc_cli.pipeline.evaluation.stage import Named, Test, no_validation
from ltgc_cli.pipeline.session import Session
from ltgc_cli.pipeline.training.check import hashes_of
from ltgc_cli.pipeline.training.fit import folder_of
from ltgc_cli.providers import torch_setup
from ltgc_cli.providers.clip import open_clip

__all__ = ["Saved", "clip_of", "load", "loaded_clip", "measure"]

ZERO_SHOT = "zero-shot CLIP"
_SHOWN = 3


class _Images(NamedTuple):
    """A split whose images were all looked at: each is one, and what its bytes are."""

    dataset: Dataset
    hashes: tuple[bytes, ...]


def measure(
    session: Session,
    test: Test,
    checkpoints: Sequence[Named],
    table: Sequence[ClassInfo],
    counts: Mapping[int, int] | None,
) -> Iterator[Measured]:
    """Returns what each checkpoint makes of the test images, and before it CLIP itself where a class table is given.

    table, counts -- of zero-shot CLIP; its counts are None where the classes' training images are not known
    Raises InputError for files that are no image, all at once, and where a checkpoint was trained on images that it
    would be tested, or adjusted, on.
    """
    clip = loaded_clip(test.clip, test.device)
    images = _looked_at(session, test.data, test.split)
    val = _validation(session, test, images) if test.posthoc else None
    if table:
        # With CLIP's own scale, so that its confidences are its own; what it predicts is the same with any.
        classifier = zero_shot(clip, table, float(clip.model.logit_scale.exp()))
        logits, labels = _logits(classifier, clip, images, table, test.tte, ZERO_SHOT)
        yield _measured(_named(ZERO_SHOT, test), logits, labels, table, counts)
    for named in checkpoints:
        saved = load(folder_of(session, named.checkpoint), clip)
        _check_unseen(saved, named.method, images, session)
        logits, labels = _logits(saved.classifier, clip, images, saved.classes, test.tte, named.method)
        run_of = _named(named.run_of, test) if named.run_of else ""
        about: dict[str, Any] = {"parents": (named.checkpoint.id,), "run_of": run_of}
        yield _measured(_named(named.method, test), logits, labels, saved.classes, _counts(saved), **about)
        if val:
            _check_unseen(saved, named.method, val, session)
            prior = _prior(saved)
            on_val, true = _logits(saved.classifier, clip, val, saved.classes, test.tte, f"{named.method}, validation")
            best = evaluate.choose_tau(on_val, true, [info.label for info in saved.classes], prior)
            logits = evaluate.adjusted(logits, prior, best.tau)
            method = f"{_named(named.method, test)} + post-hoc LA"
            about["run_of"] = f"{run_of} + post-hoc LA" if run_of else ""
            yield _measured(f"{method} (τ={best.tau})", logits, labels, saved.classes, _counts(saved), **about)


def loaded_clip(spec: str, device: str | None = None) -> open_clip.Loaded:
    """Returns a CLIP model where models run here, or on the device that was asked for."""
    return open_clip.load(spec, torch_setup.device(device))


def clip_of(folder: Path) -> str:
    """Returns the spec of the CLIP model that a checkpoint was trained on.

    Raises InputError where there is no whole checkpoint, or the model lay in a folder: only its hash is known then.
    """
    try:
        done: Any = msgspec.json.decode((folder / "done.json").read_bytes())
        identity = str(done["clip"])
    except (OSError, msgspec.DecodeError, KeyError, TypeError):
        raise InputError(f"{folder}: no whole checkpoint is in it; name what mix-train --out wrote") from None
    if identity.startswith("embedded/"):
        return "embedded"
    if identity.startswith("clip@"):
        raise InputError(f"{folder}: its CLIP model lay in a folder ({identity}); pass that as --clip local-dir:PATH")
    return identity


def _measured(
    method: str,
    logits: evaluate.Logits,
    labels: Sequence[int],
    classes: Sequence[ClassInfo],
    counts: Mapping[int, int] | None,
    *,
    parents: tuple[str, ...] = (),
    run_of: str = "",
) -> Measured:
    return Measured(
        method,
        labels,
        evaluate.predicted_labels(logits, [info.label for info in classes]),
        {info.label: info.name for info in classes},
        counts,
        evaluate.confidences(logits),
        parents,
        run_of,
    )


def _logits(
    classifier: Any, clip: open_clip.Loaded, images: _Images, classes: Sequence[ClassInfo], tte: bool, title: str
) -> tuple[evaluate.Logits, list[int]]:
    """Returns the logits of a split, and its labels under the classifier's class table."""
    dataset = datasets.align(images.dataset, classes)
    samples = datasets.samples(dataset)
    with console.progress(f"eval: {title}", len(samples)) as progress:
        found = evaluate.predict(classifier, clip, samples, tte=tte, on_batch=progress.advance)
    return found, [item.label for item in dataset.items]


def _named(method: str, test: Test) -> str:
    return f"{method} + TTE" if test.tte else method


def _counts(saved: Saved) -> dict[int, int]:
    return {info.label: info.count for info in saved.classes}


def _prior(saved: Saved) -> NDArray[np.float64]:
    """Returns the label marginal of what a checkpoint was trained on, its real images where it keeps none."""
    if saved.prior is None:
        return np.array([info.count for info in saved.classes], dtype=np.float64)
    return saved.prior.double().cpu().numpy()


# ---- images that must not be measured on


def _validation(session: Session, test: Test, images: _Images) -> _Images:
    """Returns the validation split that τ is chosen on. Raises InputError where it is missing, or the test set."""
    source = test.val or test.data
    try:
        val = _looked_at(session, source, "val")
    except InputError as error:
        raise no_validation(error) from None
    both = set(val.hashes) & set(images.hashes)
    if both:
        raise InputError(
            f"--posthoc: {_share(images, both)} are validation images too, and τ must not be chosen on the test set; "
            "name others with --val"
        )
    return val


def _check_unseen(saved: Saved, method: str, images: _Images, session: Session) -> None:
    """Raises InputError where a checkpoint was trained on any of the images."""
    if not saved.images:
        session.notice_once(f"eval: {method} does not say what it was trained on: see that no test image was among it")
    seen = set(images.hashes) & saved.images
    if seen:
        where = f"{images.dataset.spec} ({images.dataset.split})"
        raise InputError(
            f"{where}: {_share(images, seen)} are training images of {method}; leave them out, or name another set"
        )
    chose = set(images.hashes) & saved.val_images
    if chose:
        session.notice_once(
            f"eval: {_share(images, chose)} chose what was kept of {method} (--val-every): "
            "its accuracy on them flatters it"
        )


def _share(images: _Images, some: set[bytes]) -> str:
    names = [item.name for item, own in zip(images.dataset.items, images.hashes, strict=True) if own in some]
    shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    return f"{len(names):,} of {len(images.hashes):,} images ({shown})"


def _looked_at(session: Session, source: datasets.Source, split: datasets.Split) -> _Images:
    """Returns a split, each image decoded once; what was found is kept in the store, by the data's fingerprint.

    Raises InputError that names the first files that are no image.
    """
    dataset = datasets.open_data(source, split)
    if not dataset.items:
        raise InputError(f"{dataset.spec}: has no {split} images")
    if dataset.file and Path(dataset.file).name != Path(source.spec).name:
        session.notice_once(f"eval: the {split} images are those of {dataset.file}, beside {source.spec}")
    try:
        return _Images(dataset, hashes_of(session, source, dataset))
    except InputError as error:
        raise InputError(f"{dataset.spec}: {'; '.join(str(error).splitlines())}") from None
