"""Which files are images: the suffixes that folders are searched for, the formats that are decoded."""

from __future__ import annotations

SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .apng .gif .bmp .dib .webp .tif .tiff .avif .avifs .heic .heif .hif .jp2 .j2k .jpx .jpf "
    ".ppm .pgm .pbm .pnm .pfm .tga .pcx .sgi .qoi".split()
)
"""How the names of images end, in small letters."""

DECODED = (
    "JPEG", "MPO", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "AVIF", "HEIF", "JPEG2000", "PPM", "TGA", "PCX", "SGI", "QOI",
)  # fmt: skip
"""The formats that are read, by Pillow's names. No others: Pillow would start Ghostscript for a PostScript file that is
called photo.jpg."""
