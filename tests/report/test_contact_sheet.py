"""The contact sheet: which classes are on it, and that every letter of their names is."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from PIL import Image, ImageDraw

from ltgc_cli import records
from ltgc_cli.errors import InputError
from ltgc_cli.records import Class, Record, Rejected
from ltgc_cli.records import Image as ImageRecord
from ltgc_cli.report import contact_sheet as sheets
from ltgc_cli.report import fonts
from ltgc_cli.report.contact_sheet import SheetRow, chosen, sheet_row


def tail(label: int, name: str, count: int = 3) -> Class:
    return Class(label=label, class_=name, count=count, tail=True)


def drawn(text: str, files: list[str]) -> np.ndarray:
    image = Image.new("RGB", (120, 30), "white")
    fonts.write(ImageDraw.Draw(image), 2, 20, text, 14, files, (0, 0, 0))
    return np.asarray(image)[..., 0]


@pytest.fixture
def crane_font(tmp_path: Path) -> str:
    """The file of a font that has 鶴 alone: a black square."""
    pen = TTGlyphPen(None)
    for number, corner in enumerate([(0, 0), (0, 1000), (1000, 1000), (1000, 0)]):
        pen.lineTo(corner) if number else pen.moveTo(corner)
    pen.closePath()
    built = FontBuilder(1000, isTTF=True)
    built.setupGlyphOrder([".notdef", "crane"])
    built.setupCharacterMap({ord("鶴"): "crane"})
    built.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "crane": pen.glyph()})
    built.setupHorizontalMetrics({".notdef": (1000, 0), "crane": (1000, 0)})
    built.setupHorizontalHeader(ascent=1000, descent=0)
    built.setupNameTable({"familyName": "Crane", "styleName": "Regular"})
    built.setupOS2()
    built.setupPost()
    path = tmp_path / "crane.ttf"
    built.save(path)
    return str(path)


def test_latin_greek_and_cyrillic_letters_need_no_font_of_the_system(monkeypatch):
    monkeypatch.setattr(fonts, "system_fonts", lambda: pytest.fail("the system's fonts were looked through"))
    found, lacking = fonts.fonts_for(["Trogon é ß ñ ø ı ő", "Γεράκι", "журавль", "a photo — “ok”"])
    assert lacking == "" and len(found) == 1
    assert not (drawn("é", found) == drawn("e", found)).all()


def test_a_name_as_a_mac_writes_it_looks_like_any_other():
    files, lacking = fonts.fonts_for(["cafe\u0301"])
    assert lacking == "" and fonts.fitted("cafe\u0301", 100, 14, files) == "café"


def test_other_letters_come_from_a_font_of_the_system(monkeypatch, crane_font):
    monkeypatch.setattr(fonts, "system_fonts", lambda: ["/no/such/font.ttf", crane_font])
    files, lacking = fonts.fonts_for(["crane 鶴"])
    assert (files, lacking) == ([fonts.shipped(), crane_font], "")
    assert (drawn("鶴", files)[8:18, 4:14] == 0).all()  # the square, and not the box of a letter that is lacking
    assert (drawn("crane", files)[:, :40] == drawn("crane 鶴", files)[:, :40]).all()


def test_letters_that_no_font_has_are_named(monkeypatch, tmp_path):
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"no font")
    monkeypatch.setattr(fonts, "system_fonts", lambda: [str(broken)])
    assert fonts.fonts_for(["鶴 crane", "鶴亀"]) == ([fonts.shipped()], "亀鶴")


def test_a_long_name_ends_before_the_pictures_begin():
    files = [fonts.shipped()]
    assert fonts.fitted("eel", 100, 14, files) == "eel"
    assert fonts.fitted("WWWWWWWWWWWWWWWWWW", 100, 14, files) == "WWWWWW…"
    assert fonts.fitted("iiiiiiiiiiiiiiiiii", 100, 14, files) == "iiiiiiiiiiiiiiiiii"


def sheet_rows(rows: Iterable[Record], classes: Sequence[str] = ()) -> list[SheetRow]:
    """Returns the rows of the sheet of a stream, as `ltgc sheet` chooses them."""
    return chosen(map(sheet_row, records.by_class(rows)), classes)


def test_the_rarest_tail_class_comes_first_and_others_when_they_are_named():
    rows: list[Record] = [
        tail(0, "crane", 9),
        Class(label=1, class_="cat", count=500, tail=False),
        tail(2, "eel", 2),
    ]
    assert [row.name for row in sheet_rows(rows)] == ["eel", "crane"]
    assert [row.name for row in sheet_rows(rows, ["cat", "eel"])] == ["eel", "cat"]
    with pytest.raises(InputError, match=r"^--class crab: no class of the stream; did you mean crane\?$"):
        sheet_rows(rows, ["crab"])


def test_images_are_read_where_there_are_any():
    """One that was refused before it was made has none, and one that is broken leaves its place empty."""
    rows: list[Record] = [
        tail(0, "eel"),
        ImageRecord(label=0, class_="eel", sha256="broken", origin="generated"),
        Rejected(label=0, class_="eel", of="image", reason="refused"),
    ]
    made = sheets.drawn(sheet_rows(rows), {"broken": b"no image"}.__getitem__)
    assert Image.open(io.BytesIO(made.png)).height == 30 + 64


def test_a_sheet_of_very_many_classes_ends_somewhere():
    made = sheets.drawn(sheet_rows(tail(label, f"c{label}", label + 1) for label in range(310)), lambda sha256: b"")
    assert made.left_out == 10 and Image.open(io.BytesIO(made.png)).height == 30 + 300 * 64


# ---- the command


@pytest.fixture
def stream(forked, tmp_path) -> Path:
    rows = [
        {"kind": "class", "label": 0, "class": "café 鶴", "count": 4, "tail": True},
        {"kind": "description", "label": 0, "class": "café 鶴", "text": "A photo of it, wet.", "origin": "extended"},
    ]
    done = forked("render", "--t2i", "blank", "-o", "r.jsonl", input="".join(json.dumps(row) + "\n" for row in rows))
    assert done.code == 0, done.err
    return tmp_path / "r.jsonl"


def test_the_command_writes_a_png_and_says_which_letters_no_font_has(forked, stream, tmp_path):
    done = forked("sheet", "-i", stream)
    assert (done.code, done.out) == (0, "") and "sheet: sheet.png\n" in done.err
    lacking = fonts.fonts_for(["café 鶴"])[1]  # a machine may have a font for it
    assert lacking in ("", "鶴") and done.err.count("no font on this machine has 鶴") == len(lacking)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.height == 30 + 64
    assert forked("sheet", "--class", "café 鶴", input=stream.read_text()).code == 0  # over its own it may be written


def test_the_command_writes_over_nothing_that_a_person_made(forked, stream, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.png")
    before = (tmp_path / "photo.png").read_bytes()
    done = forked("sheet", "-i", stream, "-o", "photo.png")
    assert done.code == 2 and "photo.png is there already and ltgc did not write it" in done.err
    assert (tmp_path / "photo.png").read_bytes() == before
    assert forked("sheet", "-i", stream, "-o", "no/such.png").code == 2
    assert forked("sheet", input="").code == 2
