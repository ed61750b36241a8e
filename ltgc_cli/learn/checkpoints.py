"""A trained classifier in a folder: what was changed of the tower, the head, and everything that it was made with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import safetensors.torch
import torch
from torch import Tensor, nn

from ltgc_cli.errors import InputError
from ltgc_cli.files import sha256_file, write_atomically
from ltgc_cli.learn import tuning
from ltgc_cli.learn.attention import fuse
from ltgc_cli.learn.datasets import ClassInfo
from ltgc_cli.learn.model import HEADS, Classifier
from ltgc_cli.learn.settings import as_kept, can_merge
from ltgc_cli.providers.clip.open_clip import Loaded
from ltgc_cli.settings import Training

ADAPTER = "adapter"  # a folder in peft's format: LoRA
TOWER = "tower.safetensors"  # its tensors that were changed or added, and those alone, under open_clip's names
HEAD = "head.safetensors"
IMAGES = "images.safetensors"
MERGED = "open_clip_merged.safetensors"
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


class _Manifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What marks a checkpoint as whole: which CLIP model it belongs to, and the sha256 of each of its files."""

    clip: str
    files: dict[str, str]
    lies_at: str = ""  # the spec of a CLIP model that lay in a folder or a file, on the machine that trained


def save(folder: Path, saved: Saved, clip: Loaded) -> None:
    """Writes a checkpoint: the tower's changes, head, settings, class table, curve; last, done.json."""
    visual, head = saved.classifier.visual, saved.classifier.head.state_dict()
    files = {
        HEAD: _tensors(head if saved.prior is None else {**head, "prior": saved.prior}),
        "settings.json": _json(as_kept(saved.settings)),
        "classes.json": _json(saved.classes),
        "metrics.jsonl": b"".join(json.dumps(row).encode() + b"\n" for row in saved.curve),
    }
    if saved.settings.tune == "lora":
        files |= _adapter(visual, saved.settings)
    elif saved.settings.tune != "head":
        files[TOWER] = _tensors(_changes(visual, clip))
    if saved.images:
        chose = {"looked_at": _as_rows(saved.val_images)} if saved.val_images else {}
        files[IMAGES] = _tensors({"hashes": _as_rows(saved.images)} | chose)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "done.json").unlink(missing_ok=True)
    for name, data in files.items():
        write_atomically(folder / name, data)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    _mark_whole(folder, _Manifest(clip.identity, hashes, "" if clip.spec == "embedded" else clip.spec))


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
    done = _read(folder / "done.json", _Manifest)
    hashes = {**done.files, MERGED: hashlib.sha256(data).hexdigest()}
    _mark_whole(folder, msgspec.structs.replace(done, files=hashes))


def load(folder: Path, clip: Loaded) -> Saved:
    """Returns a checkpoint. Raises InputError where it is not whole or belongs to another CLIP model."""
    done = _read(folder / "done.json", _Manifest)
    if done.clip != clip.identity and clip.spec and done.lies_at == clip.spec:
        raise InputError(
            f"{folder}: its CLIP model at {clip.spec} was changed since (it is {clip.identity} now, not {done.clip}); "
            "pass the one that it was trained on as --clip"
        )
    if done.clip != clip.identity:
        raise InputError(f"{folder}: trained on the CLIP model {done.clip}, not {clip.identity}; pass that as --clip")
    for name, sha256 in done.files.items():
        if not (folder / name).is_file() or sha256_file(folder / name) != sha256:
            raise InputError(f"{folder}: {name} is missing or was changed since training; train again")
    settings = _read(folder / "settings.json", Training)
    classes = _read(folder / "classes.json", tuple[ClassInfo, ...])
    kept = safetensors.torch.load_file(folder / HEAD)
    prior = kept.pop("prior", None)
    head = HEADS[settings.head](kept["weight"], settings.scale)
    head.load_state_dict(kept)
    visual = _tower(folder, clip, settings)
    classifier = Classifier(visual, head, tuning.frozen_parts(visual, settings)).to(clip.device).eval()
    curve = tuple(json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines())
    hashes = safetensors.torch.load_file(folder / IMAGES) if IMAGES in done.files else {}
    images, looked_at = (frozenset(bytes(row.tolist()) for row in hashes.get(of, ())) for of in ("hashes", "looked_at"))
    return Saved(classifier.requires_grad_(False), classes, settings, curve, prior, images, looked_at)


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
    return {f"{ADAPTER}/adapter_config.json": _json(config), f"{ADAPTER}/adapter_model.safetensors": _tensors(lora)}


def _changes(visual: nn.Module, clip: Loaded) -> dict[str, Tensor]:
    """Returns the tensors of a trained tower that the CLIP model's own does not have so, under open_clip's names."""
    before = clip.model.visual.state_dict()
    return {
        name: value
        for name, value in fuse(visual).state_dict().items()
        if name not in before or not torch.equal(value, before[name].to(value))
    }


def _tower(folder: Path, clip: Loaded, settings: Training) -> nn.Module:
    """Returns the trained vision tower of a checkpoint."""
    tower = tuning.adapt(clip.model.visual, settings)
    if settings.tune == "lora":
        lora = safetensors.torch.load_file(folder / ADAPTER / "adapter_model.safetensors")
        tower.load_state_dict({name.removeprefix(_PEFTS): value for name, value in lora.items()}, strict=False)
    elif settings.tune != "head":
        tower = fuse(tower)
        tower.load_state_dict(safetensors.torch.load_file(folder / TOWER), strict=False)
        tower = tuning.apart(tower)
    return tower


# ---- files


def _tensors(state: Mapping[str, Tensor]) -> bytes:
    return safetensors.torch.save({name: value.detach().cpu().contiguous().clone() for name, value in state.items()})


def _as_rows(hashes: frozenset[bytes]) -> Tensor:
    """Returns hashes as uint8 [hashes, 16], sorted."""
    return torch.tensor([list(each) for each in sorted(hashes)], dtype=torch.uint8)


def _mark_whole(folder: Path, done: _Manifest) -> None:
    done = msgspec.structs.replace(done, files=dict(sorted(done.files.items())))
    write_atomically(folder / "done.json", _json(done))


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1)


def _read(path: Path, kind: Any) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError:
        raise InputError(f"{path.parent}: no whole checkpoint ({path.name} is missing); train it again") from None
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InputError(f"{path}: {error}") from None
