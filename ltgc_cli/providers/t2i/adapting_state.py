"""The state of an adapter's training: one file, renamed into place, with a checksum and what run it is of.

What a step sees is a function of the seed and the step, so the adapter, its optimiser and a number are all of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from ltgc_cli.errors import InputError
from ltgc_cli.files import check_regular, put_in_place, temporary
from ltgc_cli.providers.opened import Notice
from ltgc_cli.text import one_line

STATE = "state.safetensors"
_WEIGHT = "weight"  # begins the names of the adapter's own tensors; of others what the optimiser calls them


class _Facts(msgspec.Struct, frozen=True):
    """What is no tensor of a state."""

    run: str
    step: int  # steps done
    loss: float  # the sum since the last report
    numbers: dict[str, Any]  # what an optimiser remembers besides its tensors, by its name and the weight's


def save(
    path: Path, run: str, step: int, loss: float, weights: Mapping[str, Tensor], optimizer: torch.optim.Optimizer
) -> None:
    """Writes the state; it is there, whole and on the disk, when this returns."""
    tensors = {f"{_WEIGHT}:{name}": weight for name, weight in weights.items()}
    numbers: dict[str, Any] = {}
    for name, weight in weights.items():
        for kind, value in optimizer.state[weight].items():
            (tensors if isinstance(value, Tensor) else numbers)[f"{kind}:{name}"] = value
    # Cloned: bitsandbytes has one table of its numbers for all weights, and a file has no tensor twice.
    flat = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    facts = msgspec.json.encode(_Facts(run, step, loss, numbers))
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary(path.parent) as unfinished:
        metadata = {"facts": facts.decode(), "sha256": checksum(facts, flat)}
        safetensors.torch.save_file(flat, unfinished, metadata)
        put_in_place(unfinished, path)


def load(
    path: Path, run: str, weights: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, notice: Notice
) -> tuple[int, float]:
    """Returns the steps done and the sum of the losses since the last report: (0, 0.0) where there is no state.

    Weights and optimiser take over what is there; a damaged file is left out, which is said.
    Raises InputError for another run's.
    """
    check_regular(path)  # what waits for a writer is said, and not waited for
    if not path.exists():
        return 0, 0.0
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            flat = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
        facts = msgspec.json.decode(metadata["facts"], type=_Facts)
        if metadata["sha256"] != checksum(metadata["facts"].encode(), flat):
            raise ValueError("its checksum is another")
        if facts.run == run:
            _check_fit(flat, facts.numbers, weights)
    except (safetensors.SafetensorError, ValueError, KeyError, OSError, RuntimeError) as error:
        notice(f"{path}: the state of training is damaged ({str(error) or 'empty'}); training begins anew")
        return 0, 0.0
    if facts.run != run:
        raise InputError(f"{path} is the state of a run with other images or settings; use another folder or delete it")
    # Not by load_state_dict, which would make floats of what bitsandbytes keeps in 8 bits.
    for key, value in (flat | facts.numbers).items():
        kind, _, name = key.partition(":")
        weight = weights[name]
        if kind == _WEIGHT:
            weight.data.copy_(value)
        else:  # torch's AdamW counts its steps on the CPU
            on_device = isinstance(value, Tensor) and kind != "step"
            optimizer.state[weight][kind] = value.to(weight.device) if on_device else value
    return facts.step, facts.loss


def finite(weights: Mapping[str, Tensor]) -> bool:
    """Returns whether all weights are numbers."""
    found = [weight.detach().isfinite().all() for weight in weights.values()]
    return not found or bool(torch.stack(found).all())


def _check_fit(flat: Mapping[str, Tensor], numbers: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Raises ValueError for what is no state of these weights."""
    kinds: dict[str, set[str]] = {name: set() for name in weights}
    for key in (*flat, *numbers):
        kind, _, name = key.partition(":")
        if name not in kinds:
            raise ValueError(f"{one_line(key)} belongs to no weight")
        kinds[name].add(kind)
        value = flat.get(key)
        if value is not None and kind in (_WEIGHT, "exp_avg", "exp_avg_sq") and value.shape != weights[name].shape:
            raise ValueError(f"{key} has another shape")
        if value is not None and value.is_floating_point() and not value.isfinite().all():
            raise ValueError(f"{key} has values that are no numbers")
    if len(set(map(frozenset, kinds.values()))) > 1 or not all(_WEIGHT in one for one in kinds.values()):
        raise ValueError("some of it is missing")


def checksum(facts: bytes, flat: Mapping[str, Tensor]) -> str:
    """Returns the sha256 (hex) of what a state says, and of its tensors' names and bytes, which lie on the CPU."""
    digest = hashlib.sha256(facts)
    for name in sorted(flat):
        digest.update(name.encode())
        digest.update(flat[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
