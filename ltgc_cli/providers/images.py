"""Image bytes to pixels and back, and what kind of image bytes are."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

from ltgc_cli.errors import Refused
from ltgc_cli.providers.quiet import one_line, quiet

if TYPE_CHECKING:
    from PIL.Image import Image

_KINDS = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"))


def decode(data: bytes, name: str = "") -> Image:
    """Returns an image's bytes as RGB pixels. Raises Refused for bytes that are no image."""
    import PIL.Image

    try:
        with quiet(), PIL.Image.open(io.BytesIO(data)) as image:
            return image.convert("RGB")
    except Exception as error:  # Pillow's decoders raise all kinds, SyntaxError included
        raise Refused(f"image {name[:12]} cannot be read: {one_line(error, 100)}") from None


def png(image: Image) -> bytes:
    """Returns the image's pixels as a PNG, RGB."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


def data_url(data: bytes, name: str = "") -> str:
    """Returns the bytes as a data URL that vision models read; a kind that they do not know goes as PNG.

    >>> data_url(b"GIF89a")
    'data:image/gif;base64,R0lGODlh'
    """
    kind = next((kind for start, kind in _KINDS if data.startswith(start)), None)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        kind = "image/webp"
    if kind is None:
        kind, data = "image/png", png(decode(data, name))
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
