"""Image bytes to pixels and back: the one reader of images, for models, training and pages, and the one writer."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import UNSET

from ltgc_cli.errors import Unreadable
from ltgc_cli.image_formats import DECODED, HEIC_EXTRA
from ltgc_cli.ports import ImageFormat, ImageRequest
from ltgc_cli.providers.quiet import quiet
from ltgc_cli.text import one_line

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

_LOSSY = frozenset({"JPEG", "MPO", "WEBP", "AVIF", "HEIF", "JPEG2000"})
_QUALITY = 90
_ORIENTATION, _BITS = 0x0112, 0x0102  # tags
_SMALL = 128 * 128
_HEIF = re.compile(rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL)
_PNG = b"\x89PNG\r\n\x1a\n"
_TEXT = 65536  # bytes of a text in a PNG; what says how the image is turned is shorter


def read(data: bytes, least: int = 0) -> Image:
    """Returns an image's bytes as RGB pixels, as a person sees it: upright, on white, its first frame.

    Greys of 16 bits and floats keep their shades.
    least -- pixels a side that will do: a JPEG is then decoded smaller at once, which costs an eighth
    Raises Unreadable, with the reason alone, for what is no whole image, and for one of too many pixels before any of
    them is decoded.
    """
    return _opened(data, least).image.convert("RGB")


def decode(data: bytes, name: str = "") -> Image:
    """Returns what `read` does. Raises Unreadable with the image's name."""
    with _named(name):
        return read(data)


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
    No side is longer than `longest` pixels. Raises Unreadable with the image's name.
    """
    with _named(name):
        data, file, image = _opened(data)
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


@contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except Unreadable as error:
        raise Unreadable(f"image {name[:12]} cannot be read: {error}" if name else str(error)) from None


class _Opened(NamedTuple):
    data: bytes  # what was read: all that was given but for the texts that are too long
    file: ImageFile  # the image as its file has it
    image: Image  # upright in 8-bit grey or RGB: the same one where that is so already


def _opened(data: bytes, least: int = 0) -> _Opened:
    """Returns the image in bytes. Raises Unreadable with the reason alone."""
    try:
        with quiet():
            try:
                file = _loaded(data, least)
            except ValueError:
                if not data.startswith(_PNG):
                    raise
                data = _without_long_texts(data)
                file = _loaded(data, least)
            return _Opened(data, file, _flat(_upright(file), _white(file)))
    except Exception as error:  # Pillow's decoders raise all kinds, SyntaxError included
        raise Unreadable(_why(data, error)) from None


def _loaded(data: bytes, least: int) -> ImageFile:
    import PIL.Image

    if heif := _HEIF.match(data):
        _register_heif()
    PIL.Image.init()
    formats = [name for name in DECODED if name in PIL.Image.OPEN and (heif or name != "HEIF")]
    file = PIL.Image.open(io.BytesIO(data), formats=formats)
    if least and file.format in ("JPEG", "MPO"):  # HEIC's reader takes a thumbnail, which says nothing of the rest
        file.draft(None, (least, least))
    file.load()
    return file


@cache
def _register_heif() -> None:
    with suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener()


def _without_long_texts(data: bytes) -> bytes:
    """Returns a PNG without the texts and the colour profile that Pillow may find too long.

    Short ones stay: XMP may say how the image is turned. None is unpacked here, for it may be a bomb.
    """
    kept, at = [_PNG], len(_PNG)
    while at < len(data):
        chunk = data[at : at + 12 + int.from_bytes(data[at : at + 4])]
        kind, text = chunk[4:8], chunk[8:]
        packed = kind in (b"zTXt", b"iCCP") or (kind == b"iTXt" and text.partition(b"\0")[2][:1] != b"\0")
        if not packed and (kind not in (b"tEXt", b"iTXt") or len(text) <= _TEXT):
            kept.append(chunk)
        at += len(chunk)
    return b"".join(kept)


def _why(data: bytes, error: Exception) -> str:
    """Returns in a few words why an image cannot be read, and what to do where something helps."""
    import PIL.Image

    if isinstance(error, PIL.Image.DecompressionBombError):
        most = 2 * (PIL.Image.MAX_IMAGE_PIXELS or 0) // 10**6
        return f"more than {most} megapixels, the most that are read; save it smaller"
    if not isinstance(error, PIL.UnidentifiedImageError):
        return f"not a whole image ({one_line(error, 100) or type(error).__name__})"
    if _HEIF.match(data) and "HEIF" not in PIL.Image.OPEN:
        return f"HEIC, which needs one more package: {HEIC_EXTRA}"
    return "not a whole image (no image format that is read here)"  # Pillow's own words are a memory address


def _upright(image: Image) -> Image:
    from PIL import ImageOps

    try:
        turned = image.getexif().get(_ORIENTATION, 1) != 1
        return ImageOps.exif_transpose(image) if turned else image
    except Exception:  # broken EXIF turns nothing
        return image


def _flat(image: Image, white: float | None) -> Image:
    """Returns the image in 8 bits, grey or RGB: what is see-through lies on white, deep greys keep their shades.

    white -- the value that is white in a deep grey, None where its values must tell
    """
    import PIL.Image

    if image.mode.startswith(("I", "F")):
        return _shallow(image, white)
    if image.has_transparency_data:
        layer = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        return PIL.Image.alpha_composite(PIL.Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    if image.mode in ("L", "RGB"):
        return image
    flat = image.convert("L" if image.mode == "1" else "RGB")
    flat.info.pop("icc_profile", None)  # it was for the colours that the image had, CMYK for one
    return flat


def _white(file: ImageFile) -> float | None:
    """Returns the value that is white in a grey file of more than 8 bits, where its format says so."""
    if file.mode.startswith("I;16"):
        bits = getattr(file, "tag_v2", {}).get(_BITS, ())
        return 4095.0 if bits == (12,) else 65535.0
    return 65535.0 if file.format == "PPM" and file.mode == "I" else None


def _shallow(image: Image, white: float | None) -> Image:
    """Returns a grey image of 16 or 32 bits in 8. Pillow's own conversion turns all above 255 white."""
    import numpy as np
    import PIL.Image

    values = np.asarray(image, dtype=np.float64)
    there = values[np.isfinite(values)]
    low, high = (float(end) for end in (there.min(initial=0.0), there.max(initial=0.0)))
    values = np.nan_to_num(values, nan=0.0, posinf=high, neginf=low)
    if white is not None:
        high = white
    elif image.mode != "F" or not 1 < high < 4:  # else light a little above 1, and not 8 bits that are nearly black
        high = next((top for top in (1.0, 255.0, 65535.0) if high <= top), high)
    return PIL.Image.fromarray(((values - low) / (high - low) * 255).round().astype(np.uint8))


def _readable(file: Image, data: bytes) -> bool:
    """Returns whether vision models read the file: a JPEG, or a PNG of 8 bits, with one frame."""
    deep = file.format == "PNG" and data[24] != 8
    return file.format in ("JPEG", "PNG") and not deep and not getattr(file, "is_animated", False)


def _saved(image: Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
