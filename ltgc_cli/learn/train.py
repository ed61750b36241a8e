"""mix-train: CLIP's vision tower and a head, tuned on mixes of original and generated images.

The loop reads from top to bottom. What a step trains on is a function of the seed and the step alone, so a killed run
goes on exactly, and several processes plan the same batch without a word.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from ltgc_cli.errors import InputError
from ltgc_cli.learn import balance_mix, batches, evaluate, gate, images, model, processes, state
from ltgc_cli.learn.datasets import ClassInfo, Sample
from ltgc_cli.learn.losses import LOSSES
from ltgc_cli.learn.settings import Settings, checked, head_steps, resolved, total_steps
from ltgc_cli.learn.state import STATE as STATE
from ltgc_cli.learn.state import About
from ltgc_cli.providers.clip.open_clip import Loaded

REPORT_EVERY = 10
"""Steps. The loss is read from the device only then: reading it makes the device wait."""
METRICS = "metrics.jsonl"

Precision = Literal["auto", "float32", "bfloat16"]
Harmful = Mapping[int, tuple[float, float]]
"""Labels whose generated images were dropped: accuracy on their validation images in percent with them, and without."""


class Progress(NamedTuple):
    """Where training is: steps done out of all, the mean loss since the last report, the learning rate."""

    step: int
    steps: int
    loss: float
    lr: float
    stage: str = "mix"
    """`mix`, then `head` for the head's own stage."""
    images_per_second: float = 0.0
    val: float | None = None
    """Class-mean accuracy on the validation set in percent, where it was looked at."""


class Trained(NamedTuple):
    """The classifier, ready for predictions, and how it came about."""

    classifier: model.Classifier
    curve: tuple[dict[str, Any], ...]
    """A row for each report."""
    prior: Tensor
    """The label marginal of what the head was trained on last [classes]."""
    settings: Settings
    """What was really used, nothing left open."""
    harmful: Harmful


class _Stage(NamedTuple):
    """A part of training with a schedule of its own: steps from `start` to before `stop`."""

    name: str
    start: int
    stop: int
    pool: balance_mix.Pool
    plan: Callable[[int], balance_mix.Plan]
    prior: Tensor


def _silent(_: object) -> None:
    pass


