"""The state of an adapter's training: one file, renamed into place, with a checksum and what run it is of.

What a step sees is a function of the seed and the step, so the adapter, its optimiser and a number are all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
from torch import Tensor

from ltgc_cli import schemas, tensor_files
from ltgc_cli.errors import InputError
from ltgc_cli.providers.opened import Notice
from ltgc_cli.tensor_files import checksum
from ltgc_cli.text import one_line

_WEIGHT = "weight"  # begins the names of the adapter's own tensors; of others what the optimiser calls them


class _Facts(msgspec.Struct, frozen=True):
    """What is no tensor of a state."""

    run: str
    step: Annotated[int, msgspec.Meta(ge=0)]  # steps done
    loss: Annotated[float, msgspec.Meta(ge=0)]  # the sum since the last report
    numbers: dict[str, int | float]  # what an optimiser remembers besides its tensors, by its name and the weight's


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
    tensor_files.save(path, flat, {"facts": facts.decode(), "sha256": checksum(facts, flat)})


def load(
    path: Path, run: str, steps: int, weights: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, notice: Notice
) -> tuple[int, float]:
    """Returns the steps done and the sum of the losses since the last report: (0, 0.0) where there is no state.

    Weights and optimiser take over what is there; a damaged file is left out, which is said.
    steps -- of the whole training
    Raises InputError for another run's, one of a newer version, and for what is no regular file.
    """
    if not path.exists():
        return 0, 0.0
    try:
        metadata, flat = tensor_files.read(path)
        schemas.check_json(path, metadata["facts"])
        facts = msgspec.json.decode(metadata["facts"], type=_Facts)
        if metadata["sha256"] != checksum(metadata["facts"].encode(), flat):
            raise ValueError("its checksum is another")
        if facts.run == run:
            _check_fit(flat, facts, steps, weights, optimizer)
    except tensor_files.DAMAGED as error:
        notice(f"{path}: the state of training is damaged ({one_line(error) or 'empty'}); training begins anew")
        return 0, 0.0
    if facts.run != run:
        raise InputError(f"{path} is the state of a run with other images or settings; use another folder or delete it")
    # Not by load_state_dict, which would make floats of what bitsandbytes keeps in 8 bits.
    remembered: dict[str, Any] = {**flat, **facts.numbers}
    for key, value in remembered.items():
        kind, _, name = key.partition(":")
        weight = weights[name]
        if kind == _WEIGHT:
            weight.data.copy_(value)
        else:  # torch's AdamW counts its steps on the CPU
            on_device = isinstance(value, Tensor) and kind != "step"
            optimizer.state[weight][kind] = value.to(weight.device) if on_device else value
    return facts.step, facts.loss


def _check_fit(
    flat: Mapping[str, Tensor],
    facts: _Facts,
    steps: int,
    weights: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Raises ValueError for what is no state of these weights in a training of so many steps."""
    if facts.step > steps:
        raise ValueError(f"it has done {facts.step} steps of {steps}")
    own = tensor_files.REMEMBERED[torch.optim.AdamW] if isinstance(optimizer, torch.optim.AdamW) else None
    kinds: dict[str, set[str]] = {name: set() for name in weights}
    for key in (*flat, *facts.numbers):
        kind, _, name = key.partition(":")
        if name not in kinds:
            raise ValueError(f"{one_line(key)} belongs to no weight")
        kinds[name].add(kind)
    for key, value in flat.items():
        kind, _, name = key.partition(":")
        if kind == _WEIGHT or own:
            tensor_files.check_fits(kind, value, weights[name], facts.step)
        elif value.is_floating_point() and not value.isfinite().all():
            raise ValueError(f"{key} has values that are no numbers")
    for key, number in facts.numbers.items():
        if own or (key.startswith("step:") and not (isinstance(number, int) and 0 <= number <= facts.step)):
            raise ValueError(f"{key} is out of range")
    # bitsandbytes keeps small weights' numbers otherwise than those of large ones.
    if not all(one == {_WEIGHT, *own} if own else _WEIGHT in one for one in kinds.values()):
        raise ValueError("some of it is missing")
