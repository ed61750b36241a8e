"""A LoRA on a text-to-image model: where it lies, whose names its weights have, and how many of them are used."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ltgc_cli.errors import InputError, LtgcError, ProviderError
from ltgc_cli.files import read_regular, regular
from ltgc_cli.providers.opened import Notice, file_identity
from ltgc_cli.providers.quiet import heard
from ltgc_cli.text import counted, one_line

_WORD = r"[\w-][\w.-]*"
_PEFTS = "base_model.model."  # what peft puts before a layer's own name
_PEFTS_FILE, _PEFTS_CONFIG = "adapter_model.safetensors", "adapter_config.json"
_DONE = "done.json"  # beside an adapter that ltgc adapt wrote
_OTHER = "name another one, or adapt again"
_NO_LAYERS = "a part of its weights has names of no layer; check that it was made for this model"
_WEIGHT = re.compile(r"\.lora_(A|B|embedding_A|embedding_B|magnitude_vector)(?:\.default)?(\.weight)?$")


def lora_file(lora: str) -> tuple[str, str | None]:
    """Returns where a LoRA lies, a folder or an id on the hub, and the name of its file there (None: the only one).

    lora -- a .safetensors file, a folder with one, `owner/name` or `owner/name/file.safetensors` of the hub

    Raises InputError for what is none.
    """
    path = Path(lora)
    if os.path.isdir(lora):
        found = sorted(file.name for file in path.glob("*.safetensors"))
        if len(found) != 1:
            raise InputError(f"--lora {lora}: {len(found)} .safetensors files are in this folder; name one of them")
        return str(path), found[0]
    if os.path.isfile(lora):
        if path.suffix != ".safetensors":  # a pickle can run code
            raise InputError(f"--lora {lora}: only .safetensors files are read")
        return str(path.parent), path.name
    match = re.fullmatch(rf"({_WORD}/{_WORD})(?:/((?:{_WORD}/)*{_WORD}\.safetensors))?", lora)
    if not match:
        raise InputError(
            f"--lora {lora}: no such file or folder, and no LoRA of the hub; "
            "write FILE.safetensors, owner/name or owner/name/FILE.safetensors"
        )
    return match[1], match[2]


def identity(lora: str) -> str:
    """Returns what a LoRA is called in keys and records: by its bytes, or its id on the hub. Raises InputError."""
    where, file = lora_file(lora)
    if not (file and os.path.isdir(where)):
        return f"lora:{lora}"
    path, config = Path(where, file), Path(where, _PEFTS_CONFIG)
    name = file_identity("lora", path)
    # peft keeps the strength (lora_alpha) beside its weights.
    return name + file_identity("", config) if file == _PEFTS_FILE and config.is_file() and _is_pefts(path) else name


def look(lora: str) -> None:
    """Raises InputError for a file on this disk that is no LoRA, as far as its header tells: cut, of other weights."""
    where, file = lora_file(lora)
    if not (file and os.path.isdir(where)):
        return
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(Path(where, file), "numpy") as weights:
            kinds = {name: weights.get_slice(name).get_dtype() for name in weights.keys()}  # noqa: SIM118
        if not any("lora" in name.lower() for name in kinds):
            raise InputError("none of its weights is one of a LoRA")
        if odd := next((name for name, kind in kinds.items() if not _is_weight(name, kind)), ""):
            raise InputError(f"{one_line(odd)} is of {kinds[odd]}, which are no weights")
        _check_halves(kinds)
    except (SafetensorError, OSError, InputError) as error:
        end = "" if str(error).endswith(_OTHER) else f"; {_OTHER}"
        raise InputError(f"--lora {lora}: {one_line(error)}{end}") from None


def add(pipeline: Any, spec: str, lora: str, notice: Notice, scale: float | None = None) -> None:
    """Adds a LoRA to a pipeline, whose weights stay as they are: added to bfloat16 ones, small changes round away.

    scale -- what its changes are multiplied with, None for 1
    Says how many of its weights fit no layer, and whether parts of it are such as diffusers cannot use.
    Raises InputError where none fits, ProviderError where it cannot be had.
    """
    where, file = lora_file(lora)
    try:
        with heard() as said:
            weights, config = _read(pipeline, where, file)
            _check(weights)
            if not any(name.partition(".")[0] in pipeline.components for name in weights):
                weights = _as_diffusers(pipeline, weights, config or _peft_config(where, file, weights))
                pipeline.load_lora_weights(weights)
            else:
                pipeline.load_lora_weights(where, weight_name=file, use_safetensors=True)
        used, there = _used(pipeline), sum("lora" in name and not name.endswith("alpha") for name in weights)
        if not pipeline.get_list_adapters() or not used:  # diffusers only logs it
            raise InputError("it holds nothing for this model")
        if used < there and Path(where, _DONE).is_file():  # what ltgc adapt wrote for this very model fits it whole
            raise InputError(f"{there - used:,} of its {counted(there, 'weight')} fit no layer; adapt again")
        if scale is not None:
            names = list(dict.fromkeys(name for part in pipeline.get_list_adapters().values() for name in part))
            pipeline.set_adapters(names, [scale] * len(names))
    except LtgcError as error:
        raise InputError(f"--lora {lora} does not fit {spec}: {error}") from None
    except Exception as error:  # the hub, peft and torch raise all kinds
        if isinstance(error, IndexError) or "infer state dict type" in str(error):  # a whole part fits no layer
            raise InputError(f"--lora {lora} does not fit {spec}: {_NO_LAYERS}") from None
        if type(error).__name__ == "SafetensorError" or "size mismatch" in str(error):  # the file's own fault
            raise InputError(f"--lora {lora} does not fit {spec}: {one_line(error)}; {_OTHER}") from None
        raise ProviderError(
            f"--lora {lora} cannot be loaded on {spec}: {one_line(error)}; check that it was made for this model"
        ) from None
    if used < there:
        notice(
            f"--lora {lora}: {there - used:,} of {counted(there, 'weight')} fit no layer of {spec} and are not used; "
            "was it made for this model?"
        )
    if any("dora_scale" in line for line in said):
        notice(
            f"--lora {lora}: its DoRA scales are not used, which diffusers does not read under these names; "
            "images differ from those of the program that it was made with"
        )


def _check(weights: Mapping[str, Any]) -> None:
    """Raises InputError for weights that are no numbers, or whole ones, which a matrix of a LoRA never is, and as
    `_check_halves`.
    """
    if whole := next((name for name, value in weights.items() if value.ndim and not value.is_floating_point()), ""):
        raise InputError(f"{one_line(whole)} is {weights[whole].dtype}, no floating-point numbers; {_OTHER}")
    if broken := next((name for name, value in weights.items() if not value.float().isfinite().all()), ""):
        raise InputError(f"{one_line(broken)} has values that are no numbers (NaN, inf); {_OTHER}")
    _check_halves(weights)


def _is_weight(name: str, kind: str) -> bool:
    """Returns whether a tensor is of real numbers; a LoRA's strength may be a whole one.

    >>> _is_weight("up.lora_A.weight", "I64"), _is_weight("up.alpha", "I64"), _is_weight("up.lora_A.weight", "BF16")
    (False, True, True)
    """
    return kind.startswith(("F", "BF")) or name.endswith("alpha")


def _check_halves(weights: Iterable[str]) -> None:
    """Raises InputError for a layer that has one of a LoRA's two matrices: peft would make the other one up."""
    halves, weights = {"A": "B", "B": "A"}, set(weights)
    for name in sorted(weights):
        if (kind := _WEIGHT.search(name)) and kind[1] in halves:
            other = f"{name[: kind.start(1)]}{halves[kind[1]]}{name[kind.end(1) :]}"
            if other not in weights:
                raise InputError(f"it has {one_line(name)} and no {one_line(other)}; {_OTHER}")


