"""`ltgc filter --preview` and a rehearsed chain, as a person meets them, with the embedded models."""

import json

import pytest

import ltgc_cli as ltgc
from ltgc_cli.errors import InputError


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_preview_shows_scores_and_what_each_bar_passes_and_redraws_nothing(forked):
    extended = forked("extend", "--class", "three", "--class", "crane", "-n", 3)
    rendered = forked("render", "--t2i", "blank", input=extended.out)
    ran = forked("filter", "--preview", "--scale", "cosine", "--t2i", "blank", input=rendered.out)
    assert ran.code == 0
    shares = [row for row in lines(ran.out) if row["name"] == "pass share"]
    assert {row.get("class", "all") for row in shares} == {"three", "crane", "all"}
    assert {row["images"] for row in shares if row.get("class") == "three"} == {3}
    *_, three, crane, everything, asked, note = ran.err.splitlines()
    assert [line.split()[0] for line in (three, crane, everything)] == ["three", "crane", "all"]
    assert note.endswith("* is --threshold")
    assert "2 questions asked" in asked
    assert "redrawn" not in ran.err


def test_a_preview_goes_with_no_dry_run(forked):
    ran = forked("filter", "--preview", "--dry-run", input="")
    assert (ran.code, ran.err) == (
        2, "ltgc: --preview shows what filter would do; it goes with neither --dry-run nor -o\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dry_run": True}, "--preview shows what filter would do; it goes with neither --dry-run nor -o"),
        ({"output": "previewed.jsonl"}, "--preview shows what filter would do; it goes with neither --dry-run nor -o"),
        ({"threshold": 500}, "--threshold 500.0: on the calibrated scale it is a percentile, from 0 to 100"),
    ],
)
def test_what_a_preview_cannot_do_is_refused_in_python_as_on_the_command_line(store, settings, message):
    with pytest.raises(InputError, match=message):
        ltgc.filter([], preview=True, cache_dir=store, **settings)


def test_a_whole_chain_is_rehearsed_and_leaves_nothing_behind(forked, store):
    extended = forked("extend", "--class", "crane", "-n", 12, "--llm", "gpt-4o", "--dry-run")
    reflected = forked("reflect", "-k", 30, "--llm", "gpt-4o", "--dry-run", input=extended.out)
    rendered = forked("render", "--t2i", "litellm:gpt-image-1", "--dry-run", input=reflected.out)
    bill = forked("cost", input=rendered.out)
    found = {row["group"]: row["value"] for row in lines(bill.out)}
    assert set(found) == {"extend", "reflect", "render"}
    assert all(value > 0 for value in found.values())
    assert len([row for row in lines(rendered.out) if row["kind"] == "image"]) == 30
    assert not [path for path in store.rglob("*.jsonl")]
    assert not list(store.glob("objects/*/*"))
