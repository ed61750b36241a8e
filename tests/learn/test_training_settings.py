from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from ltgc_cli.errors import InputError
from ltgc_cli.learn.settings import as_kept, checked, resolved, total_steps, without_effect
from ltgc_cli.settings import Training


def test_the_defaults_can_be() -> None:
    assert checked(Training()) == Training()


def test_every_setting_that_cannot_be_is_named_at_once() -> None:
    with pytest.raises(InputError) as error:
        checked(Training(batch=0, lr=-1, crop=2))
    assert str(error.value) == (
        "--batch 0: 1 or more is wanted; --lr -1: above 0 is wanted; --crop 2: above 0 and at most 1 is wanted"
    )


def test_a_word_is_among_those_that_there_are() -> None:
    with pytest.raises(InputError) as error:
        checked(Training(mix="cutout", sampler="x", loss=None, tune="all"))  # type: ignore[arg-type]
    assert str(error.value) == (
        "--mix cutout: one of balancemix, mixup, cutmix, none is wanted; "
        "--sampler x: one of instance, balanced, sqrt is wanted; "
        "--loss None: one of ce, la, balanced-softmax, ldam, focal, lade is wanted; "
        "--tune all: one of lora, adaptformer, bias, full, head is wanted"
    )


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"syn_prob": 1.5}, "--syn-prob 1.5: from 0 to 1 is wanted"),
        ({"syn_prob": "1.2:0"}, "--syn-prob 1.2:0: from 0 to 1 is wanted"),
        ({"syn_prob": "0.5:nan"}, "--syn-prob 0.5:nan: from 0 to 1 is wanted"),
        ({"syn_prob": "0.5:"}, "--syn-prob 0.5:: a number, or FIRST:LAST such as 0.5:0, is wanted"),
        ({"syn_prob": "a:b"}, "--syn-prob a:b: a number, or FIRST:LAST such as 0.5:0, is wanted"),
        ({"syn_prob": "1:0:1"}, "--syn-prob 1:0:1: a number, or FIRST:LAST such as 0.5:0, is wanted"),
        ({"epochs": math.inf}, "--epochs inf: a finite number is wanted"),
        ({"tau": math.nan}, "--tau nan: a finite number is wanted"),
        ({"mix_alpha": 0}, "--mix-alpha 0: above 0 and at most 10000 is wanted"),
        ({"gamma": -1}, "--gamma -1: from 0 to 10000 is wanted"),
        ({"margin": -1}, "--margin -1: from 0 to 10000 is wanted"),
        ({"batch": 64, "accumulate": 3}, "--accumulate 3 must divide --batch 64"),
        ({"ema": 1.0}, "--ema 1.0: 0 or more and below 1 is wanted"),
        ({"momentum": 1.0}, "--momentum 1.0: 0 or more and below 1 is wanted"),
        ({"scale": 1e308}, "--scale 1e\\+308: above 0 and at most 10000 is wanted"),
        ({"lora_alpha": 1e300}, "--lora-alpha 1e\\+300: above 0 and at most 10000 is wanted"),
        ({"tau": -1e9}, "--tau -1000000000.0: from -10000 to 10000 is wanted"),
        ({"epochs": 0}, "--epochs 0: above 0 is wanted where --steps is not given"),
    ],
)
def test_a_number_keeps_its_bounds(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}$"):
        checked(Training(**setting))


def test_no_epochs_are_needed_where_steps_are_given() -> None:
    assert checked(Training(epochs=0, steps=5)).steps == 5


def test_kept_features_of_fixed_crops_cannot_be_mixed_by_pixels() -> None:
    with pytest.raises(InputError, match="fixed-crops keeps features of whole images"):
        checked(Training(fixed_crops=4, mix="mixup"))
    assert resolved(checked(Training(fixed_crops=4)), generated=9, classes=10).mix == "none"


def test_what_is_left_open_follows_from_the_data() -> None:
    def decided(generated: int, **given: Any) -> tuple[str | None, str | None]:
        found = resolved(Training(**given), generated=generated, classes=10)
        return found.mix, found.sampler

    assert decided(9) == ("balancemix", "balanced")
    assert decided(0) == ("none", "instance")
    assert decided(9, mix="cutmix") == ("cutmix", "instance")
    assert decided(0, mix="balancemix") == ("balancemix", "balanced")
    assert decided(9, sampler="sqrt") == ("balancemix", "sqrt")


