"""The main job, whole: some minutes, so not in the default run (`make test-all`)."""

import json

import pytest


@pytest.mark.slow
def test_the_demonstration_ends_with_the_table_and_the_contact_sheet_and_again_for_nothing(ltgc, tmp_path):
    first = ltgc("demo")
    assert first.code == 0, first.err
    methods = ("zero-shot CLIP", "fine-tuning", "fine-tuning + logit adjustment", "LTGC")
    lines = [line for line in first.out.splitlines() if line.startswith(methods)]
    assert [line.split("  ")[0] for line in lines] == list(methods)
    assert (tmp_path / "ltgc-demo" / "contact-sheet.png").read_bytes().startswith(b"\x89PNG")

    rows = [json.loads(line) for line in (tmp_path / "ltgc-demo" / "records.jsonl").read_text().splitlines()]
    few = {row["method"]: row["value"] for row in rows if row["kind"] == "metric" and row["group"] == "few"}
    assert few["LTGC"] > few["fine-tuning + logit adjustment"] > few["fine-tuning"]

    second = ltgc("demo")
    assert second.out == first.out
    assert "asked" not in second.err
