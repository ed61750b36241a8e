"""Checkpoints whose hashes fit and whose contents do not: one line with the file, and nothing is made up."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from classifiers import CLASSES, LORA, moved

from ltgc_cli.errors import InputError
from ltgc_cli.learn import checkpoints
from ltgc_cli.learn.checkpoints import Saved, load
from ltgc_cli.learn.model import start
from ltgc_cli.providers.clip.open_clip import Loaded
from ltgc_cli.settings import Training

NAN = float("nan")
BIAS = Training(tune="bias", tune_blocks=1)
ADAPTED = Training(tune="adaptformer", tune_blocks=1, rank=3)
HEAD, LORAS, TOWER = "head.safetensors", "adapter/adapter_model.safetensors", "tower.safetensors"
A_MATRIX = "base_model.model.transformer.resblocks.0.attn.q.lora_A.weight"
A_BIAS = "transformer.resblocks.1.mlp.c_fc.bias"


@pytest.fixture(scope="module")
def saved(clip: Loaded, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Training], Path]:
    made: dict[Training, Path] = {}

    def save(settings: Training) -> Path:
        if settings not in made:
            made[settings] = tmp_path_factory.mktemp("checkpoint")
            classifier = moved(start(clip, CLASSES, settings)).eval().requires_grad_(False)
            images = frozenset([b"sixteen bytes 01"])
            curve = ({"step": 10, "loss": 0.5},)
            content = Saved(classifier, CLASSES, settings, curve, torch.tensor([0.75, 0.25]), images)
            checkpoints.save(made[settings], content, clip)
        return made[settings]

    return save


@pytest.fixture
def refused(clip: Loaded, saved: Any, tmp_path: Path) -> Callable[..., str]:
    """What is said of a checkpoint one file of which has other bytes, with a hash that fits them."""

    def load_with(settings: Training, name: str, data: bytes) -> str:
        import shutil

        folder = tmp_path / "checkpoint"
        shutil.copytree(saved(settings), folder)
        (folder / name).write_bytes(data)
        refit(folder, name)
        with pytest.raises(InputError) as error:
            load(folder, clip)
        assert "\n" not in str(error.value) and str(error.value).startswith(f"{folder}/{name}:"), error.value
        return str(error.value)

    return load_with


def refit(folder: Path, name: str) -> None:
    done = json.loads((folder / "done.json").read_bytes())
    done["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "done.json").write_text(json.dumps(done))


@pytest.mark.parametrize(
    ("settings", "name", "changes", "said"),
    [
        (LORA, HEAD, {"weight": torch.zeros(3, 16)}, "weight is torch.float32 [3, 16], not torch.float32 [2, 16]"),
        (LORA, HEAD, {"weight": torch.zeros(2, 17)}, "weight is torch.float32 [2, 17]"),
        (LORA, HEAD, {"weight": torch.zeros(2, 16).half()}, "weight is torch.float16 [2, 16]"),
        (LORA, HEAD, {"weight": torch.full((2, 16), NAN)}, "weight has values that are no numbers (NaN, inf)"),
        (LORA, HEAD, {"prior": torch.tensor([1.0, float("inf")])}, "prior has values that are no numbers"),
        (LORA, HEAD, {"prior": torch.zeros(3)}, "prior is torch.float32 [3]"),
        (LORA, HEAD, {"weight": None}, "weight is missing"),
        (LORA, HEAD, {"bias": torch.zeros(2)}, "bias is no weight of this model"),
        (Training(head="linear", tune="head"), HEAD, {"bias": None}, "bias is missing"),
        (LORA, LORAS, {A_MATRIX: None}, f"{A_MATRIX.removeprefix('base_model.model.')} is missing"),
        (LORA, LORAS, {A_MATRIX: torch.zeros(3, 31)}, "lora_A.weight is torch.float32 [3, 31], not"),
        (LORA, LORAS, {A_MATRIX: torch.full((3, 32), NAN)}, "lora_A.weight has values that are no numbers"),
        (LORA, LORAS, {"other.weight": torch.zeros(3)}, "other.weight is no weight of a LoRA"),
        (LORA, LORAS, {"base_model.model.conv1.weight": torch.zeros(3)}, "conv1.weight is no weight of this model"),
        (BIAS, TOWER, {A_BIAS: torch.zeros(3)}, f"{A_BIAS} is torch.float32 [3], not"),
        (BIAS, TOWER, {A_BIAS: torch.full((128,), NAN)}, f"{A_BIAS} has values that are no numbers"),
        (BIAS, TOWER, {"transformer.resblocks.2.mlp.c_fc.bias": torch.zeros(128)}, "is no weight of this model"),
        (ADAPTED, TOWER, {"transformer.resblocks.1.adaptformer.scale": None}, "adaptformer.scale is missing"),
        (LORA, HEAD, {"prior": torch.tensor([1.0, -1.0])}, "prior has values below 0"),
        (
            LORA,
            "images.safetensors",
            {"hashes": torch.tensor(7).byte()},
            "hashes is torch.uint8 [], not",
        ),
        (LORA, "images.safetensors", {"hashes": torch.zeros(1, 15).byte()}, "hashes is torch.uint8 [1, 15]"),
    ],
)
def test_tensors_that_do_not_fit_are_named_with_their_file(
    refused: Any, saved: Any, settings: Training, name: str, changes: dict[str, Any], said: str
) -> None:
    found = safetensors.torch.load_file(saved(settings) / name) | changes
    data = safetensors.torch.save({key: value for key, value in found.items() if value is not None})
    assert said in refused(settings, name, data)


@pytest.mark.parametrize("data", [b"", b"junk" * 40, (10**8).to_bytes(8, "little") + b"{", b"\x80\x04N."])
@pytest.mark.parametrize("name", [HEAD, LORAS, "images.safetensors"])
def test_a_file_without_tensors_is_named(refused: Any, name: str, data: bytes) -> None:
    assert "no tensors that can be read" in refused(LORA, name, data)


def test_a_file_that_was_cut_short_is_named(refused: Any, saved: Any) -> None:
    assert "no tensors that can be read" in refused(LORA, HEAD, (saved(LORA) / HEAD).read_bytes()[:-3])


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("settings.json", "[]", "Expected `object`, got `array`"),
        ("settings.json", '{"rank": 1e400}', "Number out of range"),
        ("settings.json", '{"tune": "rank"}', "Invalid enum value"),
        ("settings.json", '{"a":' + "[" * 100_000, "recursion"),
        ("classes.json", '[{"label": 3, "name": 7}]', "Expected `str`, got `int`"),
        ("classes.json", "[]", "no class in it"),
        (
            "classes.json",
            '[{"label": 3, "name": "a"}, {"label": 3, "name": "b"}]',
            "class 2: label 3 is there twice; it is 'a'",
        ),
        ("classes.json", '[{"label": -1, "name": "a"}]', "class 1: '-1' is no label"),
        ("classes.json", '[{"label": 3, "name": " "}]', "class 1: its name is empty"),
        (
            "classes.json",
            '[{"label": 3, "name": "a", "count": -5}]',
            "class 1: its name is empty, or its count is below 0",
        ),
        ("settings.json", '{"lora_alpha": 1e300}', "Expected `float` <= 10000.0 - at `$.lora_alpha`"),
        ("settings.json", '{"scale": 1e308}', "Expected `float` <= 10000.0 - at `$.scale`"),
        ("classes.json", "\udcff", "JSON is malformed"),
        ("metrics.jsonl", "7", "1: no row of a training curve"),
        ("metrics.jsonl", '{"step": 1}\n{"step": "a"}', "2: no row of a training curve"),
        ("metrics.jsonl", "[" * 100_000, "1: no row of a training curve"),
    ],
)
def test_a_file_of_odd_shape_is_named(refused: Any, name: str, text: str, said: str) -> None:
    assert said.casefold() in refused(LORA, name, text.encode(errors="surrogateescape")).casefold()


def changed(folder: Path, clip: Loaded, name: str, data: Any) -> str:
    (folder / name).write_text(json.dumps(data))
    if name != "done.json":
        refit(folder, name)
    with pytest.raises(InputError) as error:
        load(folder, clip)
    return str(error.value)


def test_another_number_of_classes_and_another_rank_are_said_by_the_tensors(tmp_path: Path, clip: Loaded) -> None:
    classifier = moved(start(clip, CLASSES, LORA)).eval().requires_grad_(False)
    checkpoints.save(tmp_path, Saved(classifier, CLASSES, LORA), clip)
    settings = json.loads((tmp_path / "settings.json").read_bytes())
    wrong = changed(tmp_path, clip, "settings.json", settings | {"rank": 10**9})
    assert "adapter_model.safetensors: its rank is not 1000000000, as settings.json says" in wrong
    changed(tmp_path, clip, "settings.json", settings | {"rank": 0})
    assert "settings.json: " in changed(tmp_path, clip, "settings.json", settings | {"tune_blocks": 77})
    wrong = changed(tmp_path, clip, "classes.json", [{"label": 3, "name": "seal"}])
    assert "head.safetensors: weight is torch.float32 [2, 16], not torch.float32 [1, 16]" in wrong


def test_done_json_names_files_of_the_checkpoint_alone(tmp_path: Path, clip: Loaded) -> None:
    classifier = moved(start(clip, CLASSES, LORA)).eval().requires_grad_(False)
    checkpoints.save(tmp_path, Saved(classifier, CLASSES, LORA), clip)
    done = json.loads((tmp_path / "done.json").read_bytes())
    assert "'../a' is no file" in changed(tmp_path, clip, "done.json", done | {"files": {"../a": ""}})
    assert "is not among the files that done.json names" in changed(tmp_path, clip, "done.json", done | {"files": {}})
    assert "done.json: " in changed(tmp_path, clip, "done.json", 7)
    (tmp_path / "done.json").unlink()
    os.mkfifo(tmp_path / "done.json")
    with pytest.raises(InputError, match="done.json: no regular file"):
        load(tmp_path, clip)


def test_a_curve_of_an_earlier_version_may_say_nan(tmp_path: Path, clip: Loaded) -> None:
    classifier = moved(start(clip, CLASSES, LORA)).eval().requires_grad_(False)
    checkpoints.save(tmp_path, Saved(classifier, CLASSES, LORA), clip)
    (tmp_path / "metrics.jsonl").write_text('{"step": 10, "loss": NaN}\n')
    refit(tmp_path, "metrics.jsonl")
    assert load(tmp_path, clip).curve == ({"step": 10, "loss": None},)
