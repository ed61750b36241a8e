"""The report as one HTML file: nothing in it is fetched, everything from models and files is escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from importlib.metadata import version
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ltgc_cli import text
from ltgc_cli.providers.secrets import scrubbed
from ltgc_cli.report import format, summary
from ltgc_cli.report.accuracy import MEASURES, groups
from ltgc_cli.report.content import Content
from ltgc_cli.report.neighbours import NONE, Neighbours

GENERATOR = "ltgc"
TITLE = "Long-tail recognition with generated images"
_OPEN = 24  # up to so many classes are shown open
# What the page calls requests, by the names that the store has for them.
_REQUESTS = {"Question": "questions", "Drawing": "generated images", "Match": "scores", "Rival": "comparisons"}


class PageRun(NamedTuple):
    """One stage that led to the stream, from its manifest."""

    stage: str
    settings: Mapping[str, str]
    answers: Mapping[str, tuple[int, int, int]] = {}  # asked, found in the store, failed, by what was asked
    dollars: float = 0.0
    unpriced: int = 0
    versions: Mapping[str, str] = {}
    made: str = ""  # what it wrote: "10 classes, 237 descriptions"


class PageLook(NamedTuple):
    """Some images of a class in one look: real, as it comes, adapted, harmonised."""

    name: str
    images: tuple[str, ...]  # their addresses
    pixels: bool = False  # whether they are so small that they are shown pixel by pixel


class ClassLooks(NamedTuple):
    """The looks of a class, the real one first; each class has the same ones."""

    label: int
    name: str
    looks: tuple[PageLook, ...]


def html(content: Content, *, images: Callable[[str], str], **given: Any) -> str:
    """Returns the whole page. What is given is what `pieces` is given."""
    return "".join(pieces(content, images=images, **given))


def pieces(
    content: Content,
    *,
    images: Callable[[str], str],
    figures: Mapping[str, str] = {},
    runs: Sequence[PageRun] = (),
    near: Neighbours = NONE,
    looks: Sequence[ClassLooks] = (),
    costs: Sequence[Sequence[str]] = (),
    gap: str = "",
    token: str = "",
    title: str = TITLE,
) -> Iterator[str]:
    """Returns the whole page, piece by piece: it may be large.

    images -- the address of an image by its sha256: a data: address in a file, a path where a server is behind it
    figures -- SVG texts by name: accuracy, by_count, gains, distribution, confusion, margins, scores, rounds, alike,
        curves
    near -- the nearest real image of each generated one
    looks -- what images of some classes look like, where there is more than the real look and the generated one
    costs -- what was paid: stage, model, records, tokens in and out, US dollars; the total last
    gap -- where the way back through the runs is broken, in words
    token -- of a page that is served to decide in (`ltgc review`): what its server wants with each request
    """
    names = ("page", "review") if token else ("page",)
    scripts, styles = [_text(f"{name}.js") for name in names], [_text(f"{name}.css") for name in names]
    given = {"content": content, "images": images, "runs": runs, "costs": costs, "gap": gap, "token": token}
    given |= {"near": near, "looks": looks}
    return _generated(
        given,
        figures={name: Markup(svg) for name, svg in figures.items()},
        title=title,
        generator=f"{GENERATOR} {version('ltgc')}",
        policy=policy(scripts, served=bool(token)),
        scripts=[embedded(script, "script") for script in scripts],
        styles=[embedded(style, "style") for style in styles],
        classes=sorted(content.shown, key=lambda cls: (float("inf") if cls.real is None else cls.real, cls.label)),
        versions=_versions(runs),
        open=sum(cls.has_details for cls in content.shown) <= _OPEN,
    )


def _generated(*given: Any, **more: Any) -> Iterator[str]:
    made: Iterator[str] = _template().generate(*given, **more)
    return made


def _versions(runs: Sequence[PageRun]) -> dict[str, str]:
    """Returns the versions of what the runs used; where they differ, all of them."""
    found: dict[str, dict[str, None]] = {}
    for run in runs:
        for name, value in run.versions.items():
            found.setdefault(name, {})[value] = None
    return {name: " and ".join(values) for name, values in found.items()}


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


@cache
def _template() -> Any:
    loader = PackageLoader("ltgc_cli.report")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals |= {"summary": summary, "groups": groups, "measures": MEASURES}
    environment.filters |= {
        "signed": format.signed,
        "percent": format.percent,
        "stem": format.stem,
        "clean": scrubbed,
        "count": "{:,}".format,
        "counted": text.counted,
        "requests": lambda name: _REQUESTS.get(name, name),
        "paid": lambda run: format.dollars(run.dollars, run.unpriced) or "–",
    }
    return environment.get_template("page.html")


@cache
def _text(name: str) -> str:
    return resources.files("ltgc_cli.report").joinpath("templates", name).read_text(encoding="utf-8")


def embedded(text: str, element: str) -> Markup:
    """Returns our own script or style as it goes into the page. Raises ValueError where it would end its element."""
    if f"</{element}" in text.lower() or "<!--" in text:
        raise ValueError(f"a {element} of the page holds what would end it")
    return Markup(text)
