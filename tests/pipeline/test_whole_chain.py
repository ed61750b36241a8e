"""The seven commands in one pipe, with the embedded models: the same code that large models are used by."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

PIPE = """set -o pipefail
ltgc describe --data digits-lt --tail 7 | ltgc extend -n 6 | ltgc reflect -k 8 | ltgc render | ltgc filter \
  | ltgc mix-train --data digits-lt --steps 10 | ltgc eval --data digits-lt --zero-shot"""

LOOK = """
import atexit, json, os, sys
def look():
    with open(os.environ["LOADED"], "a") as file:
        heavy = {"torch", "litellm", "diffusers", "open_clip", "peft", "sklearn", "PIL", "numpy"}
        file.write(json.dumps([sys.argv[1], sorted(heavy & set(sys.modules))]) + "\\n")
atexit.register(look)
"""


def pipe(environment, tmp_path, programs):
    """Runs the pipe with the `ltgc` of a folder."""
    path = {"PATH": f"{programs}:{environment['PATH']}"}
    done = subprocess.run(["bash", "-c", PIPE], capture_output=True, env=environment | path, cwd=tmp_path)
    assert done.returncode in (0, 1), done.stderr.decode()
    return done


def pipe_that_looks(environment, tmp_path):
    """Runs the pipe with processes of their own; returns besides which heavy libraries each had loaded in the end."""
    (tmp_path / "look").mkdir()
    (tmp_path / "look" / "sitecustomize.py").write_text(LOOK)
    path = f"{tmp_path / 'look'}:{environment.get('PYTHONPATH', '')}"
    variables = {"PYTHONPATH": path, "LOADED": str(tmp_path / "loaded")}
    done = pipe(environment | variables, tmp_path, Path(sys.executable).parent)
    return done, dict(json.loads(line) for line in (tmp_path / "loaded").read_text().splitlines())


@pytest.mark.timeout(300)
def test_seven_commands_in_a_pipe_and_again_for_nothing(forked, programs, environment, tmp_path):
    first = pipe(environment, tmp_path, programs)
    rows = [json.loads(line) for line in first.stdout.splitlines()]
    kinds = Counter(row["kind"] for row in rows)
    assert kinds["class"] == 10
    assert kinds["description"] >= 12 and kinds["template"] == 2
    judged = [row for row in rows if row["kind"] == "rejected" and row["of"] == "image"]
    drawn = [row for row in rows if row["kind"] == "image" and row["origin"] == "generated"]
    assert len(drawn) + len(judged) == kinds["description"]
    assert all(row["score"] >= row["bar"] for row in drawn) and all(row["score"] < row["bar"] for row in judged)
    assert kinds["checkpoint"] == 1
    whole = [row for row in rows if row["kind"] == "metric" and row["group"] == "all"]
    assert [row["chance"] for row in whole if row["name"] == "clip accuracy"] == [10.0]
    methods = {row["method"]: row["value"] for row in whole if "method" in row}
    assert set(methods) == {"LTGC", "zero-shot CLIP"}
    # Each label has one name from end to end.
    assert len({(row["label"], row["class"]) for row in rows if row.get("label", -1) >= 0}) == 10

    second, loaded = pipe_that_looks(environment, tmp_path)
    assert second.stdout == first.stdout
    assert b"asked" not in second.stderr
    assert set(loaded) == {"describe", "extend", "reflect", "render", "filter", "mix-train", "eval"}
    assert all(libraries == [] for libraries in loaded.values()), loaded

    # Stage by stage through files: the same bytes, from the same artifacts.
    forked("describe", "--data", "digits-lt", "--tail", 7, "-o", "a.jsonl")
    stages = ("extend -n 6", "reflect -k 8", "render", "filter", "mix-train --data digits-lt --steps 10")
    for number, stage in enumerate([*stages, "eval --data digits-lt --zero-shot"]):
        before, after = "abcdefg"[number], "abcdefg"[number + 1]
        assert "asked" not in forked(*stage.split(), "-i", f"{before}.jsonl", "-o", f"{after}.jsonl").err
    assert (tmp_path / "g.jsonl").read_bytes() == first.stdout


@pytest.mark.slow
def test_what_was_trained_is_copied_out_as_one_file_for_open_clip(forked, tmp_path):
    done = forked("mix-train", "--data", "digits-lt", "--no-generated", "--steps", 2, "--out", "checkpoint", "--merge")
    assert done.code == 0, done.err
    names = {path.name for path in (tmp_path / "checkpoint").iterdir()}
    assert {"adapter", "head.safetensors", "classes.json", "open_clip_merged.safetensors", "done.json"} <= names


def test_a_stream_of_other_classes_than_the_data_is_stopped_before_training(forked):
    drawn = '{"kind":"class","label":3,"class":"crane","tail":true}\n'
    done = forked("mix-train", "--data", "digits-lt", input=drawn)
    assert done.code == 2 and "label 3 is 'crane' in the stream and is 'three' in --data" in done.err


def test_filter_without_originals_says_what_to_do_before_anything_is_redrawn(forked):
    stream = forked("render", "--t2i", "blank", input=forked("extend", "--class", "crane", "-n", 3).out).out
    done = forked("filter", "--t2i", "blank", input=stream)
    assert done.code == 2 and "--scale cosine" in done.err and done.out == ""
