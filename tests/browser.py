"""A real Chromium for the pages that people open. Tests that want one are skipped where there is none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser that talks to nobody but the pages' own server. One for a module is enough."""
    path = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"no browser on this machine ({', '.join(_NAMES)})")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield browser
        browser.close()


class Seen(NamedTuple):
    """An open page, what its console complained of, and every address that it asked for."""

    page: Any
    errors: list[str]
    requests: list[str]


@contextmanager
def opened(browser: Any, address: str, *, width: int = 1280, height: int = 900, **how: Any) -> Iterator[Seen]:
    """A page in a context of its own.

    how -- what playwright's new_context takes: color_scheme, java_script_enabled, …
    """
    context = browser.new_context(viewport={"width": width, "height": height}, **how)
    context.set_default_timeout(10_000)
    page = context.new_page()
    seen = Seen(page, [], [])
    page.on("console", lambda said: seen.errors.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on("request", lambda request: seen.requests.append(request.url))
    page.goto(address)
    yield seen
    context.close()
