"""A trained classifier in a folder: what was changed of the tower, the head, and everything that it was made with.

Several trained on one CLIP model can be averaged: the mean of their weights is one more (Wortsman et al., "Model
soups", ICML 2022). LoRA is merged into the weights before, for the mean of products is no product of means, and the
result is kept as whole tensors of the tower.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from ltgc_cli.errors import InputError
from ltgc_cli.files import write_atomically
from ltgc_cli.learn import checkpoint_files, tuning
from ltgc_cli.learn.attention import fuse
from ltgc_cli.learn.checkpoint_files import AGAIN, DONE, MERGED, METRICS, Whole
from ltgc_cli.learn.datasets import ClassInfo
from ltgc_cli.learn.model import HEADS, Classifier
from ltgc_cli.learn.settings import as_kept, can_merge
from ltgc_cli.providers.clip.open_clip import Loaded
from ltgc_cli.settings import Training
from ltgc_cli.text import one_line

ADAPTER = "adapter"  # a folder in peft's format: LoRA
TOWER = "tower.safetensors"  # its tensors that were changed or added, and those alone, under open_clip's names
LORA = f"{ADAPTER}/adapter_model.safetensors"
HEAD = "head.safetensors"
IMAGES, IMAGE_SETS = "images.safetensors", ("hashes", "looked_at")
_PEFTS = "base_model.model."  # what peft puts before a module's own names


class Saved(NamedTuple):
    """What a checkpoint holds: the classifier, its class table (a column of the logits each), how it was trained."""

    classifier: Classifier
    classes: tuple[ClassInfo, ...]
    settings: Training  # resolved, as the classifier was started with
    curve: tuple[dict[str, Any], ...] = ()
    prior: Tensor | None = None  # the label marginal of the stream that it was trained on [classes]
    images: frozenset[bytes] = frozenset()  # the first 16 bytes of the sha256 of each real training image
    val_images: frozenset[bytes] = frozenset()  # the same of the validation images that chose the weights
    averaged: tuple[
        str, ...
    ] = ()  # the checkpoints with which its weights were averaged; its tower is then a plain one


def save(folder: Path, saved: Saved, clip: Loaded) -> None:
    """Writes a checkpoint: the tower's changes, head, settings, class table, curve; last, done.json."""
    visual, head = saved.classifier.visual, saved.classifier.head.state_dict()
    files = {
        HEAD: _tensors(head if saved.prior is None else {**head, "prior": saved.prior}),
        "settings.json": _json(as_kept(saved.settings)),
        "classes.json": _json(saved.classes),
        METRICS: b"".join(json.dumps(row, allow_nan=False).encode() + b"\n" for row in saved.curve),
    }
    if saved.settings.tune == "lora" and not saved.averaged:
        files |= _adapter(visual, saved.settings)
    elif saved.settings.tune != "head" or saved.averaged:
        files[TOWER] = _tensors(_changes(visual, clip))
    if saved.images:
        chose = {"looked_at": _as_rows(saved.val_images)} if saved.val_images else {}
        files[IMAGES] = _tensors({"hashes": _as_rows(saved.images)} | chose)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DONE).unlink(missing_ok=True)
    for name, data in files.items():
        write_atomically(folder / name, data)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    _mark_whole(folder, Whole(clip.identity, hashes, "" if clip.spec == "embedded" else clip.spec, saved.averaged))


def add_merged(folder: Path, clip: Loaded) -> None:
    """Writes one more file into a checkpoint: MERGED, the whole CLIP model, which plain open_clip loads.

    The checkpoint is whole at every moment, so a full disk costs nothing that was trained.
    Raises InputError where the checkpoint is not whole, or cannot be merged (can_merge).
    """
    saved = load(folder, clip)
    if reason := can_merge(saved.settings):
        raise InputError(reason)
    state = dict(clip.model.state_dict())
    state |= {f"visual.{name}": value for name, value in tuning.merged(saved.classifier.visual).state_dict().items()}
    data = _tensors(state)
    write_atomically(folder / MERGED, data)
    done = checkpoint_files.whole(folder)
    hashes = {**done.files, MERGED: hashlib.sha256(data).hexdigest()}
    _mark_whole(folder, msgspec.structs.replace(done, files=hashes))


