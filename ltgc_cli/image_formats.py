"""Which files are images: the suffixes that folders are searched for, the formats that are decoded."""

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


def readable_suffixes() -> frozenset[str]:
    """Returns how the names of the images end that can be read here: those of HEIC where pillow-heif is installed."""
    return SUFFIXES if find_spec("pillow_heif") else SUFFIXES - HEIC
