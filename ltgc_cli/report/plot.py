"""How the plots look, and how they get into a page: one palette, one set of axes, SVG whose ink is the page's own."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter

from ltgc_cli.report.format import shortened

WIDTH = 6.0
"""Inches: a column and a half of a paper, and still legible on a phone."""

INK = "#010203"
"""Black that nothing else has, so that a page can have its own colour of text in its place."""
FAINT = 0.62
"""How opaque small print is, and rules (below): ink on any ground."""
RULE = 0.22

# Each is at least three times as bright or as dark as white and as a nearly black page, and they are told apart with
# any colour vision: after Okabe and Ito, with the yellows, which no white page shows, left out.
BLUE, RED, GREY, GREEN, PURPLE, BROWN = "#2f7fc1", "#d55e00", "#888888", "#009070", "#b565a0", "#a5762a"
SHOTS = {"many": BLUE, "medium": GREY, "few": RED}

LINES: tuple[tuple[str, Any], ...] = tuple(
    (colour, dash) for dash in ("-", (0, (4, 1.5)), (0, (1, 1.2))) for colour in (BLUE, RED, GREEN, PURPLE, BROWN, GREY)
)
"""Colours and dashes of curves, in the order in which methods get them."""

STEPS = 400
"""Of a curve over classes or training steps: more would not be seen."""

_SIZE = 9.0
_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"


class Plot(Figure):
    """A figure with a title, and words for those who cannot see it. A notebook shows it as it is."""

    def __init__(self, title: str, words: str, height: float) -> None:
        layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.06)
        super().__init__(figsize=(WIDTH, height), layout=layout, facecolor="white")
        self.title, self.words = title, words

    def _repr_png_(self) -> bytes:
        with _no_font_has_all():
            file = io.BytesIO()
            self.savefig(file, format="png", dpi=144)
        return file.getvalue()


def styled(axes: Axes, *, grid: str = "") -> Axes:
    """Returns the axes in one style: no box, small print, rules along one axis at most."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set(color=INK, alpha=0.5, linewidth=0.8)
    axes.set_facecolor("none")
    axes.tick_params(labelsize=_SIZE, color=INK, labelcolor=INK, width=0.6, length=3)
    axes.tick_params(which="minor", length=0)
    if grid:
        axes.grid(axis=grid, color=INK, alpha=0.1, linewidth=0.6)  # type: ignore[arg-type]
        axes.set_axisbelow(True)
    return axes


def label_axes(axes: Axes, x: str = "", y: str = "") -> None:
    """Writes what the axes measure."""
    for label, text in ((axes.xaxis.label, x), (axes.yaxis.label, y)):
        label.set(text=text, fontsize=_SIZE, color=INK, alpha=0.85)


def whole_numbers(axis: Any) -> None:
    """Writes the ticks of an axis as whole numbers: 1,000."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def small_print(axes: Axes, x: float, y: float, text: str, **how: Any) -> Text:
    """Returns small print, written into axes."""
    return axes.text(x, y, text, **{"fontsize": _SIZE - 1, "color": INK, "alpha": FAINT, **how})


def value_beside(axes: Axes, text: str, x: float, y: float, offset: float) -> None:
    """Writes a value beside its mark: to the left of it where the offset, in points, is negative."""
    axes.annotate(
        text,
        (x, y),
        (offset, 0),
        textcoords="offset points",
        ha="left" if offset > 0 else "right",
        va="center",
        fontsize=7.5,
        color=INK,
        alpha=0.85,
    )


def legend(figure: Figure, handles: Sequence[Any], columns: int, title: str = "") -> Legend:
    """Returns a legend above the axes, without a box."""
    made = figure.legend(
        handles=list(handles),
        title=title or None,
        alignment="left",
        title_fontsize=_SIZE,
        loc="outside upper left",
        ncols=columns,
        frameon=False,
        fontsize=_SIZE,
        labelcolor=INK,
        handlelength=1.6,
        columnspacing=1.4,
        borderaxespad=0.2,
    )
    made.get_title().set_color(INK)
    return made


def plot_text(text: str, length: int = 24) -> str:
    """Returns a name as a plot shows it: on one line, not too long, never taken for mathematics.

    >>> plot_text("a $name$ that goes on and on")
    'a \\\\$name\\\\$ that goes on a…'
    """
    return shortened(_line(text), length).replace("$", r"\$")


def _line(text: str) -> str:
    """Returns a text on one line without control characters, which no SVG may hold."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in " ".join(text.split()))


