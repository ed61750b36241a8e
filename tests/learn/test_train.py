from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from ltgc_cli.errors import InputError
from ltgc_cli.learn import batches, evaluate, images, loading, losses, metrics, model, processes, state
from ltgc_cli.learn.datasets import Dataset, Sample, open_data, samples
from ltgc_cli.learn.evaluate import predict, predicted_labels, validation_accuracy
from ltgc_cli.learn.model import Classifier
from ltgc_cli.learn.state import STATE
from ltgc_cli.learn.train import METRICS, Row, Trained, learning_rate, train
from ltgc_cli.providers.clip.open_clip import Loaded
from ltgc_cli.settings import Training

DATA: Dataset = open_data("digits-lt", "train")
REAL = samples(DATA)[::5]
GENERATED = samples(open_data("digits-lt", "val"))[::20]
"""Any images will do."""
LORA_B = "visual.transformer.resblocks.1.mlp.c_proj.lora_B.weight"
SHORT = Training(steps=30, batch=8, rank=2, dropout=0.1, crop=0.7, rotate=5)


def trained(clip: Loaded, settings: Training = SHORT, **options: object) -> Classifier:
    return train(clip, DATA.classes, REAL, GENERATED, settings, **options).classifier


def timeless(curve: tuple[dict, ...]) -> list[dict]:
    return [{name: value for name, value in row.items() if name != "images_per_second"} for row in curve]


def same(one: Classifier, other: Classifier) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_it_learns(clip: Loaded) -> None:
    settings = Training(steps=80, batch=32, mix="none", lr=5e-3)
    classifier, curve, *_ = train(clip, DATA.classes, REAL, [], settings)
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
    settings = Training(steps=8, batch=8, rank=2, dropout=0.1, mix=mix)
    assert same(trained(clip, settings), trained(clip, settings))


def test_the_random_state_outside_matters_nothing_and_is_kept(clip: Loaded) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = trained(clip)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert same(one, trained(clip))


def test_another_seed_gives_other_weights(clip: Loaded) -> None:
    assert not same(trained(clip), trained(clip, Training(steps=30, batch=8, rank=2, seed=1)))


