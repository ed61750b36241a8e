"""Which files are images: the suffixes that folders are searched for, the formats that are decoded, and how large."""

from __future__ import annotations

from importlib.util import find_spec

HEIC = frozenset({".heic", ".heif", ".hif"})
"""How the names of a phone's pictures end, which Pillow reads with pillow-heif alone."""
HEIC_EXTRA = "pip install pillow-heif"

_PILLOWS = (
    "jpg jpeg jpe jfif mpo png apng gif bmp dib webp tif tiff avif avifs jp2 j2k j2c jpx jpf "
    "ppm pgm pbm pnm pfm tga pcx sgi qoi"
)
SUFFIXES = HEIC.union(f".{suffix}" for suffix in _PILLOWS.split())
"""How the names of images end, in small letters."""

DECODED = tuple("JPEG MPO PNG GIF BMP DIB WEBP TIFF AVIF HEIF JPEG2000 PPM TGA PCX SGI QOI".split())  # noqa: SIM905
"""The formats that are read, by Pillow's names. No others: Pillow would start Ghostscript for a PostScript file that is
called photo.jpg."""

MEGAPIXELS = 100
"""The largest image that is read where nobody says otherwise: its pixels alone take 400 MB, and twice that while what
is see-through is laid on white."""
_UNCOMPRESSED = 4  # bytes of a pixel that a file may have, beside as many of anything else as a photo's preview takes
_BESIDE = 2**26
_megapixels = MEGAPIXELS


def allow(megapixels: int) -> None:
    """Sets how large an image this process reads: --max-pixels of the command that runs."""
    global _megapixels
    _megapixels = megapixels


def allowed() -> int:
    """Returns how large an image is read, in megapixels."""
    return _megapixels


def most_bytes() -> int:
    """Returns how long a file may be that is read as an image."""
    return _UNCOMPRESSED * _megapixels * 10**6 + _BESIDE


def readable_suffixes() -> frozenset[str]:
    """Returns how the names of the images end that can be read here: those of HEIC where pillow-heif is installed."""
    return SUFFIXES if find_spec("pillow_heif") else SUFFIXES - HEIC
