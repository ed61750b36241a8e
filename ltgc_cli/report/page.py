"""The report as one HTML file: nothing in it is fetched, everything from models and files is escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources
from importlib.metadata import version
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ltgc_cli.providers.secrets import scrubbed
from ltgc_cli.report import telling
from ltgc_cli.report.accuracy import GROUPS, MEASURES
from ltgc_cli.report.story import ClassStory, Story
from ltgc_cli.text import counted

GENERATOR = "ltgc"
"""What the generator's name of a report begins with: a file without it is somebody else's."""

TITLE = "Long-tail recognition with generated images"

Pictures = Callable[[str], str]
"""The address of a picture by its sha256."""


class Run(NamedTuple):
    """One stage that led here, as its note tells."""

    stage: str
    settings: Mapping[str, str]
    answers: Mapping[str, tuple[int, int, int]] = {}
    """Asked, found in the store, failed, by what was asked."""
    dollars: float = 0.0
    unpriced: int = 0
    tokens: int = 0
    seconds: float = 0.0
    versions: Mapping[str, str] = {}
    made: str = ""
    """What it wrote: "10 classes, 237 descriptions"."""


class Cost(NamedTuple):
    """What the records of the stream cost, of one stage and model."""

    stage: str
    model: str
    records: int
    tokens_in: int
    tokens_out: int
    dollars: str


class Review(NamedTuple):
    """What makes a report one that is reviewed in: its script and style, and the token that the server wants."""

    script: str
    style: str
    token: str


def html(
    story: Story,
    *,
    pictures: Pictures,
    figures: Mapping[str, str] = {},
    runs: Sequence[Run] = (),
    costs: Sequence[Cost] = (),
    gap: str = "",
    review: Review | None = None,
    title: str = TITLE,
) -> str:
    """Returns the whole page.

    pictures -- the address of a thumbnail by sha256: a data: address in a file, a path where a server is behind it
    figures -- SVG texts by name: accuracy, gains, distribution, scores, curves
    costs -- what was paid by stage and model, the total last
    gap -- where the way back through the runs is broken, in words
    """
    scripts = [_text("page.js"), *([review.script] if review else [])]
    styles = [_text("page.css"), *([review.style] if review else [])]
    gains = telling.gains(story)
    return _page().render(
        story=story,
        pictures=pictures,
        figures={name: Markup(svg) for name, svg in figures.items()},
        runs=runs,
        costs=costs,
        gap=gap,
        token=review.token if review else "",
        title=title,
        generator=f"{GENERATOR} {version('ltgc')}",
        policy=policy(scripts, served=review is not None),
        scripts=[_embedded(script, "script") for script in scripts],
        styles=[_embedded(style, "style") for style in styles],
        groups=GROUPS,
        measures=MEASURES,
        summary=telling.summary(story),
        stats=telling.stats(story),
        contents=telling.contents(story, figures),
        uncertainty=telling.uncertainty(story.lines),
        best={group: telling.best(story.lines, group) for group in GROUPS},
        published=[line for line in story.lines if line.source],
        sources=sorted({line.source for line in story.lines if line.source}),
        measured=telling.measured(story.lines),
        gains=gains.rows,
        gains_between=gains.between,
        most_gained=gains.most,
        span=telling.score_span(story),
        classes=sorted(story.shown, key=_rarity),
        shots=[shot for shot in ("many", "medium", "few") if any(cls.shot == shot for cls in story.shown)],
        scores_caption=telling.scores_caption(story),
        versions=_versions(runs),
        open=sum(cls.pictured for cls in story.shown) <= _OPEN,
    )


def _versions(runs: Sequence[Run]) -> dict[str, str]:
    """Returns the versions of what the runs used; where they differ, all of them."""
    found: dict[str, dict[str, None]] = {}
    for run in runs:
        for name, value in run.versions.items():
            found.setdefault(name, {})[value] = None
    return {name: " and ".join(values) for name, values in found.items()}


_OPEN = 24
"""Up to so many classes are shown open."""


def _rarity(cls: ClassStory) -> tuple[float, int]:
    return (float("inf") if cls.real is None else cls.real, cls.label)


def policy(scripts: Sequence[str], *, served: bool) -> str:
    """Returns the content security policy: nothing is loaded from anywhere, and only these scripts run."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    rules = [
        "default-src 'none'",
        "img-src data: 'self'" if served else "img-src data:",
        "style-src 'unsafe-inline'",
        f"script-src {hashes}",
        "base-uri 'none'",
        "form-action 'none'",
        *(["connect-src 'self'"] if served else []),
    ]
    return "; ".join(rules)


def is_report(start: str) -> bool:
    """Returns whether a file that starts so is a report that ltgc wrote."""
    return f'<meta name="generator" content="{GENERATOR} ' in start


@cache
def _page() -> Any:
    environment = Environment(
        loader=PackageLoader("ltgc_cli.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "signed": telling.signed,
        "percent": telling.percent,
        "stem": telling.stem,
        "clean": scrubbed,
        "count": "{:,}".format,
        "counted": counted,
        "kind": telling.kind,
        "paid": telling.paid,
        "duration": telling.duration,
    }
    return environment.get_template("page.html")


@cache
def _text(name: str) -> str:
    return resources.files("ltgc_cli.report").joinpath("templates", name).read_text(encoding="utf-8")


def _embedded(text: str, element: str) -> Markup:
    """Returns our own script or style as it goes into the page. Raises ValueError where it would end its element."""
    if f"</{element}" in text.lower() or "<!--" in text:
        raise ValueError(f"a {element} of the page holds what would end it")
    return Markup(text)