@contextmanager
def _in_words() -> Iterator[None]:
    """A context in which what the machine cannot do is said in one line."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise InputError(
            "the GPU has not memory enough for a batch; --accumulate 2 cuts it into two parts and trains the same, "
            "a smaller --batch needs less too"
        ) from None
    except RuntimeError as error:
        if "dynamo" not in type(error).__module__ and "inductor" not in type(error).__module__:
            raise
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"torch cannot compile the model here ({reason}); leave --compile out") from None


@_in_words()
def train(
    clip: Loaded,
    classes: Sequence[ClassInfo],
    real: Sequence[Sample],
    generated: Sequence[Sample],
    settings: Settings,
    *,
    texts: Mapping[int, Sequence[str]] | None = None,
    val: Sequence[Sample] = (),
    on_step: Callable[[Progress], object] = _silent,
    on_gate: Callable[[Harmful], object] = _silent,
    resume: Path | None = None,
    save_every: int = 50,
    precision: Precision = "auto",
    compile: bool = False,
) -> Trained:
    """Returns the trained classifier. The same arguments give the same weights, on a CPU bit for bit.

    classes -- the class table; a column of the logits each, in this order
    real, generated -- D_o and D_g; their labels are the table's
    texts -- a label's own descriptions, for head_init="descriptions"
    val -- what val_every and gate look at; never trained on
    on_step, on_gate -- told of each report, and of the classes whose generated images were dropped; of several
        processes, the first one's are
    resume -- a folder for the state of training: a run that was killed goes on from it; its METRICS grow there
    precision -- auto: bfloat16 autocast over float32 weights on a GPU that has it, float32 elsewhere
    Raises InputError for settings that cannot be, an unknown label, bytes that are no image, or too little memory.
    """
    texts = texts or {}
    here = processes.join(clip.device)
    given, settings = settings, _settled(settings, clip, classes, generated)
    processes.check(settings.batch, settings.accumulate, here.size)
    if (settings.val_every or settings.gate) and not val:
        raise InputError("val-every and gate look at validation images, and there are none")
    run = state.run_id(clip.identity, classes, real, generated, val, texts, settings)
    before = state.read(resume / STATE, run) if resume else None
    done = saved = before.about.step if before else 0
    if int(here.total(torch.tensor(done, device=clip.device))) != done * here.size:
        raise InputError(f"{resume}: the processes find different states there; all need the same folder")

    # What is trained on: the images that the gate and the cap leave.
    harmful = before.about.harmful if before else {}
    if settings.gate and not before:
        harmful = here.from_first(gate.harmful(clip, classes, real, generated, val, settings))
    if harmful and here.first:
        on_gate(harmful)
    generated = [sample for sample in generated if sample.label not in harmful]
    keep = balance_mix.capped(columns(real, classes), columns(generated, classes), settings.syn_ratio)
    generated = [generated[place] for place in keep]
    settings = _settled(given, clip, classes, generated)  # with no generated image left nothing is mixed in
    frame = images.frame(clip.preprocess)
    frames = images.reader([*real, *generated], frame)
    stages = _stages(settings, classes, real, generated, frames.size, clip.device)

    # What is trained. All processes begin with the same weights, whatever rounding gave each.
    classifier = model.start(clip, classes, settings, texts=texts, real=real).to(clip.device)
    weights = {name: weight for name, weight in classifier.named_parameters() if weight.requires_grad}
    state.put(weights, before.tensors["weight"] if before else {})
    here.follow_first(list(weights.values()))
    computing = partial(_autocast, clip.device, precision)
    rows = here.rows(settings.batch)
    forward: Callable[[Tensor], Tensor] = classifier
    reading = partial(batches.pixels, frames=frames, settings=settings, rows=rows)
    if settings.fixed_crops:  # what the frozen blocks make of the crops is computed once
        forward = classifier.tuned
        with computing():
            kept = batches.kept_features(classifier.frozen, frames, settings, frame, clip.device)
        reading = partial(batches.features, kept=kept, settings=settings, rows=rows)
    if compile:
        forward = torch.compile(forward)

    best: dict[str, Tensor] = {}
    best_accuracy, best_stage = (before.about.best, before.about.best_stage) if before else (None, "")
    curve = list(before.about.curve) if before else []
    if resume and here.first:
        resume.mkdir(parents=True, exist_ok=True)
        _write_rows(resume / METRICS, curve, "w")
    names = [stage.name for stage in stages]
    for stage in stages[names.index(before.about.stage) if before else 0 :]:
        if stage.name == "head":
            classifier.visual.requires_grad_(False)
        _training(classifier, stage)
        trained = [weight for weight in weights.values() if weight.requires_grad]
        optimizer = _optimizer(classifier, settings)
        average = state.copied(weights) if settings.ema else {}
        if before:
            state.put_moments(optimizer, weights, before)
            for own, kind in ((average, "average"), (best, "best")):
                own |= {name: value.to(clip.device) for name, value in before.tensors.get(kind, {}).items()}
            before = None

        losses: list[Tensor] = []
        clock, counted = time.perf_counter(), 0
        for batch in batches.ahead(reading(stage.pool), stage.plan, range(done, stage.stop)):
            lr = learning_rate(done - stage.start, stage.stop - stage.start, settings)
            for group in optimizer.param_groups:
                group["lr"] = lr
            for number, part in enumerate(batches.parts(batch, settings.accumulate)):
                with _seeded([settings.seed, done, here.rank, number], clip.device), computing():
                    logits = forward(batches.inputs(part, frame, clip.device))
                targets = torch.from_numpy(part.targets).to(clip.device)
                loss = LOSSES[settings.loss](logits.float(), targets, stage.prior, settings) / settings.accumulate
                torch.autograd.backward(loss)
                losses.append(loss.detach())
            here.average([weight.grad for weight in trained if weight.grad is not None])
            torch.nn.utils.clip_grad_norm_(trained, settings.clip_norm)
            optimizer.step()
            optimizer.zero_grad()
            _follow(average, weights, done, settings)
            done, counted = done + 1, counted + settings.batch

            last = done == stage.stop
            look = settings.val_every > 0 and (done % settings.val_every == 0 or last)
            if not (look or last or done % REPORT_EVERY == 0):
                continue
            mean = float(here.total(torch.stack(losses).sum())) * settings.batch / counted / here.size
            losses.clear()
            if not math.isfinite(mean):
                raise InputError(f"the loss is {mean} after {done} steps; a lower --lr than {settings.lr:g} may train")
            row: dict[str, Any] = {"step": done, "stage": stage.name, "loss": mean, "lr": lr}
            row["images_per_second"] = round(counted / (time.perf_counter() - clock), 1)
            if look:
                with _holding(weights, average):
                    row["val"] = _accuracy(classifier, clip, classes, val, here)
                    if best_accuracy is None or row["val"] > best_accuracy:  # of equals the earlier
                        best, best_accuracy, best_stage = state.copied(weights), row["val"], stage.name
                _training(classifier, stage)
            curve.append(row)
            if resume and here.first:
                _write_rows(resume / METRICS, [row])
            if resume and here.first and (done - saved >= save_every or last):
                about = About(
                    stage=stage.name, step=done, curve=curve, harmful=harmful, best=best_accuracy, best_stage=best_stage
                )
                moments = state.moments(optimizer, weights)
                state.save(resume / STATE, run, about, {"weight": weights, "average": average, "best": best, **moments})
                saved = done
            if here.first:
                on_step(Progress(done, stages[-1].stop, mean, lr, stage.name, row["images_per_second"], row.get("val")))
            clock, counted = time.perf_counter(), 0

        # The best on the validation set, else the moving average, else the last weights go on from here.
        state.put(weights, best or average)
    (prior,) = (stage.prior for stage in stages if stage.name == (best_stage or names[-1]))
    return Trained(classifier.eval().requires_grad_(False), tuple(curve), prior, settings, harmful)


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


def class_mean(columns: Sequence[int], hits: Tensor) -> float:
    """Returns the mean accuracy over the classes that have images, in percent.

    columns -- the class of each image; hits -- how many images of each class were recognised [classes]
    """
    images = torch.bincount(torch.tensor(columns), minlength=len(hits))
    there = images > 0
    return float((hits[there] / images[there]).mean() * 100)


def _settled(settings: Settings, clip: Loaded, classes: Sequence[ClassInfo], generated: Sequence[Sample]) -> Settings:
    """Returns the settings with nothing left open; the rank goes by how many blocks are tuned."""
    blocks = len(getattr(getattr(clip.model.visual, "transformer", None), "resblocks", ())) or 12
    return resolved(
        checked(settings),
        generated=len(generated),
        classes=len(classes),
        blocks=min(settings.tune_blocks, blocks) or blocks,
    )


def _stages(
    settings: Settings,
    classes: Sequence[ClassInfo],
    real: Sequence[Sample],
    generated: Sequence[Sample],
    size: tuple[int, int],
    device: str,
) -> list[_Stage]:
    """Returns the stream of the mix, and after it, where wanted, that of the head's own stage."""
    scores = [sample.score for sample in generated]
    pool = balance_mix.pool(columns(real, classes), columns(generated, classes), len(classes), settings, scores=scores)
    steps = total_steps(settings, len(pool.classes))

    def stage(name: str, start: int, stop: int, plan: Any, pool: balance_mix.Pool, settings: Settings) -> _Stage:
        prior = torch.from_numpy(balance_mix.label_marginal(pool, settings)).float().to(device)
        return _Stage(name, start, stop, pool, lambda step: plan(step - start), prior)

    mix = stage("mix", 0, steps, lambda step: balance_mix.plan(step, pool, settings, frame=size), pool, settings)
    more = head_steps(settings, len(real))
    if not more:
        return [mix]
    originals = balance_mix.head_pool(pool)
    alone = msgspec.structs.replace(settings, mix="none", sampler="balanced")
    plan = partial(balance_mix.head_plan, pool=originals, settings=settings)
    return [mix, stage("head", steps, steps + more, plan, originals, alone)]


