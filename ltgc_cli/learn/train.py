"""mix-train: LoRA on CLIP's vision tower and a cosine head, on mixes of original and generated images."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from ltgc_cli.errors import InputError
from ltgc_cli.learn import balance_mix, images, model
from ltgc_cli.learn.datasets import ClassInfo, Sample
from ltgc_cli.learn.losses import LOSSES
from ltgc_cli.learn.settings import Settings, checked, resolved, total_steps
from ltgc_cli.providers.clip.open_clip import Loaded
from ltgc_cli.store import write_atomically

REPORT_EVERY = 10
"""Steps. The loss is read from the device only then: reading it makes the device wait."""
STATE = "state.safetensors"
_READ_AHEAD = 4


class Progress(NamedTuple):
    """Where training is: steps done out of all, the mean loss since the last report, the learning rate."""

    step: int
    steps: int
    loss: float
    lr: float


class Trained(NamedTuple):
    """The classifier, ready for predictions, and its training curve, a row for each report."""

    classifier: model.Classifier
    curve: tuple[dict[str, float], ...]


def _silent(progress: Progress) -> None:
    pass


def train(
    clip: Loaded,
    classes: Sequence[ClassInfo],
    real: Sequence[Sample],
    generated: Sequence[Sample],
    settings: Settings,
    *,
    on_step: Callable[[Progress], None] = _silent,
    resume: Path | None = None,
    save_every: int = 50,
) -> Trained:
    """Returns the trained classifier. The same arguments give the same weights, on a CPU bit for bit.

    classes -- the class table; a column of the logits each, in this order
    real, generated -- D_o and D_g; their labels are the table's
    resume -- a folder for the state of training: a run that was killed goes on from it
    Raises InputError for settings that cannot be, an unknown label, or bytes that are no image.
    """
    settings = resolved(checked(settings), generated=len(generated), classes=len(classes))
    pool = balance_mix.pool(columns(real, classes), columns(generated, classes), len(classes))
    prior = torch.from_numpy(balance_mix.label_marginal(pool, settings)).float().to(clip.device)
    steps = total_steps(settings, len(pool.classes))

    classifier = model.start(clip, classes, settings).to(clip.device).train()
    weights = {name: weight for name, weight in classifier.named_parameters() if weight.requires_grad}
    optimizer = torch.optim.AdamW(_groups(weights, settings), fused=True)
    run = _run_id(clip, classes, [*real, *generated], settings)
    curve = _restored(resume / STATE, run, weights, optimizer) if resume else []
    done = saved = int(curve[-1]["step"]) if curve else 0

    frame = images.frame(clip.preprocess)
    batches = _batches(range(done, steps), pool, images.reader([*real, *generated], frame), settings)
    losses: list[Tensor] = []
    for step, batch in enumerate(batches, start=done):
        lr = learning_rate(step, steps, settings)
        for group in optimizer.param_groups:
            group["lr"] = lr

        inputs = images.normalized(_mixed(batch, step, settings, clip.device), frame)
        targets = torch.from_numpy(balance_mix.soft_targets(batch.plan, pool, settings)).to(clip.device)
        with _seeded_dropout(step, settings, clip.device), _autocast(clip.device):
            logits = classifier(inputs)
        loss = LOSSES[settings.loss](logits, targets, prior, settings)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(weights.values(), settings.clip_norm)
        optimizer.step()
        optimizer.zero_grad()

        losses.append(loss.detach())
        done = step + 1
        if done % REPORT_EVERY == 0 or done == steps:
            mean = float(torch.stack(losses).mean())
            losses.clear()
            if not math.isfinite(mean):
                raise InputError(f"the loss is {mean} after {done} steps; a lower --lr than {settings.lr:g} may train")
            curve.append({"step": done, "loss": mean, "lr": lr})
            if resume and (done - saved >= save_every or done == steps):
                _save_state(resume / STATE, run, weights, optimizer, curve)
                saved = done
            on_step(Progress(done, steps, mean, lr))
    return Trained(classifier.eval().requires_grad_(False), tuple(curve))


def columns(samples: Sequence[Sample], classes: Sequence[ClassInfo]) -> list[int]:
    """Returns the place of each sample's class in the class table. Raises InputError for a label it does not have."""
    places = {info.label: place for place, info in enumerate(classes)}
    for sample in samples:
        if sample.label not in places:
            raise InputError(f"{sample.name}: the class table has no label {sample.label}")
    return [places[sample.label] for sample in samples]


