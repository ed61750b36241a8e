"""The looks side by side: what sheet and report show of a stream that has more than generated images as they come."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import chromium, opened
from PIL import Image as PIL

import ltgc_cli as ltgc
from ltgc_cli.pipeline.report import write_report
from ltgc_cli.pipeline.sheet import write_sheet
from ltgc_cli.records import Checkpoint, Class, Image, Record
from ltgc_cli.settings import Report
from ltgc_cli.store import Store
from ltgc_cli.written import Target

ADAPTED = Checkpoint(id="a", sha256="a" * 64, method="adapt", of="t2i")
TRAINED = Checkpoint(id="t", sha256="b" * 64, method="LTGC, harmonise", settings={"harmonise": True})
PLAIN = Checkpoint(id="p", sha256="c" * 64, method="LTGC")
_WIDTH = 1550  # of a sheet of real, accepted and rejected images
RED, GREEN = (170, 70, 70), (70, 150, 70)


def picture(colour: tuple[int, int, int], seed: int) -> bytes:
    noise = np.random.default_rng(seed).integers(-25, 26, (48, 48, 1))
    file = io.BytesIO()
    PIL.fromarray((np.array(colour) + noise).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def stream(tmp_path: Path) -> Callable[..., list[Record]]:
    """A stream of one tail class, its nine real images green and its nine generated ones red, in a store."""
    put = Store(tmp_path / "store").put_object

    def made(*others: Record, unadapted: bool = False) -> list[Record]:
        rows: list[Record] = [Class(id="c", label=2, class_="eel", count=9, tail=True)]
        kinds = [("original", GREEN, 9), ("generated", RED, 9), *([("unadapted", RED, 2)] if unadapted else [])]
        for origin, colour, count in kinds:
            for number in range(count):
                sha256 = put(picture(colour, 10 * len(rows) + number))
                id = f"{origin} {number}"
                rows.append(Image(id=id, label=2, class_="eel", sha256=sha256, origin=origin, text="an eel"))  # type: ignore[arg-type]
        return [*rows, *others]

    return made


def sheet(rows: list[Record], tmp_path: Path) -> np.ndarray:
    write_sheet(rows, Target(tmp_path / "sheet.png", tmp_path / "store"))
    return np.asarray(PIL.open(tmp_path / "sheet.png"))


def report(rows: list[Record], tmp_path: Path, **settings: Any) -> str:
    write_report(rows, Target(tmp_path / "report.html", tmp_path / "store"), Report(**settings))
    return (tmp_path / "report.html").read_text()


def test_a_stream_without_other_looks_is_shown_as_ever(stream, tmp_path):
    assert sheet(stream(PLAIN), tmp_path).shape[1] == _WIDTH
    page = report(stream(PLAIN), tmp_path)
    assert "looks" not in page and "as it comes" not in page


def test_each_look_has_its_columns_on_the_sheet(stream, tmp_path):
    assert sheet(stream(ADAPTED), tmp_path).shape[1] == _WIDTH
    six, twelve = 6 * 60 + 8, 12 * 60 + 8
    assert sheet(stream(ADAPTED, unadapted=True), tmp_path).shape[1] == _WIDTH + six
    whole = sheet(stream(ADAPTED, TRAINED, unadapted=True), tmp_path)
    assert whole.shape[1] == _WIDTH + six + twelve
    start = 150 + 368 + 368
    colours = [whole[34:86, at : at + 52].mean((0, 1)) for at in (152, 150 + 370, start + 2, start + twelve + 2)]
    assert colours == [pytest.approx(colour, abs=4) for colour in (GREEN, RED, RED, GREEN)]


def test_the_same_sheet_comes_from_python(stream, tmp_path):
    rows = stream(ADAPTED, TRAINED, unadapted=True)
    made = np.asarray(ltgc.contact_sheet(rows, cache_dir=tmp_path / "store"))
    assert (made == sheet(rows, tmp_path)).all()


def test_a_generated_image_that_is_lost_leaves_its_place_in_the_report(stream, tmp_path):
    rows = [*stream(TRAINED), Image(id="x", label=2, class_="eel", sha256="d" * 64, origin="original")]
    assert report(rows, tmp_path).count('alt="eel, harmonised"') == 4


def test_the_report_shows_the_looks_in_a_browser(stream, tmp_path):
    report(stream(ADAPTED, TRAINED, unadapted=True), tmp_path)
    with chromium() as browser, opened(browser, (tmp_path / "report.html").as_uri()) as seen:
        assert seen.page.locator("nav a[href='#looks']").inner_text() == "Looks"
        heads = seen.page.locator("#looks thead th").all_inner_texts()
        assert heads == ["Class", "real", "as it comes", "adapted", "harmonised"]
        cells = seen.page.locator("#looks tbody td")
        assert [cells.nth(place).locator("img").count() for place in range(4)] == [4, 2, 4, 4]
        sizes = seen.page.locator("#looks img").evaluate_all("all => all.map(one => one.naturalWidth * one.width)")
        assert set(sizes) == {48 * 72}
        assert (
            "Harmonised: the same brought to the amplitude spectrum" in seen.page.locator("#looks caption").inner_text()
        )
        seen.page.locator("#looks a").click()
        assert seen.page.url.endswith("#class-2") and seen.errors == []


def test_without_an_adapter_generated_images_are_as_they_come(stream, tmp_path):
    page = report(stream(TRAINED), tmp_path)
    assert 'class="words">as it comes</th>' in page and 'class="words">adapted</th>' not in page
    page = report(stream(unadapted=True), tmp_path)  # drawn to compare, and filtered since without the adapter's record
    assert 'class="words">generated</th>' in page
