"""The commands with real litellm behind them, against a server on this machine that fails as real ones do."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from ports.openai_batches import batches
from ports.openai_chat import PASSING, Chat, chat, fails, says, seeded
from server import serving

KEY = "sk-proj-abcdefghijklmnopqrstuvwxyz123456"
NAMES = ["crane", "harbor seal", "Trogon rufus", "paper nautilus"]
FAULTS = (*PASSING, "refusal", "filtered", "cut off")


def class_of(text: str) -> str:
    return next(name for name in NAMES if f"class {name}" in text)


def answer(body: dict[str, Any]) -> str:
    """New descriptions of the class asked for, in JSON where that is asked for; each names its class twice."""
    text = json.dumps(body["messages"])
    name = class_of(text)
    if "numbers of the descriptions to exclude" in text:
        return '{"numbers": []}'
    wanted = re.search(r"Answer with (\d+) descriptions", text)
    seed = hashlib.sha256(text.encode()).hexdigest()
    sentences = [
        f"A photo of the class {name}, seen at place {seed[n : n + 4]}, beside mark {seed[n + 3 : n + 9]} of {name}."
        for n in range(int(wanted[1]) if wanted else 1)
    ]
    if name == "crane":
        return json.dumps({"descriptions": sentences} if wanted else {"description": sentences[0]})
    return "Sure! Here they are:\n\n" + "\n".join(f"{n}. {said}" for n, said in enumerate(sentences, 1))


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    """Photos as people have them: CMYK, a palette, 16 bits, turned by EXIF, WebP; one is cut off."""
    for number, name in enumerate(NAMES):
        folder = tmp_path / "birds" / name
        folder.mkdir(parents=True)
        for n in range(3):
            pixels = Image.linear_gradient("L").resize((640, 480)).rotate(90 * n + number)
            image = Image.merge("RGB", (pixels, pixels.transpose(Image.Transpose.FLIP_LEFT_RIGHT), pixels))
            image.save(folder / f"{n}.jpg")
    crane = tmp_path / "birds" / "crane"
    image.convert("CMYK").save(crane / "cmyk.jpg")
    image.convert("P").save(crane / "palette.png")
    Image.new("I;16", (40, 30), 40000).save(crane / "16bit.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    image.save(crane / "turned.jpg", exif=turned)
    image.save(crane / "some.webp")
    (crane / "cut.jpg").write_bytes((crane / "0.jpg").read_bytes()[:900])
    return tmp_path / "birds"


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def answered_twice(routes: Chat) -> list[str]:
    """What was asked again though it had been answered as it should be."""
    answered = Counter(json.dumps(seen.body["messages"]) for seen in routes.seen if seen.fault is None)
    return [text for text, times in answered.items() if times > 1]


@pytest.mark.slow
def test_with_a_third_of_the_answers_faulty_every_class_reaches_its_number_and_nothing_is_bought_twice(
    forked, birds, tmp_path
):
    routes = chat(answer, seeded(4, 0.3, FAULTS))
    with serving(routes) as address:
        real = ("--api-base", f"{address}/v1", "--llm", "gpt-4o")
        described = forked("describe", "--data", birds, *real, OPENAI_API_KEY=KEY)
        extended = forked("extend", "-n", 6, *real, input=described.out, OPENAI_API_KEY=KEY)
        reflected = forked("reflect", "-k", 12, *real, input=extended.out, OPENAI_API_KEY=KEY)
        rows = lines(reflected.out)
        for name in NAMES:
            texts = [row["text"] for row in rows if row["kind"] == "description" and row["class"] == name]
            assert len(texts) >= 12
            assert all(text.count(name) == 2 for text in texts if "place" in text), "another class's sentence"
        assert answered_twice(routes) == []

        # Once more: only what was refused is asked again; what was said is there.
        before = len(routes.seen)
        for stage, given, flags in (("extend", described, ("-n", 6)), ("reflect", extended, ("-k", 12))):
            forked(stage, *flags, *real, input=given.out, OPENAI_API_KEY=KEY)
        assert answered_twice(routes) == []
        assert len(routes.seen) - before < before / 3

    failures = [row for row in rows if row["kind"] == "failure" and row["stage"] == "describe"]
    assert any("cut.jpg" in row["reason"] or "cannot be read" in row["reason"] for row in failures)
    everything = "".join(str(path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file())
    assert KEY not in everything + described.err + extended.err + reflected.err
    assert described.code == 1, described.err


@pytest.mark.slow
def test_a_model_without_eyes_ends_describe_in_one_line_and_no_image_is_a_failure(forked, birds):
    routes = chat(lambda body: fails(400, "mine is not a multimodal model"))
    with serving(routes) as address:
        ran = forked("describe", "--data", birds, "--lmm", "openai/mine", "--api-base", f"{address}/v1")
    assert ran.code == 3 and {row["kind"] for row in lines(ran.out)} <= {"class"}
    assert ran.err.count("takes no images") == 1 and "name a model that does by --lmm" in ran.err
    assert len(routes.seen) <= 17

    known = forked("describe", "--data", birds, "--lmm", "o3-mini", OPENAI_API_KEY=KEY)
    assert known.code == 2 and "--lmm o3-mini takes no images" in known.err


def test_the_image_is_really_sent_upright_and_no_larger_than_asked_for(forked, birds):
    routes = chat(answer)
    with serving(routes) as address:
        flags = ("--api-base", f"{address}/v1", "--image-size", 128)
        ran = forked("describe", "--data", birds, "--lmm", "gpt-4o", *flags, OPENAI_API_KEY=KEY)
    described = [row for row in lines(ran.out) if row["kind"] == "description"]
    assert len(described) == 12 + 5
    shown = {}
    for seen in routes.seen:
        (data,) = seen.images
        assert seen.kinds in (["image/jpeg"], ["image/png"])
        image = Image.open(io.BytesIO(data))
        assert max(image.size) <= 128
        shown[base64.b64encode(data)] = image.size
    assert (96, 128) in shown.values(), "the photo that EXIF turns stands upright"


def test_a_dry_run_says_what_it_would_cost_and_asks_nothing(forked, birds, store):
    routes = chat(answer)
    with serving(routes) as address:
        flags = ("--api-base", f"{address}/v1", "--llm", "gpt-4o", "--data", birds)
        dry = forked("describe", *flags, "--dry-run")
        assert routes.seen == []
        assert dry.code == 0
        (row,) = [line for line in dry.err.splitlines() if line.startswith("describe") and "gpt-4o" in line]
        _, _, stored, new, *_, dollars = row.split()
        assert (stored, new) == ("0", "18")
        assert 0.01 < float(dollars) < 0.05
        assert all(line["imagined"] for line in lines(dry.out) if line["kind"] == "description")
        assert not list(store.glob("artifacts/describe/*.jsonl"))

        real = forked("describe", *flags, OPENAI_API_KEY=KEY)
        assert len(routes.seen) == 17
        again = forked("describe", *flags, "--dry-run")
    assert "17" in again.err.splitlines()[-2].split()
    assert "$" in real.err


def test_what_a_dry_run_imagined_is_no_input_for_a_real_one(forked):
    dry = forked("extend", "--class", "crane", "--dry-run")
    ran = forked("reflect", input=dry.out)
    assert (ran.code, ran.out) == (2, "")
    assert "record 1 comes from a --dry-run and stands for an answer that was never asked" in ran.err


def test_a_dry_run_keeps_nothing_and_knows_the_price_of_a_batch(ltgc, birds, store, tmp_path):
    command = ("describe", "--data", birds, "--lmm", "gpt-4o", "--dry-run")
    whole, half = ltgc(*command), ltgc(*command, "--batch", "-o", tmp_path / "out.jsonl")
    assert (whole.code, half.code) == (0, 0)
    assert not store.exists()
    assert not (tmp_path / "out.jsonl").exists()
    dollars = [float(ran.split()[-1]) for ran in (whole.err.splitlines()[1], half.out.splitlines()[1])]
    assert dollars[1] == pytest.approx(dollars[0] / 2, rel=0.05)


def test_a_stand_in_has_no_batch_api(forked, birds):
    ran = forked("describe", "--data", birds, "--batch")
    assert (ran.code, ran.err) == (2, "ltgc: --batch: embedded has no batch API; leave it out\n")


@pytest.mark.parametrize("address", ["http://[::1", "localhost:8000/v1", "nonsense"])
def test_an_api_base_that_is_no_address_is_said_at_once(forked, address):
    ran = forked("extend", "--class", "crane", "--llm", "mine", "--api-base", address)
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert f"--api-base {address}: no address of a server; write http://localhost:8000/v1" in ran.err


def test_a_budget_of_calls_ends_the_run_and_the_next_one_goes_on(forked):
    routes = chat(answer)
    command = ("extend", *(flag for name in NAMES for flag in ("--class", name)), "--llm", "gpt-4o", "--max-calls", 3)
    with serving(routes) as address:
        flags = ("--api-base", f"{address}/v1")
        first = forked(*command, *flags, OPENAI_API_KEY=KEY)
        assert (first.code, len(routes.seen)) == (4, 3)
        assert "--max-calls 3 is reached; run the same command again and it goes on" in first.err
        second = forked(*command, *flags, OPENAI_API_KEY=KEY)
    assert (second.code, len(routes.seen)) == (0, 4)
    assert {row["class"] for row in lines(second.out)} == set(NAMES)


def test_a_budget_of_dollars_is_never_passed(forked):
    usage = {"prompt_tokens": 400, "completion_tokens": 400, "total_tokens": 800}  # half a cent
    routes = chat(lambda body: says("1. A photo of the class crane, at dusk.", model=body["model"], usage=usage))
    names = [flag for number in range(40) for flag in ("--class", f"crane {number}")]
    with serving(routes) as address:
        flags = ("--llm", "gpt-4o", "--api-base", f"{address}/v1", "--max-cost", 0.05)
        ran = forked("extend", *names, *flags, OPENAI_API_KEY=KEY)
    assert ran.code == 4
    assert "--max-cost 0.05 is reached" in ran.err
    # An answer may cost two cents: after six of them, at three cents, another could pass the five.
    assert len(routes.seen) == 6


def test_a_budget_of_dollars_wants_a_price(forked):
    command = ("extend", "--class", "crane", "--llm", "openai/mine", "--api-base", "http://127.0.0.1:9")
    ran = forked(*command, "--max-cost", 1, OPENAI_API_KEY=KEY)
    assert ran.code == 2
    assert "the price of openai/mine is not known; give it in US dollars per million tokens" in ran.err


def test_a_wrong_key_stops_at_once_and_says_which_variable(forked):
    routes = chat(answer, lambda times, body: "wrong key")
    with serving(routes) as address:
        ran = forked("extend", "--class", "crane", "--llm", "gpt-4o", "--api-base", f"{address}/v1", OPENAI_API_KEY=KEY)
    assert (ran.code, len(routes.seen)) == (3, 1)
    assert "set OPENAI_API_KEY" in ran.err
    assert len(ran.err.splitlines()) == 1


def test_an_ambiguous_name_is_asked_once_with_the_class_images_and_used_from_then_on(forked, birds):
    def knowing(body: dict[str, Any]) -> str:
        return "large wading bird" if "In which sense" in json.dumps(body["messages"]) else answer(body)

    routes = chat(knowing)
    with serving(routes) as address:
        flags = ("--api-base", f"{address}/v1", "--lmm", "gpt-4o", "--disambiguate")
        ran = forked("describe", "--data", birds, *flags, OPENAI_API_KEY=KEY)
    asked = [seen for seen in routes.seen if "In which sense" in seen.text]
    assert [len(seen.images) for seen in asked] == [4]
    assert "describe: crane (label 1) is taken as: large wading bird" in ran.err
    (crane,) = [row for row in lines(ran.out) if row["kind"] == "class" and row["class"] == "crane"]
    assert crane["sense"] == "large wading bird"
    assert all("crane (large wading bird)" in seen.text for seen in routes.seen if "briefly describe" in seen.text
               and "class crane" in seen.text)  # fmt: skip


def test_half_price_through_a_batch_and_what_it_refused_is_asked_one_by_one(forked, birds):
    def in_batch(line: dict[str, Any]) -> Any:
        text = json.dumps(line["body"]["messages"])
        return None if "class Trogon rufus" in text else answer(line["body"])

    sent, live = batches(in_batch, statuses=("completed",), tokens=(10, 5)), chat(answer)
    with serving({**sent, **live}) as address:
        flags = ("--api-base", f"{address}/v1", "--lmm", "gpt-4o")
        ran = forked("describe", "--data", birds, "--batch", *flags, OPENAI_API_KEY=KEY)
        again = forked("describe", "--data", birds, "--batch", *flags, OPENAI_API_KEY=KEY)
    described = [row for row in lines(ran.out) if row["kind"] == "description"]
    assert len(described) == 17
    assert [len(batch["lines"]) for batch in sent.made] == [17]
    assert ["class Trogon rufus" in seen.text for seen in live.seen] == [True] * 3
    prices = {row["class"]: row["made"]["usage"]["dollars"] for row in described}
    assert prices["crane"] == pytest.approx(prices["Trogon rufus"] / 2)
    assert lines(again.out) == lines(ran.out)


def test_a_run_that_met_a_broken_file_is_whole_and_is_answered_by_its_artifact(forked, birds):
    routes = chat(answer)
    with serving(routes) as address:
        flags = ("--data", birds, "--lmm", "gpt-4o", "--api-base", f"{address}/v1")
        first = forked("describe", *flags, OPENAI_API_KEY=KEY)
        second = forked("describe", *flags)
    assert (first.code, second.code) == (1, 1)
    assert second.out == first.out
    assert "answered by" in second.err
    assert "crane/cut.jpg: image" in second.err