def _read(pipeline: Any, where: str, file: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the weights, under diffusers' names where they were kohya's or A1111's, and the config in their file."""
    config = getattr(getattr(pipeline, "unet", None), "config", None)  # SDXL's blocks are told apart by it
    found = pipeline.lora_state_dict(
        where, weight_name=file, use_safetensors=True, unet_config=config, return_lora_metadata=True
    )
    return dict(found[0]), dict(found[-1] or {})


def _as_diffusers(pipeline: Any, weights: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns weights that name no part of the pipeline (peft's names) under those that do, at the config's strength.

    diffusers would take none of them, or all at strength 1.
    """
    renamed = {}
    for name, value in weights.items():
        kind = _WEIGHT.search(name)
        layer = _WEIGHT.sub("", name.removeprefix(_PEFTS))
        ending = f".lora_{kind[1]}{kind[2] or ''}" if kind else ""
        strength = _strength(layer, config) if kind and kind[1] == "B" else 1
        renamed[f"{_part_with(pipeline, layer)}.{layer}{ending}"] = value * strength
    return renamed


def _strength(layer: str, config: Mapping[str, Any]) -> float:
    """Returns what peft multiplies B A with: alpha / rank, or alpha / √rank; 1 where no config says it.

    >>> _strength("attn.to_q", {"r": 4, "lora_alpha": 8, "alpha_pattern": {"to_k": 4}})
    2.0
    """

    def of(pattern: str, otherwise: str) -> float:
        own = [value for key, value in (config.get(pattern) or {}).items() if re.search(rf"(?:^|\.){key}$", layer)]
        return float(own[0] if own else config[otherwise])

    if not {"r", "lora_alpha"} <= set(config):
        return 1.0
    rank = of("rank_pattern", "r")
    return of("alpha_pattern", "lora_alpha") / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _part_with(pipeline: Any, layer: str) -> str:
    """Returns the part of a pipeline that has a layer; the one that generates where none has it."""
    parts = {name: part for name, part in pipeline.components.items() if hasattr(part, "get_submodule")}
    for name, part in parts.items():
        for own in (layer, layer.removeprefix("text_model.")):
            with suppress(AttributeError):
                part.get_submodule(own)
                return name
    return "unet" if "unet" in parts else "transformer"


def _is_pefts(path: Path) -> bool:
    """Returns whether a .safetensors file has peft's own names: they stand in its header, whose length comes first."""
    with regular(path) as file:
        return _PEFTS.encode() in file.read(int.from_bytes(file.read(8), "little") & 0xFFFFFFF)


def _peft_config(where: str, file: str | None, weights: Iterable[str]) -> dict[str, Any]:
    """Returns what peft wrote beside its weights; nothing where they are not peft's, or it is not there."""
    if file not in (None, _PEFTS_FILE) or not any(name.startswith(_PEFTS) for name in weights):
        return {}
    path = Path(where, _PEFTS_CONFIG)
    if not os.path.isdir(where):
        from huggingface_hub import hf_hub_download

        path = Path(hf_hub_download(where, _PEFTS_CONFIG))
    try:
        config = json.loads(read_regular(path).decode())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path.name} beside it cannot be read: {one_line(error)}") from None
    return config if isinstance(config, dict) else {}


def _used(pipeline: Any) -> int:
    """Returns how many of a LoRA's weights are in a pipeline."""
    parts = [part for part in pipeline.components.values() if hasattr(part, "named_parameters")]
    return sum(".lora_" in name for part in parts for name, _ in part.named_parameters())
