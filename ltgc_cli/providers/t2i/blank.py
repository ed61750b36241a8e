"""`blank`: paints a description's hash as a field of colours, at once and everywhere the same. For tests and CI."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from ltgc_cli.ports import Generate, GeneratedImage, ImageRequest, Usage
from ltgc_cli.providers.t2i.writing import encoded, format_of

MODEL = "blank"
_SIZE = 32


def paint_port(keep: Callable[[bytes], str]) -> Generate:
    """Returns the port that paints colour fields; `keep` stores the bytes and returns their sha256."""

    def generate(drawings: Sequence[ImageRequest]) -> list[GeneratedImage | Exception]:
        return [
            GeneratedImage(sha256=keep(painted(drawing)), format=format_of(drawing), usage=Usage(dollars=0.0))
            for drawing in drawings
        ]

    return generate


def painted(drawing: ImageRequest) -> bytes:
    """Returns a picture of eight colours: the hash of the description, the seed and the attempt."""
    from PIL import Image

    digest = hashlib.sha256(f"{drawing.text}\n{drawing.seed}\n{drawing.attempt}".encode()).digest()
    field = Image.frombytes("RGB", (4, 2), digest[: 4 * 2 * 3])
    field = field.resize((drawing.width or _SIZE, drawing.height or _SIZE), Image.Resampling.NEAREST)
    return encoded(field, format_of(drawing))
