"""Image bytes to pixels and back: as a person sees them, and as vision models read them."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from ltgc_cli.errors import Unreadable
from ltgc_cli.ports import ImageFormat, ImageRequest
from ltgc_cli.providers.quiet import quiet
from ltgc_cli.text import one_line

if TYPE_CHECKING:
    from PIL.Image import Image

_LOSSY = frozenset({"JPEG", "MPO", "WEBP", "AVIF", "JPEG2000"})
_QUALITY = 90
_ORIENTATION = 0x0112
_SMALL = 128 * 128


def decode(data: bytes, name: str = "") -> Image:
    """Returns an image's bytes as RGB pixels, as a person sees it: upright, on white, its first frame.

    16-bit greys keep their shades. Raises Refused, with the image's name, for bytes that are no whole image.
    """
    return _opened(data, name)[1].convert("RGB")


def format_of(request: ImageRequest) -> ImageFormat:
    """Returns what a generated image is written as."""
    return "png" if request.format is UNSET else request.format


def encoded(image: Image, format: ImageFormat) -> bytes:
    """Returns the image, RGB, as a PNG (every pixel as it is) or as a WebP (a fifth of the bytes).

    >>> from PIL import Image
    >>> encoded(Image.new("RGB", (8, 8)), "webp")[8:12]
    b'WEBP'
    """
    image = image.convert("RGB")
    if format == "webp":
        # Who wants every pixel has PNG, so WebP is for size: 95 is above what eyes and CLIP can distinguish; method 2
        # writes the same number of bytes as the default 4 in half the time (14 ms against 27 at 512x512).
        return _saved(image, "WEBP", quality=95, method=2)
    if image.width * image.height <= _SMALL:
        return _saved(image, "PNG")
    # zlib's lowest level takes a third of the time of its default (21 ms against 70 at 512x512, 68 against 218
    # at 1024x1024, one core) for a tenth more bytes; at one step an image the difference is seen in the rate.
    return _saved(image, "PNG", compress_level=1)


def shown(data: bytes, name: str = "", longest: int | None = None) -> tuple[str, bytes]:
    """Returns an image as vision models read it: "image/jpeg" or "image/png", and the bytes of one.

    The bytes go as they are where nothing needs to change; else what was lossy becomes a JPEG and all else a PNG.
    No side is longer than `longest` pixels. Raises Refused, with the image's name, for bytes that are no whole image.
    """
    file, image = _opened(data, name)
    if longest is not None and max(image.size) > longest:
        from PIL.Image import Resampling

        image.thumbnail((longest, longest), Resampling.LANCZOS)
    elif image is file and _readable(file, data):
        return f"image/{str(file.format).lower()}", data
    lossy = file.format in _LOSSY and b"VP8L" not in data[:64]
    return ("image/jpeg", _saved(image, "JPEG", quality=_QUALITY)) if lossy else ("image/png", _saved(image, "PNG"))


def data_url(data: bytes, name: str = "", longest: int | None = None) -> str:
    """Returns an image as a data URL that vision models read: see `shown`."""
    kind, data = shown(data, name, longest)
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _opened(data: bytes, name: str) -> tuple[Image, Image]:
    """Returns the image as its file has it, and upright in 8-bit grey or RGB: the same one where that is so already."""
    import PIL.Image

    try:
        with quiet():
            image = PIL.Image.open(io.BytesIO(data))
            image.load()
            return image, _flat(_upright(image))
    except Exception as error:  # Pillow's decoders raise all kinds, SyntaxError included
        unknown = isinstance(error, PIL.UnidentifiedImageError)  # whose own words are a memory address
        why = "no image format that Pillow knows" if unknown else one_line(error, 100)
        raise Unreadable(f"image {name[:12]} cannot be read: {why}") from None


def _upright(image: Image) -> Image:
    from PIL import ImageOps

    try:
        turned = image.getexif().get(_ORIENTATION, 1) != 1
        return ImageOps.exif_transpose(image) if turned else image
    except Exception:  # broken EXIF turns nothing
        return image


def _flat(image: Image) -> Image:
    """Returns the image in 8 bits, grey or RGB: what is see-through lies on white, deep greys keep their shades."""
    import PIL.Image

    if image.mode.startswith(("I", "F")):
        return _shallow(image)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return PIL.Image.alpha_composite(PIL.Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    if image.mode in ("L", "RGB"):
        return image
    flat = image.convert("L" if image.mode == "1" else "RGB")
    flat.info.pop("icc_profile", None)  # it was for the colours that the image had, CMYK for one
    return flat


def _shallow(image: Image) -> Image:
    """Returns a grey image of 16 or 32 bits in 8. Pillow's own conversion turns all above 255 white."""
    import numpy as np
    import PIL.Image

    values = np.nan_to_num(np.asarray(image, dtype=np.float64))
    low, high = min(0.0, float(values.min())), float(values.max())
    tops = [65535.0] if image.mode.startswith("I;16") else [1.0, 255.0, 65535.0]
    high = next((top for top in tops if high <= top), high)
    return PIL.Image.fromarray(((values - low) / (high - low) * 255).round().astype(np.uint8))


def _readable(file: Image, data: bytes) -> bool:
    """Returns whether vision models read the file: a JPEG, or a PNG of 8 bits, with one frame."""
    deep = file.format == "PNG" and data[24] != 8
    return file.format in ("JPEG", "PNG") and not deep and not getattr(file, "is_animated", False)


def _saved(image: Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
