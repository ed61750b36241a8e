import pytest
from small_run import measured

from ltgc_cli.errors import InputError
from ltgc_cli.records import Checkpoint, Metric, Record
from ltgc_cli.report.accuracy import comparison, confusions, results


def accuracy(method: str, value: float, *, runs: int = 1, parent: str = "", group: str = "all") -> Metric:
    return Metric(
        name="accuracy", group=group, value=value, method=method, runs=runs, parents=(parent,) if parent else ()
    )


def test_a_result_has_values_by_group_and_their_uncertainty() -> None:
    fine_tune, ltgc, published = results(measured())
    assert (fine_tune.method, fine_tune.value("few"), fine_tune.uncertainty("few")) == ("fine-tune", 40.0, 2.0)
    assert ltgc.value("all", "macro_f1") == 70.5
    assert (ltgc.value("many"), ltgc.uncertainty("many")) == (None, None)
    assert (published.source, published.value("all")) == ("LTGC, CVPR 2024", 82.5)


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
    assert both and (both.method.method, both.baseline.method, both.gain("all")) == ("LTGC", "fine-tune + la", 5.0)


def test_published_numbers_are_no_baseline() -> None:
    both = comparison(results(measured()))
    assert both and (both.method.method, both.baseline.method) == ("LTGC", "fine-tune")


def test_means_over_runs_are_compared_and_no_lucky_run() -> None:
    rows: list[Record] = [Checkpoint(id=f"k{n}", sha256="", settings={"images": 3}) for n in (1, 2)]
    rows += [accuracy("LTGC (seed 1)", 80, parent="k1"), accuracy("LTGC (seed 2)", 60, parent="k2")]
    rows += [accuracy("LTGC", 70, runs=2, parent="k1"), accuracy("fine-tune", 65)]
    both = comparison(results(rows))
    assert both and (both.method.title, both.gain("all")) == ("LTGC, 2 runs", 5.0)


def test_a_baseline_can_be_named() -> None:
    rows = [accuracy("zero-shot CLIP", 40), accuracy("fine-tune", 60), accuracy("LTGC", 70)]
    both = comparison(results(rows), "zero-shot CLIP")
    assert both and both.gain("all") == 30.0


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
    assert both and (both.method.method, both.baseline.method) == ("LTGC, sqrt", "fine-tune")
    both = comparison(results(rows), method="fine-tune")
    assert both and (both.method.method, both.baseline.method) == ("fine-tune", "zero-shot CLIP")
    with pytest.raises(
        InputError, match="method LTGG: nothing of that name was measured in the stream; did you mean LT"
    ):
        comparison(results(rows), method="LTGG")
