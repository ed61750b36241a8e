"""Weights of a CLIP in a file, MODEL=FILE: what such a file does not say of itself, and why it may not fit."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ltgc_cli.errors import InputError
from ltgc_cli.text import one_line

_FILES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")  # but for the first read as numbers alone: no code is run
_PREPARED = ("mean", "std", "interpolation", "resize_mode")
_SHAPES = re.compile(
    r"size mismatch for (\S+): copying a param with shape torch\.Size\(\[([\d, ]*)\]\) from checkpoint, "
    r"the shape in current model is torch\.Size\(\[([\d, ]*)\]\)"
)


class WeightsFile(NamedTuple):
    """Weights in a file, and the model of open_clip's that they are of."""

    name: str
    path: Path


def named_by(spec: str) -> WeightsFile | None:
    """Returns what a spec MODEL=FILE names, None for any other. Raises InputError for a file that is none of weights.

    A folder's name may have a = in it, a model's has none.
    """
    name, equals, path = spec.partition("=")
    if not (name and equals and path) or ":" in name or "/" in name:
        return None
    if not os.path.isfile(path):
        raise InputError(f"{spec}: no such file {path}; write MODEL=FILE, such as ViT-B-32=weights.safetensors")
    if Path(path).suffix.lower() not in _FILES:
        raise InputError(f"{spec}: weights are in a file that ends in {', '.join(_FILES)}")
    return WeightsFile(name, Path(path))


def preprocessing(name: str) -> dict[str, Any]:
    """Returns what all published weights of a model agree on of how images are prepared; a file says nothing of it."""
    return {f"image_{field}": found.pop() for field, found in _published(name).items() if len(found) == 1}


def doubts(file: WeightsFile) -> Iterator[str]:
    """Returns what changes the features and cannot be seen in the weights."""
    import open_clip

    if f"{file.name}-quickgelu" in open_clip.list_models():
        yield (
            "computed with GELU, as LAION's weights; for weights trained with QuickGELU, as OpenAI's, write "
            f"{file.name}-quickgelu={file.path}"
        )
    if differing := [field for field, found in _published(file.name).items() if len(found) > 1]:
        yield (
            f"published weights of {file.name} differ in how images are prepared ({', '.join(differing)}), here it is "
            "open_clip's usual way; a folder whose open_clip_config.json says it (local-dir:) decides"
        )


def reason(error: Exception, name: str) -> str:
    """Returns in one line why weights are not loaded: those that do not fit are counted, and one of each named."""
    text = str(error)
    if "TorchScript" in text:
        return (
            "the file is a TorchScript archive, a program and not weights alone; OpenAI's own are MODEL/openai "
            "(ViT-B-32/openai), others are to be saved as .safetensors by whoever trusts them"
        )
    if "weights_only" in text or "Weights only" in text:
        return "the file is a pickle that holds more than weights, and could run code; save its weights as .safetensors"
    if "loading state_dict" not in text:
        return one_line(error)
    found = []
    if shapes := _SHAPES.findall(text):
        found.append(f"{len(shapes)} have another shape ({shapes[0][0]}: {shapes[0][1]}, not {shapes[0][2]})")
    for kind, what in (("Missing", "are missing"), ("Unexpected", "are unknown to it")):
        listed = re.search(rf"{kind} key\(s\)[^:]*: (.*)", text)
        if names := re.findall(r'"([^"]+)"', listed[1]) if listed else []:
            found.append(f"{len(names)} {what} ({names[0]}{', …' if len(names) > 1 else ''})")
    return f"these weights are not those of {name.rpartition('/')[2]}: {', '.join(found)}"


def _published(name: str) -> dict[str, set[Any]]:
    import open_clip

    tags = [open_clip.get_pretrained_cfg(name, tag) for tag in open_clip.list_pretrained_tags_by_model(name)]
    return {field: {tag[field] for tag in tags if field in tag} for field in _PREPARED}
