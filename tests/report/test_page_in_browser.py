"""The page as people meet it: opened from disk in a real browser."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import chromium, opened
from fakes import sha
from small_run import HOSTILE, run

from ltgc_cli.records import Class, Image, Record
from ltgc_cli.report import figures, page
from ltgc_cli.report.content import content_of

DOT = "data:image/gif;base64,R0lGODlhAQABAIAAAP///wAAACwAAAAAAQABAAACAkQBADs="


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


def written(path: Path, rows: list[Record], **more: Any) -> str:
    path.write_text(page.html(content_of(rows), images=lambda _: DOT, **more), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    rows = run()
    plots = {"accuracy": figures.accuracy(rows), "gains": figures.gains(rows), "scores": figures.scores(rows)}
    plots |= {"distribution": figures.distribution(rows)}
    shown = {name: figures.svg(plot) for name, plot in plots.items() if plot}
    ran = page.PageRun(stage="filter", settings={"clip": "ViT-B-32/" + "x" * 80}, versions={"python": "3.11.7"})
    return written(tmp_path_factory.mktemp("report") / "report.html", rows, figures=shown, runs=[ran])


def names(seen: Any) -> list[str]:
    return [one.split()[0] for one in seen.page.locator(".class:not([hidden]) h3").all_text_contents()]


def test_it_opens_from_disk_without_a_complaint_and_asks_for_nothing(browser: Any, report: str) -> None:
    with opened(browser, report) as seen:
        seen.page.locator("#class-0 figure.drawing").first.wait_for()
        assert seen.page.locator("h1").inner_text() == page.TITLE
        assert [address for address in seen.requests if not address.startswith("data:")] == [report]
        assert seen.errors == []


def test_a_hostile_name_is_text_everywhere(browser: Any, report: str) -> None:
    with opened(browser, report) as seen:
        seen.page.on("dialog", lambda _: pytest.fail("a name ran as a script"))
        seen.page.locator("#class-1 figure.drawing").first.wait_for()
        seen.page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
        assert HOSTILE in seen.page.locator("#class-1 h3").text_content()
        assert seen.page.locator("img[src='x'], img[onerror], [onload]").count() == 0
        assert seen.page.locator("script").count() == 1
        assert HOSTILE[:20] in str(seen.page.locator("#figure-gains svg").text_content())
        assert seen.errors == []


def test_search_finds_by_name_and_says_how_many(browser: Any, report: str) -> None:
    with opened(browser, report) as seen:
        assert seen.page.locator("#found").inner_text() == "3 classes"
        seen.page.keyboard.press("/")
        seen.page.keyboard.type("CRA")
        assert names(seen) == ["crane"]
        assert seen.page.locator("#found").inner_text() == "1 of 3 classes"
        assert seen.page.locator("#found").get_attribute("aria-live") == "polite"
        seen.page.locator("#search").fill("<img")
        assert names(seen) == ["<img"]
        seen.page.locator("#search").fill("0")
        assert names(seen) == ["crane"], "a label is found too"


def test_classes_are_sorted(browser: Any, report: str) -> None:
    orders = {
        "rarest": ["crane", "<img", "pigeon"],
        "name": ["<img", "crane", "pigeon"],
        "gain": ["crane", "<img", "pigeon"],
        "loss": ["pigeon", "<img", "crane"],
        "rejection": ["<img", "crane", "pigeon"],
    }
    with opened(browser, report) as seen:
        for order, expected in orders.items():
            seen.page.locator("#sort").select_option(order)
            assert (order, names(seen)) == (order, expected)


def test_only_some_shots_are_shown(browser: Any, report: str) -> None:
    with opened(browser, report) as seen:
        seen.page.locator("#shot").select_option("many")
        assert names(seen) == ["pigeon"]
        seen.page.locator("#shot").select_option("tail")
        assert names(seen) == ["crane", "<img"]


def test_the_history_of_a_generated_image_opens(browser: Any, report: str) -> None:
    with opened(browser, report) as seen:
        seen.page.locator("#class-0 .history summary").click()
        rounds = seen.page.locator("#class-0 .history li")
        scores = rounds.locator(".score").all_text_contents()
        assert scores == ["score 0.200, below its threshold", "score 0.300"]
        assert "chosen" in str(rounds.nth(1).get_attribute("class"))


def test_it_is_walked_with_the_keyboard_alone(browser: Any, report: str) -> None:
    with opened(browser, report) as seen:
        seen.page.locator("#class-0 figure.drawing").first.wait_for()
        seen.page.keyboard.press("Tab")
        assert seen.page.evaluate("document.activeElement.className") == "skip"
        assert seen.page.evaluate("document.activeElement.getBoundingClientRect().top") >= 0
        seen.page.keyboard.press("Enter")
        seen.page.locator("#class-0 figure.drawing").first.focus()
        seen.page.keyboard.press("ArrowRight")
        assert seen.page.evaluate("document.activeElement.querySelector('.text').innerText") == "in flight."
        assert seen.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_a_link_to_a_class_opens_it(browser: Any, report: str) -> None:
    with opened(browser, report) as seen:
        seen.page.locator("#fold").click()
        assert seen.page.locator("#class-0 > details[open]").count() == 0
        seen.page.locator('.gains a[href="#class-0"]').click()
        seen.page.locator("#class-0 > details[open] figure.drawing").first.wait_for()


def test_the_dark_has_colours_of_its_own(browser: Any, report: str) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        with opened(browser, report, color_scheme=scheme) as seen:
            grounds.append(seen.page.evaluate("getComputedStyle(document.body).backgroundColor"))
    light, dark = (sum(map(int, re.findall(r"\d+", ground))) for ground in grounds)
    assert light > 700 and dark < 100


@pytest.mark.parametrize("width", [360, 768])
def test_nothing_is_wider_than_the_screen(browser: Any, report: str, width: int) -> None:
    with opened(browser, report, width=width) as seen:
        seen.page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
        seen.page.locator("#class-1 figure.drawing").first.wait_for()
        assert seen.page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")


def test_a_phone_shows_every_plot_and_the_table_of_accuracies_whole(browser: Any, report: str) -> None:
    with opened(browser, report, width=390) as seen:
        widths = "(ones) => ones.map((one) => [one.scrollWidth, one.clientWidth])"
        plots = seen.page.locator(".plot .wide, #accuracy > .wide").evaluate_all(widths)
        assert len(plots) == 5 and all(whole <= shown for whole, shown in plots), plots


def test_paper_has_all_classes_open_and_no_tools(browser: Any, report: str) -> None:
    with opened(browser, report) as seen:
        seen.page.locator("#fold").click()
        seen.page.emulate_media(media="print")
        seen.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert not seen.page.locator(".toolbar").is_visible()
        assert seen.page.locator("#class-0 figure.drawing").count() == 3
        assert seen.page.locator("#class-0 .history li").first.is_visible()
        seen.page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert seen.page.locator("#class-0 > details[open]").count() == 0


def test_without_scripts_everything_is_there_all_the_same(browser: Any, report: str) -> None:
    with opened(browser, report, java_script_enabled=False) as seen:
        assert seen.page.locator("#class-0 figure.drawing").count() == 3
        assert not seen.page.locator(".toolbar").is_visible()


def test_thousands_of_classes_are_built_only_where_one_looks(browser: Any, tmp_path: Path) -> None:
    rows: list[Record] = []
    for label in range(2000):
        of = {"label": label, "class_": f"species {label}"}
        rows += [Class(id=f"c{label}", count=9, tail=True, **of)]
        rows += [Image(id=f"g{label}", sha256=sha(str(label)), origin="generated", text="In the rain.", **of)]
    with opened(browser, written(tmp_path / "many.html", rows)) as seen:
        waiting = seen.page.locator(".class noscript")
        assert waiting.count() == 2000
        seen.page.locator("#search").fill("species 77")
        assert seen.page.locator("#found").inner_text() == "11 of 2,000 classes"
        assert len(names(seen)) == 11
        seen.page.locator("#class-770 summary").click()
        seen.page.locator("#class-770 figure.drawing").wait_for()
        assert waiting.count() == 1999
        assert seen.errors == []


def test_a_link_to_a_place_below_the_classes_lands_there_though_they_grow_on_the_way(
    browser: Any, tmp_path: Path
) -> None:
    rows: list[Record] = []
    for label in range(12):
        of = {"label": label, "class_": f"species {label}"}
        rows += [Class(id=f"c{label}", count=9, tail=True, **of)]
        rows += [
            Image(id=f"g{label}-{n}", sha256=sha(str(n)), origin="generated", text="In the rain.", **of)
            for n in range(30)
        ]
    with opened(browser, written(tmp_path / "some.html", rows)) as seen:
        seen.page.get_by_role("link", name="Cost and provenance").click()
        while seen.page.locator(".class noscript").count():
            seen.page.wait_for_timeout(50)
        seen.page.wait_for_timeout(200)
        top, height = seen.page.evaluate(
            "[document.querySelector('#provenance').getBoundingClientRect().top, window.innerHeight]"
        )
        assert 0 <= top < height
