"""The state of training: one file, renamed into place, so it is never half of one step and half of another.

What is drawn at random is a function of the seed and the step, so a step's number is all the state it has.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
from torch import Tensor, nn

from ltgc_cli import console, schemas, tensor_files
from ltgc_cli.errors import InputError
from ltgc_cli.learn.datasets import ClassInfo, Sample
from ltgc_cli.learn.model import Texts
from ltgc_cli.learn.settings import as_kept
from ltgc_cli.settings import Training
from ltgc_cli.tensor_files import checksum
from ltgc_cli.text import one_line

Tensors = dict[str, Tensor]
_MOMENT = "moment."  # begins the kinds of tensors that an optimiser remembers: moment.exp_avg


@dataclass
class TrainingState:
    """What training has come to: all that a run which is killed needs to go on exactly."""

    weights: Mapping[str, nn.Parameter]  # what is trained, by name
    optimizer: torch.optim.Optimizer
    ema: Tensors  # the moving average of the weights; empty where none is kept
    best: Tensors = field(default_factory=dict)  # on the validation set; empty before the first measurement
    best_accuracy: float | None = None
    step: int = 0  # steps done
    curve: list[dict[str, Any]] = field(default_factory=list)

    def save(self, path: Path, run: str) -> None:
        """Writes the state; it is there, whole and on the disk, when this returns."""
        kinds = {"weight": self.weights, "ema": self.ema, "best": self.best}
        flat = {f"{kind}:{name}": tensor for kind, named in kinds.items() for name, tensor in named.items()}
        for name, weight in self.weights.items():
            remembered = self.optimizer.state.get(weight, {}).items()
            flat |= {f"{_MOMENT}{kind}:{name}": value for kind, value in remembered if isinstance(value, Tensor)}
        flat = {key: tensor.detach().cpu().contiguous() for key, tensor in flat.items()}
        facts = msgspec.json.encode(_Facts(self.step, self.curve, self.best_accuracy)).decode()
        metadata = {"run": run, "facts": facts, "sha256": checksum((run + facts).encode(), flat)}
        tensor_files.save(path, flat, metadata)

    def load(self, path: Path, run: str, steps: int) -> None:
        """Takes over the state of a run that was killed, where there is one; a damaged one is left out, which is said.

        steps -- of the whole training
        Raises InputError for another run's, one of a newer version, and for what is no regular file.
        """
        if not path.exists():
            return
        try:
            metadata, flat = tensor_files.read(path)
            if "about" in metadata:  # as versions before this one wrote it; its training starts anew
                return
            schemas.check_json(path, metadata.get("facts", ""))
            if metadata.get("sha256", "") not in ("", checksum((metadata["run"] + metadata["facts"]).encode(), flat)):
                raise ValueError("its checksum is another")
            facts = msgspec.json.decode(metadata["facts"], type=_Facts)
            kinds = self._fitting(flat, facts, steps) if metadata["run"] == run else {}
        except tensor_files.DAMAGED as error:
            why = one_line(error) or "empty"
            console.notice(f"{path}: the state of training is damaged ({why}); training begins anew")
            return
        if not kinds:
            raise InputError(
                f"{path} is the state of a run with other data or settings; use another folder or delete it"
            )
        self.step, self.curve, self.best_accuracy = facts.step, facts.curve, facts.best_accuracy
        put(self.weights, kinds["weight"])
        self.ema, self.best = kinds.get("ema", {}), kinds.get("best", {})
        for kind, named in kinds.items():
            for name, value in named.items() if kind.startswith(_MOMENT) else ():
                self.optimizer.state[self.weights[name]][kind.removeprefix(_MOMENT)] = value

    def _fitting(self, flat: Tensors, facts: _Facts, steps: int) -> dict[str, Tensors]:
        """Returns tensors by kind and name. Raises ValueError for what is no state of these weights."""
        if max([facts.step, *(row.get("step", math.inf) for row in facts.curve)]) > steps:
            raise ValueError(f"it has done {facts.step} steps of {steps}")
        if not all(row.keys() >= {"step", "loss", "lr"} for row in facts.curve):
            raise ValueError("a row of its curve is none")
        kinds: dict[str, Tensors] = {}
        for key, value in flat.items():
            kind, _, name = key.partition(":")
            weight = self.weights.get(name)
            if weight is None or not (kind in ("weight", "ema", "best") or kind.startswith(_MOMENT)):
                raise ValueError(f"{key} belongs to no weight")
            tensor_files.check_fits(kind.removeprefix(_MOMENT), value, weight, facts.step)
            kinds.setdefault(kind, {})[name] = value.to(weight.device)
        moments = {kind: named.keys() for kind, named in kinds.items() if kind.startswith(_MOMENT)}
        if any(kinds.get(kind, self.weights).keys() != self.weights.keys() for kind in ("weight", "ema", "best")):
            raise ValueError("some of its weights are missing")
        if "weight" not in kinds or bool(self.ema) != ("ema" in kinds):
            raise ValueError("its weights are missing")
        if (facts.best_accuracy is None) != ("best" not in kinds):
            raise ValueError("its best weights are missing")
        remembered = {f"{_MOMENT}{kind}" for kind in tensor_files.REMEMBERED[type(self.optimizer)]}
        whole = moments.keys() == remembered and len(set(map(frozenset, moments.values()))) == 1
        if moments and not whole:  # a weight without a gradient has none
            raise ValueError("what its optimiser remembers is not whole")
        return kinds


class _Facts(msgspec.Struct, frozen=True):
    """What is no tensor of a state."""

    step: Annotated[int, msgspec.Meta(ge=0)]
    curve: list[dict[str, int | float]]
    best_accuracy: Annotated[float, msgspec.Meta(ge=0, le=100)] | None


def run_id(
    clip: str, classes: Sequence[ClassInfo], samples: Sequence[Sequence[Sample]], texts: Texts, settings: Training
) -> str:
    """Returns the sha256 (hex) of what a run is told apart by: another run's state is never gone on from.

    samples -- the originals, the generated images, the validation images
    """
    named = [[[sample.label, sample.name] for sample in part] for part in samples]
    by_label = [[label, list(texts[label])] for label in sorted(texts)]
    content = [clip, msgspec.to_builtins(classes), named, by_label, as_kept(settings)]
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()


def copied(weights: Mapping[str, Tensor]) -> Tensors:
    """Returns the weights' values as they are now."""
    return {name: weight.detach().clone() for name, weight in weights.items()}


def put(weights: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> None:
    """Copies values into the weights of the same names."""
    with torch.no_grad():
        for name, value in values.items():
            weights[name].copy_(value)


def ema_update(ema: Mapping[str, Tensor], weights: Mapping[str, nn.Parameter], step: int, decay: float) -> None:
    """Moves the average towards the weights. Its decay rises to `decay`, or the first weights would weigh for long."""
    decay = min(decay, (1 + step) / (10 + step))
    for name, value in ema.items():
        value.lerp_(weights[name].detach(), 1 - decay)


@contextmanager
def swap_weights(weights: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> Iterator[None]:
    """A context in which the weights of these names have these values."""
    own = copied({name: weights[name] for name in values})
    put(weights, values)
    try:
        yield
    finally:
        put(weights, own)