def _optimizer(classifier: model.Classifier, settings: Settings) -> torch.optim.Optimizer:
    """Returns the optimiser of what takes gradients; its learning rate is set at each step."""
    groups = [
        {**group, "params": params}
        for group in model.groups(classifier, settings)
        if (params := [weight for weight in group["params"] if weight.requires_grad])
    ]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum)
    return torch.optim.AdamW(groups, lr=settings.lr, fused=True)


def _training(classifier: model.Classifier, stage: _Stage) -> None:
    """Puts the classifier into training; in the head's own stage the tower stays as it is used, without dropout."""
    classifier.train()
    if stage.name == "head":
        classifier.visual.eval()


def _follow(average: dict[str, Tensor], weights: Mapping[str, nn.Parameter], step: int, settings: Settings) -> None:
    """Moves the average towards the weights. The decay rises to `ema`, or the first weights would weigh for long."""
    decay = min(settings.ema, (1 + step) / (10 + step))
    for name, value in average.items():
        value.lerp_(weights[name].detach(), 1 - decay)


@contextmanager
def _holding(weights: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> Iterator[None]:
    """A context in which the weights have these values."""
    own = state.copied({name: weights[name] for name in values})
    state.put(weights, values)
    try:
        yield
    finally:
        state.put(weights, own)


def _accuracy(
    classifier: model.Classifier,
    clip: Loaded,
    classes: Sequence[ClassInfo],
    val: Sequence[Sample],
    here: processes.Processes,
) -> float:
    """Returns the class-mean accuracy on the validation set in percent; each process looks at its share."""
    labels = [info.label for info in classes]
    own = val[here.rank :: here.size]
    hits = torch.zeros(len(classes))  # float32 counts to 16 million, and not every device has float64
    if own:
        guesses = evaluate.predicted_labels(evaluate.predict(classifier, clip, own), labels)
        right = [column for column, sample, guess in zip(columns(own, classes), own, guesses, strict=True)
                 if sample.label == guess]  # fmt: skip
        hits += torch.bincount(torch.tensor(right, dtype=torch.int64), minlength=len(classes))
    return class_mean(columns(val, classes), here.total(hits.to(clip.device)).cpu().double())


@contextmanager
def _seeded(seed: Sequence[int], device: str) -> Iterator[None]:
    """A context whose dropout depends on the seed alone; the random state outside is kept."""
    with torch.random.fork_rng(devices=[device] if device.startswith("cuda") else []):
        torch.manual_seed(int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> 1))
        yield


def _autocast(device: str, precision: Precision) -> AbstractContextManager[Any]:
    """Returns the context that the forward pass runs in."""
    kind = device.partition(":")[0]
    can = kind == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    wanted = precision == "bfloat16" or (precision == "auto" and can)
    return torch.autocast(kind, torch.bfloat16) if wanted else nullcontext()


def _write_rows(path: Path, rows: Sequence[Mapping[str, Any]], mode: Literal["a", "w"] = "a") -> None:
    with path.open(mode, encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