def load(folder: Path, clip: Loaded) -> Saved:
    """Returns a checkpoint.

    Raises InputError where it is not whole, belongs to another CLIP model, or holds what cannot be of a checkpoint,
    though its hashes fit: nothing of it is left out, and nothing that it lacks is made up.
    """
    done = checkpoint_files.whole(folder)
    if done.clip != clip.identity and clip.spec and done.lies_at == clip.spec:
        raise InputError(
            f"{folder}: its CLIP model at {clip.spec} was changed since (it is {clip.identity} now, not {done.clip}); "
            "pass the one that it was trained on as --clip"
        )
    if done.clip != clip.identity:
        raise InputError(f"{folder}: trained on the CLIP model {done.clip}, not {clip.identity}; pass that as --clip")
    checkpoint_files.check(folder, done)
    settings, classes = checkpoint_files.settings(folder), checkpoint_files.classes(folder)
    kept = _tensors_in(folder, HEAD, done)
    _check_fit(folder / HEAD, kept, _head_like(clip, len(classes), settings), optional=("prior",))
    prior = kept.pop("prior", None)
    if prior is not None and (prior < 0).any():
        raise InputError(f"{folder / HEAD}: prior has values below 0; {AGAIN}")
    head = HEADS[settings.head](kept["weight"], settings.scale)
    head.load_state_dict(kept)
    visual = _tower(folder, clip, settings, done)
    classifier = Classifier(visual, head, tuning.frozen_parts(visual, settings)).to(clip.device).eval()
    curve = checkpoint_files.curve(folder)
    hashes = _tensors_in(folder, IMAGES, done) if IMAGES in done.files else {}
    like = {name: torch.empty(*value.shape[:1], 16, dtype=torch.uint8) for name, value in hashes.items()}
    like = {name: value for name, value in like.items() if name in IMAGE_SETS}
    _check_fit(folder / IMAGES, hashes, like, optional=like)
    images, looked_at = (frozenset(bytes(row.tolist()) for row in hashes.get(of, ())) for of in IMAGE_SETS)
    return Saved(classifier.requires_grad_(False), classes, settings, curve, prior, images, looked_at, done.averaged)


def average(own: Path, others: Sequence[tuple[str, Path]], clip: Loaded) -> Saved:
    """Returns a checkpoint whose weights are the mean of those of several, each counting the same.

    All else is its own, but for the images that any of them was trained or chosen on, and the mean of the priors.
    own, others -- folders; of the others with the names that are kept with the result
    Raises InputError where one is not whole, or belongs to another CLIP model.
    """
    every = [load(folder, clip) for folder in (own, *(folder for _, folder in others))]
    first = every[0]
    visual, head = tuning.merged(first.classifier.visual), first.classifier.head
    visual.load_state_dict(_mean([tuning.merged(one.classifier.visual).state_dict() for one in every]))
    head.load_state_dict(_mean([one.classifier.head.state_dict() for one in every]))
    priors = [{"prior": one.prior} for one in every if one.prior is not None]
    return first._replace(
        classifier=Classifier(visual, head).eval().requires_grad_(False),
        prior=_mean(priors)["prior"] if len(priors) == len(every) else first.prior,
        images=frozenset().union(*(one.images for one in every)),
        val_images=frozenset().union(*(one.val_images for one in every)),
        averaged=tuple(name for name, _ in others),
    )


