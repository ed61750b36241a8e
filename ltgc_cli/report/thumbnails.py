"""The images of a page: small WebPs in data: addresses, and a tile where there is none."""

from __future__ import annotations

import base64
import io
import os
import textwrap
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from html import escape

from PIL import Image

from ltgc_cli.errors import LtgcError
from ltgc_cli.providers.images import read as decoded
from ltgc_cli.text import one_line

SEEN = 112  # CSS pixels that an image is shown at
SHARP = 2 * SEEN  # the same on a screen with two pixels for one
_SMALL = 64  # up to here an image is kept as it is: it is shown enlarged, pixel by pixel
_QUALITY = 72
_SAMPLE = 48

_TILE = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 112 112" width="112" height="112">'
    '<rect width="112" height="112" fill="#8882"/>'
    '<g font-family="system-ui,sans-serif" font-size="10" fill="#888" text-anchor="middle">{lines}</g></svg>'
)


def thumbnails(
    shas: Sequence[str], read: Callable[[str], bytes], size: int = SHARP, on_each: Callable[[], object] = lambda: None
) -> dict[str, str]:
    """Returns a data: address for each image, at most `size` pixels on its longer side.

    read -- an image's bytes by its sha256; what it raises as LtgcError or OSError is written on a tile instead
    on_each -- called after each
    """

    def one(sha256: str) -> str:
        try:
            return webp_url(read(sha256), size)
        except (LtgcError, OSError) as error:
            reason = one_line(error)
            return tile_url("not in the store" if "is not in the store" in reason else reason)

    found = {}
    with ThreadPoolExecutor(max_workers=min(8, (os.cpu_count() or 1) + 2)) as pool:
        for sha256, url in zip(shas, pool.map(one, shas), strict=True):
            found[sha256] = url
            on_each()
    return found


def webp_url(data: bytes, size: int = SHARP) -> str:
    """Returns an image as a WebP in a data: address, nothing but its pixels. Raises Unreadable for what is no image."""
    image = decoded(data, least=size)
    image.thumbnail((size, size), Image.Resampling.LANCZOS)
    small = max(image.size) <= _SMALL
    file = io.BytesIO()
    image.save(file, "WEBP", lossless=small, quality=100 if small else _QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def tile_url(reason: str) -> str:
    """Returns a grey tile with the reason why there is no image, as a data: address."""
    lines = textwrap.wrap(reason, 19)[:5] or ["no image"]
    top = 60 - 6 * len(lines)
    texts = "".join(f'<text x="56" y="{top + 13 * n}">{escape(line)}</text>' for n, line in enumerate(lines))
    svg = _TILE.format(lines=texts)
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode(errors="replace")).decode()


def is_tile(url: str) -> bool:
    """Returns whether an address is of a tile in an image's place."""
    return url.startswith("data:image/svg+xml")


def mean_length(shas: Sequence[str], read: Callable[[str], bytes], size: int) -> float:
    """Returns about how many characters the address of one of these images has, from some of them."""
    step = max(1, len(shas) // _SAMPLE)
    lengths = [len(url) for url in thumbnails(shas[::step], read, size).values()]
    return sum(lengths) / len(lengths) if lengths else 0.0
