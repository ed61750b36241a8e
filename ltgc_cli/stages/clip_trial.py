"""CLIP is tried on real images before it judges generated ones: is an image most like the name of its own class?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from ltgc_cli.ports import Compare, Score
from ltgc_cli.records import Class, Metric
from ltgc_cli.stages import thresholds as t
from ltgc_cli.trial import TriedImage, metrics

MOST = 32
"""Real images of one class that are tried; more would say little more of it."""


def try_clip(
    classes: Iterable[Class], images: Mapping[int, Sequence[str]], *, score: Score, compare: Compare,
    keep: Callable[[bytes], str], model: str,
) -> list[Metric]:  # fmt: skip
    """Returns how many real images CLIP takes for their own class, by the names of all classes, as metric records.

    No question is asked for it. There are none where there is one class only, and where no image can be scored.

    images -- the sha256 of each class's real images, by label: an even choice of them is tried
    keep -- stores the list of the names, and returns its sha256
    """
    known = [cls for cls in classes if cls.label >= 0]
    of = [(cls, sha256) for cls in known for sha256 in _some(images.get(cls.label, ()))]
    if not of:
        return []
    texts = {cls.label: t.name_text(cls) for cls in known}
    others = t.among({texts[cls.label]: cls.class_ for cls in reversed(known)}, compare=compare, keep=keep, model=model)
    if others is None:
        return []
    scored = t.scoring(score, model)
    tried: list[TriedImage] = []
    for start in range(0, len(of), t.AT_ONCE):
        part = of[start : start + t.AT_ONCE]
        pairs = [(sha256, texts[cls.label]) for cls, sha256 in part]
        for (cls, _), own, other in zip(part, scored(pairs), others.closest(pairs), strict=True):
            if not isinstance(own, Exception) and not isinstance(other, Exception):
                # Of equal ones none is its own: a model that gives every text one score tells nothing apart.
                taken = cls.class_ if own > other.cosine else others.names.get(other.text, "")
                margin = round(own - other.cosine, 6)
                tried.append(TriedImage(label=cls.label, class_=cls.class_, taken=taken, margin=margin))
    return metrics(tried, len(others.names), model) if tried else []


def _some(images: Sequence[str]) -> Sequence[str]:
    """Returns at most MOST of the images, evenly spread; of copies one, for the others would say nothing new."""
    different = list(dict.fromkeys(images))
    many = min(MOST, len(different))
    return [different[number * len(different) // many] for number in range(many)]
