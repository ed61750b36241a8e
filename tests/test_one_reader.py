"""Every picture, through everything that looks at one: the pixels are the same, upright, on white, in their shades."""

from __future__ import annotations

import base64
import io
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from fakes import sha
from pictures import COLOUR, SIDE, file, pictures, png_chunk, with_chunk
from PIL import Image

import ltgc_cli as ltgc
from ltgc_cli.errors import InputError, Unreadable
from ltgc_cli.image_formats import readable_suffixes
from ltgc_cli.learn import checks, datasets
from ltgc_cli.learn import images as training
from ltgc_cli.learn.datasets import Sample, pixels
from ltgc_cli.providers import images as providers
from ltgc_cli.providers.clip import judge, open_clip
from ltgc_cli.records import Class, Group, Record
from ltgc_cli.records import Image as ImageRecord
from ltgc_cli.report import contact_sheet, thumbnails
from ltgc_cli.review.serving import media_type
from ltgc_cli.review.site import site
from ltgc_cli.store import Store

PICTURES = pictures()
WHOLE = training.Frame(
    lambda image: torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1) / 255, *[torch.ones(3)] * 2
)


def opened(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def described(data: bytes) -> np.ndarray:
    """What a vision model is sent."""
    kind, sent = providers.shown(data)
    assert kind in ("image/jpeg", "image/png")
    image = Image.open(io.BytesIO(sent))
    assert image.mode in ("L", "RGB") and image.getexif().get(0x0112, 1) == 1
    return np.asarray(image.convert("RGB"))


def trained_on(data: bytes) -> np.ndarray:
    """What mix-train, eval and predict see."""
    return training.decode(Sample(0, lambda: data, "x"), WHOLE).permute(1, 2, 0).numpy()


def in_the_report(data: bytes) -> np.ndarray:
    return opened(base64.b64decode(thumbnails.webp_url(data).partition(",")[2]))


def on_the_contact_sheet(data: bytes) -> np.ndarray:
    eel = Class(label=0, class_="eel", tail=True)
    rows: list[Record] = [eel, ImageRecord(label=0, class_="eel", sha256="a", origin="original")]
    drawn = contact_sheet.drawn([contact_sheet.sheet_row(Group(eel, rows))], {"a": data}.__getitem__)
    sheet = opened(drawn.png)
    left, top = contact_sheet._LABEL, contact_sheet._TITLE
    return sheet[top : top + SIDE, left : left + SIDE]


def in_review(data: bytes) -> np.ndarray:
    """What the page of `ltgc review` is sent of an original, as a browser reads it: JPEG or PNG."""
    with TemporaryDirectory() as folder:
        store = Store(Path(folder))
        rows = [
            Class(label=0, class_="eel", tail=True),
            ImageRecord(label=0, class_="eel", sha256=store.put_object(data), origin="original"),
            ImageRecord(label=0, class_="eel", sha256=sha("drawn"), origin="generated"),
        ]
        served = site(store, rows, Path(folder) / "verdicts.jsonl", "token").read_image(rows[1].sha256)
    assert media_type(served) in ("image/jpeg", "image/png")
    return opened(served)


USERS: dict[str, Callable[[bytes], np.ndarray]] = {
    "describe, by a vision model": described,
    "describe, by the embedded one; CLIP; image to image": lambda data: np.asarray(providers.decode(data)),
    "training, eval, predict": trained_on,
    "report and review": in_the_report,
    "contact sheet": on_the_contact_sheet,
}


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_is_the_same_for_everyone_who_looks_at_it(name):
    data, pixels, tolerance = PICTURES[name]
    for user, look in USERS.items():
        seen = look(data).astype(int)
        assert seen.shape == pixels.shape, user
        # A vision model is sent what was lossy as a JPEG once more.
        most = tolerance + 16 * (tolerance > 0 and look is described)
        assert np.abs(seen - pixels).max() <= most, user


def test_clip_scores_every_picture_as_the_plain_one():
    clip = open_clip.load("embedded", "cpu")
    exact = {name: picture for name, picture in PICTURES.items() if not picture.tolerance}
    plain = {name: file(picture.pixels, "PNG") for name, picture in exact.items()}
    found = judge.see(clip, list(exact), lambda name: exact[name].data)
    wanted = judge.see(clip, list(plain), plain.__getitem__)
    torch.testing.assert_close(torch.stack(found), torch.stack(wanted))


def test_python_gets_the_same_pixels(tmp_path):
    store = Store(tmp_path)
    chosen = [PICTURES[name] for name in ("png turned 6", "grey png of 16 bits", "rgba", "see-through gif")]
    rows = [
        ImageRecord(label=0, class_="eel", sha256=store.put_object(picture.data), origin="original")
        for picture in chosen
    ]
    for image, picture in zip(ltgc.images(rows, kind="original", cache_dir=tmp_path), chosen, strict=True):
        assert (np.asarray(image) == picture.pixels).all()


@pytest.mark.parametrize("name", ["png turned 6", "grey tiff of 16 bits", "rgba", "see-through gif", "BMP", "PPM"])
def test_in_review_a_browser_gets_what_it_can_read(name):
    assert (in_review(PICTURES[name].data) == PICTURES[name].pixels).all()


def test_no_picture_says_a_word_on_the_way(capfd):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for picture in PICTURES.values():
            pixels(picture.data, "x")
    assert not said and capfd.readouterr() == ("", "")


# ---- what is no picture, and what is too large


def folder_of(tmp_path: Path, **files: bytes) -> datasets.Dataset:
    (tmp_path / "eel").mkdir()
    for name, data in files.items():
        (tmp_path / "eel" / f"{name}.jpg").write_bytes(data)
    return datasets.open_data(str(tmp_path), "train")


def test_the_check_before_training_finds_every_picture_whole(tmp_path):
    files = {name.replace(" ", "-"): picture.data for name, picture in PICTURES.items()}
    dataset = folder_of(tmp_path, **files)
    assert [found.problem for found in checks.check_images(dataset, dataset.items)] == [""] * len(files)


HALF = {
    name: picture.data[: len(picture.data) * 2 // 3]
    for name, picture in PICTURES.items()
    if "long" not in name and "two frames" not in name  # there the first frame may well be whole
}


@pytest.mark.parametrize("name", HALF)
def test_two_thirds_of_a_file_are_refused_by_everyone(name, tmp_path):
    with pytest.raises(InputError, match="eel.jpg: not a whole image"):
        pixels(HALF[name], "eel.jpg")
    with pytest.raises(Unreadable, match="^image eel cannot be read: not a whole image"):
        providers.shown(HALF[name], "eel")
    with pytest.raises(Unreadable, match="^not a whole image"):
        thumbnails.webp_url(HALF[name])
    data = folder_of(tmp_path, a=HALF[name])
    (found,) = checks.check_images(data, data.items)
    assert not found.hash and "eel/a.jpg: not a whole image" in found.problem


def test_a_cut_png_with_a_long_text_is_refused_all_the_same():
    data = PICTURES["png with a long zTXt"].data
    with pytest.raises(InputError, match="^x: not a whole image"):
        pixels(data[:-100], "x")


@pytest.mark.parametrize("kind", ["EPS", "PDF", "ICO", "DDS"])
def test_what_is_called_jpg_and_is_none_never_reaches_pillows_other_readers(kind, monkeypatch):
    monkeypatch.setattr("subprocess.check_call", lambda *args, **more: pytest.fail("Ghostscript was started"))
    with pytest.raises(InputError, match=r"^photo.jpg: not a whole image \(no image format that is read here\)$"):
        pixels(file(COLOUR, kind), "photo.jpg")


def test_a_picture_with_more_text_than_fits_in_memory_twice_is_read():
    data = with_chunk(file(COLOUR, "PNG"), b"tEXt", b"Comment\0" + b"a" * 70_000_000)
    assert (np.asarray(pixels(data, "x")) == COLOUR).all()


def test_a_picture_of_91_megapixels_is_read_without_a_word():
    rows = zlib.compress((b"\0" + b"\x80" * 1138) * 10_000, 1)  # a black pixel in eight
    header = struct.pack(">IIBBBBB", 9_104, 10_000, 1, 0, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header), png_chunk(b"IDAT", rows), png_chunk(b"IEND", b"")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = pixels(b"\x89PNG\r\n\x1a\n" + b"".join(chunks), "x")
    assert image.size == (9_104, 10_000) and image.getpixel((9_096, 9_999)) == (255, 255, 255)


def test_more_pixels_than_are_read_are_refused_before_one_is_decoded():
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"none")
    said = (
        "x: 50000 x 50000 pixels, and 100 megapixels are the most that are read; save it smaller, or raise --max-pixels"
    )
    with pytest.raises(InputError, match=f"^{said}$"):
        pixels(data, "x")


def test_without_pillow_heif_a_heic_picture_says_what_to_install(monkeypatch):
    monkeypatch.delitem(Image.OPEN, "HEIF")
    monkeypatch.setattr(providers, "_register_heif", lambda: None)
    with pytest.raises(InputError, match=r"^x.heic: HEIC, which needs one more package: pip install pillow-heif$"):
        pixels(PICTURES["heic"].data, "x.heic")


def test_pictures_of_phones_count_as_images_where_they_can_be_read(monkeypatch):
    assert {".heic", ".jpg", ".avif", ".jfif", ".ppm", ".jp2"} <= readable_suffixes()
    monkeypatch.setattr("ltgc_cli.image_formats.find_spec", lambda name: None)
    assert ".jpg" in readable_suffixes() and ".heic" not in readable_suffixes()
