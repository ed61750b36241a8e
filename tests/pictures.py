"""One picture in every format and mode that people have: its bytes, and the pixels that a person sees."""

from __future__ import annotations

import io
import struct
import zlib
from typing import NamedTuple

import numpy as np
from PIL import Image
from pillow_heif import register_heif_opener

register_heif_opener()

SIDE = 56  # a contact sheet shows it pixel by pixel
_X, _Y = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
COLOUR = np.stack([_X * 4, _Y * 4, (_X + _Y) * 2], -1).astype(np.uint8)  # no two corners alike
GREY = np.repeat((_X * 2 + _Y).astype(np.uint8)[..., None], 3, -1)
INK = np.where(((_X - 20) ** 2 + (_Y - 30) ** 2 < 200)[..., None], np.uint8(0), np.uint8(255)).repeat(3, -1)
_TURNS = {2: (1, 0), 3: (0, 2), 4: (1, 2), 5: (1, 3), 6: (0, 1), 7: (1, 1), 8: (0, 3)}  # mirrored, quarters


class Picture(NamedTuple):
    """A file, and its pixels upright and on white [SIDE, SIDE, 3], give or take so many levels."""

    data: bytes
    pixels: np.ndarray
    tolerance: int = 0


def file(image: Image.Image | np.ndarray, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(buffer, kind, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunk(png: bytes, kind: bytes, data: bytes, *, at_end: bool = False) -> bytes:
    """A PNG with one more chunk, behind its header or before its end."""
    place = len(png) - 12 if at_end else 33
    return png[:place] + png_chunk(kind, data) + png[place:]


def long_text(kind: bytes, length: int) -> bytes:
    packed = zlib.compress(b"a" * length)
    return {
        b"tEXt": b"Comment\0" + b"a" * length,
        b"zTXt": b"Comment\0\0" + packed,
        b"iTXt": b"Comment\0\1\0\0\0" + packed,
        b"iCCP": b"profile\0\0" + packed,
    }[kind]


def pictures() -> dict[str, Picture]:
    """Returns every picture by what is special about it."""
    return {**_turned(), **_deep(), **_see_through(), **_modes(), **_formats(), **_long_texts()}


def _lying(turn: int) -> np.ndarray:
    """The pixels that a file holds whose EXIF says `turn`."""
    mirrored, quarters = _TURNS[turn]
    lying = np.rot90(COLOUR, quarters)
    return np.ascontiguousarray(lying[:, ::-1] if mirrored else lying)


def _exif(turn: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = turn
    return exif


def _turned() -> dict[str, Picture]:
    found = {f"png turned {turn}": Picture(file(_lying(turn), "PNG", exif=_exif(turn)), COLOUR) for turn in _TURNS}
    for kind, tolerance in {"JPEG": 6, "TIFF": 0, "WEBP": 0, "MPO": 6}.items():
        options = {"lossless": True} if kind == "WEBP" else {"quality": 98, "subsampling": 0} if tolerance else {}
        data = file(_lying(6), kind, exif=_exif(6), **options)
        found[f"{kind} turned"] = Picture(data, COLOUR, tolerance)
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    text = b"XML:com.adobe.xmp\0\0\0\0\0" + xmp
    turned = with_chunk(file(_lying(6), "PNG"), b"iTXt", text)
    found["png turned by XMP"] = Picture(turned, COLOUR)
    found["png turned by XMP, with a long text"] = Picture(
        with_chunk(turned, b"zTXt", long_text(b"zTXt", 3_000_000)), COLOUR
    )
    deep = GREY[..., 0].astype(np.uint16) * 257
    found["deep png turned"] = Picture(file(np.rot90(deep), "PNG", exif=_exif(6)), GREY)
    return found


def _deep() -> dict[str, Picture]:
    """16 bits, 32 bits, floats: their shades are those of 8 bits."""
    deep = GREY[..., 0].astype(np.uint16) * 257
    light = GREY[..., 0].astype(np.float32) / 255
    light[0, 0] = np.nan  # as black as the corner is
    big_endian = Image.frombytes("I;16B", (SIDE, SIDE), deep.astype(">u2").tobytes())
    return {
        "grey png of 16 bits": Picture(file(deep, "PNG"), GREY),
        "grey tiff of 16 bits": Picture(file(deep, "TIFF"), GREY),
        "grey tiff of 16 bits, packed": Picture(file(deep, "TIFF", compression="tiff_lzw"), GREY),
        "grey tiff of 16 bits, big-endian": Picture(file(big_endian, "TIFF"), GREY),
        "pgm of 16 bits": Picture(file(deep, "PPM"), GREY),
        "dark pgm of 16 bits": Picture(file(GREY[..., 0].astype(np.uint16), "PPM"), _scaled(GREY[..., 0])),
        "grey jp2 of 16 bits": Picture(file(deep, "JPEG2000"), GREY, 1),
        "tiff of 32 bits": Picture(file(deep.astype(np.int32), "TIFF"), _scaled(deep)),
        "tiff of floats": Picture(file(light, "TIFF"), _scaled(np.nan_to_num(light) * 65535)),
        "tiff of floats up to 255": Picture(file(GREY[..., 0].astype(np.float32), "TIFF"), GREY),
        "pfm": Picture(file(light, "PPM"), _scaled(np.nan_to_num(light) * 65535)),
    }


def _scaled(deep: np.ndarray) -> np.ndarray:
    return np.repeat((deep.astype(np.float64) / 65535 * 255).round().astype(np.uint8)[..., None], 3, -1)


def _see_through() -> dict[str, Picture]:
    """Ink in the alpha channel, over black that nobody sees."""
    alpha = Image.fromarray(255 - INK[..., 0])
    black = Image.new("RGB", (SIDE, SIDE))
    grey = Image.new("L", (SIDE, SIDE))
    for image in (black, grey):
        image.putalpha(alpha)
    palette = Image.fromarray((INK[..., 0] == 0).astype(np.uint8), "P")
    palette.putpalette([0, 0, 0, 0, 0, 0])
    plain = Image.fromarray(np.where(INK == 255, np.uint8(9), np.uint8(0)))
    return {
        "rgba": Picture(file(black, "PNG"), INK),
        "rgba webp": Picture(file(black, "WEBP", lossless=True), INK),
        "rgba tiff": Picture(file(black, "TIFF"), INK),
        "la": Picture(file(grey, "PNG"), INK),
        "la tiff": Picture(file(grey, "TIFF"), INK),
        "see-through palette": Picture(file(palette, "PNG", transparency=b"\0\xff"), INK),
        "see-through gif": Picture(file(palette, "GIF", transparency=0), INK),
        "a see-through colour": Picture(file(plain, "PNG", transparency=(9, 9, 9)), INK),
    }


def _modes() -> dict[str, Picture]:
    colour = Image.fromarray(COLOUR)
    paletted = colour.quantize(256)
    return {
        "grey": Picture(file(GREY[..., 0], "PNG"), GREY),
        "black and white": Picture(file(Image.fromarray(INK).convert("1"), "PNG"), INK),
        "palette": Picture(file(paletted, "PNG"), np.asarray(paletted.convert("RGB"))),
        "cmyk tiff": Picture(file(colour.convert("CMYK"), "TIFF"), COLOUR),
        "cmyk jpeg": Picture(file(colour.convert("CMYK"), "JPEG", quality=98), COLOUR, 12),
        "lab tiff": Picture(file(_lab(), "TIFF"), COLOUR, 32),
    }


def _lab() -> Image.Image:
    from PIL import ImageCms

    lab = ImageCms.profileToProfile(
        Image.fromarray(COLOUR), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    return lab


def _formats() -> dict[str, Picture]:
    colour, other = Image.fromarray(COLOUR), Image.new("RGB", (SIDE, SIDE), "blue")
    more = {"save_all": True, "append_images": [other]}
    two = {"gif": Image.fromarray(GREY[..., 0]), "apng": colour, "webp": colour, "tiff": colour}
    frames = {
        f"{name} of two frames": Picture(
            file(
                image,
                "PNG" if name == "apng" else name.upper(),
                **more,
                **({"lossless": True} if name == "webp" else {}),
            ),
            GREY if name == "gif" else COLOUR,
            int(name == "webp"),  # lossless here, and by its first bytes nobody can tell
        )
        for name, image in two.items()
    }
    exact = {
        kind: Picture(file(colour, kind), COLOUR) for kind in ("PNG", "BMP", "TIFF", "PPM", "TGA", "PCX", "SGI", "QOI")
    }
    return {
        **frames,
        **exact,
        "pgm": Picture(file(GREY[..., 0], "PPM"), GREY),
        "pbm": Picture(file(Image.fromarray(INK).convert("1"), "PPM"), INK),
        "jpeg": Picture(file(colour, "JPEG", quality=98, subsampling=0), COLOUR, 6),
        "jp2": Picture(file(colour, "JPEG2000"), COLOUR, 1),
        "avif": Picture(file(colour, "AVIF", quality=98, subsampling="4:4:4"), COLOUR, 8),
        "heic": Picture(file(colour, "HEIF", quality=98, chroma=444), COLOUR, 8),
        "heic turned": Picture(file(_lying(6), "HEIF", quality=98, chroma=444, exif=_exif(6).tobytes()), COLOUR, 8),
    }  # fmt: skip


def _long_texts() -> dict[str, Picture]:
    """A whole picture with more text than Pillow unpacks, as image generators and editors write it."""
    png = file(COLOUR, "PNG")
    found = {}
    for kind in (b"zTXt", b"iTXt", b"iCCP"):
        found[f"png with a long {kind.decode()}"] = Picture(with_chunk(png, kind, long_text(kind, 2_000_000)), COLOUR)
    at_end = with_chunk(png, b"iTXt", long_text(b"iTXt", 2_000_000), at_end=True)
    return {
        **found,
        "png with a long text behind its pixels": Picture(at_end, COLOUR),
    }
