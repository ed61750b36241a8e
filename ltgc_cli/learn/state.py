"""The state of training: one file, renamed into place, so it is never half of one step and half of another.

What is drawn at random is a function of the seed and the step, so a step's number is all the state it has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from ltgc_cli.errors import InputError
from ltgc_cli.files import put_in_place, temporary
from ltgc_cli.learn.datasets import ClassInfo, Sample
from ltgc_cli.learn.settings import Settings

STATE = "state.safetensors"

Tensors = dict[str, Tensor]


class About(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run is: its stage, its steps done, what it has said, and whose weights are the best so far."""

    stage: str
    step: int
    curve: list[dict[str, Any]]
    harmful: dict[int, tuple[float, float]] = {}
    best: float | None = None
    """The best accuracy on the validation set so far, and the stage that reached it."""
    best_stage: str = ""


class State(msgspec.Struct, frozen=True):
    """A state that was read: what it is about, and its tensors by kind (weight, average, best, moments) and name."""

    about: About
    tensors: dict[str, Tensors]


def run_id(
    clip: str,
    classes: Sequence[ClassInfo],
    real: Sequence[Sample],
    generated: Sequence[Sample],
    val: Sequence[Sample],
    texts: Mapping[int, Sequence[str]],
    settings: Settings,
) -> str:
    """Returns the sha256 (hex) of what a run is told apart by: another run's state is never gone on from."""
    scored = settings.syn_by_score  # a score that nothing draws by is no part of the run
    named = [[[s.label, s.name, s.score if scored else None] for s in samples] for samples in (real, generated, val)]
    told = [[label, list(texts[label])] for label in sorted(texts)]
    facts = [clip, msgspec.to_builtins(classes), named, told, msgspec.to_builtins(settings)]
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()


def save(path: Path, run: str, about: About, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Writes the state; it is there, whole and on the disk, when this returns."""
    flat = {
        f"{kind}:{name}": tensor.detach().cpu().contiguous()
        for kind, named in tensors.items()
        for name, tensor in named.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary(path.parent) as unfinished:
        safetensors.torch.save_file(flat, unfinished, {"run": run, "about": msgspec.json.encode(about).decode()})
        put_in_place(unfinished, path)


def read(path: Path, run: str) -> State | None:
    """Returns the state of a run that was killed, None where there is none. Raises InputError for another run's."""
    if not path.exists():
        return None
    tensors: dict[str, Tensors] = {}
    try:
        with safetensors.safe_open(path, "pt") as file:
            said = file.metadata() or {}
            if said.get("run") != run:
                raise InputError(
                    f"{path} is the state of a run with other data or settings; use another folder or delete it"
                )
            about = msgspec.json.decode(said["about"], type=About)
            for key in file.keys():  # noqa: SIM118 (it is no dict)
                kind, _, name = key.partition(":")
                tensors.setdefault(kind, {})[name] = file.get_tensor(key)
    except (safetensors.SafetensorError, msgspec.DecodeError, KeyError) as error:
        raise InputError(f"{path}: the state of training cannot be read ({error}); delete the file") from None
    return State(about, tensors)


def moments(optimizer: torch.optim.Optimizer, weights: Mapping[str, nn.Parameter]) -> dict[str, Tensors]:
    """Returns what an optimiser remembers of each weight, by kind (`moment.exp_avg`) and name."""
    found: dict[str, Tensors] = {}
    for name, weight in weights.items():
        for kind, value in optimizer.state.get(weight, {}).items():
            if isinstance(value, Tensor):
                found.setdefault(f"moment.{kind}", {})[name] = value
    return found


def put_moments(optimizer: torch.optim.Optimizer, weights: Mapping[str, nn.Parameter], state: State) -> None:
    """Puts what was remembered back into an optimiser, the inverse of `moments`."""
    for kind, named in state.tensors.items():
        if kind.startswith("moment."):
            for name, value in named.items():
                optimizer.state[weights[name]][kind.removeprefix("moment.")] = value.to(weights[name].device)


def put(weights: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> None:
    """Copies values into the weights of the same names."""
    with torch.no_grad():
        for name, value in values.items():
            weights[name].copy_(value)


def copied(weights: Mapping[str, Tensor]) -> Tensors:
    """Returns the weights' values as they are now."""
    return {name: weight.detach().clone() for name, weight in weights.items()}
