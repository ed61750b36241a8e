from __future__ import annotations

import subprocess
import sys

import pytest

from ltgc_cli.errors import InputError
from ltgc_cli.providers import torch_setup


def python(code: str) -> str:
    """Returns what a fresh interpreter prints."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    ).stdout


def test_torchvision_can_be_imported_after_mending_whatever_came_with_it():
    code = "from ltgc_cli.providers.torch_setup import mend_torchvision as mend\n"
    code += "first = mend(); import torchvision; print(first == mend(), torchvision.transforms.__name__)"

    assert python(code).split() == ["True", "torchvision.transforms"]


def test_a_torchvision_that_is_imported_already_is_left_alone():
    code = "import sys, types; sys.modules['torchvision'] = types.ModuleType('torchvision')\n"
    code += (
        "from ltgc_cli.providers.torch_setup import mend_torchvision; print(mend_torchvision(), 'torch' in sys.modules)"
    )

    assert python(code).split() == ["False", "False"]


def test_a_torchvision_whose_compiled_part_loads_is_left_alone(monkeypatch):
    from ltgc_cli.providers import torch_setup

    monkeypatch.setattr(torch_setup, "_held", [])
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.setattr(torch_setup, "_compiled_part_loads", lambda: True)
    monkeypatch.setattr(torch_setup, "_declared", lambda: 1 / 0)

    assert torch_setup.mend_torchvision() is False


def test_the_device_is_one_that_torch_knows():
    import torch

    from ltgc_cli.providers.torch_setup import device

    assert torch.zeros(1, device=device()).sum() == 0


def test_a_device_that_is_not_there_is_named_and_the_best_one_is_the_default():
    assert torch_setup.device("cpu") == "cpu"
    assert torch_setup.device() in ("cpu", "cuda", "mps")
    with pytest.raises(InputError, match="^--device warp9: no device of torch; write cuda, cuda:1, mps or cpu$"):
        torch_setup.device("warp9")
    import torch

    if not torch.cuda.is_available():
        with pytest.raises(InputError, match=r"^--device cuda: .*; leave it out to compute on the best there is$"):
            torch_setup.device("cuda")
