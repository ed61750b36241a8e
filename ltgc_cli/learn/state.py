"""The state of training: one file, renamed into place, so it is never half of one step and half of another.

What is drawn at random is a function of the seed and the step, so a step's number is all the state it has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from ltgc_cli import schemas
from ltgc_cli.errors import InputError
from ltgc_cli.files import put_in_place, temporary
from ltgc_cli.learn.datasets import ClassInfo, Sample
from ltgc_cli.learn.model import Texts
from ltgc_cli.learn.settings import as_kept
from ltgc_cli.settings import Training

STATE = "state.safetensors"

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
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary(path.parent) as unfinished:
            safetensors.torch.save_file(flat, unfinished, {"run": run, "facts": facts})
            put_in_place(unfinished, path)

    def load(self, path: Path, run: str) -> None:
        """Takes over the state of a run that was killed, where there is one. Raises InputError for another run's."""
        if not path.exists():
            return
        kinds: dict[str, Tensors] = {}
        try:
            with safetensors.safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                if "about" in metadata:  # as versions before this one wrote it; its training starts anew
                    return
                schemas.check_json(path, metadata.get("facts", ""))
                if metadata.get("run") != run:
                    raise InputError(
                        f"{path} is the state of a run with other data or settings; use another folder or delete it"
                    )
                facts = msgspec.json.decode(metadata["facts"], type=_Facts)
                for key in file.keys():  # noqa: SIM118 (it is no dict)
                    kind, _, name = key.partition(":")
                    kinds.setdefault(kind, {})[name] = file.get_tensor(key).to(self.weights[name].device)
        except (safetensors.SafetensorError, msgspec.DecodeError, KeyError) as error:
            raise InputError(f"{path}: the state of training cannot be read ({error}); delete the file") from None
        self.step, self.curve, self.best_accuracy = facts.step, facts.curve, facts.best_accuracy
        put(self.weights, kinds["weight"])
        self.ema, self.best = kinds.get("ema", {}), kinds.get("best", {})
        for kind, named in kinds.items():
            for name, value in named.items() if kind.startswith(_MOMENT) else ():
                self.optimizer.state[self.weights[name]][kind.removeprefix(_MOMENT)] = value


class _Facts(msgspec.Struct, frozen=True):
    """What is no tensor of a state."""

    step: int
    curve: list[dict[str, Any]]
    best_accuracy: float | None


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
