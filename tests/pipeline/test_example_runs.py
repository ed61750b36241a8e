"""The scripts of the full runs, each on a small tree of the shape of its data set, and the one for others' CI.

They run whole when time allows; for every change their command lines are read as `ltgc` reads them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from ltgc_cli.cli.app import app
from ltgc_cli.learn.datasets import image_bytes, open_data

EXAMPLES = Path(__file__).parents[2] / "examples"
COUNTS = {"zero": 8, "one": 6, "two": 2, "three": 1}


@pytest.fixture(scope="module")
def digits() -> dict[str, list[bytes]]:
    """Images of the first four digits, none of them twice."""
    data = open_data("digits-lt", "test")
    names = [info.name for info in data.classes]
    return {name: [image_bytes(data, item) for item in data.items if names[item.label] == name][:12] for name in COUNTS}


def save(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def run(script: str, programs: Path, environment: dict[str, str], folder: Path, **variables: object) -> list[dict]:
    """Returns what the script prints: the records that eval ends with."""
    small = {
        "K": "4",
        "TAIL": "3",
        "MU": "0.7",
        "WORK": str(folder / "work"),
        "LTGC_LLM": "embedded",
        "LTGC_LMM": "embedded",
        "LTGC_T2I": "blank",
        "LTGC_CLIP": "embedded",
        "PATH": f"{programs}:{environment['PATH']}",
    }
    done = subprocess.run(
        ["bash", str(EXAMPLES / script), "--steps", "2", "--batch", "8"],
        capture_output=True,
        text=True,
        env=environment | small | {name: str(value) for name, value in variables.items()},
        cwd=folder,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def records(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def split_of(number: int, count: int) -> str:
    """Returns where a class's image goes: the first `count` are for training, one for validation, the rest for test."""
    return "train" if number < count else "val" if number == count else "test"


def check(found: list[dict], folder: Path) -> None:
    groups = {(row.get("method"), row.get("group")) for row in found if row["kind"] == "metric"}
    ours, published = ("zero-shot CLIP", "LTGC", "fine-tune + la"), "LTGC (published)"
    assert {(method, group) for method in (*ours, published) for group in ("few", "all")} <= groups
    rows = records(folder / "work" / "metrics.jsonl")
    assert {row["class"] for row in rows if row["kind"] == "class" and row["tail"]} == {"two", "three"}
    # Each label has one name from the lists to the metrics.
    assert {(row["label"], row["class"]) for row in rows if row.get("label", -1) >= 0} == set(enumerate(COUNTS))


@pytest.mark.slow
def test_imagenet_lt(programs, environment, tmp_path, digits):
    root = tmp_path / "ILSVRC 2012"
    lists: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for label, (name, count) in enumerate(COUNTS.items()):
        for number, data in enumerate(digits[name]):
            split = split_of(number, count)
            path = f"{'val' if split == 'test' else 'train'}/n0144 {label}/n0144_{number}.JPEG"
            save(root / path, data)
            lists[split].append(f"{path} {label}\n")
    for split, lines in lists.items():
        save(root / "ImageNet_LT" / f"ImageNet_LT_{split}.txt", "".join(lines).encode())
    save(root / "ImageNet_LT" / "classes.txt", "".join(f"{n} {name}\n" for n, name in enumerate(COUNTS)).encode())
    check(run("imagenet_lt.sh", programs, environment, tmp_path, IMAGENET=root), tmp_path)


@pytest.mark.slow
def test_places_lt(programs, environment, tmp_path, digits):
    root, lists = tmp_path / "Places 365", tmp_path / "lists"
    for label, (name, count) in enumerate(COUNTS.items()):
        for number, data in enumerate(digits[name]):
            split = split_of(number, count)
            path = f"data_256/{name[0]}/{name}/{number:08}.jpg"
            path = f"val_256/Places365_val_{label}{number:07}.jpg" if split == "test" else path
            save(root / path, data)
            lists.mkdir(exist_ok=True)
            with (lists / f"Places_LT_{split}.txt").open("a") as file:
                file.write(f"{path} {label}\n")
    save(tmp_path / "classes.csv", b"label,name,sense\n0,zero,written digit\n1,one,\n2,two,written digit\n3,three,\n")
    variables = {"PLACES": root, "LISTS": lists, "CLASSES": tmp_path / "classes.csv"}
    check(run("places_lt.sh", programs, environment, tmp_path, **variables), tmp_path)


