from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from ltgc_cli.ports import ImageRequest
from ltgc_cli.providers.images import png
from ltgc_cli.providers.t2i.writing import encoded, format_of


@pytest.fixture
def picture():
    """A function that returns a picture with soft edges, as photographs have them."""

    def picture(side: int) -> Image.Image:
        x, y = np.meshgrid(np.arange(side), np.arange(side))
        waves = [np.sin(x / 9 + y / 17), np.sin(x / 23 - y / 7), np.cos(x / 13) * np.sin(y / 19)]
        return Image.fromarray((127 + 100 * np.stack(waves, -1)).astype("uint8"))

    return picture


def test_a_drawing_says_what_it_is_written_as():
    drawing = ImageRequest(model="m", text="a", seed=1)

    assert format_of(drawing) == "png"
    assert format_of(ImageRequest(model="m", text="a", seed=1, format="webp")) == "webp"


@pytest.mark.parametrize("side", [32, 256])
def test_a_png_keeps_every_pixel(picture, side):
    image = Image.open(io.BytesIO(encoded(picture(side), "png")))

    assert image.format == "PNG" and (np.asarray(image) == np.asarray(picture(side))).all()


def test_the_bytes_of_small_pngs_are_those_that_earlier_versions_wrote(picture):
    assert encoded(picture(32), "png") == png(picture(32))


@pytest.mark.parametrize("side", [32, 256])
def test_a_webp_is_smaller_and_looks_the_same(picture, side):
    data = encoded(picture(side), "webp")
    image = Image.open(io.BytesIO(data))

    assert image.format == "WEBP" and len(data) < len(encoded(picture(side), "png"))
    assert abs(np.asarray(image, dtype=int) - np.asarray(picture(side), dtype=int)).max() <= 16


@pytest.mark.parametrize("format", ["png", "webp"])
def test_a_picture_in_grey_is_written_in_colour(format):
    assert Image.open(io.BytesIO(encoded(Image.new("L", (8, 8), 7), format))).mode == "RGB"
