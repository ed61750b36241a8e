"""`blank`: paints a description's hash as a field of colours, at once and everywhere the same. For tests and CI."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from ltgc_cli.ports import Generate, GeneratedImage, ImageRequest, Usage
from ltgc_cli.providers.images import encoded, format_of
from ltgc_cli.providers.opened import GenerateOptions, Opened

_SIZE = 32


def open_port(_: str, options: GenerateOptions) -> Opened[Generate]:
    """Returns the port that paints colour fields."""

    def generate(requests: Sequence[ImageRequest]) -> list[GeneratedImage | Exception]:
        return [
            GeneratedImage(sha256=options.keep(painted(one)), format=format_of(one), usage=Usage(dollars=0.0))
            for one in requests
        ]

    return Opened("blank", generate)


def painted(request: ImageRequest) -> bytes:
    """Returns an image of eight colours: the hash of the description, the seed and the attempt."""
    from PIL import Image

    digest = hashlib.sha256(f"{request.text}\n{request.seed}\n{request.attempt}".encode()).digest()
    field = Image.frombytes("RGB", (4, 2), digest[: 4 * 2 * 3])
    field = field.resize((request.width or _SIZE, request.height or _SIZE), Image.Resampling.NEAREST)
    return encoded(field, format_of(request))
