"""What is called an image and is none, or is larger than is good for a machine: refused by name, nothing started."""

from __future__ import annotations

import ast
import io
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from pictures import COLOUR, file, png_chunk
from PIL import Image

import ltgc_cli
from ltgc_cli import image_formats
from ltgc_cli.errors import InputError, Unreadable
from ltgc_cli.learn.datasets import pixels
from ltgc_cli.providers import images

ROOT = Path(ltgc_cli.__file__).parent.parent


# ---- one reader, one list of formats


def test_pillow_opens_an_image_in_one_place_and_by_the_list_of_formats():
    readers = r"(Image|PIL)\.open\(|\b(imread|load_image|decode_image|default_loader|ImageFolder)\("
    opened = [
        (path.relative_to(ROOT).as_posix(), ast.unparse(node))
        for path in ROOT.glob("ltgc_cli/**/*.py")
        if re.search(readers, text := path.read_text(encoding="utf-8"))
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and re.search(readers, f"{ast.unparse(node.func)}(")
    ]
    assert opened == [("ltgc_cli/providers/images.py", "PIL.Image.open(io.BytesIO(data), formats=formats)")]
    assert not {
        "EPS",
        "PDF",
        "PS",
        "WMF",
        "GRIB",
        "BUFR",
        "HDF5",
        "FITS",
        "MPEG",
        "ICNS",
        "ICO",
        "PSD",
        "SPIDER",
    } & set(image_formats.DECODED)


HEADS = {
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "EPS with a preview": struct.pack("<IIIIIIIH", 0xC6D3D0C5, 32, 99, 0, 0, 0, 0, 0xFFFF) + b"%!PS-Adobe-3.0",
    "PDF": b"%PDF-1.7\n1 0 obj\n",
    "WMF": b"\xd7\xcd\xc6\x9a\0\0" + struct.pack("<HHHHHI", 0, 0, 9, 9, 1440, 0),
    "EMF": b"\x01\0\0\0" + bytes(36) + b" EMF" + bytes(100),
    "FITS": b"SIMPLE  =                    T".ljust(2880),
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(64),
    "GRIB": b"GRIB\0\0\0\x01" + bytes(64),
    "BUFR": b"BUFR\0\0\0\x04" + bytes(64),
    "ICNS": b"icns\0\0\x01\0" + bytes(300),
    "ICO": struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, 0x080000, 22) + bytes(600_000),
    "cursor": struct.pack("<HHHBBBBHHII", 0, 2, 1, 16, 16, 0, 0, 16, 16, 0x180000, 22) + bytes(600_000),
    "PSD": b"8BPS\0\x01" + bytes(6) + struct.pack(">HIIHH", 3, 9, 9, 8, 3) + bytes(300),
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "MPEG": b"\0\0\x01\xba" + bytes(8) + b"\x08\0\x08\0\x08" + bytes(300),
    "zip": b"PK\x03\x04" + bytes(300),
    "tar": b"photo.jpg".ljust(257, b"\0") + b"ustar\0" + bytes(300),
    "text": b"root:x:0:0:root:/root:/bin/bash\n",
    "zeros": bytes(5000),
    "nothing": b"",
    "page": b"<!doctype html><title>404</title>",
    "pickle": b"\x80\x04\x95" + bytes(64),
}


@pytest.mark.parametrize("kind", HEADS)
def test_what_is_called_jpg_and_is_of_another_kind_is_refused_and_nothing_is_started(kind, monkeypatch):
    monkeypatch.setattr("subprocess.Popen", lambda *args, **more: pytest.fail("a program was started"))
    for refused in (images.check, images.read, images.shown):
        with pytest.raises(Unreadable, match=r"^not a whole image \("):
            refused(HEADS[kind])
    with pytest.raises(InputError, match=r"^photo.jpg: not a whole image \("):
        pixels(HEADS[kind], "photo.jpg")


def test_a_tga_is_read_though_its_format_has_no_signature():
    for image in (COLOUR, COLOUR[..., 0], Image.fromarray(COLOUR).quantize(16)):
        data = file(image, "TGA")
        images.check(data)
        assert images.read(data).size == (56, 56)


# ---- size