def signed(points: float) -> str:
    """Returns a difference with its sign, a true minus among them: +1.5, −0.5, 0."""
    return f"{points:+.1f}".replace("-", "−") if round(points, 1) else "0"


def svg(figure: Figure) -> str:
    """Returns a figure as SVG to put into an HTML page: the same text for the same figure.

    Black is `currentColor`, the ground is transparent, text is text in the page's font. It needs no style sheet and
    has no `style` (a page may forbid that); its ids are its own, however many figures stand on the page.
    """
    quiet: Any = {"svg.fonttype": "none", "svg.hashsalt": "ltgc", "svg.id": None}
    file = io.BytesIO()
    for axes in figure.axes:
        if spot := axes.get_subplotspec():
            axes.set_subplotspec(spot)  # the layout begins anew: how it was drawn before must not show
    with matplotlib.rc_context(quiet), _no_font_has_all():
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    root = ElementTree.fromstring(file.getvalue())
    for element in list(root.iter()):
        for child in [child for child in element if child.tag in (_SVG + "metadata", _SVG + "style")]:
            element.remove(child)
        _cleaned(element)
    digest = hashlib.sha256(ElementTree.tostring(root)).hexdigest()[:10]
    _own_ids(root, f"plot-{digest}-")
    root.attrib = {
        "xmlns": "http://www.w3.org/2000/svg",
        "viewBox": root.get("viewBox", ""),
        "width": "100%",
        "role": "img",
        "font-family": "system-ui, sans-serif",
        "stroke-linejoin": "round",
    }
    words = {"title": _line(getattr(figure, "title", "")), "desc": _line(getattr(figure, "words", ""))}
    ids = {tag: f"plot-{digest}-{tag}" for tag, text in words.items() if text}
    if ids:
        root.set("aria-labelledby", " ".join(ids.values()))
    for tag in reversed(ids):
        made = ElementTree.Element(tag, {"id": ids[tag]})
        made.text = words[tag]
        root.insert(0, made)
    return ElementTree.tostring(root, encoding="unicode")


@contextmanager
def _no_font_has_all() -> Iterator[None]:
    """In SVG the browser finds the letters; in PNG a name in a script that no font here has shows as boxes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        yield


def _cleaned(element: ElementTree.Element) -> None:
    """Makes one element plain: no namespace, attributes for style, ink for black, two decimals."""
    element.tag = element.tag.removeprefix(_SVG)
    if element.tag != "text":
        element.text = None
    element.tail = None
    if _HREF in element.attrib:
        element.set("href", element.attrib.pop(_HREF))
    for rule in element.attrib.pop("style", "").split(";"):
        key, _, value = (part.strip() for part in rule.partition(":"))
        if key and key != "font-family" and (key, value) != ("stroke-linejoin", "miter"):
            element.set(key, value)
    for key, value in element.attrib.items():
        if value == INK:
            element.set(key, "currentColor")
        elif key in ("d", "x", "y", "width", "height", "transform"):
            element.set(key, _short(value))


def _short(numbers: str) -> str:
    """Returns coordinates to a hundredth of a point.

    >>> _short("M 57.839375 41.0 z")
    'M 57.84 41 z'
    """
    spaced = " ".join(numbers.split())
    return re.sub(r"-?\d+\.\d+", lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), spaced)


def _own_ids(root: ElementTree.Element, prefix: str) -> None:
    """Drops the ids that nothing refers to, and gives the others a prefix."""
    text = ElementTree.tostring(root, encoding="unicode")
    used = set(re.findall(r'href="#([^"]+)"', text)) | set(re.findall(r"url\(#([^)]+)\)", text))
    for element in root.iter():
        if (name := element.attrib.pop("id", "")) in used:
            element.set("id", prefix + name)
        for key, value in element.attrib.items():
            if key == "href":
                element.set(key, f"#{prefix}{value[1:]}")
            elif value.startswith("url(#"):
                element.set(key, f"url(#{prefix}{value[5:]}")
