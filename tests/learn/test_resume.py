"""A run whose process is killed (SIGKILL) goes on to the weights of an undisturbed one, bit for bit."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from forked import started

from ltgc_cli.errors import InputError
from ltgc_cli.learn import state
from ltgc_cli.learn.datasets import open_data, samples
from ltgc_cli.learn.settings import Settings
from ltgc_cli.learn.train import METRICS, STATE, Progress, Trained, train
from ltgc_cli.providers.clip.open_clip import Loaded

DATA = open_data("digits-lt", "train")
REAL, DRAWN = samples(DATA)[::5], samples(open_data("digits-lt", "val"))[::20]
VAL = samples(open_data("digits-lt", "val"))[1::20]
FEW = {"steps": 40, "batch": 8, "rank": 2, "lr": 1e-2}
KINDS = {
    "everything at once": {"dropout": 0.3, "ema": 0.9, "val_every": 7, "real_head_epochs": 3.0, "accumulate": 2},
    "sgd, the best kept": {"optimizer": "sgd", "val_every": 3, "mix": "cutmix"},
    "adaptformer, a moving average": {"tune": "adaptformer", "dropout": 0.1, "ema": 0.99, "real_head_epochs": 1.0},
    "kept features": {"tune_blocks": 1, "fixed_crops": 2, "flip": True},
}


def run(clip: Loaded, settings: Settings, folder: Path | None, pause: float = 0.0) -> Trained:
    return train(
        clip,
        DATA.classes,
        REAL,
        DRAWN,
        settings,
        val=VAL,
        resume=folder,
        save_every=1,
        on_step=lambda _: time.sleep(pause),
    )


def kill_after(clip: Loaded, settings: Settings, folder: Path, rows: int, seconds: float) -> None:
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


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_weights(
    clip: Loaded, tmp_path: Path, kind: str
) -> None:
    settings = Settings(**FEW, **KINDS[kind])
    draws = random.Random(kind)
    for rows in (1, 3):
        kill_after(clip, settings, tmp_path, rows, draws.uniform(0, 0.05))
    assert (tmp_path / STATE).exists()
    steps: list[Progress] = []
    resumed = train(clip, DATA.classes, REAL, DRAWN, settings, val=VAL, resume=tmp_path, on_step=steps.append)
    whole = run(clip, settings, None)

    assert steps[0].step > whole.curve[0]["step"], "it went on and did not begin anew"
    one, other = resumed.classifier.state_dict(), whole.classifier.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(resumed.prior, whole.prior)
    for row, wanted in zip(resumed.curve, whole.curve, strict=True):
        assert row | {"images_per_second": 0} == wanted | {"images_per_second": 0}
    assert len((tmp_path / METRICS).read_text().splitlines()) == len(whole.curve), "no row twice"


def test_the_gate_is_not_asked_again(clip: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ltgc_cli.learn import gate

    asked: list[int] = []
    monkeypatch.setattr(gate, "harmful", lambda *_: asked.append(1) or {2: (1.0, 2.0)})
    settings = Settings(steps=10, batch=8, rank=2, gate=True)
    assert run(clip, settings, tmp_path).harmful == run(clip, settings, tmp_path).harmful == {2: (1.0, 2.0)}
    assert asked == [1]


def test_a_state_is_of_one_run_alone(clip: Loaded, tmp_path: Path) -> None:
    settings = Settings(steps=10, batch=8, rank=2)
    run(clip, settings, tmp_path)
    with pytest.raises(InputError, match="other data or settings"):
        train(clip, DATA.classes, REAL, DRAWN, settings, val=VAL, texts={0: ["a zero"]}, resume=tmp_path)
    with pytest.raises(InputError, match="other data or settings"):
        train(clip, DATA.classes, REAL, DRAWN, settings, val=VAL[1:], resume=tmp_path)


def test_a_score_that_nothing_draws_by_is_no_part_of_a_run(clip: Loaded) -> None:
    def told(score: float, **settings: Any) -> str:
        drawn = [DRAWN[0]._replace(score=score)]
        return state.run_id(clip.identity, DATA.classes, REAL, drawn, VAL, {}, Settings(**settings))

    assert told(0.1) == told(0.2)
    assert told(0.1, syn_by_score=True) != told(0.2, syn_by_score=True)


def test_a_state_that_was_half_written_is_never_read(tmp_path: Path) -> None:
    about = state.About(stage="mix", step=10, curve=[{"step": 10}])
    state.save(tmp_path / STATE, "run", about, {"weight": {"a": torch.ones(2)}})
    (tmp_path / ".tmp-1").write_bytes(b"half")
    found = state.read(tmp_path / STATE, "run")
    assert found and found.about == about and torch.equal(found.tensors["weight"]["a"], torch.ones(2))
    (tmp_path / STATE).write_bytes((tmp_path / STATE).read_bytes()[:40])
    with pytest.raises(InputError, match="cannot be read"):
        state.read(tmp_path / STATE, "run")
