from small_run import crane, head, measured, run

from ltgc_cli.ports import Usage
from ltgc_cli.records import Class, Image, Made, Metric, Record, Rejected
from ltgc_cli.report import summary
from ltgc_cli.report.content import content_of


def test_the_summary_tells_what_was_gained_what_was_generated_and_what_it_cost() -> None:
    assert summary.summary(content_of(run())).replace("\u00a0", " ") == (
        "LTGC is ahead on classes with few images (55.0 %, where fine-tune has 40.0: +15.0 ± 2.8 points) and over all "
        "classes (75.5 %, where fine-tune has 70.0: +5.5 ± 1.4 points). Tail classes: 2 of 3. Images were generated "
        "from 5 descriptions; 3 were accepted, after 1 more attempt where the first was not. It cost $0.25."
    )


def test_the_summary_of_generated_images_that_nobody_judged_claims_nothing() -> None:
    rows = [*head(), Image(id="g", label=2, class_="pigeon", sha256="", origin="generated")]
    assert summary.summary(content_of(rows)) == "Tail classes: 0 of 1. Generated for them: 1 image."


def test_the_summary_of_a_class_table_is_its_size() -> None:
    assert summary.summary(content_of(head())) == "Tail classes: 0 of 1."
    assert summary.summary(content_of([])) == ""


def test_a_cost_that_is_not_known_is_not_called_nothing() -> None:
    unknown = Made(model="my-model", usage=Usage(prompt_tokens=9))
    known = Made(model="gpt-4o", usage=Usage(prompt_tokens=9, dollars=0.5))
    one = Class(id="a", label=0, class_="crane", tail=True, made=unknown)
    other = Class(id="b", label=1, class_="seal", tail=True, made=known)
    assert summary.summary(content_of([one])).endswith("What it cost is not known.")
    assert summary.summary(content_of([one, other])).endswith("It cost at least $0.50.")


def test_the_numbers_at_the_top_are_those_that_the_stream_has() -> None:
    assert [(stat.name, stat.value, stat.beside) for stat in summary.stats(content_of(run()))] == [
        ("Accuracy, few-shot", "55.0\u00a0%", "+15.0 ± 2.8"),
        ("Accuracy, all classes", "75.5\u00a0%", "+5.5 ± 1.4"),
        ("Images accepted", "3", "of 5"),
        ("Tail classes", "2", "of 3"),
        ("Cost", "$0.25", ""),
    ]
    assert summary.stats(content_of([])) == []


def test_gains_are_sorted_the_greatest_first() -> None:
    found = summary.gains(content_of(run()))
    assert [cls.gain for cls in found.rows if cls] == [20.0, 10.0, -2.0]
    assert (found.between, found.most) == (0, 20.0)


def test_of_many_gains_both_ends_are_shown() -> None:
    rows = [
        Metric(label=n, class_=str(n), name="accuracy", group="class", value=50.0 + n * gained, method=method)
        for n in range(100)
        for method, gained in (("fine-tune", 0), ("LTGC", 0.1))
    ]
    rows += [
        Metric(name="accuracy", group="all", value=value, method=method)
        for method, value in (("fine-tune", 50.0), ("LTGC", 55.0))
    ]
    classes = [Class(id=str(n), label=n, class_=str(n), tail=True) for n in range(100)]
    found = summary.gains(content_of([*classes, *rows]))
    assert len(found.rows) == 25 and found.rows[12] is None and found.between == 76
    assert (found.rows[0] and found.rows[0].label, found.rows[-1] and found.rows[-1].label) == (99, 0)


def test_the_sections_name_what_is_there() -> None:
    assert [id for id, _ in summary.sections(content_of(head()), {})] == ["classes", "provenance"]
    assert [id for id, _ in summary.sections(content_of(run()), {"scores": "<svg/>"})] == [
        "accuracy",
        "gains",
        "scores",
        "classes",
        "provenance",
    ]


def test_the_meters_span_all_scores_and_thresholds() -> None:
    assert summary.score_span(content_of(crane())) == (0.19, 0.3)
    assert summary.score_span(content_of(head())) == (0.0, 1.0)


def test_what_plus_minus_means_is_said_where_it_is_used() -> None:
    assert summary.uncertainty(content_of(measured()).results) == ", ± half a 95\u00a0% interval over test images"
    assert summary.uncertainty([]) == ""


def test_a_gain_that_the_intervals_do_not_allow_is_said_with_them() -> None:
    def line(method: str, few: float, half: float, parents: tuple[str, ...] = ()) -> list[Metric]:
        kept = {"method": method, "value": few, "low": few - half, "high": few + half, "parents": parents}
        return [Metric(name="accuracy", group=group, **kept) for group in ("few", "all")]

    def summarized(half: float) -> str:
        rows = [*line("fine-tune", 90.0, half), *line("LTGC", 93.0, half)]
        return summary.summary(content_of(rows)).replace("\u00a0", " ")

    assert summarized(3.0).endswith("+3.0 ± 4.2 points). None of these differences is larger than its uncertainty (±).")
    assert summarized(1.0).endswith("+3.0 ± 1.4 points).")


