"""What becomes of an image on its way to a vision model, file by file, and how generated images are written."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from ltgc_cli.errors import Refused
from ltgc_cli.ports import ImageRequest
from ltgc_cli.providers.images import data_url, decode, encoded, format_of, shown

NOISE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
SMOOTH = np.stack([np.tile(np.arange(32, dtype=np.uint8) * 7, (24, 1))] * 3, axis=2)


def file(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def photo(mode: str = "RGB") -> Image.Image:
    return Image.fromarray(SMOOTH).convert(mode)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def a_png(width: int, height: int, depth: int, rows: bytes) -> bytes:
    """An RGB PNG put together by hand."""
    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n"
    for kind, chunk in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        data += struct.pack(">I", len(chunk)) + kind + chunk + struct.pack(">I", zlib.crc32(kind + chunk))
    return data


def turned(orientation: int) -> dict[str, Image.Exif]:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return {"exif": exif}


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("longest", [None, 32, 1024])
def test_an_upright_jpeg_or_png_in_8_bits_goes_as_it_is(kind, mode, longest):
    data = file(photo(mode), kind)
    assert shown(data, "a", longest) == (f"image/{kind.lower()}", data)


def test_an_upright_photo_with_exif_goes_as_it_is():
    data = file(photo(), "JPEG", **turned(1))
    assert shown(data) == ("image/jpeg", data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_turned_photo_is_shown_upright(kind):
    top_red = np.zeros((24, 32, 3), np.uint8)
    top_red[:12, :, 0] = 255
    lying = Image.fromarray(np.rot90(top_red))  # as a camera held upright writes it, with orientation 6
    image = opened(shown(file(lying, kind, **turned(6)))[1])

    assert image.size == (32, 24)
    pixels = np.asarray(image.convert("RGB"), dtype=int)
    assert pixels[2, :, 0].min() > 200 and pixels[-2, :, 0].max() < 60
    assert image.getexif().get(0x0112, 1) == 1
    assert decode(file(lying, kind, **turned(6))).size == (32, 24)


@pytest.mark.parametrize(
    ("image", "options"),
    [
        (photo("P"), {}),
        (photo("1"), {}),
        (photo("RGBA"), {}),
        (photo("LA"), {}),
        (photo("P"), {"transparency": 0}),
        (photo(), {"transparency": (0, 0, 0)}),
    ],
    ids=["palette", "black and white", "RGBA", "LA", "see-through palette", "see-through RGB"],
)
def test_every_other_kind_of_png_becomes_a_plain_png(image, options):
    kind, data = shown(file(image, "PNG", **options))
    assert kind == "image/png" and opened(data).mode in ("L", "RGB") and not opened(data).has_transparency_data


@pytest.mark.parametrize(
    ("kind", "options", "becomes"),
    [
        ("BMP", {}, "png"),
        ("TIFF", {}, "png"),
        ("GIF", {}, "png"),
        ("PPM", {}, "png"),
        ("WEBP", {"lossless": True}, "png"),
        ("WEBP", {}, "jpeg"),
        ("JPEG2000", {}, "jpeg"),
    ],
)
def test_every_other_format_becomes_a_jpeg_where_it_was_lossy_and_else_a_png(kind, options, becomes):
    found, data = shown(file(photo(), kind, **options))
    assert found == f"image/{becomes}" == f"image/{opened(data).format.lower()}"
    assert np.abs(np.asarray(opened(data).convert("RGB"), int) - SMOOTH).max() <= (0 if becomes == "png" else 16)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_see_through_lies_on_white(mode):
    clear = photo(mode)
    clear.putalpha(0)
    assert np.asarray(decode(file(clear, "PNG"))).min() == 255


def test_a_grey_image_of_16_bits_keeps_its_shades():
    deep = Image.fromarray(np.array([[0, 257, 32896, 65535]], dtype=np.uint16))
    kind, data = shown(file(deep, "PNG"))
    assert kind == "image/png" and np.asarray(opened(data)).tolist() == [[0, 1, 128, 255]]
    assert np.asarray(decode(file(deep, "TIFF")))[0, :, 0].tolist() == [0, 1, 128, 255]


def test_a_colour_png_of_16_bits_becomes_one_of_8():
    _, data = shown(a_png(1, 1, 16, b"\0" + struct.pack(">3H", 65535, 32896, 0)))
    assert data[24] == 8 and opened(data).getpixel((0, 0)) == (255, 128, 0)


@pytest.mark.parametrize(
    ("values", "greys"), [([0.0, 0.5, 1.0], [0, 128, 255]), ([0, 128, 255], [0, 128, 255]), ([-1, 0, 1], [0, 128, 255])]
)
def test_a_tiff_of_floats_becomes_greys(values, greys):
    data = file(Image.fromarray(np.array([values], dtype=np.float32)), "TIFF")
    assert np.asarray(decode(data))[0, :, 0].tolist() == greys


def test_a_cmyk_photo_becomes_rgb_without_its_profile():
    kind, data = shown(file(photo("CMYK"), "JPEG", icc_profile=b"a profile of inks"))
    assert kind == "image/jpeg" and opened(data).mode == "RGB" and "icc_profile" not in opened(data).info
    assert np.abs(np.asarray(opened(data), int) - SMOOTH).max() <= 16


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_is_shown(kind):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue", "green")]
    data = file(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)
    _, shown_data = shown(data)
    assert getattr(opened(shown_data), "n_frames", 1) == 1
    red, green, blue = opened(shown_data).convert("RGB").getpixel((4, 4))
    assert red > 240 and green < 15 and blue < 15


def test_of_a_photo_in_several_views_the_first_is_shown():
    views = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    kind, data = shown(file(views[0], "MPO", save_all=True, append_images=views[1:]))
    assert kind == "image/jpeg" and opened(data).format == "JPEG" and opened(data).getpixel((4, 4))[0] > 240


@pytest.mark.parametrize(("kind", "becomes"), [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("BMP", "image/png")])
def test_a_large_image_is_scaled_to_its_longest_side(kind, becomes):
    found, data = shown(file(Image.fromarray(NOISE), kind), "a", 16)
    assert found == becomes and opened(data).size == (16, 12)


def test_scaling_is_of_the_upright_image_and_keeps_a_pixel_of_every_side():
    found, data = shown(file(Image.new("RGB", (400, 2)), "PNG", **turned(6)), "a", 100)
    assert opened(data).size == (1, 100)


def test_pixels_of_plain_images_are_those_of_the_file():
    for mode in ("RGB", "L", "P", "1"):
        data = file(photo(mode), "PNG")
        assert decode(data).tobytes() == opened(data).convert("RGB").tobytes()
    assert opened(encoded(decode(file(photo(), "PNG")), "png")).tobytes() == SMOOTH.tobytes()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF"])
def test_half_a_file_is_refused_by_name(kind):
    data = file(Image.fromarray(NOISE), kind)
    with pytest.raises(Refused, match="^image 0123456789ab cannot be read: "):
        shown(data[: len(data) // 2], "0123456789abcdef")


@pytest.mark.parametrize("data", [b"", b"no image", b"GIF89a", b"<svg/>", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"])
def test_what_is_no_image_is_refused_in_one_line_without_memory_addresses(data):
    with pytest.raises(Refused, match="^image photo cannot be read: [^<]+$") as raised:
        data_url(data, "photo")
    assert "BytesIO" not in str(raised.value) and "\n" not in str(raised.value)


def test_a_decompression_bomb_is_refused():
    said = "image bomb cannot be read: 50000 x 50000 pixels, and 100 megapixels are the most that are read; save it sm"
    with pytest.raises(Refused, match=f"^{said}aller, or raise --max-pixels$"):
        decode(a_png(50_000, 50_000, 8, b"\0"), "bomb")


def test_broken_exif_turns_nothing():
    data = file(photo(), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff broken")
    assert shown(data) == ("image/jpeg", data)


# --- written


@pytest.fixture
def picture():
    """A function that returns an image with soft edges, as photographs have them."""

    def picture(side: int) -> Image.Image:
        x, y = np.meshgrid(np.arange(side), np.arange(side))
        waves = [np.sin(x / 9 + y / 17), np.sin(x / 23 - y / 7), np.cos(x / 13) * np.sin(y / 19)]
        return Image.fromarray((127 + 100 * np.stack(waves, -1)).astype("uint8"))

    return picture


def test_a_request_says_what_its_image_is_written_as():
    request = ImageRequest(model="m", text="a", seed=1)

    assert format_of(request) == "png"
    assert format_of(ImageRequest(model="m", text="a", seed=1, format="webp")) == "webp"


@pytest.mark.parametrize("side", [32, 256])
def test_a_png_keeps_every_pixel(picture, side):
    image = Image.open(io.BytesIO(encoded(picture(side), "png")))

    assert image.format == "PNG" and (np.asarray(image) == np.asarray(picture(side))).all()


def test_the_bytes_of_small_pngs_are_those_that_earlier_versions_wrote(picture):
    assert encoded(picture(32), "png") == file(picture(32), "PNG")


@pytest.mark.parametrize("side", [32, 256])
def test_a_webp_is_smaller_and_looks_the_same(picture, side):
    data = encoded(picture(side), "webp")
    image = Image.open(io.BytesIO(data))

    assert image.format == "WEBP" and len(data) < len(encoded(picture(side), "png"))
    assert abs(np.asarray(image, dtype=int) - np.asarray(picture(side), dtype=int)).max() <= 16


@pytest.mark.parametrize("format", ["png", "webp"])
def test_an_image_in_grey_is_written_in_colour(format):
    assert Image.open(io.BytesIO(encoded(Image.new("L", (8, 8), 7), format))).mode == "RGB"
