"""The gate: which classes are better off without their generated images, by a quick probe on validation images."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ltgc_cli.errors import InputError
from ltgc_cli.learn import balance_mix, evaluate, losses, model
from ltgc_cli.learn.datasets import ClassInfo, Sample
from ltgc_cli.learn.settings import Settings
from ltgc_cli.providers.clip.open_clip import Loaded

_STEPS, _RATE = 150, 3e-3
_PROBE = Settings(mix="none", sampler="instance", loss="la", batch=256)
"""The probe: a head alone, on features that are there already, trains within so many steps."""
_PART = 4096


def harmful(
    clip: Loaded,
    classes: Sequence[ClassInfo],
    real: Sequence[Sample],
    generated: Sequence[Sample],
    val: Sequence[Sample],
    settings: Settings,
) -> dict[int, tuple[float, float]]:
    """Returns the labels whose validation accuracy the generated images lower: accuracy in percent with, without.

    A cosine head on the untrained CLIP's features, started from the classes' text features, is trained twice from one
    seed: on all images, and on the originals alone. Both are adjusted by the logs of their own stream's prior, so that
    the number of a class's images is not what is measured. A class counts as harmed where its accuracy falls by more
    than one of its validation images weighs: heads that are equally good differ by one image now and then. A class
    without generated or without validation images is never named.
    Raises InputError where there is no validation image, for an unknown label, or bytes that are no image.
    """
    if not generated:
        return {}
    if not val:
        raise InputError("the gate compares accuracies on validation images, and the data has none")
    columns = {info.label: column for column, info in enumerate(classes)}
    originals, drawn, truth = (_columns(part, columns) for part in (real, generated, val))
    classifier = model.zero_shot(clip, classes, settings.scale)
    head, classifier.head = classifier.head, cast(Any, nn.Identity())
    seen, unseen = (
        torch.from_numpy(evaluate.predict(classifier, clip, part)).to(clip.device)
        for part in ([*real, *generated], val)
    )

    def right(added: Sequence[int]) -> NDArray[np.int64]:
        """Returns how many validation images of each class are right after training on the originals and these."""
        pool = balance_mix.pool(originals, added, len(classes), _PROBE)
        trained = _trained(head, seen, pool, settings.seed)
        with torch.no_grad():
            guesses = torch.cat([trained(part).argmax(dim=1) for part in torch.split(unseen, _PART)]).cpu().numpy()
        return np.bincount(np.array(truth)[guesses == truth], minlength=len(classes))

    images = np.bincount(truth, minlength=len(classes))
    with_them, without = right(drawn), right([])
    return {
        classes[column].label: (
            float(100 * with_them[column] / images[column]),
            float(100 * without[column] / images[column]),
        )
        for column in sorted(set(drawn))
        if without[column] - with_them[column] > 1
    }


def _trained(head: nn.Module, features: Tensor, pool: balance_mix.Pool, seed: int) -> nn.Module:
    """Returns a copy of the head, trained on the features of the pool's images [images, width]."""
    head = copy.deepcopy(head).requires_grad_(True)
    probe = msgspec.structs.replace(_PROBE, seed=seed)
    prior = torch.from_numpy(balance_mix.label_marginal(pool, probe)).float().to(features.device)
    optimizer = torch.optim.AdamW(head.parameters(), weight_decay=0.0)
    for step in range(_STEPS):
        optimizer.param_groups[0]["lr"] = _RATE * (1 - step / _STEPS)
        plan = balance_mix.plan(step, pool, probe, frame=(1, 1))
        targets = torch.from_numpy(balance_mix.soft_targets(plan, pool, probe)).to(features.device)
        logits = head(features[torch.from_numpy(plan.first).to(features.device)])
        loss = losses.LOSSES[probe.loss](logits, targets, prior, probe)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return head


def _columns(samples: Sequence[Sample], columns: Mapping[int, int]) -> list[int]:
    for sample in samples:
        if sample.label not in columns:
            raise InputError(f"{sample.name}: the class table has no label {sample.label}")
    return [columns[sample.label] for sample in samples]
