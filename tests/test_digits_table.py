"""benchmarks/digits_table.py and recipes.py: gains within a seed with their intervals, and recipes that are whole."""

import math
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import digits_table  # noqa: E402  # programs, not packages
import recipes  # noqa: E402

T_4 = 2.7764451051977987  # the 97.5th percentile of Student's t with four degrees of freedom


def test_a_paired_gain_is_the_mean_difference_with_students_interval_over_seeds():
    ours, theirs = [90.0, 84.5, 91.0, 88.0, 79.0], [88.0, 80.0, 91.0, 88.5, 77.0]
    differences = [2.0, 4.5, 0.0, -0.5, 2.0]
    mean = sum(differences) / 5
    variance = sum((one - mean) ** 2 for one in differences) / 4
    gain = digits_table.paired_gain(ours, theirs)
    assert gain.mean == pytest.approx(1.6, rel=1e-12)
    assert gain.within == pytest.approx(T_4 * math.sqrt(variance / 5), rel=1e-9)
    assert (gain.positive, gain.seeds) == (3, 5)
    assert str(gain) == "+1.6 [-0.9, +4.1], 3 of 5"


def test_one_seed_has_a_gain_and_no_interval():
    assert str(digits_table.paired_gain([90.0], [88.0])) == "+2.0, 1 of 1"


def test_a_gain_that_varies_with_the_data_but_not_within_a_seed_is_sure():
    assert str(digits_table.paired_gain([60.0, 80.0, 99.0], [59.0, 79.0, 98.0])) == "+1.0 [+1.0, +1.0], 3 of 3"


def accuracies(few: float, whole: float) -> dict[str, float]:
    return {"many": 90.0, "medium": 90.0, "few": few, "at most 5": few, "all": whole}


@pytest.fixture
def seeds():
    both = {"fine-tuning": (70.0, 80.0), "logit adjustment": (80.0, 88.0), "logit adjustment + CutMix": (85.0, 87.0)}
    plain = {name: accuracies(60.0, 70.0) for name in [recipes.ZERO_SHOT, *recipes.RECIPES]}
    one = plain | {name: accuracies(*values) for name, values in both.items()} | {"LTGC": accuracies(86.0, 87.0)}
    other = plain | {name: accuracies(*values) for name, values in both.items()} | {"LTGC": accuracies(88.0, 90.0)}
    return [one, other]


def test_each_figure_is_compared_with_the_strongest_recipe_on_real_images_in_that_figure(seeds):
    text = digits_table.main_tables(seeds)
    assert (
        "few, over logit adjustment + CutMix | at most 5, over logit adjustment + CutMix | all, over logit adj" in text
    )
    assert "| LTGC | +2.0 [-10.7, +14.7], 2 of 2 | +2.0 [-10.7, +14.7], 2 of 2 | +0.5 [-18.6, +19.6], 1 of 2 |" in text
    assert "| LTGC | 90.0 ± 0.0 | 90.0 ± 0.0 | 87.0 ± 1.4 | 87.0 ± 1.4 | 88.5 ± 2.1 |" in text


def test_a_column_stands_only_where_every_seed_has_such_classes(seeds):
    for found in seeds[1].values():
        del found["at most 5"]
    assert digits_table.columns(seeds) == ["many", "medium", "few", "all"]
    assert "at most 5" not in digits_table.main_tables(seeds)


@pytest.mark.parametrize("table", digits_table.TABLES)
def test_every_recipe_of_a_table_is_made_of_settings_that_exist(table, tmp_path):
    ways = digits_table.TABLES[table]
    for name in ways:
        stages = recipes.stages(name, recipes.Setup(3, tmp_path), ways)
        assert stages[-1].command == "eval" and stages[-2].get("name") == name
        assert {stage.get("data") for stage in stages if stage.get("data")} == {"digits-lt:3:100"}


def test_a_recipe_with_an_average_trains_the_other_first_and_another_run_has_another_seed(monkeypatch, tmp_path):
    told = []
    monkeypatch.setattr(recipes.chain, "configured", lambda commands, settings, environment: [told.append(settings)])
    ways = {"real": recipes.Recipe({"loss": "la"}), "both": recipes.Recipe({}, average="real", run=1)}
    recipes.stages("both", recipes.Setup(3, tmp_path), ways)
    first, second, _ = told
    assert (first["name"], first["seed"], first["generated"]) == ("real", 3, False)
    assert (second["name"], second["seed"], second["average"]) == ("both", 1003, ("real",))
    assert recipes.is_real("both", ways)


def test_a_recipe_is_measured_by_the_means_over_classes_that_eval_wrote(monkeypatch, tmp_path):
    line = '{{"kind":"metric","name":"{}","group":"{}","value":{},"method":"{}"}}\n'
    rows = [("class_mean", "few", 71.5, "mine"), ("accuracy", "few", 70.0, "mine"), ("class_mean", "few", 1, "other")]
    (tmp_path / "eval.jsonl").write_text("".join(line.format(*row) for row in rows))
    monkeypatch.setattr(recipes.chain, "run_all", lambda steps, given: recipes.chain.Ran(tmp_path / "eval.jsonl"))
    assert recipes.measure("mine", recipes.Setup(3, tmp_path), {"mine": recipes.Recipe()}) == {"few": 71.5}