def test_images_decoded_on_demand_give_the_same_weights(clip: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = trained(clip)
    original = images.reader
    monkeypatch.setattr(images, "reader", lambda few, frame: original(few, frame, in_memory=0))
    assert same(trained(clip), kept)
    monkeypatch.setattr(loading, "readers", lambda *_: loading.Readers(processes=2))
    assert same(trained(clip), kept), "whoever reads them"


class Killed(BaseException):
    pass


@pytest.mark.parametrize("killed_at", [10, 20])
def test_a_killed_run_goes_on_to_the_weights_of_an_uninterrupted_one(
    clip: Loaded, tmp_path: Path, killed_at: int
) -> None:
    seen: list[int] = []

    def kill(row: Row, steps: int) -> None:
        if row["step"] == killed_at:
            raise Killed

    def note(row: Row, steps: int) -> None:
        seen.append(row["step"])

    with pytest.raises(Killed):
        trained(clip, resume=tmp_path, save_every=10, on_report=kill)
    resumed = train(clip, DATA.classes, REAL, GENERATED, SHORT, resume=tmp_path, save_every=10, on_report=note)
    uninterrupted = train(clip, DATA.classes, REAL, GENERATED, SHORT)
    assert seen == list(range(killed_at + 10, 31, 10))
    assert same(resumed.classifier, uninterrupted.classifier)
    assert timeless(resumed.curve) == timeless(uninterrupted.curve)


def test_a_finished_run_is_not_trained_again(clip: Loaded, tmp_path: Path) -> None:
    first = trained(clip, resume=tmp_path)
    assert same(trained(clip, resume=tmp_path, on_report=lambda row, steps: pytest.fail("trained again")), first)


def test_the_state_of_another_run_is_refused(clip: Loaded, tmp_path: Path) -> None:
    trained(clip, resume=tmp_path)
    with pytest.raises(InputError, match="other data or settings"):
        trained(clip, Training(steps=30, batch=8, rank=2, lr=0.5), resume=tmp_path)
    with pytest.raises(InputError, match="other data or settings"):
        train(clip, DATA.classes, REAL[1:], GENERATED, SHORT, resume=tmp_path)


def test_a_loss_that_is_no_number_stops_training(clip: Loaded) -> None:
    with pytest.raises(InputError, match="the loss is nan after step 10; a lower --lr"):
        trained(clip, Training(steps=20, batch=8, lr=1e30))


def test_the_learning_rate_rises_in_a_line_then_falls_as_half_a_cosine() -> None:
    settings = Training(lr=2.0, warmup=0.1)
    rates = [learning_rate(step, 100, settings) for step in range(100)]
    assert rates[:3] == pytest.approx([0.2, 0.4, 0.6])
    assert max(rates) == rates[10] == 2.0
    assert rates[55] == pytest.approx(1.0)
    assert rates[99] == pytest.approx(1 + math.cos(math.pi * 89 / 90))
    assert learning_rate(0, 1, settings) == 2.0


def test_logit_adjustment_lifts_rare_classes(clip: Loaded) -> None:
    def rare(loss: str) -> float:
        classifier, *_ = train(clip, DATA.classes, REAL, [], Training(steps=40, batch=32, mix="none", loss=loss))
        guesses = predicted_labels(predict(classifier, clip, GENERATED), range(10))
        return float(np.mean([DATA.classes[guess].count < 20 for guess in guesses]))

    assert rare("la") > rare("ce")


# ---- the loop's own parts


def run(clip: Loaded, generated: list[Sample] = GENERATED, **settings: object) -> Trained:
    options = {name: settings.pop(name) for name in ("val", "precision", "compile") if name in settings}
    few = {"steps": 6, "batch": 8, "rank": 2, "lr": 1e-2, **settings}
    return train(clip, DATA.classes, REAL, generated, Training(**few), **options)


def close(one: Classifier, other: Classifier, atol: float = 1e-5) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return all(torch.allclose(a[name], b[name], atol=atol) for name in a)


@pytest.mark.parametrize("mix", ["balancemix", "cutmix", "none"])
def test_a_batch_in_parts_trains_as_it_does_in_one(clip: Loaded, mix: str) -> None:
    whole, parts = run(clip, mix=mix), run(clip, mix=mix, accumulate=4)
    assert close(whole.classifier, parts.classifier)
    assert parts.curve[-1]["loss"] == pytest.approx(whole.curve[-1]["loss"], abs=1e-5)


def test_sgd_takes_the_steps_that_its_formula_says(clip: Loaded) -> None:
    """With a momentum of 0.5 and one learning rate, the second step repeats half of the first."""
    weights = [run(clip, [], optimizer="sgd", momentum=m, steps=2, lr=1e-4, warmup=0, clip_norm=1e9, batch=64, crop=1)
               for m in (0.0, 0.5)]  # fmt: skip
    start = model.start(clip, DATA.classes, Training(rank=2)).head.weight
    plain, pushed = (trained.classifier.head.weight for trained in weights)
    one_step = run(clip, [], optimizer="sgd", momentum=0.0, steps=1, lr=1e-4, warmup=0, clip_norm=1e9, batch=64, crop=1)
    first = one_step.classifier.head.weight - start
    assert torch.allclose(pushed - plain, 0.5 * first * 0.5, atol=1e-7), "the second step has half the rate: a cosine"


def test_what_is_kept_with_ema_is_the_moving_average(clip: Loaded) -> None:
    settings = {"steps": 1, "warmup": 0}
    start = model.start(clip, DATA.classes, Training(rank=2)).head.weight
    last = run(clip, **settings).classifier.head.weight
    # The decay begins at 1/10, whatever it ends at.
    assert torch.allclose(run(clip, **settings, ema=0.9).classifier.head.weight, 0.1 * start + 0.9 * last, atol=1e-7)
    assert torch.allclose(run(clip, **settings, ema=0.01).classifier.head.weight, last, atol=1e-3)


def test_the_best_on_the_validation_set_is_kept_and_of_equals_the_earlier(
    clip: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    scores = iter([10.0, 60.0, 60.0, 20.0])

    def look(classifier: Classifier, *_: object) -> float:
        seen.append(state.copied(dict(classifier.named_parameters())))
        return next(scores)

    monkeypatch.setattr(evaluate, "validation_accuracy", look)
    trained = run(clip, steps=7, val_every=2, val=GENERATED)
    assert [(row["step"], row["val"]) for row in trained.curve] == [(2, 10.0), (4, 60.0), (6, 60.0), (7, 20.0)]
    kept = dict(trained.classifier.named_parameters())
    assert all(torch.equal(kept[name], value) for name, value in seen[1].items())
    assert not all(torch.equal(kept[name], value) for name, value in seen[2].items())


def test_the_validation_accuracy_is_that_of_the_weights_that_are_kept(clip: Loaded) -> None:
    trained = run(clip, steps=9, val_every=3, ema=0.5, val=GENERATED)
    guesses = predicted_labels(predict(trained.classifier, clip, GENERATED), range(10))
    by_class = metrics.accuracy_by_class([sample.label for sample in GENERATED], guesses)
    assert metrics.class_mean(by_class) == pytest.approx(max(row["val"] for row in trained.curve))


def test_the_validation_accuracy_is_the_mean_over_the_classes_that_have_validation_images(clip: Loaded) -> None:
    val = [sample for sample in samples(open_data("digits-lt", "val"))[::7] if sample.label in (0, 1, 4)]
    classifier = model.zero_shot(clip, DATA.classes)
    guesses = predicted_labels(predict(classifier, clip, val), range(10))
    by_class = metrics.accuracy_by_class([sample.label for sample in val], guesses)
    found = validation_accuracy(classifier, clip, DATA.classes, val, processes.Processes())
    assert by_class.keys() == {0, 1, 4} and found == pytest.approx(sum(by_class.values()) / 3)


def test_val_every_wants_validation_images(clip: Loaded) -> None:
    with pytest.raises(InputError, match="val-every measures on validation images, and there are none"):
        run(clip, val_every=2)


@pytest.mark.parametrize(("tune", "blocks"), [("lora", 1), ("head", 0)])
def test_kept_features_of_whole_images_train_as_the_images_do(clip: Loaded, tune: str, blocks: int) -> None:
    settings = {"tune": tune, "tune_blocks": blocks, "mix": "none", "crop": 1}
    assert close(run(clip, **settings).classifier, run(clip, **settings, fixed_crops=1).classifier)


def test_the_frozen_blocks_see_each_fixed_crop_once(clip: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    frozen = Classifier.frozen

    def counted(self: Classifier, frames: torch.Tensor) -> torch.Tensor:
        seen.append(len(frames))
        return frozen(self, frames)

    monkeypatch.setattr(Classifier, "frozen", counted)
    trained = run(clip, tune_blocks=1, fixed_crops=3, steps=20)
    assert sum(seen) == 3 * (len(REAL) + len(GENERATED))
    assert trained.settings.mix == "none"


def test_features_that_do_not_fit_the_memory_are_refused(clip: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches.os, "sysconf", lambda _: 300)
    with pytest.raises(InputError, match="^--fixed-crops 2: the features of .* images take .* use fewer crops"):
        run(clip, fixed_crops=2)


def test_bfloat16_computes_with_it_over_weights_in_float32(clip: Loaded) -> None:
    exact, rounded = run(clip), run(clip, precision="bfloat16")
    assert {weight.dtype for weight in rounded.classifier.parameters()} == {torch.float32}
    assert not same(exact.classifier, rounded.classifier)
    assert rounded.curve[-1]["loss"] == pytest.approx(exact.curve[-1]["loss"], rel=0.02)


def test_compiling_is_asked_for_and_a_machine_that_cannot_says_so(
    clip: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._dynamo.exc import TorchDynamoException

    def compile(forward: object) -> object:
        def broken(_: torch.Tensor) -> torch.Tensor:
            raise TorchDynamoException("no C++ compiler\nmore")

        return broken

    monkeypatch.setattr(torch, "compile", compile)
    with pytest.raises(InputError, match=r"cannot compile the model here \(no C\+\+ compiler\); leave --compile out"):
        run(clip, compile=True)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, as it imports its compiler
def test_a_compiled_model_trains_as_the_plain_one_does(clip: Loaded) -> None:
    assert close(run(clip).classifier, run(clip, compile=True).classifier, atol=1e-4)


def test_too_little_memory_names_what_helps(clip: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setitem(losses.LOSSES, "ce", full)
    with pytest.raises(InputError, match="^the GPU has not memory enough for a batch; --accumulate 2 cuts it"):
        run(clip)


@pytest.mark.parametrize("in_memory", [10**9, 0])
def test_a_broken_image_is_named(clip: Loaded, monkeypatch: pytest.MonkeyPatch, in_memory: int) -> None:
    original = images.reader
    monkeypatch.setattr(images, "reader", lambda few, frame: original(few, frame, in_memory=in_memory))
    real = [*REAL, Sample(0, lambda: b"\x89PNG", "birds/7.png")]
    with pytest.raises(InputError, match="^birds/7.png: not a whole image"):
        train(clip, DATA.classes, real, [], Training(steps=9, batch=256))


def test_each_report_is_written_down_as_it_comes(clip: Loaded, tmp_path: Path) -> None:
    def written() -> list[dict]:
        return [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()]

    seen = []
    curve = train(
        clip,
        DATA.classes,
        REAL,
        [],
        Training(steps=25, batch=8),
        resume=tmp_path,
        on_report=lambda row, steps: seen.append(written()),
    ).curve
    assert [len(rows) for rows in seen] == [1, 2, 3]
    assert seen[-1] == list(curve)
    assert {*curve[0]} == {"step", "loss", "lr"}  # and nothing that tells how fast it was


def test_a_batch_that_cannot_be_cut_is_refused(clip: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="--accumulate 3 must divide --batch 8"):
        run(clip, accumulate=3)


# ---- generated images with a prior and a head of their own

OWN = {"mix": "cutmix", "loss": "la", "syn_prob": "0.6:0.1", "syn_prior": True, "syn_head": True}


def test_generated_images_train_the_tower_and_leave_the_head_that_is_kept_as_it_was(clip: Loaded) -> None:
    start = model.start(clip, DATA.classes, Training(rank=2))
    found = run(clip, mix="cutmix", syn_prob=1.0, syn_head=True).classifier
    assert torch.equal(found.head.weight, start.head.weight)
    assert not torch.equal(*(dict(one.named_parameters())[LORA_B] for one in (found, start)))
    assert found.state_dict().keys() == start.state_dict().keys(), "the other head is gone"


def test_without_generated_images_in_the_stream_a_head_for_them_changes_nothing(clip: Loaded) -> None:
    one, other = (run(clip, mix="none", syn_prob=0.0, syn_head=head) for head in (True, False))
    assert same(one.classifier, other.classifier)


@pytest.mark.parametrize("settings", [OWN, {**OWN, "syn_head": False}, {**OWN, "mix": "none", "val_every": 3}])
def test_parts_in_a_batch_in_parts_train_as_they_do_in_one(clip: Loaded, settings: dict) -> None:
    # By SGD: AdamW makes a step of the rounding where a class has no other gradient.
    whole, parts = (run(clip, **settings, val=GENERATED, optimizer="sgd", accumulate=count) for count in (1, 4))
    assert close(whole.classifier, parts.classifier)
    assert parts.curve[-1]["loss"] == pytest.approx(whole.curve[-1]["loss"], abs=1e-5)


def test_kept_features_train_as_the_images_do_with_a_head_and_prior_of_their_own(clip: Loaded) -> None:
    settings = {**OWN, "tune_blocks": 1, "mix": "none", "crop": 1}
    assert close(run(clip, **settings).classifier, run(clip, **settings, fixed_crops=1).classifier)


def test_each_of_the_ways_trains_to_something_else(clip: Loaded) -> None:
    plain = {**OWN, "syn_prior": False, "syn_head": False}
    steady = {**plain, "syn_prob": 0.35}
    ways = [OWN, {**OWN, "syn_head": False}, {**OWN, "syn_prior": False}, plain, steady]
    heads = [run(clip, **way).classifier.head.weight.sum().item() for way in ways]
    assert len(set(heads)) == len(ways)


def test_a_killed_run_with_two_heads_goes_on_to_the_same_weights(clip: Loaded, tmp_path: Path) -> None:
    settings = Training(**OWN, steps=30, batch=8, rank=2, ema=0.9)

    def kill(row: Row, steps: int) -> None:
        if row["step"] == 20:
            raise Killed

    with pytest.raises(Killed):
        trained(clip, settings, resume=tmp_path, save_every=10, on_report=kill)
    assert same(trained(clip, settings, resume=tmp_path), trained(clip, settings))
