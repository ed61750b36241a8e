"""Image bytes to pixels and back: the one reader of images, for models, training and pages, and the one writer."""

from __future__ import annotations

import base64
import io
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from msgspec import UNSET

from ltgc_cli import image_formats
from ltgc_cli.errors import Unreadable
from ltgc_cli.image_formats import DECODED, HEIC_EXTRA
from ltgc_cli.ports import ImageFormat, ImageRequest
from ltgc_cli.providers.quiet import by_many, quiet
from ltgc_cli.text import one_line

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

A = TypeVar("A")

_LOSSY = frozenset({"JPEG", "MPO", "WEBP", "AVIF", "HEIF", "JPEG2000"})
_QUALITY = 90
_ORIENTATION, _BITS = 0x0112, 0x0102  # tags
_SMALL = 128 * 128
_HEIF = re.compile(rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL)
# Pillow takes for a TGA, which has no signature, an icon, a cursor and an MPEG: without a colour map (the second byte)
# the place and length of one are 0.
_NO_TGA = re.compile(rb".\0.(?!\0\0\0\0)", re.DOTALL)
_PNG = b"\x89PNG\r\n\x1a\n"
_TEXT = 65536  # bytes of a text in a PNG; what says how the image is turned is shorter
_LARGE = 20_000_000  # pixels from which images are decoded one after another: eight threads would hold gigabytes
_STRIP = 4_000_000  # pixels
_one_large = threading.Lock()


def read(data: bytes, least: int = 0) -> Image:
    """Returns an image's bytes as RGB pixels, as a person sees it: upright, on white, its first frame.

    Greys of 16 bits and floats keep their shades.
    least -- pixels a side that will do: a JPEG is then decoded smaller at once, which costs an eighth
    Raises Unreadable, with the reason alone, for what is no whole image, and for one of too many pixels before any of
    them is decoded.
    """
    image = _opened(data, least).image
    return image if image.mode == "RGB" else image.convert("RGB")


def check(data: bytes) -> None:
    """Returns nothing where bytes begin as an image that is read here, of a size that is; no pixel is decoded.

    Raises Unreadable with the reason alone.
    """
    _guarded(data, _header)


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

    def opened(data: bytes) -> _Opened:
        file = _header(data)
        if least and file.format in ("JPEG", "MPO"):  # HEIC's reader takes a thumbnail, which says nothing of the rest
            file.draft(None, (least, least))
        turn: AbstractContextManager[object] = _one_large if file.width * file.height > _LARGE else nullcontext()
        with turn:
            file.load()
            return _Opened(data, file, _flat(_upright(file), _white(file)))

    return _guarded(data, opened)


def _guarded(data: bytes, f: Callable[[bytes], A]) -> A:
    """Returns f of an image, without its texts where these are too long for Pillow. Raises Unreadable for any error."""
    try:
        with quiet():
            try:
                return f(data)
            except ValueError:
                if not data.startswith(_PNG):
                    raise
                return f(_without_long_texts(data))
    except Exception as error:  # Pillow's decoders raise all kinds, SyntaxError included
        raise Unreadable(_why(data, error)) from None


class _TooLarge(Exception):
    """The image has more pixels than are read: its text says so."""


def _header(data: bytes) -> ImageFile:
    """Returns an image of which no pixel is decoded yet. Raises _TooLarge, and whatever Pillow raises."""
    import PIL.Image

    if heif := _HEIF.match(data):
        _register_heif()
    PIL.Image.init()
    unlike = {"HEIF"} if not heif else set()
    unlike |= {"TGA"} if _NO_TGA.match(data) else set()
    formats = [name for name in DECODED if name in PIL.Image.OPEN and name not in unlike]
    with _of_any_size():
        file = PIL.Image.open(io.BytesIO(data), formats=formats)
    if file.width * file.height > image_formats.allowed() * 10**6:
        raise _TooLarge(f"{file.width} x {file.height} pixels")
    return file


@by_many
@contextmanager
def _of_any_size() -> Iterator[None]:
    """Within it Pillow takes images of any size: ours is looked at next, and says how large they are."""
    import PIL.Image

    most, PIL.Image.MAX_IMAGE_PIXELS = PIL.Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        PIL.Image.MAX_IMAGE_PIXELS = most


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

    if isinstance(error, _TooLarge):
        most = image_formats.allowed()
        return f"{error}, and {most} megapixels are the most that are read; save it smaller, or raise --max-pixels"
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
        flat = PIL.Image.new("RGB", image.size)
        for box, strip in _strips(image):
            layer = (strip.convert("LA") if strip.mode == "La" else strip).convert("RGBA")
            white_one = PIL.Image.new("RGBA", layer.size, "white")
            flat.paste(PIL.Image.alpha_composite(white_one, layer).convert("RGB"), box)
        return flat
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

    ends = [0.0]
    for _, strip in _strips(image):
        values = np.asarray(strip, dtype=np.float64)
        there = values[np.isfinite(values)]
        ends += [float(there.min(initial=0.0)), float(there.max(initial=0.0))]
    low, high = min(ends), max(ends)
    top = high
    if white is not None:
        top = white
    elif image.mode != "F" or not 1 < high < 4:  # else light a little above 1, and not 8 bits that are nearly black
        top = next((one for one in (1.0, 255.0, 65535.0) if high <= one), high)
    flat = PIL.Image.new("L", image.size)
    for box, strip in _strips(image):
        values = np.nan_to_num(np.asarray(strip, dtype=np.float64), nan=0.0, posinf=high, neginf=low)
        flat.paste(PIL.Image.fromarray(((values - low) / (top - low) * 255).round().astype(np.uint8)), box)
    return flat


def _strips(image: Image) -> Iterator[tuple[tuple[int, int, int, int], Image]]:
    """Returns an image in parts from top to bottom, each with its place: what is done to one takes little memory."""
    rows = max(1, _STRIP // image.width)
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(top + rows, image.height))
        yield box, image.crop(box)


def _readable(file: Image, data: bytes) -> bool:
    """Returns whether vision models read the file: a JPEG, or a PNG of 8 bits, with one frame."""
    deep = file.format == "PNG" and data[24] != 8
    return file.format in ("JPEG", "PNG") and not deep and not getattr(file, "is_animated", False)


def _saved(image: Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
