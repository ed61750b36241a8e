from __future__ import annotations

import subprocess
import sys

import pytest

from ltgc_cli.errors import InputError
from ltgc_cli.learn.settings import Settings, checked, total_steps


def test_the_defaults_can_be() -> None:
    assert checked(Settings()) == Settings()


def test_every_setting_that_cannot_be_is_named_at_once() -> None:
    with pytest.raises(InputError, match="^batch 0 must be 1 or more; lr -1 must be above 0; crop 2 must be above 0"):
        checked(Settings(batch=0, lr=-1, crop=2))


def test_a_mix_and_a_sampler_are_among_those_that_there_are() -> None:
    with pytest.raises(
        InputError, match="^mix 'cutmix' must be one of balancemix, mixup, none; sampler 'x' must be one of"
    ):
        checked(Settings(mix="cutmix", sampler="x"))  # type: ignore[arg-type]


def test_steps_follow_from_epochs_over_all_images_with_a_floor_for_small_data() -> None:
    assert total_steps(Settings(epochs=10, batch=64, min_steps=200), 64_000) == 10_000
    assert total_steps(Settings(epochs=10, batch=64, min_steps=200), 347) == 200
    assert total_steps(Settings(steps=3), 64_000) == 3


def test_defaults_are_read_without_torch() -> None:
    code = "import sys, ltgc_cli.learn.settings; assert not {'torch', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
