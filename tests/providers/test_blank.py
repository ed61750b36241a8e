from __future__ import annotations

import io

from ltgc_cli.ports import ImageRequest
from ltgc_cli.providers.opened import GenerateOptions
from ltgc_cli.providers.t2i import blank


def drawing(text: str = "A photo of a crane.", **options) -> ImageRequest:
    return ImageRequest(model="blank", text=text, **{"seed": 1, **options})


def test_the_same_request_gives_the_same_bytes_and_any_other_others(keep):
    drawings = [drawing(), drawing("A photo of a seal."), drawing(seed=2), drawing(attempt=1)]
    port = blank.open_port("", GenerateOptions(keep=keep)).port
    pictures = port(drawings)

    assert port(drawings) == pictures
    assert len({picture.sha256 for picture in pictures}) == 4


def test_a_field_is_32_by_32_or_as_large_as_asked():
    from PIL import Image

    sizes = [Image.open(io.BytesIO(blank.painted(d))).size for d in (drawing(), drawing(width=64, height=48))]

    assert sizes == [(32, 32), (64, 48)]


def test_a_field_has_many_colours():
    from PIL import Image

    image = Image.open(io.BytesIO(blank.painted(drawing())))

    assert image.format == "PNG" and len(image.getcolors()) == 8


def test_a_field_is_written_in_the_format_that_was_asked(keep, kept):
    from PIL import Image

    (picture,) = blank.open_port("", GenerateOptions(keep=keep)).port([drawing(format="webp")])

    assert picture.format == "webp" and Image.open(io.BytesIO(kept[picture.sha256])).format == "WEBP"
