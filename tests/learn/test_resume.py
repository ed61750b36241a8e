"""A run whose process is killed (SIGKILL) goes on to the weights of an undisturbed one, bit for bit."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import safetensors
import safetensors.torch
import torch
from forked import started

from ltgc_cli.errors import InputError, OutputError
from ltgc_cli.learn.datasets import open_data, samples
from ltgc_cli.learn.state import TrainingState
from ltgc_cli.learn.train import METRICS, Trained, train
from ltgc_cli.providers.clip.open_clip import Loaded
from ltgc_cli.settings import Training
from ltgc_cli.tensor_files import STATE, checksum

DATA = open_data("digits-lt", "train")
REAL, GENERATED = samples(DATA)[::5], samples(open_data("digits-lt", "val"))[::20]
VAL = samples(open_data("digits-lt", "val"))[1::20]
FEW = {"steps": 40, "batch": 8, "rank": 2, "lr": 1e-2}
KINDS = {
    "everything at once": {"dropout": 0.3, "ema": 0.9, "val_every": 7, "accumulate": 2, "harmonise": True},
    "sgd, the best kept": {"optimizer": "sgd", "val_every": 3, "mix": "cutmix"},
    "adaptformer, a moving average": {"tune": "adaptformer", "dropout": 0.1, "ema": 0.99},
    "kept features": {"tune_blocks": 1, "fixed_crops": 2, "flip": True},
}


def run(clip: Loaded, settings: Training, folder: Path | None, pause: float = 0.0) -> Trained:
    return train(
        clip,
        DATA.classes,
        REAL,
        GENERATED,
        settings,
        val=VAL,
        resume=folder,
        save_every=1,
        on_report=lambda row, steps: time.sleep(pause),
    )


def kill_after(clip: Loaded, settings: Training, folder: Path, rows: int, seconds: float) -> None:
    """Trains in a process of its own, and kills it so many seconds after it has reported so often."""
    child = started(lambda: run(clip, settings, folder, pause=0.05) and None)
    for _ in range(3000):
        if (folder / METRICS).exists() and (folder / METRICS).read_text().count("\n") >= rows:
            break
        time.sleep(0.01)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the run ended before it could be killed"


@pytest.mark.parametrize(
    "kind", [kind if kind == "everything at once" else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS]
)
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_weights(
    clip: Loaded, tmp_path: Path, kind: str
) -> None:
    settings = Training(**FEW, **KINDS[kind])
    draws = random.Random(kind)
    for rows in (1, 3):
        kill_after(clip, settings, tmp_path, rows, draws.uniform(0, 0.05))
    assert (tmp_path / STATE).exists()
    seen: list[int] = []
    resumed = train(
        clip,
        DATA.classes,
        REAL,
        GENERATED,
        settings,
        val=VAL,
        resume=tmp_path,
        on_report=lambda row, steps: seen.append(row["step"]),
    )
    whole = run(clip, settings, None)

    assert all(step > whole.curve[0]["step"] for step in seen), "it went on and did not begin anew"
    one, other = resumed.classifier.state_dict(), whole.classifier.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(resumed.prior, whole.prior)
    assert resumed.curve == whole.curve
    assert len((tmp_path / METRICS).read_text().splitlines()) == len(whole.curve), "no row twice"


def test_a_state_is_of_one_run_alone(clip: Loaded, tmp_path: Path) -> None:
    settings = Training(steps=10, batch=8, rank=2)
    run(clip, settings, tmp_path)
    with pytest.raises(InputError, match="other data or settings"):
        train(clip, DATA.classes, REAL, GENERATED, settings, val=VAL, texts={0: ["a zero"]}, resume=tmp_path)
    with pytest.raises(InputError, match="other data or settings"):
        train(clip, DATA.classes, REAL, GENERATED, settings, val=VAL[1:], resume=tmp_path)


ROW = {"step": 10, "loss": 0.5, "lr": 0.003}


def training_state(**values: Any) -> TrainingState:
    weight = torch.nn.Parameter(torch.zeros(2))
    return TrainingState({"a": weight}, torch.optim.AdamW([weight]), {}, **values)


def test_a_state_that_was_half_written_is_never_read(tmp_path: Path) -> None:
    written = training_state(step=10, curve=[ROW], best={"a": torch.ones(2)}, best_accuracy=50.0)
    written.weights["a"].data += 3
    written.save(tmp_path / STATE, "run")
    (tmp_path / f".{STATE}.tmp").write_bytes(b"half")
    found = training_state()
    found.load(tmp_path / STATE, "run", 10)
    assert (found.step, found.curve, found.best_accuracy) == (10, [ROW], 50.0)
    assert found.weights["a"].tolist() == [3, 3] and found.best["a"].tolist() == [1, 1]


def save_state(folder: Path) -> Path:
    written = training_state(step=10, curve=[ROW])
    written.weights["a"].grad = torch.ones(2)
    written.optimizer.step()
    written.save(folder / STATE, "run")
    return folder / STATE


def rewritten(path: Path, tensors: dict[str, Any], **metadata: Any) -> None:
    """Writes a state with other content, and a checksum that fits it, where none is given."""
    with safetensors.safe_open(path, "pt") as file:
        found = {key: file.get_tensor(key) for key in file.keys()} | tensors  # noqa: SIM118
        about = file.metadata() | metadata
    found = {key: value for key, value in found.items() if value is not None}
    if "sha256" not in metadata:
        about["sha256"] = checksum((about["run"] + about["facts"]).encode(), found)
    safetensors.torch.save_file(found, path, {key: value for key, value in about.items() if value is not None})


def anew(path: Path, capsys: Any) -> bool:
    """Whether training begins anew, with one line that names the file."""
    found = training_state()
    found.load(path, "run", 10)
    assert found.weights["a"].tolist() == [0, 0] and found.step == 0 and not found.optimizer.state
    said = capsys.readouterr().err
    return said.startswith(f"{path}: the state") and said.count("\n") == 1


def test_a_damaged_state_is_let_go_with_one_line_and_training_begins_anew(tmp_path: Path, capsys: Any) -> None:
    data = save_state(tmp_path).read_bytes()
    for wrong in (
        b"",
        data[:40],
        data[:-1],
        data[:-1] + bytes([data[-1] ^ 1]),
        data.replace(b'"run":"run', b'"run":"rum'),
    ):
        (tmp_path / STATE).write_bytes(wrong)
        assert anew(tmp_path / STATE, capsys)


@pytest.mark.parametrize(
    "tensors",
    [
        {"weight:a": torch.tensor([1.0, float("nan")])}, {"weight:a": torch.ones(3)}, {"weight:a": None},
        {"weight:b": torch.ones(2)}, {"other:a": torch.ones(2)}, {"ema:a": torch.ones(2)},
        {"moment.step:a": None}, {"moment.exp_avg:a": torch.ones(3)}, {"moment.other:a": torch.ones(2)},
        {"weight:a": torch.tensor([True, False])}, {"moment.exp_avg:a": torch.ones(2, dtype=torch.int64)},
        {"moment.exp_avg_sq:a": torch.tensor([1.0, -1.0])}, {"moment.step:a": torch.tensor(-1.0)},
        {"moment.step:a": torch.tensor(11.0)}, {"moment.step:a": torch.ones(1)}, {"best:a": torch.ones(2)},
    ],
)  # fmt: skip
def test_a_state_whose_checksum_fits_and_whose_content_does_not_is_let_go(
    tmp_path: Path, capsys: Any, tensors: dict[str, Any]
) -> None:
    rewritten(save_state(tmp_path), tensors)
    assert anew(tmp_path / STATE, capsys)


@pytest.mark.parametrize(
    "facts",
    [
        "7", "[" * 100_000, '{"step":-1,"curve":[],"best_accuracy":null}',
        '{"step":11,"curve":[],"best_accuracy":null}', '{"step":1,"curve":[],"best_accuracy":50.0}',
        '{"step":1,"curve":[{"a":"b"}],"best_accuracy":null}', '{"step":1,"curve":[{}],"best_accuracy":null}',
        '{"step":1,"curve":[{"step":11,"loss":1,"lr":1}],"best_accuracy":null}',
    ],
)  # fmt: skip
def test_a_state_that_says_odd_things_is_let_go(tmp_path: Path, capsys: Any, facts: str) -> None:
    rewritten(save_state(tmp_path), {}, facts=facts)
    assert anew(tmp_path / STATE, capsys)


def test_a_state_from_before_there_were_checksums_is_gone_on_from(tmp_path: Path) -> None:
    rewritten(save_state(tmp_path), {}, sha256=None)
    found = training_state()
    found.load(tmp_path / STATE, "run", 10)
    assert found.step == 10 and found.weights["a"].tolist() != [0, 0]


def test_a_folder_or_a_pipe_in_the_place_of_a_state_is_said_alone(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "pipe"):
        with pytest.raises(InputError, match=f"^{tmp_path}/{name} is no regular file"):
            training_state().load(tmp_path / name, "run", 10)
    assert not capsys.readouterr().err


def test_a_disk_that_is_full_is_named_and_the_state_before_it_is_kept(tmp_path: Path, file_limit: Any) -> None:
    state = save_state(tmp_path)
    before = state.read_bytes()
    with file_limit(100), pytest.raises(OutputError, match=f"^{state}: File too large; make room, and run the same"):
        training_state(step=20).save(state, "run")
    assert state.read_bytes() == before and os.listdir(tmp_path) == [state.name]


def test_weights_that_are_no_numbers_stop_the_training_and_no_state_is_written(
    clip: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = torch.optim.AdamW.step

    def broken(self: Any, *args: Any) -> None:
        step(self, *args)
        self.param_groups[-1]["params"][0].data[0] = float("nan")

    monkeypatch.setattr(torch.optim.AdamW, "step", broken)
    with pytest.raises(InputError, match=r"^a weight is nan after step 1; a lower --lr than 0.003 may train$"):
        run(clip, Training(steps=1, batch=8, rank=2), tmp_path)
    assert not (tmp_path / STATE).exists()


def test_the_state_of_an_older_version_is_let_go_and_the_training_starts_anew(clip: Loaded, tmp_path: Path) -> None:
    settings = Training(steps=10, batch=8, rank=2)
    older = {"run": "another", "about": '{"stage":"mix","step":5,"curve":[],"harmful":{}}'}
    safetensors.torch.save_file({"weight:head.weight": torch.ones(2)}, tmp_path / STATE, older)
    assert [row["step"] for row in run(clip, settings, tmp_path).curve] == [10]
    with safetensors.safe_open(tmp_path / STATE, "pt") as file:
        assert "facts" in file.metadata()
