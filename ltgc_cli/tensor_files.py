"""Tensors in .safetensors files: written whole or not at all, and looked at before a training goes on from them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from ltgc_cli.files import check_regular, make_folder, named_errors, put_in_place, temporary

STATE = "state.safetensors"  # of a training that is under way
DAMAGED = (safetensors.SafetensorError, ValueError, KeyError, OSError, RuntimeError)
"""What `read` and the checks raise for a state that is not whole."""
REMEMBERED: dict[type[torch.optim.Optimizer], set[str]] = {
    torch.optim.AdamW: {"exp_avg", "exp_avg_sq", "step"},
    torch.optim.SGD: {"momentum_buffer"},
}
"""What an optimiser remembers of each weight, as torch calls it."""


def save(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes a file that is whole and on the disk on return, its folders too. Raises as `named_errors`.

    tensors -- on the CPU, contiguous
    """
    make_folder(path.parent)
    with temporary(path.parent) as unfinished, named_errors(path, writing=True):
        with _as_os_errors():
            safetensors.torch.save_file(dict(tensors), unfinished, dict(metadata))
        put_in_place(unfinished, path)


@contextmanager
def _as_os_errors() -> Iterator[None]:
    """A context in which what the system says to safetensors, which is written in Rust, is an OSError."""
    try:
        yield
    except safetensors.SafetensorError as error:
        if not (number := re.search(r"\(os error (\d+)\)", str(error))):
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1]))) from None


def read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Returns what a file says of itself, and its tensors.

    Raises InputError for a folder, a device or a pipe, and one of DAMAGED for what is no such file.
    """
    check_regular(path)
    with safetensors.safe_open(path, "pt") as file:
        return file.metadata() or {}, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (it is no dict)


def check_fits(kind: str, value: Tensor, weight: Tensor, steps: int) -> None:
    """Raises ValueError for a tensor that a training which has done so many steps cannot have of a weight.

    kind -- one of REMEMBERED; any other is as the weight itself
    """
    like = torch.empty((), device="meta") if kind == "step" else weight
    if (value.shape, value.dtype) != (like.shape, like.dtype):
        is_not = f"{value.dtype} {list(value.shape)}, not {like.dtype} {list(like.shape)}"
        raise ValueError(f"its {kind} of a weight is {is_not}")
    if not value.isfinite().all():
        raise ValueError(f"its {kind} of a weight has values that are no numbers")
    if kind in ("step", "exp_avg_sq") and (value < 0).any() or kind == "step" and value > steps:
        raise ValueError(f"its {kind} of a weight is out of range")


def checksum(facts: bytes, flat: Mapping[str, Tensor]) -> str:
    """Returns the sha256 (hex) of what a state says, and of its tensors' names and bytes, which lie on the CPU."""
    digest = hashlib.sha256(facts)
    for name in sorted(flat):
        digest.update(name.encode())
        digest.update(flat[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def finite(weights: Mapping[str, Tensor]) -> bool:
    """Returns whether all weights are numbers."""
    found = [weight.detach().isfinite().all() for weight in weights.values()]
    return not found or bool(torch.stack(found).all())
