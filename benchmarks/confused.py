"""A text-to-image model that is often wrong, and a reader that says where: what the benchmarks of the judge share.

The embedded model draws what it is asked for 96 times in 100, so a judge has nothing to find. `confused` is that model,
but for 40% of the seeds it draws another digit. Which, a hash of the seed decides: it is a function of the request.
"""

from __future__ import annotations

import hashlib
import io
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ltgc_cli import providers
from ltgc_cli.ports import Generate, GeneratedImage, ImageRequest
from ltgc_cli.providers import Opened

SPEC, SHARE = "confused", 0.4
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_DIGIT = re.compile(rf"\b({'|'.join(DIGITS)})\b")


def confused(request: ImageRequest) -> ImageRequest:
    """Returns the request with its digit replaced by another one for 40% of the seeds, else as it is.

    >>> seen = [confused(ImageRequest(model="m", text="A photo of two.", seed=seed)).text for seed in range(5)]
    >>> seen
    ['A photo of one.', 'A photo of two.', 'A photo of two.', 'A photo of one.', 'A photo of two.']
    """
    found = _DIGIT.search(request.text)
    luck, choice = divmod(int(hashlib.sha256(f"{request.seed}".encode()).hexdigest(), 16), 2**32)
    if not found or (luck % 10_000) / 10_000 >= SHARE:
        return request
    others = [digit for digit in DIGITS if digit != found[0]]
    text = re.sub(rf"\b{found[0]}\b", others[choice % len(others)], request.text)
    return msgspec.structs.replace(request, text=text)


def install() -> None:
    """Makes `--t2i confused` a model of this process, by another name than that of the model that it asks."""
    original: Callable[..., Opened[Generate]] = providers.open_generate

    def opened(spec: str, **options: Any) -> Opened[Generate]:
        if spec != SPEC:
            return original(spec, **options)
        model, port = original("embedded", **options)

        def generate(requests: Sequence[ImageRequest]) -> Sequence[GeneratedImage | Exception]:
            return port([confused(request) for request in requests])

        return Opened(f"{SPEC}/{model}", generate)

    providers.open_generate = opened


class Reader:
    """A classifier of handwriting, taught by all of scikit-learn's real digits: what judges are measured against."""

    def __init__(self, objects: Callable[[str], bytes]) -> None:
        sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "embedded_models"))
        from reader import reader

        self._net, self._objects = reader(), objects

    def read(self, images: Sequence[str]) -> Mapping[str, int]:
        """Returns what digit is seen in each image, by its sha256."""
        import numpy
        import torch
        from PIL import Image
        from reader import reads

        different = list(dict.fromkeys(images))
        files = (Image.open(io.BytesIO(self._objects(sha256))).convert("RGB") for sha256 in different)
        pixels = numpy.stack([numpy.asarray(file.resize((32, 32)), dtype=numpy.float32) / 255 for file in files])
        return dict(zip(different, reads(self._net, torch.tensor(pixels).permute(0, 3, 1, 2)).tolist(), strict=True))
