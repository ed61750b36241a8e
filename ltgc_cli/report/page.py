"""The report as one HTML file: nothing in it is fetched, everything from models and files is escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources
from importlib.metadata import version
from typing import Any, NamedTuple

from ltgc_cli.engine import cents
from ltgc_cli.report.accuracy import GROUPS, MEASURES, Line
from ltgc_cli.report.story import Drawing, Story

GENERATOR = "ltgc"
"""What the generator's name of a report begins with: a file without it is somebody else's."""

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
    title: str = "Long-tail recognition with generated images",
) -> str:
    """Returns the whole page.

    pictures -- the address of a thumbnail by sha256: a data: address in a file, a path where a server is behind it
    figures -- SVG texts by name: accuracy, gains, distribution, scores, curves
    gap -- where the way back through the runs is broken, in words
    """
    scripts = [_text("page.js"), *([review.script] if review else [])]
    styles = [_text("page.css"), *([review.style] if review else [])]
    return _page().render(
        story=story,
        pictures=pictures,
        figures=figures,
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
        range=score_range(story),
        open=story.tail <= _OPEN,
    )


_OPEN = 24
"""Up to so many tail classes are shown open."""


def policy(scripts: Sequence[str], *, served: bool) -> str:
    """Returns the content security policy: nothing is loaded from anywhere, and only these scripts run."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    own = " 'self'" if served else ""
    rules = [
        "default-src 'none'",
        f"img-src data:{own}",
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


def score_range(story: Story) -> tuple[float, float]:
    """Returns the least and the greatest of the scores and bars shown, which the meters span; (0, 1) for none."""
    drawings = [drawing for cls in story.classes for drawing in cls.drawings]
    values = [value for one in drawings for value in (one.score, one.bar, *(step.score for step in one.steps))]
    known = [value for value in values if value is not None and value == value]
    low, high = min(known, default=0.0), max(known, default=1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def summary(story: Story) -> str:
    """Returns the run in a sentence or two, with its key numbers."""
    return " ".join(part for part in (_gained(story), _drawn(story), _paid(story)) if part)


def _gained(story: Story) -> str:
    both = story.comparison
    if not both:
        return ""
    method, baseline = both.method, both.baseline
    said = [
        f"{name} from {baseline.value(group):.1f} to {method.value(group):.1f} % ({signed(gain)})"
        for group, name in (("few", "on classes with few images"), ("all", "over all classes"))
        if (gain := both.gain(group)) is not None
    ]
    return f"{method.title} takes accuracy {' and '.join(said)}, against {baseline.title}." if said else ""


def _drawn(story: Story) -> str:
    total = story.accepted + story.rejected
    classes = f"{story.tail:,} of {len(story.classes):,} classes are tail classes"
    if not total:
        return f"{classes}." if story.classes else ""
    if not story.judged:
        return f"{classes}; {total:,} images were drawn for them."
    again = f", {story.redrawn:,} of them made again after a refinement" if story.redrawn else ""
    everything = total + story.redrawn
    return (
        f"{classes}; {everything:,} images were drawn for them{again}, "
        f"and {story.accepted:,} of {total:,} descriptions ended in one that reached its class's bar."
    )


def _paid(story: Story) -> str:
    if story.dollars:
        return f"It cost {'at least ' if story.unpriced else ''}${cents(story.dollars)}."
    return "What it cost is not known." if story.unpriced else "It cost nothing: no paid model was asked."


def signed(value: float | None) -> str:
    """Returns a difference with its sign: "+3.0", "−1.5"; a dash for none."""
    if value is None:
        return "–"
    text = f"{abs(value):.1f}"
    return text if float(text) == 0 else f"{'+' if value > 0 else '−'}{text}"


def percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


@cache
def _page() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("ltgc_cli.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"signed": signed, "percent": percent, "cents": cents, "count": "{:,}".format}
    environment.globals |= {"summary": summary}
    return environment.get_template("page.html")


@cache
def _text(name: str) -> str:
    return resources.files("ltgc_cli.report").joinpath("templates", name).read_text(encoding="utf-8")


def _embedded(text: str, element: str) -> Any:
    """Returns our own script or style as it goes into the page. Raises ValueError where it would end its element."""
    from markupsafe import Markup

    if f"</{element}" in text.lower() or "<!--" in text:
        raise ValueError(f"a {element} of the page holds what would end it")
    return Markup(text)


def best(lines: Sequence[Line], group: str) -> float | None:
    """Returns the highest accuracy over a group that was measured here."""
    return max((v for line in lines if not line.source and (v := line.value(group)) is not None), default=None)


def drawing_label(drawing: Drawing) -> str:
    """Returns what a screen reader says of a drawing's score."""
    if drawing.score is None:
        return ""
    return f"score {drawing.score:.3f}" + (f", bar {drawing.bar:.3f}" if drawing.bar is not None else "")