@pytest.mark.parametrize(("classes", "rank"), [(10, 1), (365, 8), (1000, 32), (8142, 256)])
def test_the_rank_by_the_number_of_classes_is_a_power_of_two(classes: int, rank: int) -> None:
    assert resolved(Training(rank=0), generated=0, classes=classes, blocks=12).rank == rank


def test_steps_follow_from_epochs_over_all_images_with_a_floor_for_small_data() -> None:
    assert total_steps(Training(epochs=10, batch=64, min_steps=200), 64_000) == 10_000
    assert total_steps(Training(epochs=10, batch=64, min_steps=200), 347) == 200
    assert total_steps(Training(steps=3), 64_000) == 3


def test_defaults_are_read_without_torch() -> None:
    code = "import sys, ltgc_cli.learn.settings; assert not {'torch', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, []),
        ({"tune": "head"}, []),
        (
            {"tune": "head", "rank": 4, "dropout": 0.1},
            ["--rank has no effect with --tune head", "--dropout has no effect with --tune head"],
        ),
        ({"tune": "adaptformer", "rank": 4, "lora_on": "mlp"}, ["--lora-on has no effect with --tune adaptformer"]),
        ({"gamma": 3.0}, ["--gamma has no effect with --loss ce"]),
        ({"loss": "focal", "gamma": 3.0}, []),
        ({"momentum": 0.5}, ["--momentum has no effect with --optimizer adamw"]),
        ({"mix": "none", "mix_prob": 0.5}, ["--mix-prob has no effect with --mix none"]),
        ({"steps": 10, "epochs": 3.0}, ["--epochs has no effect with --steps 10"]),
        ({"mix": "cutmix", "syn_prior": True, "syn_head": True}, ["--syn-prior has no effect with --loss ce"]),
        ({"mix": "cutmix", "syn_prior": True, "loss": "lade", "syn_prob": 0.5}, []),
        (
            {"syn_prob": "0.5:0"},
            ["--syn-prob has no effect under balancemix, which is what --mix is unless it is given"],
        ),
    ],
)
def test_a_setting_that_changes_nothing_is_said(given: dict[str, Any], said: list[str]) -> None:
    assert without_effect(Training(**given)) == said


def test_without_generated_images_their_prior_and_head_change_nothing_and_that_is_said() -> None:
    both = Training(mix="cutmix", loss="la", syn_prior=True, syn_head=True)
    said = ["--syn-prior has no effect without generated images", "--syn-head has no effect without generated images"]
    assert without_effect(both) == [] and without_effect(both, generated=False) == said
    alone, mixed = (resolved(both, generated=count, classes=10) for count in (0, 9))
    assert (alone.syn_prior, alone.syn_head, mixed.syn_prior, mixed.syn_head) == (False, False, True, True)
    assert not resolved(Training(mix="cutmix", syn_prior=True), generated=9, classes=10).syn_prior, "ce has no prior"


@pytest.mark.parametrize("mix", [None, "balancemix"])
def test_a_prior_or_head_for_generated_images_is_not_for_rows_that_are_half_real(mix: Any) -> None:
    with pytest.raises(InputError) as error:
        checked(Training(mix=mix, syn_prior=True, syn_head=True))
    assert str(error.value) == (
        "--syn-prior and --syn-head: balancemix mixes real with generated images, and this is for images of one kind; "
        "add --mix cutmix, mixup or none"
    )
    assert checked(Training(fixed_crops=2, syn_head=True)).syn_head, "fixed crops are never mixed"


def test_settings_that_came_later_are_kept_where_they_are_used() -> None:
    assert not {"syn_prior", "syn_head"} & as_kept(Training(syn_prob=0.5)).keys()
    used = Training(mix="cutmix", syn_prior=True, syn_head=True, syn_prob="0.5:0")
    assert msgspec.convert(as_kept(used), Training) == used
