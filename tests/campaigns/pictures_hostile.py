"""Pictures that somebody made to do harm: bombs, other formats under a picture's name, cut and broken files."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from random import Random

from PIL import Image, PngImagePlugin

_PICTURE = Image.effect_noise((48, 40), 60).convert("RGB")


def hostile(number: int, seed: int) -> tuple[str, bytes]:
    """Returns what is wrong with a picture, and its bytes."""
    names = list(_KINDS)
    name = names[number % len(names)]
    return name, _KINDS[name](Random(f"{seed} {number}"))


def saved(kind: str, image: Image.Image = _PICTURE, **options: object) -> bytes:
    """Returns an image's bytes in a format."""
    file = io.BytesIO()
    image.save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """Returns a chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes, depth: int = 8, colour: int = 2, more: bytes = b"") -> bytes:
    """Returns a PNG that says that it is so large, whatever is in it."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + more + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b"")


_SCRIPT = b"(gs-ran) (w) file closefile quit\n"
_EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n%%EndComments\n" + _SCRIPT
_PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog/OpenAction<</S/Launch/F(sh)>>>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF"


def _cut(random: Random) -> bytes:
    data = saved(random.choice(["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"]))
    return data[: random.randrange(1, len(data))]


def _flipped(random: Random) -> bytes:
    data = bytearray(saved(random.choice(["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "ICO", "PPM", "TGA"])))
    for _ in range(random.randint(1, 20)):
        data[random.randrange(len(data))] = random.randrange(256)
    return bytes(data)


def _tiff(random: Random) -> bytes:
    """A TIFF whose directory leads to itself."""
    entries = struct.pack("<HHII", 256, 4, 1, 40) + struct.pack("<HHII", 257, 4, 1, 40)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 2) + entries + struct.pack("<I", 8)


def _text(random: Random) -> bytes:
    info = PngImagePlugin.PngInfo()
    for number in range(40):
        info.add_text(f"k{number}", "a" * 900_000, zip=True)
    return saved("PNG", pnginfo=info)


def _animated(random: Random) -> bytes:
    frames = [Image.new("P", (64, 64), number % 250) for number in range(300)]
    return saved("GIF", frames[0], save_all=True, append_images=frames[1:])


def _large(random: Random) -> bytes:
    """A picture of a few bytes that takes half a gigabyte once it is read."""
    return png(13_300, 13_300, bytes(13_301 * 13_300), 8, 0)


_KINDS: dict[str, Callable[[Random], bytes]] = {
    "a bomb: 20,000 x 20,000": lambda random: png(20_000, 20_000, bytes(10**6)),
    "a bomb: grey, 60,000 x 60,000": lambda random: png(60_000, 60_000, bytes(10**6), 1, 0),
    "a bomb: 2^31 - 1 wide": lambda random: png(2**31 - 1, 1, b""),
    "a bomb: grey, 13,300 x 13,300, all there": _large,
    "no width": lambda random: png(0, 40, b""),
    "a GIF that says 65,535 x 65,535": lambda random: b"GIF89a\xff\xff\xff\xff\0\0\0," + bytes(20),
    "a BMP that says 2^30 x 2^20": lambda random: b"BM"
    + struct.pack("<IHHIIiiHH", 99, 0, 0, 54, 40, 2**30, 2**20, 1, 24) + bytes(64),
    "PostScript": lambda random: _EPS,
    "PostScript behind a header of DOS": lambda random: b"\xc5\xd0\xd3\xc6"
    + struct.pack("<II", 32, len(_EPS)) + bytes(20) + _EPS,
    "a PDF": lambda random: _PDF,
    "an SVG": lambda random: b"<svg xmlns='http://www.w3.org/2000/svg' onload='a()'><image href='file:///etc/passwd'/></svg>",
    "a fifth of a file": _cut,
    "flipped bytes": _flipped,
    "a TIFF in a circle": _tiff,
    "40 long texts": _text,
    "a broken profile": lambda random: saved("PNG", icc_profile=random.randbytes(3_000)),
    "a broken EXIF": lambda random: saved("JPEG", exif=b"Exif\0\0" + random.randbytes(3_000)),
    "an animation of 300": _animated,
    "nothing": lambda random: b"",
    "zeros": lambda random: bytes(10_000),
    "noise": lambda random: random.randbytes(5_000),
    "text": lambda random: b"root:x:0:0:root:/root:/bin/bash\n" * 30,
    "one pixel": lambda random: saved("PNG", Image.new("RGB", (1, 1))),
    "one pixel high": lambda random: saved("PNG", Image.new("RGB", (3_000, 1))),
    "a mode of few": lambda random: saved(
        "TIFF", Image.new(random.choice(["CMYK", "LAB", "F", "I", "I;16", "1"]), (40, 30))
    ),
    "numbers that are none": lambda random: saved(
        "TIFF", Image.frombytes("F", (8, 8), struct.pack("<64f", *[float("nan")] * 64))
    ),
    "a palette that is short": lambda random: png(16, 16, bytes(17 * 16), 8, 3, chunk(b"PLTE", b"\0\0\0")),
    "depth 16": lambda random: png(16, 16, bytes((16 * 6 + 1) * 16), 16, 2),
    "a depth that is none": lambda random: png(16, 16, bytes(500), 7, 2),
    "a FITS": lambda random: b"SIMPLE  =                    T".ljust(80) + b"END".ljust(2800),
    "a program": lambda random: b"\x7fELF\x02\x01\x01" + bytes(500),
    "an archive": lambda random: b"PK\x03\x04" + random.randbytes(500),
    "a WMF": lambda random: b"\xd7\xcd\xc6\x9a\0\0" + struct.pack("<hhhhH", 0, 0, 99, 99, 96) + bytes(60),
    "a JPEG 2000 that is cut": lambda random: b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 " + bytes(30),
    "an ICO of a bomb": lambda random: struct.pack("<HHHBBBBHHII", 0, 1, 1, 0, 0, 0, 0, 1, 32, 99, 22)
    + png(30_000, 30_000, bytes(1000)),
}  # fmt: skip
