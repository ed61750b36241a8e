"""Plots of what the judge is worth, of the rounds of filter, and of accuracy by the number of training images."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from ltgc_cli.records import Class, Image, Metric, Record, Rejected, Step, dump, parse
from ltgc_cli.report import figures
from ltgc_cli.report.plot import Plot
from ltgc_cli.trial import TriedImage, metrics

HOSTILE = "<img src=x onerror=alert(1)> $x$ \x1b[31m"


def tried(*classes: tuple[str, str, float]) -> list[Record]:
    """A trial as a stream has it: a real image for each (its class, what it was taken for, its margin)."""
    labels = {name: label for label, name in enumerate(dict.fromkeys(name for name, *_ in classes))}
    images = [TriedImage(label=labels[own], class_=own, taken=taken, margin=margin) for own, taken, margin in classes]
    return [parse(dump(row)) for row in metrics(images, 10, "clip")]


def texts(figure: Plot | None) -> list[str]:
    assert figure is not None
    root = ElementTree.fromstring(figures.svg(figure))
    return [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]


def judged(name: str, rounds: int, passed: bool, label: int = 0) -> Record:
    """An image of a class that was judged in so many rounds, at a threshold of 0.3."""
    scores = [0.1] * (rounds - 1) + [0.4 if passed else 0.2]
    history = tuple(Step(text=name, sha256=f"{name}{number}", score=score) for number, score in enumerate(scores))
    of = {"label": label, "class_": f"c{label}", "score": scores[-1], "threshold": 0.3, "history": history}
    kind = Image if passed else Rejected
    more = {"sha256": name, "origin": "generated"} if kind is Image else {"of": "image", "reason": "low"}
    return kind(**of, **more)  # type: ignore[arg-type]


MAKE = [figures.confusion, figures.margins, figures.rounds, figures.by_count]


@pytest.mark.parametrize("make", MAKE)
@pytest.mark.parametrize("rows", [[], [Class(label=0, class_="crane", count=3, tail=True)]], ids=["none", "a class"])
def test_where_the_stream_has_nothing_for_a_plot_there_is_none(make, rows) -> None:  # type: ignore[no-untyped-def]
    assert make(rows) is None


def test_the_table_of_confusions_counts_the_real_images_of_each_class_by_what_they_were_taken_for() -> None:
    rows = tried(("crane", "crane", 0.1), ("crane", "owl", -0.1), ("seal", "seal", 0.2), ("crane", "crane", 0.3))
    figure = figures.confusion(rows)
    shown = texts(figure)
    assert {"crane (3)", "seal (1)", "owl", "taken for", "its own class", "another"} <= set(shown)
    assert sorted(text for text in shown if text.isdigit()) == ["1", "1", "2"]
    assert figure and figure.words == "crane: 67% of 3 right; seal: 100% of 1 right."


def test_the_margins_of_few_classes_are_marks_and_of_many_a_share_beside_chance() -> None:
    figure = figures.margins(tried(("crane", "crane", 0.1), ("crane", "seal", -0.1)))
    assert figure and figure.words == "1 of 2 real images of 1 class are most like their own class."
    many = figures.margins(tried(*((f"class {n}", f"class {n % 30}", 0.1 if n < 30 else -0.1) for n in range(60))))
    assert many and many.words == "30 of 60 real images of 60 classes are most like their own class."
    assert " chance" in texts(many)
    assert figures.confusion(tried(*((f"class {n}", f"class {n}", 0.1) for n in range(60)))) is None


def test_the_rounds_say_when_a_description_had_an_image_that_passed_and_which_never_had() -> None:
    rows = [judged("a", 1, True), judged("b", 2, True), judged("c", 3, False)]
    figure = figures.rounds(rows)
    assert figure and figure.words == "Of 3 descriptions an image passed in round 1: 1, round 2: 1; never: 1."
    assert {"round 1 (1)", "round 2 (1)", "never (1)", "c0 (3)", "67%"} <= set(texts(figure))


def test_an_image_that_is_kept_below_its_threshold_has_not_passed_unless_by_hand() -> None:
    below = Step(text="x", sha256="x", score=0.2)
    by_hand = Step(text="y", sha256="y", score=0.2, verdict="keep")
    of = {"label": 0, "class_": "c0", "origin": "generated", "score": 0.2, "threshold": 0.3}
    rows: list[Record] = [Image(sha256=step.sha256, history=(step,), **of) for step in (below, by_hand)]  # type: ignore[arg-type]
    figure = figures.rounds(rows)
    assert figure and figure.words == "Of 2 descriptions an image passed in round 1: 1; never: 1."


def test_the_rounds_of_many_classes_are_heaps() -> None:
    rows = [judged(f"{n}", 1 + n % 3, n % 4 > 0, label=n) for n in range(60)]
    assert {"classes, most passed first", "% of descriptions"} <= set(texts(figures.rounds(rows)))


def by_class(method: str, *values: float) -> list[Record]:
    whole: list[Record] = [Metric(name="accuracy", group="all", value=sum(values) / len(values), method=method)]
    of = [{"label": label, "class_": f"c{label}", "value": value} for label, value in enumerate(values)]
    return [*whole, *(Metric(name="accuracy", group="class", method=method, **one) for one in of)]  # type: ignore[arg-type]


def test_accuracy_stands_against_the_number_of_training_images_from_the_baseline_to_the_method() -> None:
    classes: list[Record] = [
        Class(label=n, class_=f"c{n}", count=count, tail=True) for n, count in enumerate((4, 40, 400))
    ]
    figure = figures.by_count([*classes, *by_class("fine-tuning", 50, 60, 90), *by_class("LTGC", 70, 60, 85)])
    assert figure and figure.words == (
        "Accuracy of 3 classes by the number of their real training images, 4 to 400: LTGC is better than fine-tuning "
        "on 1, worse on 1."
    )
    assert {"fine-tuning", "LTGC", "real training images of the class", "accuracy, %"} <= set(texts(figure))
    assert figures.by_count([*classes, *by_class("LTGC", 70, 60, 85)]) is None


def test_of_thousands_of_classes_the_plots_stay_small_and_hostile_names_stay_names() -> None:
    classes: list[Record] = [Class(label=n, class_=f"c{n}", count=1 + n % 500, tail=True) for n in range(3000)]
    rows = [*classes, *by_class("fine-tuning", *[50.0] * 3000), *by_class("LTGC", *[60.0] * 3000)]
    rows += tried(*((f"c{n}", "c1", -0.1) for n in range(3000))) + [judged(str(n), 2, True, n) for n in range(3000)]
    for make in MAKE:
        if figure := make(rows):
            assert len(figures.svg(figure)) < 60_000
    rows = tried((HOSTILE, HOSTILE, 0.1), (HOSTILE, "seal", -0.2))
    for figure in (figures.confusion(rows), figures.margins(rows)):
        assert figure and "<img" not in figures.svg(figure).replace("&lt;img", "")


@pytest.mark.parametrize("margins", ['"x"', "[null, true]", "{}"])
def test_a_margin_that_somebody_changed_is_left_out(margins: str) -> None:
    row = Metric(name="clip accuracy", group="class", label=0, class_="crane", value=1.0, images=2)
    changed = parse(dump(row).replace('"images":2', f'"images":2,"margins":{margins}'))
    assert figures.margins([changed]) is None


def plotted(*counts: int, **values: list[float]) -> Plot | None:
    classes: list[Record] = [Class(label=n, class_=f"c{n}", count=count, tail=True) for n, count in enumerate(counts)]
    same = [50.0] * len(counts)
    return figures.by_count(
        [*classes, *by_class("fine-tuning", *values.get("before", same)), *by_class("LTGC", *values.get("after", same))]
    )


def test_numbers_of_images_are_written_as_numbers_however_near_they_are() -> None:
    for counts in ((5, 24), (180, 300), (0, 4), (1, 1000)):
        shown = texts(plotted(*counts))
        assert not [text for text in shown if "$" in text]
        assert len([text for text in shown if text.replace(",", "").isdigit()]) >= 4


def test_of_many_classes_those_with_the_same_number_of_images_have_one_mean() -> None:
    figure = plotted(*[1] * 100, *[100] * 100, before=[0.0, 100.0] * 100, after=[60.0] * 200)
    assert figure and figure.words.startswith("Accuracy of 200 classes")
    rings = figure.axes[0].lines[-1]
    assert [list(map(float, part)) for part in (rings.get_xdata(), rings.get_ydata())] == [[1, 100], [50, 50]]


def test_no_gain_at_all_has_no_scale_of_hundredths() -> None:
    rows = [*by_class("fine-tuning", 50, 60), *by_class("LTGC", 50, 60)]
    assert "1.0" in texts(figures.gains(rows)) and "0.02" not in texts(figures.gains(rows))


def test_a_few_steps_of_training_are_whole_numbers_each_once() -> None:
    figure = figures.curves({"LTGC": [{"step": 10, "loss": 0.5}, {"step": 12, "loss": 0.3}]})
    steps = [text for text in texts(figure) if text.isdigit()]
    assert steps == ["10", "11", "12"]


def test_what_stands_in_a_plot_is_inside_of_it() -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    made = [figures.rounds([judged("a", 1, True)]), figures.margins(tried(("Chinese temple", "Chinese temple", 0.1)))]
    for figure in made:
        assert figure is not None
        FigureCanvasAgg(figure).draw()
        label = figure.axes[0].xaxis.label.get_window_extent()
        assert label.x0 >= 0 and label.x1 <= figure.bbox.width, figure.title


def test_plots_fit_a_phone_but_a_large_table_of_confusions() -> None:
    small, large = (tried(*((f"c{n}", f"c{n}", 0.1) for n in range(many))) for many in (12, 20))
    assert "data-wide" not in figures.svg(figures.confusion(small) or Plot("", "", 1))
    assert "data-wide" in figures.svg(figures.confusion(large) or Plot("", "", 1))
