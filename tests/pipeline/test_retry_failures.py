"""--retry-failures: what got no answer of use is asked once more, and the first answer of use counts from then on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import Ltgc
from ports.openai_chat import FAULTS, Chat, Reply, chat, in_turn, says
from server import serving
from trained import digits

USELESS = "A photo of the class heron, tall."
TALL = "A photo of the class two, tall."


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    digits(tmp_path / "digits", test=2)
    return tmp_path


def kinds(out: str) -> list[str]:
    return [row["kind"] for row in map(json.loads, out.splitlines()) if row["kind"] in ("description", "failure")]


def describe(inside: Ltgc, address: str, *more: object):
    flags = ("--data", "digits", "--tail", 3, "--lmm", "openai/gpt-4o", "--api-base", f"{address}/v1")
    return inside("describe", *flags, *more)


def of_one_photo(*answers: str | Reply) -> Chat:
    """A server that gives the first photo that it is asked about these answers in turn, and all others a good one."""
    turns: dict[str, int] = {}

    def answer(body: dict) -> str | Reply:
        photo = json.dumps(body["messages"])
        first = not turns or photo in turns
        if not first:
            return TALL
        turns[photo] = turns.get(photo, -1) + 1
        return answers[min(turns[photo], len(answers) - 1)]

    return chat(answer)


def test_an_answer_of_no_use_is_asked_for_again_only_by_the_flag_and_the_better_one_stays(
    inside: Ltgc, data: Path
) -> None:
    with serving(routes := of_one_photo(USELESS, USELESS, TALL)) as address:
        one_by_one = ("--concurrency", 1)
        first = describe(inside, address, *one_by_one)
        assert (first.code, kinds(first.out)) == (1, ["failure", "description"]), first.err
        assert "two: train/two/" in first.err and ".png: no usable description" in first.err  # which photo it is about
        asked = len(routes.seen)

        again = describe(inside, address, *one_by_one)
        assert (again.out, len(routes.seen)) == (first.out, asked)

        second = describe(inside, address, "--retry-failures", *one_by_one)
        assert (second.code, kinds(second.out)) == (1, ["failure", "description"])
        assert len(routes.seen) == asked + 1 and "1 question asked" in second.err

        third = describe(inside, address, "--retry-failures", *one_by_one)
        assert (third.code, kinds(third.out)) == (0, ["description", "description"])
        assert len(routes.seen) == asked + 2

        for more in ((), ("--retry-failures",)):
            assert describe(inside, address, *more, *one_by_one).out == third.out
        inside("cache", "prune", "--artifacts", "--yes")
        assert describe(inside, address, *one_by_one).out == third.out, "the store alone gives the same"
        assert len(routes.seen) == asked + 2


def test_the_description_has_the_cost_of_all_that_was_asked_for_it(inside: Ltgc, data: Path) -> None:
    with serving(of_one_photo(USELESS, TALL)) as address:
        describe(inside, address)
        out = describe(inside, address, "--retry-failures").out
    tokens = [row["made"]["usage"]["prompt_tokens"] for row in map(json.loads, out.splitlines()) if "made" in row]
    assert sorted(tokens) == [10, 20]


def test_what_the_first_run_itself_asks_is_asked_once(inside: Ltgc, data: Path) -> None:
    with serving(routes := of_one_photo(USELESS)) as address:
        describe(inside, address, "--retry-failures")
        assert len(routes.seen) == 2


def test_a_dry_run_says_how_many_would_be_asked_again(inside: Ltgc, data: Path) -> None:
    with serving(routes := of_one_photo(USELESS)) as address:
        describe(inside, address)
        asked = len(routes.seen)
        ran = describe(inside, address, "--retry-failures", "--dry-run")
        row = next(line.split() for line in ran.err.splitlines() if line.startswith("describe "))
        assert row[2:4] == ["2", "1"] and len(routes.seen) == asked, ran.err


def test_what_was_refused_is_asked_again_by_any_run(inside: Ltgc, data: Path) -> None:
    with serving(routes := of_one_photo(FAULTS["policy"], TALL)) as address:
        first = describe(inside, address)
        assert first.code == 1 and "the request was refused" in first.err
        assert kinds(describe(inside, address, "--retry-failures").out) == ["description", "description"]
        assert len(routes.seen) == 3


@pytest.mark.parametrize(
    ("flags", "good"),
    [
        (("extend", "--class", "crane", "-n", 2), "1. A photo of the class crane, at dusk."),
        (("reflect", "-k", 1, "-i", "in.jsonl", "--rounds", 1), "1. A photo of the class crane, at dusk."),
        (("filter", "--mode", "exclude", "--scale", "cosine", "-i", "in.jsonl"), "A photo of the class crane, tall."),
    ],
    ids=lambda value: value[0],
)
def test_each_asking_stage_has_it(inside: Ltgc, data: Path, flags: tuple[object, ...], good: str) -> None:
    lines = inside("extend", "--class", "crane", "-n", 1).out
    (data / "in.jsonl").write_text(inside("render", "--t2i", "blank", input=lines).out if flags[0] == "filter" else "")
    if flags[0] == "reflect":
        (data / "in.jsonl").write_text('{"kind":"class","label":0,"class":"crane","tail":true}\n')
    with serving(routes := chat(lambda _: good, in_turn(says(USELESS), None))) as address:
        model = ("--llm", "openai/gpt-4o", "--api-base", f"{address}/v1")
        first = inside(*flags, *model)
        assert "failure" in kinds(first.out) and len(routes.seen) == 1, first.err
        again = inside(*flags, *model, "--retry-failures")
        assert "failure" not in kinds(again.out) and len(routes.seen) == 2, again.err


def of_task(task: str, *answers: str | Reply, otherwise: str) -> Chat:
    """A server that gives these answers in turn to questions with these words, and another to all else."""
    left = list(answers)
    return chat(lambda body: left.pop(0) if left and task in json.dumps(body["messages"]) else otherwise)


@pytest.mark.parametrize("useless", ["I cannot say.", "1, 2", FAULTS["policy"]], ids=["prose", "everything", "policy"])
def test_an_answer_to_prompt_3_that_excludes_nothing_readable_is_asked_again(
    inside: Ltgc, data: Path, useless: str | Reply
) -> None:
    lines = inside("extend", "--class", "crane", "-n", 2).out
    routes = of_task("repeti", useless, otherwise='{"numbers": [2]}')
    with serving(routes) as address:
        flags = ("reflect", "-k", 1, "--llm", "openai/gpt-4o", "--api-base", f"{address}/v1", "--retry-failures")
        first = inside(*flags, input=lines)
        assert "an answer to Prompt 3" in first.out or "Prompt 3 was refused" in first.out, first.out
        (data / "in.jsonl").write_text(lines)
        again = inside(*flags, "-i", "in.jsonl")
        assert "repetitive, says the language model" in again.out and "Prompt 3" not in again.out, again.err
        assert len(routes.seen) == 2
        assert inside(*flags, "-i", "in.jsonl").out == again.out and len(routes.seen) == 2
        assert inside(*flags[:-1], "-i", "in.jsonl").out == again.out and len(routes.seen) == 2


def test_a_rewriting_of_no_use_is_asked_for_again_and_the_better_one_is_drawn(inside: Ltgc, data: Path) -> None:
    lines = inside("extend", "--class", "crane", "-n", 1).out
    (data / "in.jsonl").write_text(inside("render", "--t2i", "blank", input=lines).out)
    better = "A photo of the class crane, in a marsh at dawn."
    routes = of_task("refine it", USELESS, otherwise=better)
    judged = ("--scale", "cosine", "--threshold", 0.9, "--rounds", 2, "--t2i", "blank")
    with serving(routes) as address:
        flags = ("filter", "-i", "in.jsonl", *judged, "--llm", "openai/gpt-4o", "--api-base", f"{address}/v1")
        first = inside(*flags)
        assert "so its text stayed" in first.out and "1 rewriting said nothing new" in first.err, first.err
        asked = len(routes.seen)
        assert inside(*flags).out == first.out and len(routes.seen) == asked
        again = inside(*flags, "--retry-failures")
        assert "so its text stayed" not in again.out and better in again.out, again.err
        assert len(routes.seen) == asked + 1
        for more in ((), ("--retry-failures",)):
            assert inside(*flags, *more).out == again.out and len(routes.seen) == asked + 1
