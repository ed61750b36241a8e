"""A model's files as people have them: a folder in half precision only, or with a part missing; a single file."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ltgc_cli.errors import InputError, ProviderError
from ltgc_cli.files import read_regular
from ltgc_cli.providers.opened import Notice
from ltgc_cli.text import counted, one_line

SINGLE = ".safetensors"
PICKLES = (".ckpt", ".pt", ".pth", ".bin")
_INDEX = "model_index.json"
_CONFIGS = ["*.json", "**/*.json", "*.txt", "**/*.txt", "**/*.model"]
_WEIGHTS = re.compile(
    r"(?:diffusion_pytorch_model|pytorch_model|model)(?:-\d{5}-of-\d{5})?(?:\.(?P<variant>[\w.]+?))?"
    r"(?:-\d{5}-of-\d{5})?\.(?P<format>safetensors|bin)"
)
_COLOURS = re.compile(r"\x1b\[[\d;]*m")
_BEST = ("fp16", "bf16")  # of several variants; after these by the alphabet, so that ema comes before non_ema
_DISPENSABLE = {
    "safety_checker": "no image is held back",
    "feature_extractor": "the safety checker, which sees through it, is left out",
    "image_encoder": "no text needs it",
    "text_encoder_3": "texts are read by the others alone",
    "tokenizer_3": "texts are read by the others alone",
}
"""Parts that a pipeline does without, and what that means."""


def pretrained(where: str, dtype: Any, notice: Notice) -> Any:
    """Returns the pipeline of a folder or an id on the hub.

    Weights that are there in a variant alone (bf16, fp16, non_ema) are taken from that, each part by its own files.
    """
    from diffusers import DiffusionPipeline

    parts = _parts(Path(where), dtype, notice) if os.path.isdir(where) else {}

    def load(**more: Any) -> Any:
        return DiffusionPipeline.from_pretrained(where, torch_dtype=dtype, **parts, **more)

    try:
        return load()
    except OSError as error:
        if "no file named" in str(error):  # on the hub, whose files are not looked at before
            for variant in _BEST:
                with suppress(OSError, ValueError):
                    return load(variant=variant)
        raise


def single_file(path: Path, config: str | None, dtype: Any, notice: Notice) -> tuple[Any, Path]:
    """Returns the pipeline of a .safetensors file that holds a whole model, and the folder of its configs.

    config -- a folder of a diffusers model, or an id on the hub; None for the one that the weights' names tell
    Raises InputError for a file that is no such checkpoint, ProviderError where the configs cannot be had.
    """
    import diffusers

    shapes, metadata = _header(path)
    folder = _configs(path, shapes, config)
    index = _index(folder)
    family = getattr(diffusers, str(index.get("_class_name")), None)
    if not hasattr(family, "from_single_file"):
        raise InputError(
            f"{path.name}: diffusers loads no {index.get('_class_name')} from a single file; "
            "name a folder or an id of a whole model by --t2i"
        )
    assert family is not None
    pipeline = family.from_single_file(str(path), config=str(folder), torch_dtype=dtype)
    if index.get("safety_checker", [None])[0] and not getattr(pipeline, "safety_checker", None):
        notice(f"{path.name} has no safety_checker: {_DISPENSABLE['safety_checker']}")
    predicts_v = "v_pred" in shapes or metadata.get("modelspec.prediction_type") == "v"
    if predicts_v and pipeline.scheduler.config.get("prediction_type") == "epsilon":
        own: dict[str, Any] = (
            {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"} if "ztsnr" in shapes else {}
        )
        pipeline.scheduler = pipeline.scheduler.from_config(
            pipeline.scheduler.config, prediction_type="v_prediction", **own
        )
    return pipeline, folder


def tell(said: Sequence[str], spec: str, notice: Notice) -> None:
    """Says in one line each what a library only logged while it loaded a model: weights missing, or not used."""
    for text in said:
        if "non-EMA weights are extracted" in text:
            notice(f"{spec} holds averaged (EMA) weights beside the others; the others are used")
        for part, kind, names in _misfits(text):
            shown = ", ".join(names[:2]) + (", …" if len(names) > 2 else "")
            if kind == "MISSING":
                notice(
                    f"{spec}: its files lack {counted(len(names), 'weight')} of its {part} ({shown}), random instead: "
                    "images may be noise; get the files anew"
                )
            else:
                notice(f"{spec}: {counted(len(names), 'weight')} in its files fit nothing in its {part} ({shown})")


def _misfits(text: str) -> list[tuple[str, str, list[str]]]:
    """Returns the part, MISSING or UNEXPECTED, and the weights' names of a warning by diffusers or transformers.

    >>> _misfits("Some weights of the model checkpoint at a were not used when initializing UNet: \\n ['a.b', 'c.d']")
    [('UNet', 'UNEXPECTED', ['a.b', 'c.d'])]
    """
    text, found = _COLOURS.sub("", text), []
    if report := re.search(r"(\w+) LOAD REPORT", text):  # transformers': a table with a row for each name
        rows = re.findall(r"^(\S+)\s*\|[^|\w]*(MISSING|UNEXPECTED)\b", text, re.MULTILINE)
        found = [(report[1], kind, [name for name, own in rows if own == kind]) for kind in ("MISSING", "UNEXPECTED")]
    for kind, pattern in (
        ("MISSING", r"Some weights of (\w+) were not initialized.*?(\[.*\])"),
        ("UNEXPECTED", r"Some weights of the model checkpoint.*? not used when initializing (\w+):.*?(\[.*\])"),
    ):
        if match := re.search(pattern, text, re.DOTALL):
            found.append((match[1], kind, re.findall(r"'([^']+)'", match[2])))
    # Old models have the places of the tokens among their weights, which every program counts for itself.
    kept = [(part, kind, [name for name in names if not name.endswith("position_ids")]) for part, kind, names in found]
    return [one for one in kept if one[2]]


# ---- folders


def _parts(folder: Path, dtype: Any, notice: Notice) -> dict[str, Any]:
    """Returns the parts of a model that diffusers would not find by itself, and None for those that are missing."""
    import diffusers

    index = _index(folder)
    family = getattr(diffusers, str(index.get("_class_name")), None)
    optional = set(getattr(family, "_optional_components", ())) & set(_DISPENSABLE)
    named = {name: made for name, made in index.items() if isinstance(made, list) and len(made) == 2 and made[0]}
    parts: dict[str, Any] = {}
    for name, (library, kind) in named.items():
        found = _variants(folder / name)
        bare = name in optional and not found and not name.startswith(("tokenizer", "feature_extractor"))
        if name in optional and (bare or not (folder / name).is_dir()):
            notice(f"{folder.name} has no {name}, which its {_INDEX} names: {_DISPENSABLE[name]}")
            parts[name] = None
        elif found and "" not in found:
            variant = min(found, key=lambda one: (_BEST.index(one) if one in _BEST else len(_BEST), one))
            parts[name] = _class(library, kind).from_pretrained(folder / name, torch_dtype=dtype, variant=variant)
    if "feature_extractor" in parts and "safety_checker" in optional:
        parts["safety_checker"] = None
    return parts


def _variants(folder: Path) -> set[str]:
    """Returns the variants of the weights in a folder, "" for weights without one; none where there are no weights."""
    files = [match for file in folder.glob("*") if (match := _WEIGHTS.fullmatch(file.name))]
    safe = [match for match in files if match["format"] == "safetensors"]
    plain = any(not match["variant"] for match in files)  # diffusers reads a .bin too, as numbers alone
    return {""} if plain else {match["variant"] for match in safe or files}


def _class(library: str, name: str) -> Any:
    """Returns the class that model_index.json names: of diffusers, of transformers, or of a pipeline's own module."""
    import diffusers

    module = getattr(diffusers.pipelines, library, None) or import_module(library)
    return getattr(module, name)


