from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from ltgc_cli.errors import InputError
from ltgc_cli.learn import images
from ltgc_cli.learn.datasets import Dataset, Sample, open_data, samples
from ltgc_cli.learn.evaluate import predict, predicted_labels
from ltgc_cli.learn.model import Classifier
from ltgc_cli.learn.settings import Settings
from ltgc_cli.learn.train import STATE, Progress, columns, learning_rate, train
from ltgc_cli.providers.clip.open_clip import Loaded

DATA: Dataset = open_data("digits-lt", "train")
REAL = samples(DATA)[::5]
GENERATED = samples(open_data("digits-lt", "val"))[::20]
"""Any images will do."""
SHORT = Settings(steps=30, batch=8, rank=2, dropout=0.1, crop=0.7, rotate=5)


def trained(clip: Loaded, settings: Settings = SHORT, **options: object) -> Classifier:
    return train(clip, DATA.classes, REAL, GENERATED, settings, **options).classifier


def same(one: Classifier, other: Classifier) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_it_learns(clip: Loaded) -> None:
    settings = Settings(steps=80, batch=32, mix="none", lr=5e-3)
    classifier, curve = train(clip, DATA.classes, REAL, [], settings)
    guesses = predicted_labels(predict(classifier, clip, REAL), range(10))
    right = np.mean([guess == sample.label for guess, sample in zip(guesses, REAL, strict=True)])
    assert right > 0.8
    assert [row["step"] for row in curve] == [10, 20, 30, 40, 50, 60, 70, 80]
    assert curve[-1]["loss"] < 0.5 * curve[0]["loss"]


def test_only_lora_and_the_head_are_changed(clip: Loaded) -> None:
    before = {name: value.clone() for name, value in clip.model.state_dict().items()}
    classifier = trained(clip)
    assert all(torch.equal(value, before[name]) for name, value in clip.model.state_dict().items())
    assert not classifier.training and not any(weight.requires_grad for weight in classifier.parameters())


@pytest.mark.parametrize("mix", ["balancemix", "mixup", "none"])
def test_the_same_seed_gives_the_same_weights_bit_for_bit(clip: Loaded, mix: str) -> None:
    settings = Settings(steps=8, batch=8, rank=2, dropout=0.1, mix=mix)
    assert same(trained(clip, settings), trained(clip, settings))


def test_the_random_state_outside_matters_nothing_and_is_kept(clip: Loaded) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = trained(clip)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert same(one, trained(clip))


def test_another_seed_gives_other_weights(clip: Loaded) -> None:
    assert not same(trained(clip), trained(clip, Settings(steps=30, batch=8, rank=2, seed=1)))


def test_images_decoded_on_demand_give_the_same_weights(clip: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = trained(clip)
    original = images.reader
    monkeypatch.setattr(images, "reader", lambda few, frame: original(few, frame, in_memory=0))
    assert same(trained(clip), kept)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("killed_at", [10, 20])
def test_a_killed_run_goes_on_to_the_weights_of_an_uninterrupted_one(
    clip: Loaded, tmp_path: Path, killed_at: int
) -> None:
    seen: list[Progress] = []

    def kill(progress: Progress) -> None:
        if progress.step == killed_at:
            raise Killed

    with pytest.raises(Killed):
        trained(clip, resume=tmp_path, save_every=10, on_step=kill)
    resumed = train(clip, DATA.classes, REAL, GENERATED, SHORT, resume=tmp_path, save_every=10, on_step=seen.append)
    uninterrupted = train(clip, DATA.classes, REAL, GENERATED, SHORT)
    assert [progress.step for progress in seen] == list(range(killed_at + 10, 31, 10))
    assert same(resumed.classifier, uninterrupted.classifier)
    assert resumed.curve == uninterrupted.curve


def test_a_finished_run_is_not_trained_again(clip: Loaded, tmp_path: Path) -> None:
    first = trained(clip, resume=tmp_path)
    steps: list[Progress] = []
    assert same(trained(clip, resume=tmp_path, on_step=steps.append), first)
    assert steps == []


def test_the_state_of_another_run_is_refused(clip: Loaded, tmp_path: Path) -> None:
    trained(clip, resume=tmp_path)
    with pytest.raises(InputError, match="other data or settings"):
        trained(clip, Settings(steps=30, batch=8, rank=2, lr=0.5), resume=tmp_path)
    with pytest.raises(InputError, match="other data or settings"):
        train(clip, DATA.classes, REAL[1:], GENERATED, SHORT, resume=tmp_path)


def test_a_state_that_is_no_state_is_refused(clip: Loaded, tmp_path: Path) -> None:
    (tmp_path / STATE).write_bytes(b"not safetensors")
    with pytest.raises(InputError, match="cannot be read"):
        trained(clip, resume=tmp_path)


def test_a_label_is_a_class_of_the_table_never_a_place_in_a_listing() -> None:
    tail = [info for info in DATA.classes if info.label >= 7]
    assert columns([Sample(9, bytes), Sample(7, bytes)], tail) == [2, 0]
    with pytest.raises(InputError, match="^x.png: the class table has no label 3"):
        columns([Sample(3, bytes, "x.png")], tail)


def test_a_loss_that_is_not_there_is_refused_before_anything_is_read(clip: Loaded) -> None:
    with pytest.raises(InputError, match="no loss is named 'focal'; there are ce, la, balanced-softmax"):
        trained(clip, Settings(loss="focal"))


def test_a_loss_that_is_no_number_stops_training(clip: Loaded) -> None:
    with pytest.raises(InputError, match="the loss is nan after 10 steps; a lower --lr"):
        trained(clip, Settings(steps=20, batch=8, lr=1e30))


def test_the_learning_rate_rises_in_a_line_then_falls_as_half_a_cosine() -> None:
    settings = Settings(lr=2.0, warmup=0.1)
    rates = [learning_rate(step, 100, settings) for step in range(100)]
    assert rates[:3] == pytest.approx([0.2, 0.4, 0.6])
    assert max(rates) == rates[10] == 2.0
    assert rates[55] == pytest.approx(1.0)
    assert rates[99] == pytest.approx(1 + math.cos(math.pi * 89 / 90))
    assert learning_rate(0, 1, settings) == 2.0


def test_logit_adjustment_lifts_rare_classes(clip: Loaded) -> None:
    def rare(loss: str) -> float:
        classifier, _ = train(clip, DATA.classes, REAL, [], Settings(steps=40, batch=32, mix="none", loss=loss))
        guesses = predicted_labels(predict(classifier, clip, GENERATED), range(10))
        return float(np.mean([DATA.classes[guess].count < 20 for guess in guesses]))

    assert rare("la") > rare("ce")
