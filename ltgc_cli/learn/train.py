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
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ltgc_cli.errors import InputError
from ltgc_cli.files import check_regular, make_folder, named_errors
from ltgc_cli.learn import balance_mix, batches, evaluate, images, model, processes
from ltgc_cli.learn.attention import blocks
from ltgc_cli.learn.checkpoint_files import METRICS
from ltgc_cli.learn.datasets import ClassInfo, Sample, class_indices
from ltgc_cli.learn.losses import LOSSES, by_part
from ltgc_cli.learn.settings import checked, resolved, total_steps
from ltgc_cli.learn.state import TrainingState, copied, ema_update, put, run_id, swap_weights
from ltgc_cli.providers.clip.open_clip import Loaded
from ltgc_cli.settings import Precision, Training
from ltgc_cli.tensor_files import STATE, finite

REPORT_EVERY = 10  # steps

Row = dict[str, Any]
"""A report: the step, the mean `loss` since the last one, `lr`, and `val` where it was measured: the class-mean
accuracy on the validation set in percent.

Nothing in it tells how fast the machine was: the same run leaves the same bytes.
"""


class Trained(NamedTuple):
    """The classifier, ready for predictions, and how it came about."""

    classifier: model.Classifier
    curve: tuple[Row, ...]  # a row for each report
    prior: Tensor  # the label marginal of what was trained on [classes]
    settings: Training  # what was really used, nothing left open


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """A context in which what the machine cannot do is an InputError that names what helps."""
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


@_one_line_errors()
def train(
    clip: Loaded,
    classes: Sequence[ClassInfo],
    real: Sequence[Sample],
    generated: Sequence[Sample],
    settings: Training,
    *,
    texts: Mapping[int, Sequence[str]] | None = None,
    val: Sequence[Sample] = (),
    on_report: Callable[[Row, int], object] = lambda row, steps: None,
    resume: Path | None = None,
    on_resume: Callable[[int, int], object] = lambda step, steps: None,
    save_every: int = 50,
    precision: Precision = "auto",
    compile: bool = False,
) -> Trained:
    """Returns the trained classifier. The same arguments give the same weights, on a CPU bit for bit.

    classes -- the class table; a column of the logits each, in this order
    real, generated -- D_o and D_g; their labels are the table's
    texts -- a label's own descriptions, for head_init="descriptions"
    val -- what val_every measures on; never trained on
    on_report -- called with each report, its `images_per_second` besides, and the number of steps; of several
        processes, the first one's is
    resume -- a folder for the state of training: a run that was killed goes on from it; its METRICS grow there
    on_resume -- called with the step that such a run goes on at, and the number of steps, in the first process
    precision -- auto: bfloat16 autocast over float32 weights on a GPU that has it, float32 elsewhere
    Raises InputError for settings that cannot be, an unknown label, bytes that are no image, or too little memory.
    """
    device, here = clip.device, processes.join(clip.device)
    count = len(blocks(clip.model.visual)) or 12
    tuned = min(settings.tune_blocks, count) or count  # the rank goes by how many blocks are tuned
    settings = resolved(checked(settings), generated=len(generated), classes=len(classes), blocks=tuned)
    processes.check(settings.batch, settings.accumulate, here.size)
    if settings.val_every and not val:
        raise InputError("val-every measures on validation images, and there are none")

    # The data: what each step sees.
    frame = images.frame(clip.preprocess)
    generated = images.harmonised(real, generated, frame) if settings.harmonise else generated
    frames = images.reader([*real, *generated], frame)
    indices = class_indices(real, classes), class_indices(generated, classes)
    sampler = balance_mix.mix_sampler(*indices, len(classes), settings)
    prior = torch.from_numpy(sampler.prior).float().to(device)
    steps = total_steps(settings, frames.images)

    # The model, its optimiser, and where a run that was killed goes on.
    classifier = model.start(clip, classes, settings, texts=texts, real=real).to(device)
    head = classifier.head
    if settings.syn_head:
        classifier.head = model.TwoHeads(head)
    weights = {name: weight for name, weight in classifier.named_parameters() if weight.requires_grad}
    optimizer = _optimizer(classifier, settings)
    state = TrainingState(weights, optimizer, ema=copied(weights) if settings.ema else {})
    run = run_id(clip.identity, classes, (real, generated, val), texts or {}, settings)
    if resume:
        state.load(resume / STATE, run, steps)
    if int(here.total(torch.tensor(state.step, device=device))) != state.step * here.size:
        raise InputError(f"{resume}: the processes find different states there; all need the same folder")
    here.follow_first(list(weights.values()))  # whatever rounding gave each of them
    folder = resume if here.first else None  # the first process writes
    if folder:
        make_folder(folder)
        _write_rows(folder / METRICS, state.curve, "w")
    if here.first and state.step:
        on_resume(state.step, steps)

    # The forward pass: of images, or of what the frozen blocks make of fixed crops, which is computed once.
    forward: Callable[[Tensor], Tensor] = classifier.tuned if settings.fixed_crops else classifier
    forward = torch.compile(forward) if compile else forward
    mine, to_do = here.rows(settings.batch), range(state.step, steps)
    if settings.fixed_crops:
        with _autocast(device, precision):
            kept = batches.kept_features(classifier.frozen, frames, settings, frame, device)
        stream = batches.of_features(sampler, kept, settings, mine, to_do)
    else:
        stream = batches.of_pixels(sampler, frames, settings, mine, to_do, device)

    classifier.train()
    losses: list[Tensor] = []
    clock, counted, saved = time.perf_counter(), 0, state.step
    for batch in stream:
        lr = learning_rate(state.step, steps, settings)
        for group in optimizer.param_groups:
            group["lr"] = lr
        priors = [torch.from_numpy(each).float().to(device) for each in sampler.priors(state.step)]
        # The parts of a batch come one after the other, so that it fits the memory; their gradients add up.
        for number, part in enumerate(batches.parts(batch, settings.accumulate)):
            with _seeded([settings.seed, state.step, here.rank, number], device), _autocast(device, precision):
                logits = forward(batches.inputs(part, frame, device))
            targets = torch.from_numpy(part.targets).to(device)
            of_generated = torch.from_numpy(part.plan.first >= sampler.originals)
            loss = _loss(logits, targets, of_generated, priors, settings) / settings.accumulate
            torch.autograd.backward(loss)
            losses.append(loss.detach())
        # All processes take the same step: by the mean of their gradients.
        here.average([weight.grad for weight in weights.values() if weight.grad is not None])
        torch.nn.utils.clip_grad_norm_(weights.values(), settings.clip_norm or torch.inf)
        optimizer.step()
        optimizer.zero_grad()
        ema_update(state.ema, weights, state.step, settings.ema)
        state.step, counted = state.step + 1, counted + settings.batch

        # Now and then, for it makes the device wait: the loss, the accuracy on the validation set, a report, the state.
        last = state.step == steps
        validate = settings.val_every > 0 and (state.step % settings.val_every == 0 or last)
        if not (validate or last or state.step % REPORT_EVERY == 0):
            continue
        mean = float(here.total(torch.stack(losses).sum())) * settings.batch / counted / here.size
        if wrong := f"the loss is {mean}" if not math.isfinite(mean) else "" if finite(weights) else "a weight is nan":
            raise InputError(f"{wrong} after step {state.step}; a lower --lr than {settings.lr:g} may train")
        rate = round(counted / (time.perf_counter() - clock), 1)
        row: Row = {"step": state.step, "loss": mean, "lr": lr}
        if validate:
            with swap_weights(weights, state.ema):
                row["val"] = evaluate.validation_accuracy(classifier, clip, classes, val, here)
                if state.best_accuracy is None or row["val"] > state.best_accuracy:  # of equals the earlier
                    state.best, state.best_accuracy = copied(weights), row["val"]
            classifier.train()
        state.curve.append(row)
        if folder:
            _write_rows(folder / METRICS, [row])
            if state.step - saved >= save_every or last:
                state.save(folder / STATE, run)
                saved = state.step
        if here.first:
            on_report({**row, "images_per_second": rate}, steps)
        losses.clear()
        clock, counted = time.perf_counter(), 0

    # The best on the validation set, else the moving average, else the last weights are kept.
    put(weights, state.best or state.ema)
    classifier.head = head  # that of generated images goes: what is measured are real ones
    return Trained(classifier.eval().requires_grad_(False), tuple(state.curve), prior, settings)