# ---- single files


def _header(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns the shapes of a file's weights, by their names, as what has a `.shape`; and what it says of itself."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            shapes = {name: SimpleNamespace(shape=tuple(file.get_slice(name).get_shape())) for name in names}
            return shapes, dict(file.metadata() or {})
    except SafetensorError as error:
        raise InputError(f"{path} is no whole .safetensors file ({one_line(error)}); get it anew") from None


def configs(path: Path, config: str | None) -> Path:
    """Returns the folder with the configs of a single file's parts. Raises as `single_file`; reads no weights."""
    return _configs(path, _header(path)[0], config)


def _configs(path: Path, shapes: dict[str, Any], config: str | None) -> Path:
    """Returns the folder with the configs of a single file's parts."""
    if config and os.path.isdir(config):
        return Path(config)
    named = config or _known_by(path, shapes)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(named, allow_patterns=_CONFIGS))
    except Exception as error:  # the hub raises all kinds
        whose = f"--t2i-config {config}" if config else f"{path.name} has the weights of a {named}, whose configs"
        what = "names no folder and is not to be had from the hub" if config else "are not here"
        raise ProviderError(
            f"{whose} {what} ({one_line(error, 80)}); give a folder of a diffusers model of this kind, "
            "its weights are not needed: --t2i-config FOLDER"
        ) from None


def _known_by(path: Path, shapes: dict[str, Any]) -> str:
    """Returns the id of the model on the hub whose configs a file's weights fit, by their names and shapes."""
    from diffusers.loaders.single_file_utils import fetch_diffusers_config, infer_diffusers_model_type

    if any(".lora_" in name or name.startswith("lora_") for name in shapes):
        raise InputError(f"{path.name} is a LoRA, no whole model; name it by --lora, and the model by --t2i")
    # diffusers takes all that it does not know for the first Stable Diffusion.
    if infer_diffusers_model_type(shapes) == "v1" and not any(name.startswith("model.diffusion_") for name in shapes):
        raise InputError(
            f"{path.name} holds no text-to-image model that diffusers knows by its weights' names "
            f"({one_line(next(iter(shapes), 'none'), 60)}, …); --t2i-config FOLDER may say what it is"
        )
    return str(fetch_diffusers_config(shapes)["pretrained_model_name_or_path"])


def _index(folder: Path) -> dict[str, Any]:
    try:
        index = json.loads(read_regular(folder / _INDEX).decode())
    except (OSError, ValueError) as error:
        raise ProviderError(f"{folder} is no folder of a diffusers model: {_INDEX}: {one_line(error)}") from None
    return index if isinstance(index, dict) else {}
