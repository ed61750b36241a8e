"""benchmarks/costs.py: an estimate is in proportion to the classes, and its table says what is not known."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import costs  # noqa: E402  # a program, not a package

NAMES = ("kiln", "abaya", "bolete")
TINY = costs.Benchmark("tiny", 4, costs.Shot(6, 12), costs.Shot(3, 9), NAMES)


def test_three_classes_cost_what_three_times_one_does():
    one = costs.dry_run(NAMES[:1], 3, 12, "openai/gpt-4o")
    three = costs.dry_run(NAMES, 3, 12, "openai/gpt-4o")
    assert {stage: used.new for stage, used in one.items()} == {"describe": 3, "extend": 1, "reflect": 1, "filter": 25}
    for stage in costs.STAGES:
        assert three[stage].dollars == pytest.approx(3 * one[stage].dollars, rel=0.05)


def test_a_row_a_stage_with_the_questions_of_all_classes_and_half_the_price_where_batches_are():
    rows = {row.stage: row for row in costs.costs(TINY, "openai/gpt-4o")}
    assert rows["describe"].questions == 21  # one for each image
    assert rows["extend"].questions == 9  # one for each class
    assert rows["filter"].questions == 9 * (1 + 2 * 4)  # C_y, then two more texts for each of four drawings
    assert rows["describe"].in_batch == pytest.approx(rows["describe"].dollars / 2)
    assert rows["reflect"].in_batch is None


def test_where_no_batch_api_can_be_used_no_half_is_promised():
    assert {row.in_batch for row in costs.costs(TINY, "anthropic/claude-haiku-4-5")} == {None}


def test_a_price_that_nobody_knows_is_unknown(monkeypatch):
    monkeypatch.setattr(costs, "BENCHMARKS", (TINY,))
    table = costs.markdown(costs.costs(TINY, "openai/my-own-model"))
    assert table.splitlines()[0] == (
        "**tiny**, K_y = 4: 9 tail classes with 21 images; 36 generated images, at the most 72 more in filter"
    )
    assert "| `openai/my-own-model` | unknown | unknown | unknown | unknown | unknown |" in table


def test_the_summary_goes_from_the_descriptions_alone_to_filter_at_its_most(monkeypatch):
    monkeypatch.setattr(costs, "BENCHMARKS", (TINY,))
    stages = zip(costs.STAGES, (3.0, 1.0, 2.0, 30.0), strict=True)
    rows = [costs.Row("tiny", "gpt-4o", stage, 1, 1, 1, dollars, None) for stage, dollars in stages]
    assert costs.summary(rows).splitlines() == [
        "| US dollars, about | tiny, K_y = 4 |",
        "| --- | --- |",
        "| `gpt-4o` | 6.0 to 36 |",
        "| generated images | 36 to 108 |",
    ]


@pytest.mark.parametrize(
    ("dollars", "said"), [(1143.2, "1,140"), (96.4, "96"), (9.97, "10"), (4.82, "4.8"), (0.317, "0.32")]
)
def test_an_estimate_is_said_with_two_figures_that_mean_something(dollars, said):
    assert costs._money(dollars) == said


def test_the_published_counts_add_up():
    """1,000, 365 and 8,142 classes less those with more than 100 images: 385, 131 and 842."""
    assert [b.classes for b in costs.BENCHMARKS] == [1000 - 385, 365 - 131, 8142 - 842]


def test_the_figures_go_to_a_file_a_row_a_line(tmp_path):
    program = (
        "import costs, sys; costs.BENCHMARKS = (costs.BENCHMARKS[0]._replace(k=2, few=costs.Shot(1, 1), "
        "medium=costs.Shot(1, 2)),); sys.argv = ['costs', '--models', 'openai/gpt-4o-mini', '--json', 'c.jsonl']; "
        "costs.main()"
    )
    environment = {"PYTHONPATH": f"{BENCHMARKS}:{BENCHMARKS.parent}", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "c.jsonl").read_text().splitlines()]
    assert [row["stage"] for row in rows] == ["describe", "extend", "reflect", "filter"]
    assert "**ImageNet-LT**, K_y = 2" in done.stdout