@pytest.mark.slow
def test_inaturalist_2018(programs, environment, tmp_path, digits):
    root = tmp_path / "iNat 2018"
    named = [{"id": n, "name": name, "supercategory": "Digits"} for n, name in enumerate(COUNTS)]
    hidden = [{"id": n, "name": str(n)} for n in range(len(COUNTS))]
    files = {split: {"images": [], "annotations": [], "categories": hidden} for split in ("train", "val")}
    for label, (name, count) in enumerate(COUNTS.items()):
        for number, data in enumerate(digits[name]):
            split = "train" if number < count else "val"
            path, id = f"train_val2018/Digits/{label}/{number:032x}.jpg", 1000 * label + number
            save(root / path, data)
            files[split]["images"].append({"id": id, "file_name": path, "width": 800, "height": 600})
            files[split]["annotations"].append({"id": id, "image_id": id, "category_id": label})
    for split, data in files.items():
        save(root / f"{split}2018.json", json.dumps(data).encode())
    save(root / "categories.json", json.dumps(named).encode())
    check(run("inaturalist_2018.sh", programs, environment, tmp_path, INAT=root), tmp_path)


FILES = (".jsonl", ".json", ".txt", ".csv")

WRITES_DOWN = f"""#!{sys.executable}
import json, sys
with open("commands.jsonl", "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
if "-o" in sys.argv:
    with open(sys.argv[sys.argv.index("-o") + 1], "w") as file:
        file.write('{{"kind":"description","name":"accuracy","group":"all"}}\\n')
"""


@pytest.mark.parametrize("script", ["imagenet_lt.sh", "places_lt.sh", "inaturalist_2018.sh", "ci/smoke.sh"])
def test_every_command_of_a_script_has_the_flags_that_it_is_given(environment, tmp_path, monkeypatch, script):
    program = tmp_path / "bin" / "ltgc"
    program.parent.mkdir()
    program.write_text(WRITES_DOWN)
    program.chmod(0o755)
    folders = dict.fromkeys(("IMAGENET", "PLACES", "INAT", "LISTS", "WORK"), str(tmp_path))
    path = {"PATH": f"{program.parent}:{environment['PATH']}", "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        ["bash", str(EXAMPLES / script)], capture_output=True, text=True, env=environment | folders | path, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr

    monkeypatch.chdir(tmp_path)
    group = typer.main.get_command(app)
    commands = [json.loads(line) for line in (tmp_path / "commands.jsonl").read_text().splitlines()]
    for name, *arguments in commands:
        arguments = ["/dev/null" if word.endswith(FILES) else word for word in arguments]  # files must be there
        group.get_command(None, name).make_context(name, arguments)  # raises where it does not take them
    stages = {"describe", "extend", "reflect", "render", "filter", "mix-train", "eval"}
    assert {name for name, *_ in commands} == stages


def test_a_script_without_its_data_says_which_folder_is_wanted(tmp_path):
    for script, name in [("imagenet_lt.sh", "IMAGENET"), ("places_lt.sh", "PLACES"), ("inaturalist_2018.sh", "INAT")]:
        done = subprocess.run(["bash", str(EXAMPLES / script)], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode != 0 and f"{name}: the folder" in done.stderr


@pytest.mark.slow
def test_the_smoke_script_runs_the_whole_chain_from_its_recordings(programs, environment, tmp_path):
    path = f"{programs}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", str(EXAMPLES / "ci" / "smoke.sh")],
        capture_output=True,
        text=True,
        env=environment | {"PATH": path},
        cwd=tmp_path,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    count, metric = done.stdout.splitlines()
    assert int(count) == 28
    assert json.loads(metric)["group"] == "all"


def test_the_recordings_hold_no_key_and_no_path():
    text = (EXAMPLES / "ci" / "recordings.jsonl").read_text()
    assert "api_key" not in text and "/home" not in text and "/tmp" not in text
