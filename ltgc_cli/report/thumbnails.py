"""The images of a page: which there is room for, small WebPs in data: addresses, and a tile where there is none."""

from __future__ import annotations

import base64
import io
import os
import textwrap
from bisect import bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from html import escape

from PIL import Image

from ltgc_cli.errors import LtgcError
from ltgc_cli.providers.images import read as decoded
from ltgc_cli.report.content import ClassContent, Content, JudgedImage
from ltgc_cli.text import one_line

SEEN = 112  # CSS pixels that an image is shown at
SHARP = 2 * SEEN  # the same on a screen with two pixels for one
_SMALL = 64  # up to here an image is kept as it is: it is shown enlarged, pixel by pixel
_QUALITY = 72
_SAMPLE = 48
_IMAGE, _CLASS = 700, 1500  # bytes of the markup of an image (its description, its score), and of a class
_MOST = 4096  # images of one class: above it none is left out because of --size alone
_ROOM_FOR_ROUNDS = 9  # images of a class from which on the rounds of generated images get a third of them

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


def fitted(content: Content, read: Callable[[str], bytes], room: float) -> tuple[Content, int]:
    """Returns the content with as many images of each class as there is room for, and their size in pixels.

    read -- an image's bytes by its sha256
    room -- about how many bytes the page may have
    """
    shas = content.images
    sizes = {pixels: mean_length(shas, read, pixels) for pixels in (SHARP, SEEN)}
    for pixels, length in sizes.items():
        if _bytes(content, length) <= room:
            return content, pixels
    fits = bisect_right(range(1, _MOST), room, key=lambda most: _bytes(cut(content, most), sizes[SEEN]))
    return cut(content, max(fits, 1)), SEEN  # one of each class is there in any case


def _bytes(content: Content, length: float) -> float:
    """Returns about how many bytes a page has; real images stand on it twice, the second time beside generated ones."""
    images = sum(len(cls.images) + len(cls.originals) * bool(cls.generated) for cls in content.shown)
    return _CLASS * len(content.shown) + images * (_IMAGE + length)


def cut(content: Content, most: int) -> Content:
    """Returns the content with at most about so many images of each class shown: a fair choice of each kind.

    Of the generated images those stay that are spread evenly over the accepted, and over the rejected; their rounds
    are a third of the room.
    """
    return content._replace(shown=tuple(_cut(cls, most) for cls in content.shown))


def _cut(cls: ClassContent, most: int) -> ClassContent:
    if len(cls.images) <= most:
        return cls
    accepted = [image for image in cls.generated if image.accepted]
    rejected = [image for image in cls.generated if not image.accepted]
    has_rounds = any(image.steps for image in cls.generated) and most >= _ROOM_FOR_ROUNDS
    sizes = [len(cls.originals), len(accepted), len(rejected), len(cls.plain)]
    shares = _shares(sizes, most - has_rounds * most // 3)
    room = most - sum(shares)
    generated = []
    for image in (*_spread(accepted, shares[1]), *_spread(rejected, shares[2])):
        fits = len(image.steps) <= room
        room -= len(image.steps) if fits else 0
        generated.append(image if fits else image._replace(steps=()))
    return cls._replace(
        originals=cls.originals[: shares[0]],
        generated=tuple(generated),
        plain=cls.plain[: shares[3]],
        left_out=sum(sizes) - sum(shares),
    )


def _shares(sizes: Sequence[int], most: int) -> list[int]:
    """Returns how many of each kind there is room for, given out one at a time in turn.

    >>> _shares([2, 50, 3, 0], 9)
    [2, 4, 3, 0]
    """
    shares = [0] * len(sizes)
    while sum(shares) < min(most, sum(sizes)):
        for kind, size in enumerate(sizes):
            if shares[kind] < size and sum(shares) < most:
                shares[kind] += 1
    return shares


def _spread(images: Sequence[JudgedImage], many: int) -> list[JudgedImage]:
    """Returns so many of the images, evenly spread.

    >>> _spread("abcdefgh", 3)
    ['a', 'c', 'f']
    """
    return [images[number * len(images) // many] for number in range(many)]
