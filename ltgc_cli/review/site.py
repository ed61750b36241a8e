"""What `ltgc review` serves: the page of a stream, its images, and the file of verdicts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from ltgc_cli.errors import InputError
from ltgc_cli.pipeline import stage as runner
from ltgc_cli.pipeline.stage import Streams
from ltgc_cli.records import Verdict
from ltgc_cli.report import page, story
from ltgc_cli.report.story import Story
from ltgc_cli.review import verdict_file
from ltgc_cli.review.serving import Said, Site
from ltgc_cli.store import Store


def site(store: Store, streams: Streams, verdicts: Path, token: str) -> Site:
    """Returns what is served of a stream. Raises InputError for a bad line in either file, and without a drawing."""
    if verdicts.exists():
        verdict_file.load(verdicts)
    elif not verdicts.parent.is_dir():
        raise InputError(f"--verdicts {verdicts}: there is no folder {verdicts.parent}")
    with runner.reading(streams, "review") as given:
        told = story.told(row for row in runner.real(given) if not isinstance(row, Verdict))
    drawings = {(cls.label, one.sha256): cls.name for cls in told.classes for one in cls.drawings}
    if not drawings:
        raise InputError(
            "review found no drawing in its input; give it what filter (or render) wrote: -i filtered.jsonl"
        )
    return Site(
        page=_page(told, token),
        drawings=drawings,
        images=_images(store, told),
        said=_said(verdicts),
        say=_say(verdicts),
    )


def _page(told: Story, token: str) -> str:
    text = {name: _template(name) for name in ("review.js", "review.css")}
    review = page.Review(text["review.js"], text["review.css"], token)
    return page.html(told, pictures="image/{}".format, review=review, title="Which drawings stay")


def _images(store: Store, told: Story) -> Callable[[str], bytes]:
    """Returns the page's images by sha256, and nothing else that the store has."""
    shown = frozenset(story.shas(told))

    def read(sha256: str) -> bytes:
        if sha256 not in shown:
            raise InputError("the page shows no such image")
        return store.get_object(sha256)

    return read


def _said(path: Path) -> Callable[[int], Said]:
    def said(since: int) -> Said:
        size = path.stat().st_size if path.exists() else 0
        if since == size:
            return Said([], since, since)
        start = since if since < size else 0  # another file by now: all of it
        found = verdict_file.read(path, start) if size else verdict_file.Read([], 0)
        return Said(found.said, start, found.end)

    return said


def _say(path: Path) -> Callable[[Verdict], None]:
    one_at_a_time = threading.Lock()

    def say(verdict: Verdict) -> None:
        with one_at_a_time:
            verdict_file.append(path, verdict)

    return say


def _template(name: str) -> str:
    return resources.files("ltgc_cli.report").joinpath("templates", name).read_text(encoding="utf-8")
