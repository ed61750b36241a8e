"""Make the README's pictures: the demonstration's contact sheet, and its report as a browser shows it.

python examples/pictures.py        (with the dev extra, and Chromium; some minutes, a second time seconds)
"""

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
WIDTH, HEIGHT, TOP = 1120, 700, 560
CLASS = "nine"
"""Whose generated images are shown: one of few images, and of both fates."""


def main() -> None:
    """Writes contact-sheet.png and report.png beside this file."""
    with TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "ltgc_cli", "demo", "--out", folder], check=True)
        shutil.copy(Path(folder) / "contact-sheet.png", HERE)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium") or shutil.which("google-chrome"),
                args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
            )
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
            page.goto((Path(folder) / "report.html").as_uri())
            shown(page)
            browser.close()


def shown(page: Page) -> None:
    """Takes the picture: the top of the report, and below it one class with its generated images."""
    from PIL import Image

    page.screenshot(path=HERE / "report.png", clip={"x": 0, "y": 0, "width": WIDTH, "height": TOP})
    page.get_by_role("searchbox").fill(CLASS)
    section = page.locator("section.class", has_text=CLASS).first
    section.scroll_into_view_if_needed()
    page.wait_for_timeout(500)  # its pictures are put in as it comes into view
    section.evaluate("element => window.scrollTo(0, element.getBoundingClientRect().top + window.scrollY - 80)")
    page.wait_for_timeout(500)
    lower = HERE / "class.png"
    page.screenshot(path=lower)
    both = Image.new("RGB", (WIDTH, TOP + HEIGHT), "white")
    for place, path in enumerate((HERE / "report.png", lower)):
        both.paste(Image.open(path), (0, place * TOP))
    both.quantize(128).save(HERE / "report.png", optimize=True)
    lower.unlink()


if __name__ == "__main__":
    main()