def test_where_a_baseline_is_ahead_that_is_said_first_and_by_its_name() -> None:
    def line(method: str, **figures: float) -> list[Metric]:
        return [Metric(name="accuracy", group=group, value=value, method=method) for group, value in figures.items()]

    rows = [
        *line("fine-tuning", few=64.1, medium=80.0, many=95.0, all=82.0),
        *line("fine-tuning + logit adjustment", few=80.0, medium=79.0, many=90.0, all=81.5),
        *line("LTGC", few=75.8, medium=80.04, many=96.0, all=84.0),
    ]
    content = content_of(rows)
    assert summary.summary(content).replace("\u00a0", " ") == (
        "LTGC is behind on classes with few images (75.8 %, where fine-tuning + logit adjustment has 80.0: −4.2 "
        "points). It is ahead over all classes (84.0 %, where fine-tuning has 82.0: +2.0 points)."
    )
    few, all_ = summary.stats(content)
    assert (few.beside, few.kind, few.below) == ("−4.2", "worse", "against fine-tuning + logit adjustment")
    assert (all_.beside, all_.kind, all_.below) == ("+2.0", "better", "against fine-tuning")
    pinned = summary.summary(content_of(rows, "fine-tuning")).replace("\u00a0", " ")
    assert pinned.startswith(
        "LTGC is ahead on classes with few images (75.8 %, where fine-tuning has 64.1: +11.7 points)"
    )


def test_of_several_runs_too_a_gain_within_their_deviation_is_said_and_where() -> None:
    rows = [
        Metric(name="accuracy", group=group, method=method, value=value, spread=spread, runs=3)
        for group, spread in (("few", 0.5), ("all", 2.0))
        for method, value in (("fine-tune", 90.0), ("LTGC", 93.0))
    ]
    assert summary.summary(content_of(rows)).endswith("Within its uncertainty (±) is the difference over all classes.")


def test_accepted_images_below_their_threshold_are_not_said_to_have_reached_it() -> None:
    def generated(name: str, score: float) -> Record:
        return Image(id=name, label=0, class_="crane", sha256=name, origin="generated", score=score, threshold=0.25)

    rows = [generated("a", 0.3), generated("b", 0.2), generated("c", 0.25)]
    rows.append(Rejected(id="d", label=0, class_="crane", of="image", sha256="d", reason="", score=0.1, threshold=0.25))
    assert summary.summary(content_of(rows)) == (
        "Tail classes: 1 of 1. Images were generated from 4 descriptions; 3 were accepted (1 of them below the class’s "
        "threshold)."
    )


def test_images_by_an_image_api_without_a_price_are_not_free() -> None:
    def generated(model: str) -> Record:
        made = Made(model=model, seed=1)
        return Image(id="g", label=0, class_="crane", sha256="a", origin="generated", made=made)

    content = content_of([generated("litellm:my-images@localhost:8000/v1")])
    assert summary.summary(content).endswith("What it cost is not known.")
    assert summary.stats(content)[-1] == summary.Stat("Cost", "unknown")
    assert summary.summary(content_of([generated("sd-turbo")])).endswith("no model that was asked takes money.")


def test_where_nothing_is_compared_the_summary_says_whose_numbers_these_are_and_why() -> None:
    def summarized(*methods: tuple[str, float], baseline: str = "") -> tuple[str, str]:
        rows = [Metric(name="accuracy", group="all", value=value, method=method) for method, value in methods]
        content = content_of(rows, baseline)
        (stat,) = summary.stats(content)
        return summary.summary(content).replace("\u00a0", " "), stat.below

    assert summarized(("LTGC", 70.0)) == (
        "LTGC has 70.0 % over all classes. It is compared with nothing: no method without generated images was "
        "measured.",
        "LTGC",
    )
    assert summarized(("zero-shot CLIP", 40.0), ("fine-tuning", 85.0)) == (
        "fine-tuning has 85.0 % over all classes. It is compared with nothing: no method was trained on generated "
        "images.",
        "fine-tuning",
    )
    named, _ = summarized(("fine-tuning", 60.0), ("LTGC", 70.0), baseline="LTGC")
    assert named.endswith("It is compared with nothing: no other method was trained on generated images.")


def test_the_same_figure_is_neither_better_nor_worse() -> None:
    rows = [Metric(name="accuracy", group="all", value=70.0, method=method) for method in ("fine-tune", "LTGC")]
    (stat,) = summary.stats(content_of(rows))
    assert (stat.beside, stat.kind) == ("0.0", "")


def test_means_over_runs_are_called_so() -> None:
    rows = [
        Metric(name="accuracy", group="all", value=value, spread=1.0, runs=3, method=method)
        for method, value in (("fine-tune", 60.0), ("LTGC", 90.0))
    ]
    assert (
        summary.summary(content_of(rows))
        .replace("\u00a0", " ")
        .startswith(
            "LTGC (the mean of 3 runs) is ahead over all classes (90.0 %, where fine-tune (the mean of 3 runs) has 6"
        )
    )


def test_the_summary_says_how_many_copies_were_found() -> None:
    rows = [*head(), Image(id="g", label=2, class_="pigeon", sha256="a", origin="generated", score=0.3, threshold=0.2)]
    copies = Metric(label=2, class_="pigeon", name="copies", group="class", value=25.0, images=8, rest={"novelty": 5.0})
    assert summary.summary(content_of([*rows, copies])).endswith(
        "1 was accepted. 2 of 8 generated images (25.0%) were, when first drawn, nearer to a real image of the class "
        "than 5% of the real ones are to each other."
    )
