"""Two processes that train together, on gloo: what they exchange, and that they train as one does."""

from __future__ import annotations

import os

import pytest
import torch
from forked import all_equal, together

from ltgc_cli.errors import InputError, LtgcError, ProviderError
from ltgc_cli.learn import processes
from ltgc_cli.learn.datasets import open_data, samples
from ltgc_cli.learn.train import train
from ltgc_cli.providers.clip.open_clip import Loaded
from ltgc_cli.settings import Training

DATA = open_data("digits-lt", "train")
REAL, GENERATED = samples(DATA)[::5], samples(open_data("digits-lt", "val"))[::20]
VAL = samples(open_data("digits-lt", "val"))[1::21]


def test_alone_nothing_is_exchanged() -> None:
    here = processes.join("cpu")
    tensor = torch.ones(2)
    here.average([tensor])
    assert here == (0, 1) and here.first and here.rows(8) == slice(0, 8)
    assert torch.equal(here.total(tensor), tensor)


def test_what_two_exchange() -> None:
    def one() -> object:
        here = processes.join("cpu")
        one, other = torch.full((2, 1), 1.0 + here.rank), torch.tensor(10.0 * here.rank)
        here.average([one, other])
        begun = torch.tensor([here.rank])
        here.follow_first([begun])
        total = here.total(torch.tensor(1 + here.rank))
        rows = here.rows(6)
        return [one.tolist(), float(other), begun.tolist(), int(total), rows.start]

    first, second = together(one)
    assert first[:-1] == second[:-1] == [[[1.5], [1.5]], 5.0, [0], 3]
    assert (first[-1], second[-1]) == (0, 3)


def test_one_whose_other_ended_says_so_in_a_line() -> None:
    def one() -> object:
        here = processes.join("cpu")
        if here.rank:
            return ""
        try:
            here.total(torch.ones(1))
        except ProviderError as error:
            return str(error)

    said, _ = together(one)
    assert said.startswith("process 0 of 2 lost the others, which meet at 127.0.0.1:") and "\n" not in said


@pytest.mark.parametrize(
    "settings",
    [
        {"accumulate": 2, "val_every": 8, "ema": 0.5},
        {"optimizer": "sgd", "mix": "cutmix", "loss": "la"},
        {"fixed_crops": 2, "tune_blocks": 1},
        {"mix": "cutmix", "loss": "la", "syn_prob": "0.6:0.1", "syn_prior": True, "syn_head": True},
    ],
)
def test_two_train_as_one_does(clip: Loaded, settings: dict) -> None:
    few = Training(steps=20, batch=8, rank=2, lr=1e-2, **settings)

    def one() -> object:
        reported: list[int] = []
        on_report = lambda row, steps: reported.append(row["step"])  # noqa: E731
        trained = train(clip, DATA.classes, REAL, GENERATED, few, val=VAL, on_report=on_report)
        losses = [[row["loss"], row.get("val")] for row in trained.curve]
        return [losses, [float(weight.double().sum()) for weight in trained.classifier.parameters()], reported]

    (losses, sums, reported), (other_losses, other_sums, nothing) = together(one)
    alone, alone_sums, alone_reported = one()  # type: ignore[misc]
    assert all_equal([losses, other_losses]) and all_equal([sums, other_sums]), "they stay the same"
    assert reported == alone_reported and nothing == []
    for row, wanted in zip(losses, alone, strict=True):
        assert row == [pytest.approx(wanted[0], abs=1e-5), pytest.approx(wanted[1])]
    assert sums == pytest.approx(alone_sums, abs=1e-2)


def test_processes_that_see_different_states_are_told(clip: Loaded, tmp_path) -> None:
    few = Training(steps=10, batch=8, rank=2)

    def one() -> str:
        folder = tmp_path / os.environ["RANK"]
        if processes.rank():  # it alone has been there before
            os.environ["WORLD_SIZE"] = "1"
            train(clip, DATA.classes, REAL, [], few, resume=folder)
            os.environ["WORLD_SIZE"] = "2"
        try:
            train(clip, DATA.classes, REAL, [], few, resume=folder)
        except LtgcError as error:
            return str(error)
        return ""

    assert all("the processes find different states there; all need the same folder" in said for said in together(one))


def test_a_batch_is_cut_evenly_or_not_at_all() -> None:
    processes.check(16, 2, 4)
    with pytest.raises(InputError, match="--batch 12 cannot be cut evenly over 4 processes with --accumulate 2"):
        processes.check(12, 2, 4)
