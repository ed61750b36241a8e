import pytest
from small_run import measured

from ltgc_cli.errors import InputError
from ltgc_cli.records import Checkpoint, Metric, Record
from ltgc_cli.report.accuracy import (
    MethodComparison,
    comparison,
    confusions,
    groups,
    results,
    uncertainty_of_difference,
)


def accuracy(method: str, value: float, *, runs: int = 1, parent: str = "", group: str = "all") -> Metric:
    return Metric(
        name="accuracy", group=group, value=value, method=method, runs=runs, parents=(parent,) if parent else ()
    )


def gain_of(both: MethodComparison | None, group: str = "all", name: str = "accuracy") -> tuple[str, float]:
    gain = both.gain(group, name) if both else None
    assert gain
    return gain.baseline.title, gain.points


def baselines(both: MethodComparison) -> list[str]:
    return [result.method for result in both.baselines]


def test_a_result_has_values_by_group_and_their_uncertainty() -> None:
    fine_tune, ltgc, published = results(measured())
    assert (fine_tune.method, fine_tune.value("few"), fine_tune.uncertainty("few")) == ("fine-tune", 40.0, 2.0)
    assert ltgc.value("all", "macro_f1") == 70.5
    assert (ltgc.value("many"), ltgc.uncertainty("many")) == (None, None)
    assert (published.source, published.value("all")) == ("LTGC, CVPR 2024", 82.5)


def test_a_table_has_a_column_for_the_rarest_classes_only_where_they_were_measured() -> None:
    known = [accuracy("LTGC", 70), accuracy("LTGC", 60, group="few")]
    assert list(groups(results(known))) == ["many", "medium", "few", "all"]
    found = results([*known, accuracy("LTGC", 50, group="at most 5")])
    assert list(groups(found).values()) == ["many", "medium", "few", "≤5 images", "all"]
    assert found[0].cell("at most 5") == "50.0"


def test_a_method_is_trained_on_generated_images_where_its_checkpoint_says_so() -> None:
    assert [result.generated for result in results(measured())] == [False, True, False]


def test_without_the_checkpoint_the_method_is_known_by_its_name() -> None:
    found = results([accuracy("LTGC, sqrt", 70), accuracy("real + generated", 60), accuracy("fine-tune", 50)])
    assert [result.generated for result in found] == [True, True, False]


def test_the_strongest_with_generated_images_is_compared_with_the_strongest_without() -> None:
    rows = [
        accuracy("zero-shot CLIP", 40),
        accuracy("fine-tune", 60),
        accuracy("fine-tune + la", 65),
        accuracy("LTGC", 70),
        accuracy("LTGC, sqrt", 69),
    ]
    both = comparison(results(rows))
    assert both and (both.method.method, gain_of(both)) == ("LTGC", ("fine-tune + la", 5.0))


def test_published_numbers_are_no_baseline() -> None:
    both = comparison(results(measured()))
    assert both and (both.method.method, baselines(both)) == ("LTGC", ["fine-tune"])


def test_means_over_runs_are_compared_and_no_lucky_run() -> None:
    rows: list[Record] = [Checkpoint(id=f"k{n}", sha256="", settings={"images": 3}) for n in (1, 2)]
    rows += [accuracy("LTGC (seed 1)", 80, parent="k1"), accuracy("LTGC (seed 2)", 60, parent="k2")]
    rows += [accuracy("LTGC", 70, runs=2, parent="k1"), accuracy("fine-tune", 65)]
    both = comparison(results(rows))
    assert both and (both.method.title, gain_of(both)) == ("LTGC, 2 runs", ("fine-tune", 5.0))


def test_each_figure_is_compared_with_the_baseline_that_is_best_in_that_figure() -> None:
    rows = [
        *(accuracy("fine-tune", value, group=group) for group, value in (("few", 60), ("all", 90))),
        *(accuracy("fine-tune + la", value, group=group) for group, value in (("few", 80), ("all", 85))),
        *(accuracy("LTGC", value, group=group) for group, value in (("few", 75.8), ("all", 92))),
    ]
    both = comparison(results(rows))
    assert gain_of(both, "few") == ("fine-tune + la", -4.2)
    assert gain_of(both, "all") == ("fine-tune", 2.0)
    assert both and both.gain("many") is None
    few = both.gain("few")
    assert few and few.is_behind
    pinned = comparison(results(rows), "fine-tune")
    assert (gain_of(pinned, "few"), gain_of(pinned, "all")) == (("fine-tune", 15.8), ("fine-tune", 2.0))