def _loss(logits: Tensor, targets: Tensor, generated: Tensor, priors: Sequence[Tensor], settings: Training) -> Tensor:
    """Returns the mean loss of a batch's rows, each by its own head and prior where there are two.

    logits -- [batch, classes], of two heads [2, batch, classes]; generated -- whether a row is of generated images
    """
    if settings.syn_head:
        logits = model.TwoHeads.own(logits, generated.to(logits.device))
    if settings.syn_prior:
        return by_part(settings.loss, logits.float(), targets, generated, priors, settings)
    return LOSSES[settings.loss](logits.float(), targets, priors[0], settings)


def learning_rate(step: int, steps: int, settings: Training) -> float:
    """Returns the learning rate of a step (from 0): a linear rise, then half a cosine down to 0 after the last one."""
    rise = round(settings.warmup * steps)
    if step < rise:
        return settings.lr * (step + 1) / rise
    return settings.lr * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def _optimizer(classifier: model.Classifier, settings: Training) -> torch.optim.Optimizer:
    """Returns the optimiser of what takes gradients; its learning rate is set at each step."""
    groups = model.groups(classifier, settings)
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum)
    return torch.optim.AdamW(groups, lr=settings.lr, fused=True)


@contextmanager
def _seeded(seed: Sequence[int], device: str) -> Iterator[None]:
    """A context whose dropout depends on the seed alone; the random state outside is kept."""
    with torch.random.fork_rng(devices=[device] if device.startswith("cuda") else []):
        number = int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> 1)
        if (
            device == "cpu"
        ):  # torch's own function notes the whole stack for GPUs that are not there: 2% of a small step
            torch.default_generator.manual_seed(number)
        else:
            torch.manual_seed(number)
        yield


def _autocast(device: str, precision: Precision) -> AbstractContextManager[Any]:
    """Returns the context that the forward pass runs in."""
    kind = device.partition(":")[0]
    can = kind == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    wanted = precision == "bfloat16" or (precision == "auto" and can)
    return torch.autocast(kind, torch.bfloat16) if wanted else nullcontext()


def _write_rows(path: Path, rows: Sequence[Row], mode: Literal["a", "w"] = "a") -> None:
    check_regular(path)
    with named_errors(path, writing=True), path.open(mode, encoding="utf-8") as file:
        file.writelines(json.dumps(row, allow_nan=False) + "\n" for row in rows)
