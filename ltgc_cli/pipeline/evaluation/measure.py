"""eval, between records and tensors. Imported only where a classifier is really measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ltgc_cli import console
from ltgc_cli.errors import InputError
from ltgc_cli.learn import datasets, evaluate
from ltgc_cli.learn.checkpoints import Saved, load
from ltgc_cli.learn.datasets import Source
from ltgc_cli.learn.evaluate import Logits
from ltgc_cli.learn.model import zero_shot
from ltgc_cli.pipeline.data import open_data
from ltgc_cli.pipeline.evaluation.methods import ClassTable, NamedCheckpoint, about_validation
from ltgc_cli.pipeline.evaluation.metric_records import Predictions
from ltgc_cli.pipeline.evaluation.own_clip import clip_of
from ltgc_cli.pipeline.session import Session
from ltgc_cli.pipeline.training.check import Dropped, Looked, whole
from ltgc_cli.pipeline.training.fit import folder_of
from ltgc_cli.providers import torch_setup
from ltgc_cli.providers.clip import open_clip
from ltgc_cli.providers.clip.open_clip import Loaded
from ltgc_cli.settings import Evaluation
from ltgc_cli.text import counted

ZERO_SHOT = "zero-shot CLIP"
_SHOWN = 3


def measure(
    session: Session,
    settings: Evaluation,
    data: Source,
    val: Source | None,
    checkpoints: Sequence[NamedCheckpoint],
    table: ClassTable | None,
) -> Iterator[Predictions]:
    """Returns each checkpoint's predictions of the test images, and before them those of CLIP itself.

    table -- of zero-shot CLIP, None where it is not measured
    Raises InputError for files that are no image, all at once, and where a checkpoint was trained on images that it
    would be tested, or adjusted, on.
    """
    specs = [settings.clip or clip_of(folder_of(session, named.checkpoint)) for named in checkpoints]
    alone = _one_clip(settings.clip, specs) if table else None
    device = torch_setup.device(settings.device)

    @cache
    def clip_at(spec: str) -> Loaded:
        return open_clip.load(spec, device, session.notice_once)

    for spec in dict.fromkeys([alone, *specs] if alone else specs):
        clip_at(spec)  # what cannot be had is said before anything is measured
    drop = Dropped(broken=settings.drop_broken)
    images = _checked_images(session, data, settings.split, drop)
    to_choose = _validation(session, val or data, images, drop) if settings.posthoc else None
    tte = " + TTE" if settings.tte else ""

    def logits_of(
        clip: Loaded, classifier: Any, known: ClassTable, images: Looked, title: str
    ) -> tuple[Logits, list[int]]:
        """Returns the logits of a split, and its labels under the classifier's class table."""
        dataset = datasets.align(images.dataset, known.classes)
        samples = datasets.samples(dataset)
        with console.progress(f"eval: {title}", len(samples)) as progress:
            found = evaluate.predict(classifier, clip, samples, tte=settings.tte, on_batch=progress.advance)
        return found, [item.label for item in dataset.items]

    if table and alone:
        clip = clip_at(alone)
        # With CLIP's own scale, so that its confidences are its own; what it predicts is the same with any.
        classifier = zero_shot(clip, table.classes, float(clip.model.logit_scale.exp()))
        yield _predictions(f"{ZERO_SHOT}{tte}", table, *logits_of(clip, classifier, table, images, ZERO_SHOT))
    for named, spec in zip(checkpoints, specs, strict=True):
        clip = clip_at(spec)
        saved = load(folder_of(session, named.checkpoint), clip)
        known = ClassTable(saved.classes, {info.label: info.count for info in saved.classes})
        _check_unseen(saved, named.method, images, session)
        logits, labels = logits_of(clip, saved.classifier, known, images, named.method)
        method, run_of = f"{named.method}{tte}", named.run_of and f"{named.run_of}{tte}"
        parents = (named.checkpoint.id,)
        yield _predictions(method, known, logits, labels, parents, run_of)
        if to_choose:
            _check_unseen(saved, named.method, to_choose, session)
            # The label marginal of what it was trained on: its real images where it keeps none.
            counts = np.array([info.count for info in saved.classes], dtype=np.float64)
            prior = counts if saved.prior is None else saved.prior.double().cpu().numpy()
            on_val, true = logits_of(clip, saved.classifier, known, to_choose, f"{named.method}, validation")
            tau = evaluate.choose_tau(on_val, true, [info.label for info in saved.classes], prior).tau
            logits = evaluate.adjusted(logits, prior, tau)
            method, run_of = f"{method} + post-hoc LA (τ={tau})", run_of and f"{run_of} + post-hoc LA"
            yield _predictions(method, known, logits, labels, parents, run_of)


def _one_clip(given: str | None, specs: Sequence[str]) -> str:
    """Returns the CLIP model that zero-shot is of: the one given, else the checkpoints', else the embedded one."""
    found = list(dict.fromkeys([given] if given else specs or ["embedded"]))
    if len(found) > 1:
        raise InputError(
            f"--zero-shot: the checkpoints are of several CLIP models ({', '.join(found)}); eval them apart"
        )
    return found[0]


def _predictions(
    method: str, known: ClassTable, logits: Logits, labels: list[int], parents: tuple[str, ...] = (), run_of: str = ""
) -> Predictions:
    names = {info.label: info.name for info in known.classes}
    predicted = evaluate.predicted_labels(logits, list(names))
    return Predictions(method, labels, predicted, names, known.counts, evaluate.confidences(logits), parents, run_of)


# ---- images that must not be measured on


def _validation(session: Session, source: Source, images: Looked, drop: Dropped) -> Looked:
    """Returns the validation split that τ is chosen on. Raises InputError where it is missing, or the test set."""
    with about_validation():
        val = _checked_images(session, source, "val", drop)
    if both := set(val.hashes) & set(images.hashes):
        raise InputError(
            f"--posthoc: {_share(images, both)} are validation images too, and τ must not be chosen on the test set; "
            "name others with --val"
        )
    return val


def _check_unseen(saved: Saved, method: str, images: Looked, session: Session) -> None:
    """Raises InputError where a checkpoint was trained on any of the images."""
    if not saved.images:
        session.notice_once(f"eval: {method} does not say what it was trained on: see that no test image was among it")
    if seen := set(images.hashes) & saved.images:
        where = f"{images.dataset.spec} ({images.dataset.split})"
        raise InputError(
            f"{where}: {_share(images, seen)} are training images of {method}; leave them out, or name another set"
        )
    if chose := set(images.hashes) & saved.val_images:
        session.notice_once(
            f"eval: {_share(images, chose)} chose what was kept of {method} (--val-every): "
            "its accuracy on them flatters it"
        )


def _share(images: Looked, some: set[bytes]) -> str:
    names = [item.name for item, own in zip(images.dataset.items, images.hashes, strict=True) if own in some]
    shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    return f"{len(names):,} of {counted(len(images.hashes), 'image')} ({shown})"


def _checked_images(session: Session, source: Source, split: datasets.Split, drop: Dropped) -> Looked:
    """Returns a split, each image decoded once; what was found is kept in the store, by the data's fingerprint.

    Raises InputError that names the first files that are no image.
    """
    dataset = open_data(source, split)
    if not dataset.items:
        raise InputError(f"{dataset.spec}: has no {split} images")
    if dataset.file and Path(dataset.file).name != Path(source.spec).name:
        session.notice_once(f"eval: the {split} images are those of {dataset.file}, beside {source.spec}")
    try:
        return whole(session, source, split, drop)
    except InputError as error:
        raise InputError(f"{dataset.spec}: {'; '.join(str(error).splitlines())}") from None
