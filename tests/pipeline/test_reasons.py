"""A run that asks although its stage ran before says why, and the reason is the true one."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from commands import Ltgc
from fakes import says
from trained import digits

from ltgc_cli import prompts, providers
from ltgc_cli.errors import Refused
from ltgc_cli.pipeline import manifest as making
from ltgc_cli.providers import Opened

GOOD = "1. A photo of the class crane, tall.\n2. A photo of the class seal, wet.\n3. A photo of the class two, thin."


def reason(err: str) -> str:
    found = re.search(r"\(asked because (.*)\)\n", err)
    return found[1] if found else ""


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    asked = says(GOOD)
    monkeypatch.setattr(providers, "open_ask", lambda spec, **_: Opened(spec, asked))
    digits(tmp_path / "digits", test=2)
    return tmp_path


def test_a_first_run_and_one_on_other_classes_give_no_reason(inside: Ltgc, data: Path) -> None:
    assert reason(inside("extend", "--class", "crane").err) == ""
    assert reason(inside("extend", "--class", "seal").err) == ""


def test_new_images_are_counted_by_class(inside: Ltgc, data: Path) -> None:
    def describe(*more: object) -> str:
        return reason(inside("describe", "--data", "digits", "--tail", 9, *more).err)

    assert describe() == ""
    some = sorted((data / "digits" / "test").rglob("*.png"))[:2]
    for photo in some:
        shutil.copy(photo, data / "digits" / "train" / "two" / photo.name)
    assert describe() == "2 new images in two"
    shutil.copytree(data / "digits" / "train" / "two", data / "digits" / "train" / "zebra")
    assert describe().startswith("1 new class (zebra)")


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ([], ["-n", 3], "--n changed"),
        (["--llm", "gpt-4o", "--max-tokens", 100], ["--llm", "gpt-4o", "--max-tokens", 200], "--max-tokens changed"),
        (["--llm", "gpt-4o", "--max-tokens", 100], ["--llm", "gpt-4o"], "--max-tokens changed"),
        (["--llm", "gpt-4o"], ["--llm", "gpt-5"], "--llm changed"),
        (["--llm", "gpt-4o"], ["--llm", "gpt-5", "-n", 3], "--llm, --n changed"),
    ],
    ids=str,
)
def test_a_changed_setting_is_named_one_that_was_taken_away_too(
    inside: Ltgc, data: Path, before: list, now: list, said: str
) -> None:
    (data / "in.jsonl").write_text('{"kind":"class","label":0,"class":"crane","tail":true}\n')
    inside("extend", "-i", "in.jsonl", *before)
    ran = inside("extend", "-i", "in.jsonl", *now)
    assert set(said.removesuffix(" changed").split(", ")) == set(reason(ran.err).removesuffix(" changed").split(", "))


def test_another_address_of_the_server_is_its_own_reason(inside: Ltgc, data: Path, monkeypatch) -> None:
    (data / "in.jsonl").write_text('{"kind":"class","label":0,"class":"crane","tail":true}\n')
    named = {None: "openai/mine", "http://a/v1": "openai/mine@a/v1"}
    asked = says(GOOD)
    monkeypatch.setattr(providers, "open_ask", lambda spec, api_base=None, **_: Opened(named[api_base], asked))
    inside("extend", "-i", "in.jsonl", "--llm", "openai/mine")
    ran = inside("extend", "-i", "in.jsonl", "--llm", "openai/mine", "--api-base", "http://a/v1")
    assert reason(ran.err) == "--api-base changed"


def test_of_several_earlier_runs_the_one_most_alike_explains(inside: Ltgc, data: Path) -> None:
    for flags in (["-n", 3, "--llm", "gpt-4o"], ["-n", 9, "--llm", "gpt-5", "--max-tokens", 300]):
        inside("extend", "--class", "crane", *flags)
    ran = inside("extend", "--class", "crane", "-n", 3, "--llm", "gpt-4o", "--max-tokens", 99)
    assert reason(ran.err) == "--max-tokens changed"


def test_new_descriptions_and_new_classes_of_a_stream_are_counted(inside: Ltgc, data: Path) -> None:
    line = {"kind": "class", "label": 0, "class": "crane", "tail": True}
    text = {"kind": "description", "label": 0, "class": "crane", "text": "A photo of the class crane, grey.",
            "origin": "described"}  # fmt: skip
    other = {"kind": "class", "label": 1, "class": "seal", "tail": True}
    for rows, said in (
        ([line], ""),
        ([line, text], "1 new description in crane"),
        ([line, text, other], "1 new class (seal)"),
    ):
        (data / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert reason(inside("extend", "-i", "in.jsonl").err) == said


def test_what_was_refused_and_what_is_asked_again_is_said_so(inside: Ltgc, data: Path, monkeypatch) -> None:
    answers = says(Refused("not this one"), "A photo of the class heron, tall.", GOOD)
    monkeypatch.setattr(providers, "open_ask", lambda spec, **_: Opened(spec, answers))
    assert reason(inside("extend", "--class", "crane").err) == ""
    assert reason(inside("extend", "--class", "crane").err) == "answers were refused the last time"
    assert reason(inside("extend", "--class", "crane", "--retry-failures").err) == "of --retry-failures"


def test_prompts_of_another_version_are_said_so(inside: Ltgc, data: Path, monkeypatch) -> None:
    (data / "in.jsonl").write_text('{"kind":"class","label":0,"class":"crane","tail":true}\n')
    inside("extend", "-i", "in.jsonl")
    monkeypatch.setattr(making, "prompts_version", lambda: "another")
    monkeypatch.setattr("ltgc_cli.pipeline.generate.READER", 99)
    real = prompts.extend
    monkeypatch.setattr(prompts, "extend", lambda *given: real(*given) + " Please.")
    assert reason(inside("extend", "-i", "in.jsonl").err) == "the prompts of this version of ltgc are others"


@pytest.mark.parametrize("damaged", [b"", b"{", b"\xff", b"[" * 200_000, b'{"stage": 1}', b'{"stage": "extend"}', None])
@pytest.mark.parametrize("kind", [".json", ".jsonl"])
def test_a_run_before_whose_files_are_damaged_costs_the_reason_alone(inside, data, store, kind, damaged):
    assert inside("extend", "--class", "crane").code == 0
    for path in (store / "artifacts" / "extend").glob(f"*{kind}"):
        path.unlink()
        path.mkdir() if damaged is None else path.write_bytes(damaged)
    ran = inside("extend", "--class", "crane", "-n", 3, "--json")
    assert ran.code == 0 and ran.out.count("\n") > 1 and "1 question asked" in ran.err


def test_a_remark_that_fails_altogether_is_left_out(inside, data, monkeypatch):
    inside("extend", "--class", "crane")
    monkeypatch.setattr("ltgc_cli.pipeline.reasons._latest", lambda folder: 1 / 0)
    ran = inside("extend", "--class", "crane", "-n", 3)
    assert ran.code == 0 and "1 question asked" in ran.err and reason(ran.err) == ""
