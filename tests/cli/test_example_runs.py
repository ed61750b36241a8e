"""The scripts of the full runs, each on a small tree of the shape of its data set, with the embedded models."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

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


def run(script: str, environment: dict[str, str], folder: Path, **variables: object) -> list[dict]:
    """Returns what the script prints: the accuracies."""
    small = {
        "K": "4",
        "TAIL": "3",
        "MU": "0.7",
        "WORK": str(folder / "work"),
        "LTGC_LLM": "embedded",
        "LTGC_LMM": "embedded",
        "LTGC_T2I": "blank",
        "LTGC_CLIP": "embedded",
        "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}",
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


def test_imagenet_lt(environment, tmp_path, digits):
    root = tmp_path / "ILSVRC 2012"
    lists: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for label, (name, count) in enumerate(COUNTS.items()):
        for number, data in enumerate(digits[name]):
            split = "train" if number < count else "val" if number == count else "test"
            path = f"{'val' if split == 'test' else 'train'}/n0144 {label}/n0144_{number}.JPEG"
            save(root / path, data)
            lists[split].append(f"{path} {label}\n")
    for split, lines in lists.items():
        save(root / "ImageNet_LT" / f"ImageNet_LT_{split}.txt", "".join(lines).encode())
    save(root / "ImageNet_LT" / "classes.txt", "".join(f"{n} {name}\n" for n, name in enumerate(COUNTS)).encode())
    found = run("imagenet_lt.sh", environment, tmp_path, IMAGENET=root)
    assert {(row["method"], row["group"]) for row in found} >= {("zero-shot CLIP", "all"), ("zero-shot CLIP", "few")}
    rows = records(tmp_path / "work" / "metrics.jsonl")
    assert {row["class"] for row in rows if row["kind"] == "class" and row["tail"]} == {"two", "three"}
    assert sum(row["kind"] == "checkpoint" for row in rows) == 1
