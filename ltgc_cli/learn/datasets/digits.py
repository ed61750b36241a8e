"""digits-lt: scikit-learn's handwritten digits (UCI ML hand-written digits, 8x8), cut to a long tail.

`digits-lt:SEED:FACTOR`: the head class has 110 training images and the rarest 110 / FACTOR. The factor is the imbalance
as the field defines it (Cao et al., NeurIPS 2019: the largest class over the smallest), and 100 is what is compared on.
"""

from __future__ import annotations

import io
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ltgc_cli.errors import InputError
from ltgc_cli.learn.datasets.files import sha256
from ltgc_cli.learn.datasets.types import ClassInfo, Dataset, Format, Item, Source, Split

DIGIT_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_HEAD, _TEST, _VAL = 110, 60, 40
_FACTOR = 27.5  # of a spec that names none: 110 to 4, the cut of the first version
_SIDE = 32
_VERSION = "1"
"""Part of the fingerprint: raise it when a change here changes an image or a split."""


def digit_counts(seed: int, factor: float = _FACTOR) -> tuple[int, ...]:
    """Returns the training images of each digit: 110 down to 110 / factor geometrically, shuffled by the seed.

    >>> sorted(digit_counts(0, 100))
    [1, 2, 3, 5, 9, 14, 24, 40, 66, 110]
    """
    import numpy as np

    ranks = np.random.default_rng([seed, 10]).permutation(10)
    return tuple(max(1, round(_HEAD * (1 / factor) ** (int(rank) / 9))) for rank in ranks)


def _open(source: Source, split: Split) -> Dataset:
    import numpy as np

    seed, factor = _cut(source)
    counts = digit_counts(seed, factor)
    _, digits = _load_digits()
    items = []
    for label, count in enumerate(counts):
        indices = np.random.default_rng([seed, label]).permutation(np.flatnonzero(digits == label))
        test, train, val = np.split(indices, [_TEST, _TEST + count])
        chosen = {"test": test, "train": train, "val": val[:_VAL]}[split]
        items += [Item(label=label, name=f"digits/{index:04d}") for index in sorted(chosen)]
    classes = tuple(
        ClassInfo(label=label, name=name, sense="written digit", count=counts[label])
        for label, name in enumerate(DIGIT_NAMES)
    )
    return Dataset(spec=source.spec, split=split, classes=classes, items=tuple(items))


def _read(_: Dataset, item: Item) -> bytes:
    """Returns a PNG of 32x32: uncompressed, so that every build of zlib gives the same bytes."""
    import numpy as np
    from PIL import Image

    levels = _load_digits()[0][int(item.name.removeprefix("digits/"))]
    small = Image.fromarray(np.rint(levels * 255 / 16).astype(np.uint8))
    file = io.BytesIO()
    small.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC).convert("RGB").save(file, "PNG", compress_level=0)
    return file.getvalue()


def _fingerprint(source: Source, split: Split) -> str:
    seed, factor = _cut(source)
    named = [] if factor == _FACTOR else [f"{factor:g}"]  # what was made of the first version's cut stays known
    return sha256(["digits-lt", _VERSION, str(seed), *named, split])


def _cut(source: Source) -> tuple[int, float]:
    """Returns the seed and the imbalance factor of a spec."""
    if source.root or source.classes:
        raise InputError(f"{source.spec} has its own images and classes: leave out --root and --classes")
    seed, _, factor = source.spec.partition(":")[2].partition(":")
    if seed and not re.fullmatch("[0-9]{1,9}", seed):
        raise InputError(f"{source.spec}: the seed of digits-lt is a whole number, as in digits-lt:3")
    if factor and not re.fullmatch(r"[0-9]+(\.[0-9]+)?", factor):
        raise InputError(f"{source.spec}: the imbalance of digits-lt is a number, as in digits-lt:3:100")
    if factor and not 1 <= float(factor) <= _HEAD:
        raise InputError(f"{source.spec}: the imbalance of digits-lt is from 1, no imbalance, to {_HEAD}, one image")
    return int(seed or 0), float(factor) if factor else _FACTOR


@cache
def _load_digits() -> tuple[Any, Any]:
    """Returns the levels [1797, 8, 8] in 0..16 and the digits [1797]. No two images are alike, so no split leaks."""
    import numpy as np

    # As sklearn.datasets.load_digits reads it; but to import that, and SciPy with it, takes 1.2 s of CPU.
    spec = find_spec("sklearn")
    assert spec and spec.origin, "scikit-learn comes with ltgc"
    rows = np.loadtxt(Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1].astype(int)


FORMAT = Format(
    takes=lambda spec: spec.partition(":")[0] == "digits-lt",
    open=_open,
    read=_read,
    fingerprint=_fingerprint,
    splits=lambda source: ("train", "val", "test"),
)
