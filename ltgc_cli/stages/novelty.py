"""Whether a generated image is a copy: nearer to an original image of its class than originals are to each other.

A text-to-image model that was tuned on a few images may have learnt one by heart (Somepalli et al., "Diffusion Art or
Digital Forgery?", CVPR 2023); training on copies adds nothing to the image that they are of.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ltgc_cli.errors import InputError, Refused
from ltgc_cli.ports import Compare, Comparison, NearestClass
from ltgc_cli.stages.overview import ClassOverview
from ltgc_cli.stages.thresholds import parted, percentile

SAME = 0.9999
"""Cosines from here on are of one picture, whatever file it is in: the rest is float32's rounding."""

_NOTHING = (
    "--novelty has no class with two different original images to measure by; start the stream with "
    "'ltgc describe --data …', or leave it out"
)


class Novelty(NamedTuple):
    """What tells copies from new images."""

    nearest: Callable[[Sequence[tuple[int, str]]], list[NearestClass | Exception | None]]
    """The nearest original of its class of each image, given by label and sha256; None where the class has none."""
    limit: float
    """The cosine above which an image is a copy."""
    percent: float
    model: str

    def copied(self, nearest: NearestClass | Exception | None) -> str:
        """Returns the sha256 of the original that an image is a copy of, by its nearest one; empty for a new image."""
        return nearest.text if isinstance(nearest, NearestClass) and nearest.cosine > self.limit else ""


def novelty(
    classes: Sequence[ClassOverview], percent: float | None, *, compare: Compare | None,
    keep: Callable[[bytes], str] | None, model: str,
) -> Novelty | None:  # fmt: skip
    """Returns what tells copies from new images; None where nobody asked, and where no class has generated images.

    The limit is common to all classes: few have enough originals for one of their own.
    Raises InputError where no class has two different originals.

    percent -- of the originals that are as near to another one of their class as a copy is
    keep -- stores the list of a class's originals, and returns its sha256
    """
    if percent is None or not classes:
        return None
    if compare is None or keep is None:
        raise ValueError("novelty needs the ports `compare` and `keep`")
    originals = {one.cls.label: list(dict.fromkeys(one.originals)) for one in classes if one.originals}
    if not any(len(own) > 1 for own in originals.values()):
        raise InputError(_NOTHING)
    lists = {label: keep(json.dumps(own).encode()) for label, own in originals.items()}
    real = [
        Comparison(model=model, image=image, own=image, among=lists[label], of="images")
        for label, own in originals.items()
        if len(own) > 1
        for image in own
    ]
    answers = [answer for part in parted(real) for answer in compare(part)]
    if answers and all(isinstance(one, Exception) for one in answers):  # none of it can be judged, and none passes
        why = Refused(f"no original image could be compared with another ({answers[0]})")
        return Novelty(lambda images: [why] * len(images), math.inf, percent, model)
    limit = copy_limit([one.cosine for one in answers if isinstance(one, NearestClass)], percent)
    nearest = _finder({label: frozenset(own) for label, own in originals.items()}, lists, compare, model)
    return Novelty(nearest, limit, percent, model)


def copy_limit(real: Sequence[float], percent: float) -> float:
    """Returns the cosine above which an image is a copy: so many percent of the originals have a nearest other nearer.

    Pictures that the data set itself has twice are left out; one picture is a copy whatever the others are like.
    Raises InputError where there is nothing to go by.

    real -- the cosine of each original with the nearest other one of its class
    """
    different = [cosine for cosine in real if cosine < SAME]
    if not different:
        raise InputError(_NOTHING)
    return round(percentile(different, 100 - percent), 6)


def _finder(
    originals: Mapping[int, frozenset[str]], lists: Mapping[int, str], compare: Compare, model: str
) -> Callable[[Sequence[tuple[int, str]]], list[NearestClass | Exception | None]]:
    def nearest(images: Sequence[tuple[int, str]]) -> list[NearestClass | Exception | None]:
        # An original's own file is compared with nothing: the port leaves an image itself out.
        files = {one: NearestClass(text=one[1], cosine=1.0) for one in images if one[1] in originals.get(one[0], ())}
        asked = [one for one in dict.fromkeys(images) if one[0] in lists and one not in files]
        comparisons = [
            Comparison(model=model, image=sha256, own=sha256, among=lists[label], of="images")
            for label, sha256 in asked
        ]
        answers = compare(comparisons) if comparisons else []
        known: dict[tuple[int, str], NearestClass | Exception] = {**files, **dict(zip(asked, answers, strict=True))}
        return [known.get(one) for one in images]

    return nearest
