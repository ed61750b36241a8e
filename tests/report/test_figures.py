"""Plots of a run: what they show, that hostile names stay names, that they are small, and how they get into a page."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from statistics import mean
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from ltgc_cli.errors import InputError
from ltgc_cli.records import Checkpoint, Class, Image, Metric, Record, Rejected, Template
from ltgc_cli.report import figures, plot, score_plots

HOSTILE = "<img src=x onerror=alert(1)> $\\frac{a}{b}$ \x1b[31m\u202e鳥"


def cls(label: int, count: int | None, name: str = "", *, tail: bool | None = None) -> Class:
    few = count is not None and count < 20
    shot = "many" if (count or 0) > 100 else "few" if few else "medium"
    return Class(label=label, class_=name or f"c{label}", count=count, shot=shot, tail=few if tail is None else tail)


def image(label: int, score: float | None = None, bar: float | None = None) -> Image:
    return Image(label=label, class_=f"c{label}", sha256="0" * 64, origin="generated", score=score, threshold=bar)


def turned_down(label: int, score: float, bar: float) -> Rejected:
    return Rejected(label=label, class_=f"c{label}", of="image", reason="low", score=score, threshold=bar)


def measured(method: str, few: float, by_class: Sequence[float] = (), **more: object) -> list[Metric]:
    groups = [
        Metric(name="accuracy", group=group, value=few, method=method, **more)  # type: ignore[arg-type]
        for group in ("few", "all")
    ]
    return groups + [
        Metric(name="accuracy", group="class", label=label, class_=f"c{label}", value=value, method=method)
        for label, value in enumerate(by_class)
    ]


def texts(figure: Figure | None) -> list[str]:
    assert figure is not None
    root = ElementTree.fromstring(figures.svg(figure))
    return [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]


BOTH = [*measured("fine-tuning", 60, [50, 60, 70]), *measured("LTGC", 70, [80, 60, 65])]


def everything(rows: Iterable[Record]) -> list[Figure]:
    rows = list(rows)
    curve = {"LTGC": [{"step": 10.0, "loss": 2.0}, {"step": 20.0, "loss": 1.0}]}
    made = [
        figures.distribution(rows),
        figures.scores(rows),
        figures.curves(curve),
        figures.accuracy(rows),
        figures.gains(rows),
    ]
    return [figure for figure in made if figure is not None]


# ---- where there is nothing to show


@pytest.mark.parametrize("make", [figures.distribution, figures.scores, figures.accuracy, figures.gains])
@pytest.mark.parametrize("rows", [[], [cls(0, None)]], ids=["no record", "a class that is only named"])
def test_there_is_no_figure_where_there_is_nothing_to_show(make, rows) -> None:  # type: ignore[no-untyped-def]
    assert make(rows) is None


@pytest.mark.parametrize("curves", [{}, {"LTGC": []}, {"LTGC": [{"step": 1.0, "lr": 0.1}]}])
def test_there_are_no_curves_without_a_loss(curves) -> None:  # type: ignore[no-untyped-def]
    assert figures.curves(curves) is None


def test_gains_want_two_methods_that_were_measured_by_class() -> None:
    assert figures.gains(measured("fine-tuning", 60, [50])) is None
    assert figures.gains([*measured("fine-tuning", 60), *measured("LTGC", 70)]) is None


# ---- what they show


def test_the_distribution_counts_real_images_and_accepted_generated_images() -> None:
    rows = [cls(0, 120), cls(1, 10), *[image(1)] * 30, turned_down(1, 0.1, 0.2)]
    figure = figures.distribution(rows)
    assert {"real (130)", "generated and accepted (30)", "tail: 1 class ", "c0", "c1", "many", "medium", "few"} <= set(
        texts(figure)
    )
    assert figure is not None and "take a tail class from 10 images to 40" in figure.words


def test_plain_images_are_in_no_distribution() -> None:
    plain = Image(label=0, class_="c0", sha256="0" * 64, origin="plain")
    assert not any("generated" in text for text in texts(figures.distribution([cls(0, 5), plain])))


def test_a_class_without_an_image_is_shown_at_the_floor() -> None:
    assert "real (3)" in texts(figures.distribution([cls(0, 3), cls(1, 0)]))


def test_few_classes_show_their_scores_one_by_one_with_their_own_thresholds() -> None:
    rows = [
        cls(0, 4, "crane"),
        Template(label=0, class_="crane", text="", threshold=0.5),
        image(0, 0.7),
        turned_down(0, 0.3, 0.5),
    ]
    shown = texts(figures.scores(rows, {0: [0.6, 0.8]}))
    assert {"accepted (1)", "rejected (1)", "real (2)", "the class's threshold", "crane"} <= set(shown)


def test_many_classes_show_their_scores_from_their_thresholds_on() -> None:
    rows = [row for label in range(20) for row in (image(label, 0.7, 0.5 + label / 100), turned_down(label, 0.3, 0.5))]
    assert "CLIP score, above or below the class's threshold" in texts(figures.scores(rows))


def test_scores_without_a_threshold_have_none() -> None:
    assert not any("threshold" in text for text in texts(figures.scores([image(0, 0.7)])))
    assert not any("threshold" in text for text in texts(figures.scores([image(label, 0.7) for label in range(20)])))


def test_real_scores_that_the_stream_has_are_shown() -> None:
    original = Image(label=0, class_="c0", sha256="0" * 64, origin="original", score=0.4)
    assert "real (1)" in texts(figures.scores([original]))


def test_curves_show_the_loss_and_validation_where_it_was_looked_at() -> None:
    rows = [{"step": float(step), "loss": 1.0 / step, "val": 50.0 + step} for step in range(1, 9)]
    shown = texts(figures.curves({"LTGC": rows, "fine-tuning": [{"step": 1.0, "loss": 3.0}]}))
    assert {"training loss", "validation accuracy, %", "LTGC", "fine-tuning", "step"} <= set(shown)


def test_a_loss_that_is_no_number_leaves_a_gap() -> None:
    rows = [{"step": 1.0, "loss": float("nan")}, {"step": 2.0, "loss": 1.0}]
    figure = figures.curves({"LTGC": rows})
    assert figure is not None and figure.words == "LTGC: loss 1 at first, 1 at step 2."


def test_accuracy_shows_each_method_with_what_its_lines_mean() -> None:
    rows = [
        *measured("LTGC", 70, low=68.0, high=72.0),
        *measured("LTGC (seeds)", 71, spread=0.5, runs=3),
        *measured("VL-LTR (published)", 59.3, source="a paper"),
    ]
    shown = texts(figures.accuracy(rows))
    assert {"LTGC", "LTGC (seeds), 3 runs", "VL-LTR (published)", "70.0", "71.0", "59.3"} <= set(shown)
    assert "accuracy, % (lines: 95% intervals; of several runs: ± standard deviation)" in shown


def test_gains_are_sorted_and_coloured_by_shot() -> None:
    figure = figures.gains([cls(0, 5), cls(1, 50), cls(2, 500), *BOTH])
    shown = texts(figure)
    assert [text for text in shown if text in ("+30.0", "0.0", "−5.0")][-3:] == ["+30.0", "0.0", "−5.0"]
    assert {"few (1): mean +30.0", "medium (1): mean 0.0", "many (1): mean −5.0"} <= set(shown)
    assert figure is not None and figure.title == "Gain of LTGC over fine-tuning, by class"


def test_gains_can_be_asked_of_any_two_methods() -> None:
    figure = figures.gains(BOTH, baseline="LTGC", method="fine-tuning")
    assert figure is not None and figure.title == "Gain of fine-tuning over LTGC, by class"
    figure = figures.gains([*BOTH, *measured("zero-shot CLIP", 20, [1, 1, 1])], method="zero-shot CLIP")
    assert figure is not None and figure.title == "Gain of zero-shot CLIP over fine-tuning, by class"


@pytest.mark.parametrize("names", [{"baseline": "LTGG"}, {"method": "LTGG"}, {"method": "LTGC", "baseline": "LTGG"}])
def test_a_method_that_was_not_measured_is_refused(names: dict[str, str]) -> None:
    with pytest.raises(InputError, match="LTGG"):
        figures.gains(BOTH, **names)


def test_a_method_is_known_to_have_had_generated_images_by_its_checkpoint() -> None:
    rows = [
        Checkpoint(id="a", sha256="0" * 64, method="mine", settings={"images": 9}),
        *measured("mine", 70, [80], parents=("a",)),
        *measured("plain", 60, [50]),
    ]
    figure = figures.gains(rows)
    assert figure is not None and figure.title == "Gain of mine over plain, by class"


# ---- thousands of classes


@pytest.fixture(scope="module")
def thousands() -> list[Record]:
    chance = random.Random(0)
    rows: list[Record] = []
    for label in range(8000):
        rows.append(cls(label, max(2, 1000 // (label + 1))))
        rows += [image(label, chance.random(), 0.2), turned_down(label, 0.1, 0.2 + chance.random() / 10)]
    rows += measured("fine-tuning", 60, [100 * chance.random() for _ in range(8000)])
    rows += measured("LTGC", 70, [100 * chance.random() for _ in range(8000)])
    return rows


def test_thousands_of_classes_make_small_figures(thousands: list[Record]) -> None:
    made = everything(thousands)
    assert len(made) == 5
    assert max(len(figures.svg(figure)) for figure in made) < 100_000


def test_a_long_training_makes_a_small_figure() -> None:
    curve = [{"step": float(step), "loss": 1.0 + step % 7, "val": 50.0} for step in range(50_000)]
    figure = figures.curves({f"method {number}": curve for number in range(30)})
    assert figure is not None and len(figures.svg(figure)) < 600_000


# ---- names from models and files


def test_hostile_names_are_text_on_one_line_and_no_mathematics() -> None:
    rows = [cls(0, 5, HOSTILE), image(0, 0.5, 0.4), *measured(HOSTILE, 60, [50]), *measured("LTGC", 70, [60])]
    made = [*everything(rows), figures.curves({HOSTILE: [{"step": 1.0, "loss": 1.0}]})]
    for figure in made:
        assert figure is not None
        source = figures.svg(figure)
        assert "<img" not in source and "\x1b" not in source and "\u202e" not in source
        ElementTree.fromstring(source)
    assert "<img src=x oner…" in texts(made[0])
    assert any("$\\frac{a}{b}$ �[31m�鳥" in text for text in texts(made[3]))


# ---- as SVG in a page


def test_the_same_figure_gives_the_same_svg() -> None:
    rows = [cls(0, 5), image(0, 0.5, 0.4), *BOTH]
    assert [figures.svg(figure) for figure in everything(rows)] == [figures.svg(figure) for figure in everything(rows)]
    for figure in everything(rows):
        source = figures.svg(figure)
        assert isinstance(figure, plot.Plot) and figure._repr_png_()
        assert figures.svg(figure) == source


def test_svg_takes_the_ink_of_the_page_and_needs_no_style() -> None:
    for figure in everything([cls(0, 5), image(0, 0.5, 0.4), *BOTH]):
        source = figures.svg(figure)
        assert source.startswith('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 316.8 ')
        assert "currentColor" in source and plot.INK not in source
        assert "style" not in source and "#ffffff" not in source and "<metadata" not in source


def test_figures_of_one_page_share_no_id_and_refer_to_their_own() -> None:
    sources = [figures.svg(figure) for figure in everything([cls(0, 5), image(0, 0.5, 0.4), *BOTH])]
    ids = [set(re.findall(r' id="([^"]+)"', source)) for source in sources]
    assert len(set().union(*ids)) == sum(map(len, ids))
    for own, source in zip(ids, sources, strict=True):
        assert set(re.findall(r"url\(#([^)]+)\)", source)) | set(re.findall(r'href="#([^"]+)"', source)) <= own


def test_svg_says_what_it_shows() -> None:
    figure = figures.gains(BOTH)
    assert figure is not None
    root = ElementTree.fromstring(figures.svg(figure))
    title, words = root[0], root[1]
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == f"{title.get('id')} {words.get('id')}"
    assert title.text == figure.title and words.text == figure.words


def test_any_figure_can_be_made_svg() -> None:
    figure = Figure()
    figure.add_subplot().plot([1, 2])
    assert "aria-labelledby" not in figures.svg(figure)


def test_a_notebook_shows_a_figure_as_a_picture() -> None:
    figure = figures.distribution([cls(0, 5, HOSTILE)])
    assert figure is not None and figure._repr_png_().startswith(b"\x89PNG")


# ---- colours


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("ground", ["#ffffff", "#111316"])
def test_each_colour_stands_out_from_a_white_page_and_from_a_dark_one(ground: str) -> None:
    for colour, _ in plot.LINES:
        light, dark = sorted((luminance(colour), luminance(ground)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 3


# ---- the arithmetic, against loops


@pytest.mark.parametrize(("length", "most"), [(0, 5), (1, 5), (5, 5), (7, 5), (1000, 400)])
def test_binned_means_are_those_of_a_loop(length: int, most: int) -> None:
    values = [random.Random(number).random() for number in range(length)]
    edges, means = plot.binned(values, most)
    assert edges[-1] == length and len(means) == min(length, most)
    widths = {int(width) for width in edges[1:] - edges[:-1]}
    assert not widths or max(widths) - min(widths) <= 1
    for start, stop, found in zip(edges[:-1], edges[1:], means, strict=True):
        assert found == pytest.approx(mean(values[int(start) : int(stop)]))


@pytest.mark.parametrize("width", [1, 3, 9, 99])
def test_moving_means_are_those_of_a_loop(width: int) -> None:
    values = [random.Random(number).random() for number in range(30)]
    around = width // 2
    wanted = [mean(values[max(0, place - around) : place + around + 1]) for place in range(30)]
    assert figures.moving_mean(values, width).tolist() == pytest.approx(wanted)


@pytest.mark.parametrize("at", [None, -2.0, 0.0, 0.33, 1.0, 7.0])
def test_bins_cover_the_values_and_have_an_edge_where_it_is_wanted(at: float | None) -> None:
    edges = score_plots.bins(0.0, 1.0, 10, at)
    assert edges[0] <= 1e-9 and edges[-1] > 1.0
    assert edges[1:] - edges[:-1] == pytest.approx([0.1] * (len(edges) - 1))
    if at is not None and 0 <= at <= 1:
        assert min(abs(edges - at)) < 1e-9


def test_bins_of_one_value_hold_it() -> None:
    assert np.histogram([0.5], score_plots.bins(0.5, 0.5, 10))[0].sum() == 1