def _mean(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Returns the mean of each tensor over several states, computed in float64; what is no float is the first's."""
    return {
        name: torch.stack([state[name].cpu().double() for state in states]).mean(dim=0).to(value.dtype)
        if value.is_floating_point()
        else value
        for name, value in states[0].items()
    }


# ---- the tower


def _adapter(visual: nn.Module, settings: Training) -> dict[str, bytes]:
    """Returns the files of LoRA as peft writes and reads them, for a tower with its attention taken apart."""
    # Written here, for to import peft takes 0.6 s of CPU; what is left out is as peft has it by default.
    config = {
        "base_model_name_or_path": None,
        "bias": "none",
        "inference_mode": True,
        "lora_alpha": settings.lora_alpha,
        "lora_dropout": settings.dropout,
        "peft_type": "LORA",
        "r": settings.rank,
        "target_modules": tuning.lora_targets(visual, settings),
        "task_type": None,
    }
    lora = {f"{_PEFTS}{name}": value for name, value in visual.state_dict().items() if ".lora_" in name}
    return {f"{ADAPTER}/adapter_config.json": _json(config), LORA: _tensors(lora)}


def _changes(visual: nn.Module, clip: Loaded) -> dict[str, Tensor]:
    """Returns the tensors of a trained tower that the CLIP model's own does not have so, under open_clip's names."""
    before = clip.model.visual.state_dict()
    return {
        name: value
        for name, value in fuse(visual).state_dict().items()
        if name not in before or not torch.equal(value, before[name].to(value))
    }


def _tower(folder: Path, clip: Loaded, settings: Training, done: Whole) -> nn.Module:
    """Returns the trained vision tower of a checkpoint."""
    if done.averaged:
        tower = copy.deepcopy(clip.model.visual).float()
        _put(folder / TOWER, _tensors_in(folder, TOWER, done), tower, tower.state_dict())
        return tuning.apart(tower)
    if settings.tune == "head":
        return _adapted(folder, clip, settings)
    name = LORA if settings.tune == "lora" else TOWER
    path, kept = folder / name, _tensors_in(folder, name, done)
    # Looked at before so many rows are made.
    if settings.tune in ("lora", "adaptformer") and settings.rank not in {
        len(one) for one in kept.values() if one.ndim
    }:
        raise InputError(f"{path}: its rank is not {settings.rank}, as settings.json says; {AGAIN}")
    tower = _adapted(folder, clip, settings)
    if settings.tune == "lora":
        if other := next((name for name in kept if not name.startswith(_PEFTS)), ""):
            raise InputError(f"{path}: {other} is no weight of a LoRA; {AGAIN}")
        own = {name: value for name, value in tower.state_dict().items() if ".lora_" in name}
        _put(path, {name.removeprefix(_PEFTS): value for name, value in kept.items()}, tower, own, needed=own)
        return tower
    tower = fuse(tower)
    # What training left as it was is not in the file.
    _put(
        path, kept, tower, tower.state_dict(), needed=tower.state_dict().keys() - clip.model.visual.state_dict().keys()
    )
    return tuning.apart(tower)


def _adapted(folder: Path, clip: Loaded, settings: Training) -> nn.Module:
    try:
        return tuning.adapt(clip.model.visual, settings)
    except InputError as error:
        raise InputError(f"{folder / 'settings.json'}: {error}") from None


def _head_like(clip: Loaded, classes: int, settings: Training) -> dict[str, Tensor]:
    """Returns tensors as those of a head file are, without their values; the prior may be missing."""
    like = {
        "weight": torch.empty(classes, _width(clip.model), device="meta"),
        "prior": torch.empty(classes, device="meta"),
    }
    return like | ({"bias": like["prior"]} if settings.head == "linear" else {})


def _width(model: Any) -> int:
    """Returns how wide a CLIP's features are. Towers of timm do not say it, but the text tower beside them does."""
    for tower in (model.visual, getattr(model, "text", None)):
        if width := getattr(tower, "output_dim", None):
            return int(width)
    projection = model.text_projection
    return int(projection.out_features if isinstance(projection, nn.Linear) else projection.shape[1])


def _put(
    path: Path, kept: Mapping[str, Tensor], tower: nn.Module, like: Mapping[str, Tensor], needed: Collection[str] = ()
) -> None:
    """Gives a tower the tensors of a file. Raises InputError for what does not fit it."""
    _check_fit(path, kept, like, optional=like.keys() - set(needed))
    tower.load_state_dict(kept, strict=False)  # the rest of the tower is CLIP's own


# ---- files


def _tensors_in(folder: Path, name: str, done: Whole) -> dict[str, Tensor]:
    """Returns the tensors of a checkpoint's file, whose hash was looked at. Raises InputError for what is none."""
    path = folder / name
    if name not in done.files:
        raise InputError(f"{path} is not among the files that {DONE} names; {AGAIN}")
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, RuntimeError, ValueError, KeyError) as error:
        raise InputError(f"{path}: no tensors that can be read ({one_line(error)}); {AGAIN}") from None


def _check_fit(
    path: Path, kept: Mapping[str, Tensor], like: Mapping[str, Tensor], optional: Collection[str] = ()
) -> None:
    """Raises InputError for a tensor of a file that is none of a model's, has another shape or type, or is missing.

    like -- tensors of these names, shapes and types
    """
    for name, value in kept.items():
        if name not in like:
            raise InputError(f"{path}: {one_line(name)} is no weight of this model; {AGAIN}")
        if (value.shape, value.dtype) != (like[name].shape, like[name].dtype):
            is_not = f"{value.dtype} {list(value.shape)}, not {like[name].dtype} {list(like[name].shape)}"
            raise InputError(f"{path}: {name} is {is_not}; {AGAIN}")
        if value.is_floating_point() and not value.isfinite().all():
            raise InputError(f"{path}: {name} has values that are no numbers (NaN, inf); {AGAIN}")
    if missing := sorted(like.keys() - kept.keys() - set(optional)):
        raise InputError(f"{path}: {missing[0]} is missing; {AGAIN}")


def _tensors(state: Mapping[str, Tensor]) -> bytes:
    return safetensors.torch.save({name: value.detach().cpu().contiguous().clone() for name, value in state.items()})


def _as_rows(hashes: frozenset[bytes]) -> Tensor:
    """Returns hashes as uint8 [hashes, 16], sorted."""
    return torch.tensor([list(each) for each in sorted(hashes)], dtype=torch.uint8)


def _mark_whole(folder: Path, done: Whole) -> None:
    done = msgspec.structs.replace(done, files=dict(sorted(done.files.items())))
    write_atomically(folder / DONE, _json(done))


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1)
