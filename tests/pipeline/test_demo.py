"""The main job, whole: some minutes, so not in the default run (`make test-all`)."""

import json

import pytest


def test_it_says_what_it_runs_on_and_takes_another_imbalance(inside, monkeypatch):
    asked = []
    monkeypatch.setattr("ltgc_cli.pipeline.chain.run_all", lambda steps: asked.extend(steps) or exit(7))
    assert inside("demo", "--seed", 3, "--imbalance", 27.5).code == 7
    assert {step.get("data") for step in asked if step.get("data")} == {"digits-lt:3:27.5"}
    ran = inside("demo")
    assert "from 110 training images down to 1 (digits-lt:0:100)." in ran.err
    assert asked[-1].get("data") == "digits-lt:0:100"


@pytest.mark.slow
def test_the_demonstration_ends_with_the_table_and_the_contact_sheet_and_again_for_nothing(ltgc, tmp_path):
    first = ltgc("demo")
    assert first.code == 0, first.err
    methods = (
        "zero-shot CLIP", "fine-tuning", "fine-tuning + logit adjustment", "logit adjustment + CutMix", "LTGC, adapted",
        "best recipe",
    )  # fmt: skip
    lines = [line for line in first.out.splitlines() if line.startswith(methods)]
    assert [line.split("  ")[0] for line in lines] == list(methods)
    assert (tmp_path / "ltgc-demo" / "contact-sheet.png").read_bytes().startswith(b"\x89PNG")

    rows = [json.loads(line) for line in (tmp_path / "ltgc-demo" / "records.jsonl").read_text().splitlines()]
    assert sorted(row["count"] for row in rows if row["kind"] == "class") == [1, 2, 3, 5, 9, 14, 24, 40, 66, 110]
    for group in ("few", "at most 5", "all"):
        every = [row for row in rows if row["kind"] == "metric" and (row["name"], row["group"]) == ("accuracy", group)]
        measured = {row["method"]: row["value"] for row in every}
        assert measured["LTGC, adapted"] > measured["fine-tuning"] and "fine-tuning + logit adjustment" in measured

    second = ltgc("demo")
    assert second.out == first.out
    assert "asked" not in second.err