def test_of_a_measure_that_is_better_where_it_is_smaller_the_smallest_is_the_best() -> None:
    rows = [
        row
        for method, error in (("fine-tune", 4.7), ("fine-tune + la", 6.0), ("LTGC", 13.0))
        for row in (accuracy(method, 90), Metric(name="calibration_error", group="all", value=error, method=method))
    ]
    assert gain_of(comparison(results(rows)), "all", "calibration_error") == ("fine-tune", -8.3)


def test_a_baseline_that_needs_no_seeds_is_compared_with_beside_means_over_runs() -> None:
    rows = [accuracy("zero-shot CLIP", 72), accuracy("fine-tune (seed 1)", 90), accuracy("fine-tune", 60, runs=2)]
    both = comparison(results([*rows, accuracy("LTGC", 70, runs=2)]))
    assert both and baselines(both) == ["zero-shot CLIP", "fine-tune"]
    assert gain_of(both) == ("zero-shot CLIP", -2.0)


def test_the_uncertainty_of_a_gain_comes_from_both_values() -> None:
    def value(**fields: float | int) -> Metric:
        return Metric(name="accuracy", group="all", value=80.0, **fields)  # type: ignore[arg-type]

    interval, runs = value(low=77.0, high=83.0), value(spread=2.0, runs=3)
    assert uncertainty_of_difference(interval, value(low=76.0, high=84.0)) == pytest.approx(5.0, abs=1e-4)
    # Two means of three runs: Welch's t with four degrees of freedom, 2.776 · √(4/3 + 4/3).
    assert uncertainty_of_difference(runs, runs) == pytest.approx(4.534, abs=1e-3)
    assert uncertainty_of_difference(interval, value()) is None
    assert uncertainty_of_difference(value(low=80.0, high=80.0), value(low=80.0, high=80.0)) == 0.0


def test_a_baseline_can_be_named() -> None:
    rows = [accuracy("zero-shot CLIP", 40), accuracy("fine-tune", 60), accuracy("LTGC", 70)]
    both = comparison(results(rows), "zero-shot CLIP")
    assert gain_of(both) == ("zero-shot CLIP", 30.0)


def test_a_baseline_that_was_not_measured_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match="--baseline finetune: .* did you mean fine-tune?"):
        comparison(results(measured()), "finetune")


def test_one_kind_of_method_alone_is_compared_with_nothing() -> None:
    assert comparison(results([accuracy("LTGC", 70)])) is None
    assert comparison([]) is None


def test_what_counts_questions_is_no_accuracy() -> None:
    assert results([Metric(name="questions", group="reflect", value=3.0, method="gpt-4o")]) == []


def test_confusions_are_those_of_one_method() -> None:
    fine_tune, ltgc, _ = results(measured())
    assert [row.images for row in confusions(measured(), ltgc)] == [6]
    assert confusions(measured(), fine_tune) == []


def test_of_several_runs_the_first_ones_confusions_are_shown() -> None:
    def pair(method: str, parent: str, images: int) -> Metric:
        of = {"class_": "crane", "predicted": "seal", "value": 12.0, "images": images}
        return Metric(name="confusion", group="pair", method=method, parents=(parent,), **of)

    rows = [
        pair("fine-tune", "k0", 1),
        pair("LTGC (seed 1) + post-hoc LA", "k1", 2),
        pair("LTGC (seed 1)", "k1", 3),
        pair("LTGC (seed 1)", "k1", 4),
        pair("LTGC (seed 2)", "k2", 5),
    ]
    for method in ("LTGC", "LTGC + post-hoc LA"):
        rows.append(Metric(name="accuracy", group="all", value=70.0, runs=2, method=method, parents=("k1", "k2")))
    alone, post_hoc = results(rows)
    assert [row.images for row in confusions(rows, alone)] == [3, 4]
    assert [row.images for row in confusions(rows, post_hoc)] == [2]


def test_a_method_can_be_named_too() -> None:
    rows = [accuracy("zero-shot CLIP", 40), accuracy("fine-tune", 60), accuracy("LTGC", 70), accuracy("LTGC, sqrt", 69)]
    both = comparison(results(rows), method="LTGC, sqrt")
    assert both and (both.method.method, baselines(both)) == ("LTGC, sqrt", ["zero-shot CLIP", "fine-tune"])
    both = comparison(results(rows), method="fine-tune")
    assert both and (both.method.method, baselines(both)) == ("fine-tune", ["zero-shot CLIP"])
    with pytest.raises(
        InputError, match="method LTGG: nothing of that name was measured in the stream; did you mean LT"
    ):
        comparison(results(rows), method="LTGG")