def learning_rate(step: int, steps: int, settings: Settings) -> float:
    """Returns the learning rate of a step (from 0): a linear rise, then half a cosine down to 0 after the last one."""
    rise = round(settings.warmup * steps)
    if step < rise:
        return settings.lr * (step + 1) / rise
    return settings.lr * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


class _Batch(NamedTuple):
    """A step's plan and its frames, uint8 [batch, 3, height, width]."""

    plan: balance_mix.Plan
    first: Tensor
    second: Tensor | None


def _batches(steps: range, pool: balance_mix.Pool, frames: images.Frames, settings: Settings) -> Iterator[_Batch]:
    """Returns the steps' batches, in order; where images are decoded on demand, some steps ahead."""

    def batch(step: int) -> _Batch:
        plan = balance_mix.plan(step, pool, settings)
        return _Batch(plan, frames.read(plan.first), None if plan.second is None else frames.read(plan.second))

    return map(batch, steps) if frames.in_memory else images.ahead(batch, steps, _READ_AHEAD)


def _mixed(batch: _Batch, step: int, settings: Settings, device: str) -> Tensor:
    """Returns x̃ = λ x_i + (1 - λ) x_j, each augmented by itself before: 0..255 [batch, 3, height, width]."""
    rng = np.random.default_rng([settings.seed, step, 1])
    place = device if device.startswith("cuda") else "cpu"  # not every other device can resample

    def augmented(frames: Tensor) -> Tensor:
        return images.augment(frames.to(place), rng, crop=settings.crop, rotate=settings.rotate, flip=settings.flip).to(
            device
        )

    first = augmented(batch.first)
    if batch.second is None:
        return first
    lam = torch.from_numpy(batch.plan.lam).to(device)[:, None, None, None]
    return lam * first + (1 - lam) * augmented(batch.second)


def _groups(weights: Mapping[str, nn.Parameter], settings: Settings) -> list[dict[str, Any]]:
    lora = [weight for name, weight in weights.items() if name.startswith("visual.")]
    head = [weight for name, weight in weights.items() if name.startswith("head.")]
    return [{"params": lora, "weight_decay": settings.weight_decay}, {"params": head, "weight_decay": 0.0}]


@contextmanager
def _seeded_dropout(step: int, settings: Settings, device: str) -> Iterator[None]:
    """Returns a context whose dropout depends on the seed and the step alone; the random state outside is kept."""
    if not settings.dropout:
        yield
        return
    with torch.random.fork_rng(devices=[device] if device.startswith("cuda") else []):
        torch.manual_seed(settings.seed * 1_000_003 + step)
        yield


def _autocast(device: str) -> AbstractContextManager[Any]:
    return torch.autocast("cuda", torch.bfloat16) if device.startswith("cuda") else nullcontext()


# ---- the state of training: one file, renamed into place, so it is never half of one step and half of another

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def _run_id(clip: Loaded, classes: Sequence[ClassInfo], samples: Sequence[Sample], settings: Settings) -> str:
    """Returns the sha256 (hex) of what a run is told apart by: another run's state is never gone on from."""
    facts = [
        clip.identity,
        msgspec.to_builtins(classes),
        [[s.label, s.name] for s in samples],
        msgspec.to_builtins(settings),
    ]
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()


def _save_state(
    path: Path,
    run: str,
    weights: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    curve: list[dict[str, float]],
) -> None:
    tensors = {f"weight:{name}": weight.detach() for name, weight in weights.items()}
    tensors |= {
        f"{kind}:{name}": optimizer.state[weight][kind] for name, weight in weights.items() for kind in _MOMENTS
    }
    about = {"run": run, "curve": msgspec.json.encode(curve).decode()}
    write_atomically(path, safetensors.torch.save({k: v.cpu().contiguous() for k, v in tensors.items()}, about))


def _restored(
    path: Path, run: str, weights: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> list[dict[str, float]]:
    """Returns the curve of a run that was killed, its weights and moments put in place; empty where there is none."""
    if not path.exists():
        return []
    try:
        with safetensors.safe_open(path, "pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
    except safetensors.SafetensorError as error:
        raise InputError(f"{path}: the state of training cannot be read ({error}); delete the file") from None
    if about.get("run") != run:
        raise InputError(f"{path} is the state of a run with other data or settings; use another folder or delete it")
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(tensors[f"weight:{name}"])
            optimizer.state[weight].update({k: tensors[f"{k}:{name}"].to(weight.device) for k in _MOMENTS})
    return msgspec.json.decode(about["curve"])
