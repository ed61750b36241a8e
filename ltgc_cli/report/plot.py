"""How the plots look, and how they get into a page: one palette, one style, SVG whose ink is the page's own."""

from __future__ import annotations

import hashlib
import io
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray

from ltgc_cli.console import printable
from ltgc_cli.report.format import shortened

INK = "#010203"  # black that nothing else has, so that a page can have its own colour of text in its place
FAINT = 0.62  # how opaque small print is: ink on any ground

# Each is at least three times as bright or as dark as white and as a nearly black page, and they are told apart with
# any colour vision: after Okabe and Ito, with the yellows, which no white page shows, left out.
BLUE, RED, GREY, GREEN, PURPLE, BROWN = "#2f7fc1", "#d55e00", "#888888", "#009070", "#b565a0", "#a5762a"
SHOTS = {"many": BLUE, "medium": GREY, "few": RED}

_DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)))
# Of curves, in the order in which methods get them.
LINES = [(colour, dash) for dash in _DASHES for colour in (BLUE, RED, GREEN, PURPLE, BROWN, GREY)]

WIDE, NARROW = 6.0, 4.4  # inches: what is scrolled on a phone, and what it shows whole, with letters of the page's size
STEPS = 400  # of a curve over classes or training steps: more would not be seen
LEGEND: dict[str, Any] = {"loc": "outside upper left", "alignment": "left"}
_SHEET = Path(__file__).with_name("templates") / "plot.mplstyle"
_STYLE: Any = matplotlib.rc_params_from_file(_SHEET, use_default_template=False)
_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_ONE_AT_A_TIME = threading.RLock()  # of the threads: matplotlib's settings are the whole process's


@contextmanager
def styled() -> Iterator[None]:
    """Plots are made and drawn in one style."""
    with _ONE_AT_A_TIME, matplotlib.rc_context(_STYLE):
        yield


class Plot(Figure):
    """A figure with a title, and words for those who cannot see it. A notebook shows it as it is."""

    def __init__(self, title: str, words: str, height: float, width: float = NARROW) -> None:
        super().__init__(figsize=(width, height), layout="constrained")
        self.title, self.words = title, words

    def draw(self, renderer: Any) -> None:
        with styled(), warnings.catch_warnings():  # ticks are made only now
            # In SVG the browser finds the letters; in PNG a name in a script that no font here has shows as boxes.
            warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
            super().draw(renderer)

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=144)
        return file.getvalue()


def plot_text(text: str, length: int = 24) -> str:
    """Returns a name as a plot shows it: on one line, not too long.

    >>> plot_text("a name that goes on and on and on")
    'a name that goes on and…'
    """
    return shortened(_line(text), length)


def _line(text: str) -> str:
    return printable(" ".join(text.split()))  # no SVG may hold control characters


def counts_axis(axis: Axis) -> None:
    """Writes whole numbers on an axis of counts: on a logarithmic one at 1, 2 and 5 times the powers of ten."""
    if axis.get_scale() == "log":
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.set_major_locator(MaxNLocator(6, integer=True))
    axis.set_major_formatter("{x:,.0f}")


def binned(values: ArrayLike, most: int = STEPS) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns values as at most so many steps: [steps + 1] edges, as places in the sequence, and [steps] means.

    Steps hold as many values as each other, give or take one; with few values each has a step of its own.

    >>> binned([8, 6, 4, 2, 0], 2)
    (array([0., 2., 5.]), array([7., 2.]))
    """
    given = np.asarray(values, dtype=np.float64)
    steps = min(most, len(given))
    edges = np.arange(steps + 1) * len(given) // max(steps, 1)
    return edges.astype(np.float64), np.add.reduceat(given, edges[:-1]) / np.diff(edges)


def svg(figure: Figure) -> str:
    """Returns a figure as SVG to put into an HTML page: the same text for the same figure.

    Black is `currentColor`, the ground is transparent, text is text in the page's font. It needs no style sheet and
    has no `style` (a page may forbid that); its ids are its own, however many figures stand on the page. One that is
    wider than a phone says so: `data-wide`.
    """
    for axes in figure.axes:
        if spot := axes.get_subplotspec():
            axes.set_subplotspec(spot)  # the layout begins anew: how it was drawn before must not show
    file = io.BytesIO()
    with _ONE_AT_A_TIME, matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "ltgc", "svg.id": None}):
        bare = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=bare)
    root = ElementTree.fromstring(file.getvalue())
    root.remove(root[0])  # matplotlib's style sheet
    prefix = f"plot-{hashlib.sha256(file.getvalue()).hexdigest()[:10]}-"
    for element in root.iter():
        _clean(element, prefix)
    root.attrib = {"xmlns": _SVG[1:-1], "viewBox": root.get("viewBox", ""), "width": "100%", "role": "img"}
    root.attrib |= {"font-family": "system-ui, sans-serif", "stroke-linejoin": "round"}
    if figure.get_figwidth() > NARROW:
        root.set("data-wide", "")
    if isinstance(figure, Plot):
        root.set("aria-labelledby", f"{prefix}title {prefix}desc")
        for tag, words in (("desc", figure.words), ("title", figure.title)):
            made = ElementTree.Element(tag, {"id": prefix + tag})
            made.text = _line(words)
            root.insert(0, made)
    return ElementTree.tostring(root, encoding="unicode")


def _clean(element: ElementTree.Element, prefix: str) -> None:
    """Makes one element plain: no namespace, attributes for style, ink for black, two decimals, ids with a prefix."""
    element.tag = element.tag.removeprefix(_SVG)
    if element.tag == "g":
        element.attrib.pop("id", None)  # nothing refers to a group
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
        elif key == "id":
            element.set(key, prefix + value)
        elif key == "href" or value.startswith("url(#"):
            element.set(key, value.replace("#", f"#{prefix}", 1))


def _short(numbers: str) -> str:
    """Returns coordinates to a hundredth of a point.

    >>> _short("M 57.839375 41.0 z")
    'M 57.84 41 z'
    """
    spaced = " ".join(numbers.split())
    return re.sub(r"-?\d+\.\d+", lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), spaced)