def png(width: int, height: int, more: bytes = b"", rows: bytes = b"") -> bytes:
    """A PNG of one bit a pixel with a whole header, and as many rows as are given."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + more + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")


def jpeg_that_says(width: int, height: int) -> bytes:
    data = bytearray(file(COLOUR, "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def gif_that_says(width: int, height: int, *, frame: bool) -> bytes:
    data = bytearray(file(Image.new("P", (8, 8)), "GIF"))
    at = data.index(b"\x2c") + 5 if frame else 6
    data[at : at + 4] = struct.pack("<HH", width, height)
    return bytes(data)


def bmp_that_says(width: int, height: int) -> bytes:
    data = bytearray(file(COLOUR, "BMP"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def tiff_that_says(width: int, height: int) -> bytes:
    tags = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, height), (279, 9)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


LARGE = {
    "30000 x 30000": png(30_000, 30_000, rows=bytes(3751 * 300)),
    "10001 x 10000": png(10_001, 10_000),
    "65500 x 65500": jpeg_that_says(65_500, 65_500),
    "65535 x 65535": gif_that_says(65_535, 65_535, frame=False),
    "65535 x 65534": gif_that_says(65_535, 65_534, frame=True),
    "100000 x 100000": bmp_that_says(100_000, 100_000),
    "1000000 x 1000000": tiff_that_says(1_000_000, 1_000_000),
    "200000000 x 1": png(200_000_000, 1),
}


@pytest.mark.parametrize("size", LARGE)
def test_more_pixels_than_are_read_are_named_with_the_flag_and_none_is_decoded(size, monkeypatch):
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("it was decoded"))
    said = f"{size} pixels, and 100 megapixels are the most that are read; save it smaller, or raise --max-pixels"
    for refused in (images.check, images.read, images.shown):
        with pytest.raises(Unreadable, match=f"^{said}$"):
            refused(LARGE[size])
    with pytest.raises(InputError, match=f"^photo.jpg: {said}$"):
        pixels(LARGE[size], "photo.jpg")


def test_the_cap_is_raised_and_lowered_and_pillows_own_is_as_it_was(monkeypatch):
    before = Image.MAX_IMAGE_PIXELS
    images.check(png(10_000, 10_000))
    monkeypatch.setattr(image_formats, "_megapixels", 900)
    images.check(LARGE["30000 x 30000"])
    image_formats.allow(1)
    assert image_formats.allowed() == 1
    with pytest.raises(Unreadable, match="^1001 x 1000 pixels, and 1 megapixels are the most"):
        images.check(png(1001, 1000))
    assert before == Image.MAX_IMAGE_PIXELS


def test_strips_of_any_shape_are_read():
    for size in ((100_000, 1), (1, 100_000)):
        assert images.read(file(Image.new("RGBA", size, (9, 9, 9, 128)), "PNG")).size == size


@pytest.mark.parametrize("size", [(0, 0), (0, 9), (9, 0)])
def test_an_image_without_a_pixel_is_none(size):
    with pytest.raises(Unreadable, match="^not a whole image"):
        images.read(png(*size))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_of_many_frames_the_first_alone_is_decoded(kind, monkeypatch):
    frames = [Image.new("RGB", (8, 8), (n % 256, n // 256, 0)) for n in range({"TIFF": 50, "AVIF": 20}.get(kind, 2000))]
    buffer = io.BytesIO()
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
    monkeypatch.setattr("PIL.ImageFile.ImageFile.seek", lambda *_: pytest.fail("it was wound on"), raising=False)
    assert images.read(buffer.getvalue()).size == (8, 8)
    assert images.shown(buffer.getvalue())[0] in ("image/jpeg", "image/png")


def test_texts_and_profiles_that_unpack_to_gigabytes_are_not_unpacked():
    bomb = zlib.compress(bytes(50_000_000), 9)
    texts = png_chunk(b"zTXt", b"a\0\0" + bomb) + png_chunk(b"iCCP", b"a\0\0" + bomb)
    data = file(COLOUR, "PNG")
    found = images.read(data[:33] + texts * 20 + data[33:])
    assert (np.asarray(found) == COLOUR).all()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "TGA", "QOI", "AVIF", "JPEG2000"])
def test_a_file_that_is_cut_anywhere_is_an_image_or_is_refused(kind):
    data = file(COLOUR, kind)
    for end in range(0, len(data), max(1, len(data) // 40)):
        try:
            assert images.read(data[:end]).mode == "RGB"
        except Unreadable as error:
            assert "\n" not in str(error)


def test_exif_of_any_bytes_turns_nothing_and_stops_nothing():
    for exif in (
        b"MM\0*" + b"\xff" * 60,
        b"II*\0\x08\0\0\0\xff\xff" + b"\x12\x01" * 99,
        b"MM\0*\0\0\0\x08\0\x01\x01\x12",
    ):
        data = file(COLOUR, "PNG", exif=exif)
        assert (np.asarray(images.read(data)) == COLOUR).all()
