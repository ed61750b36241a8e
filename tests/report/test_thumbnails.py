import base64
import io

import pytest
from fakes import sha
from PIL import Image

from ltgc_cli.errors import InputError, Unreadable
from ltgc_cli.report import thumbnails


def encoded(size: tuple[int, int], mode: str = "RGB", format: str = "PNG", **how: object) -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert(mode).save(file, format, **how)
    return file.getvalue()


def decoded(url: str) -> Image.Image:
    kind, _, data = url.partition(";base64,")
    assert kind == "data:image/webp"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_a_large_image_is_made_as_small_as_it_is_seen() -> None:
    assert decoded(thumbnails.webp_url(encoded((800, 400)), 224)).size == (224, 112)


@pytest.mark.parametrize(
    ("mode", "format"), [("L", "PNG"), ("RGBA", "PNG"), ("P", "GIF"), ("CMYK", "JPEG"), ("1", "PNG")]
)
def test_images_of_every_kind_become_webp(mode: str, format: str) -> None:
    assert decoded(thumbnails.webp_url(encoded((300, 300), mode, format))).size == (224, 224)


def test_a_tiny_image_stays_what_it_is_pixel_by_pixel() -> None:
    data = encoded((8, 8))
    kept = decoded(thumbnails.webp_url(data))
    assert kept.convert("RGB").tobytes() == Image.open(io.BytesIO(data)).tobytes()


def test_an_image_is_turned_as_its_camera_was() -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    assert decoded(thumbnails.webp_url(encoded((80, 40), format="JPEG", exif=turned))).size == (40, 80)


def test_nothing_but_the_pixels_is_kept() -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    assert b"taken at home" not in base64.b64decode(
        thumbnails.webp_url(encoded((80, 40), format="JPEG", exif=exif)).partition(",")[2]
    )


@pytest.mark.parametrize("data", [b"", b"<svg onload=alert(1)>", encoded((300, 300))[:200]])
def test_what_is_no_image_is_an_error(data: bytes) -> None:
    with pytest.raises(Unreadable, match="^not a whole image"):
        thumbnails.webp_url(data)


def test_an_image_too_large_to_open_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ltgc_cli.image_formats._megapixels", 0)
    with pytest.raises(Unreadable, match="^80 x 40 pixels, and 0 megapixels are"):
        thumbnails.webp_url(encoded((80, 40)))


def tile(url: str) -> str:
    assert thumbnails.is_tile(url)
    return base64.b64decode(url.partition(",")[2]).decode()


def test_what_cannot_be_shown_has_a_tile_with_the_reason_in_its_place() -> None:
    def read(sha256: str) -> bytes:
        if sha256 == sha("lost"):
            raise InputError(
                f"image {sha256[:12]}… is not in the store /tmp; use the --cache-dir that it was made with"
            )
        return encoded((8, 8)) if sha256 == sha("good") else b"broken"

    seen = []
    found = thumbnails.thumbnails([sha("good"), sha("lost"), sha("broken")], read, on_each=lambda: seen.append(1))
    assert not thumbnails.is_tile(found[sha("good")])
    assert ">not in the store<" in tile(found[sha("lost")])
    assert "not a whole image" in tile(found[sha("broken")])
    assert len(seen) == 3


def test_a_reason_is_text_in_the_tile() -> None:
    assert "<script>" not in tile(thumbnails.tile_url("<script>alert(1)</script>"))


def test_the_mean_length_is_of_a_sample() -> None:
    read = {sha(str(n)): encoded((8, 8)) for n in range(200)}.__getitem__
    length = len(thumbnails.webp_url(encoded((8, 8))))
    assert thumbnails.mean_length([sha(str(n)) for n in range(200)], read, 112) == length
    assert thumbnails.mean_length([], read, 112) == 0.0
