"""eval --lmm: a vision-language model is asked which class each test image shows."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from ports.openai_chat import Chat, chat
from server import serving
from trained import by_group, digits

from ltgc_cli import records
from ltgc_cli.config import configure
from ltgc_cli.learn.datasets import ClassInfo, Item
from ltgc_cli.pipeline.evaluation.ask_directly import Reply, measured
from ltgc_cli.pipeline.evaluation.methods import ClassTable
from ltgc_cli.pipeline.evaluation.stage import evaluate
from ltgc_cli.pipeline.session import Session
from ltgc_cli.pipeline.stage import ALONE, execute
from ltgc_cli.pipeline.streams import Streams
from ltgc_cli.ports import Answer, Usage
from ltgc_cli.records import Class
from ltgc_cli.stages.recognize import recognize, table

KEY = {"OPENAI_API_KEY": "sk-proj-abcdefghijklmnopqrstuvwxyz123456"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three test images of each of three digits."""
    return digits(tmp_path / "digits", test=3)


def knowing(data: Path) -> Chat:
    """A server that knows every test image by its bytes, but calls each `two` an owl."""
    names = {hashlib.sha256(path.read_bytes()).hexdigest(): path.parent.name for path in (data / "test").rglob("*.png")}

    def answer(body: dict[str, Any]) -> str:
        shown = routes.seen[-1].images[0]
        name = names[hashlib.sha256(shown).hexdigest()]
        return "an owl, 🦉" if name == "two" else f"**{name.title()}**."

    routes = chat(answer)
    return routes


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_each_image_is_asked_for_once_and_an_answer_of_no_class_is_wrong(forked, data):
    routes = knowing(data)
    # One at a time, as the server looks at the image that came last.
    command = ("eval", "--data", data, "--lmm", "gpt-4o", "--concurrency", 1)
    with serving(routes) as address:
        flags = ("--api-base", f"{address}/v1")
        dry = forked(*command, *flags, "--dry-run", **KEY)
        assert (dry.code, routes.seen, dry.out) == (0, [], "")
        assert re.search(r"recognize +gpt-4o +0 +9 ", dry.err)
        first = forked(*command, *flags, **KEY)
        again = forked(*command, *flags, **KEY)
    assert (first.code, len(routes.seen), again.out) == (0, 9, first.out)
    assert {seen.text for seen in routes.seen} == {routes.seen[0].text}
    assert "- one\n- two\n- zero\n" in routes.seen[0].text
    assert "3 answers name no class of the table, or several, and are wrong: 'an owl, 🦉'" in first.err
    found = rows(first.out)
    measured = {(row["name"], row["group"], row.get("class")): row for row in found}
    assert measured["accuracy", "all", None]["value"] == pytest.approx(66.6667)
    assert measured["accuracy", "all", None]["method"] == "gpt-4o, asked directly"
    assert measured["accuracy", "class", "two"]["value"] == 0.0
    assert measured["confusion", "pair", "two"]["predicted"] == "no class of the table"
    assert measured["no_class", "all", None]["images"] == 3
    assert "calibration_error" not in {name for name, *_ in measured}
    paid = [row for row in found if row["name"] == "questions"]
    assert sum(row["made"]["usage"]["prompt_tokens"] for row in paid) == 90
    assert {row["group"] for row in rows(forked("cost", "--json", input=first.out).out)} == {"eval"}


def test_a_broken_image_is_a_failure_and_in_no_accuracy(forked, data):
    (data / "test" / "one" / "broken.png").write_bytes(b"\x89PNG")
    routes = knowing(data)
    with serving(routes) as address:
        flags = ("--lmm", "gpt-4o", "--api-base", f"{address}/v1", "--concurrency", 1)
        done = forked("eval", "--data", data, *flags, **KEY)
    (failure,) = [row for row in rows(done.out) if row["kind"] == "failure"]
    assert (done.code, len(routes.seen)) == (1, 9)
    assert failure["class"] == "one" and failure["reason"].startswith("test/one/broken.png: not a whole image")
    assert "1 image without an answer is in no accuracy" in done.err


def test_the_settings_file_does_not_make_eval_ask_what_describe_asks(forked, data, tmp_path):
    (tmp_path / "ltgc.toml").write_text('lmm = "gpt-4o"\n')
    done = forked("eval", "--data", data, LTGC_LMM="gpt-4o")
    assert done.code == 2 and "eval got no records" in done.err


def test_the_embedded_model_chooses_as_zero_shot_clip_does(data, tmp_path):
    session = Session(tmp_path / "store")
    config = configure("eval", {"data": data, "zero_shot": True, "direct": "embedded"}, environment={})
    stage = evaluate(session, config)._replace(source=ALONE)
    with execute(stage, Streams(called=True), session).artifact.open() as lines:
        zero_shot, asked = by_group(list(records.read(lines))).values()
    assert zero_shot == asked


def lines_run(classes: int) -> int:
    """How many lines of Python run where as many images as classes are recognised and measured."""
    names = [f"class number{label}" for label in range(classes)]
    known = ClassTable(tuple(ClassInfo(label=label, name=name) for label, name in enumerate(names)), None)
    count = 0

    def trace(frame: Any, event: str, arg: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        asked = table([Class(label=label, class_=name, tail=False) for label, name in enumerate(names)])
        replies = []
        for label, name in enumerate(names):
            answer = Answer(text=name, usage=Usage(prompt_tokens=1))
            item = Item(label=label, name=f"{name}.png")
            replies.append(Reply(item, recognize("ab", asked, ask=lambda _, answer=answer: answer, model="small")))
        found = list(measured(replies, known, "small"))
    finally:
        sys.settrace(before)
    assert len(found) == classes + 1
    return count


def test_ten_times_the_classes_are_ten_times_the_work():
    assert 9 < lines_run(1000) / lines_run(100) < 11
