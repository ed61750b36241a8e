"""What flags take, for completion: models, classes, data sets. All of it is read from files that are here already."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

_LINES = 20_000
"""Of a stream, looked through for class names."""
_CLASS = re.compile(rb'"class":\s*("(?:[^"\\]|\\.)*")')
_OURS = ("embedded", "replay:")
_DIFFUSERS = (
    "stabilityai/sd-turbo",
    "stabilityai/sdxl-turbo",
    "stabilityai/stable-diffusion-xl-base-1.0",
    "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "black-forest-labs/FLUX.1-schnell",
)
"""Models of the hub that people begin with; those that were downloaded are found besides."""


def language_models(start: str, _: Mapping[str, Any]) -> Iterable[str]:
    """Returns models that write."""
    return [*_OURS, *_listed(start)]


def vision_models(start: str, _: Mapping[str, Any]) -> Iterable[str]:
    """Returns models that see and write."""
    return [*_OURS, *_listed(start, sees=True)]


def drawing_models(start: str, _: Mapping[str, Any]) -> Iterable[str]:
    """Returns models that draw: diffusers' and, where `litellm:` begins the word, image APIs."""
    if start.startswith("litellm:"):
        from ltgc_cli.providers import prices

        return [f"litellm:{name}" for name in prices.names("image")]
    return [*_OURS, "blank", "litellm:", *dict.fromkeys([*_downloaded(), *_DIFFUSERS])]


def clip_models(start: str, _: Mapping[str, Any]) -> Iterable[str]:
    """Returns CLIP models, open_clip's own as MODEL/PRETRAINED."""
    return [*_OURS, "hf-hub:", "local-dir:", *_open_clip()]


def devices(start: str, _: Mapping[str, Any]) -> Iterable[str]:
    """Returns what torch calls its devices."""
    return ("cpu", "cuda", "mps")


def data_sets(start: str, _: Mapping[str, Any]) -> Iterable[str]:
    """Returns the data set that is built in; all others are files."""
    return ["digits-lt"] if start else []


def class_names(start: str, given: Mapping[str, Any]) -> Iterable[str]:
    """Returns the classes of the data, or of the stream, that the command's other flags name."""
    if given.get("input"):
        stream = Path(given["input"])  # a pipe would wait, and what is read from it is lost to the command
        return dict.fromkeys(_of_stream(stream)) if stream.is_file() else []
    if given.get("classes"):
        from ltgc_cli.learn.datasets import class_table

        return [info.name for info in class_table.load(Path(given["classes"]))]
    return _of_data(given["data"], given.get("root")) if given.get("data") else []


def _listed(start: str, *, sees: bool = False) -> Iterator[str]:
    """Returns the models of litellm's list; at first, where all would be thousands, those with a bare name."""
    from ltgc_cli.providers import prices

    names = prices.names("text", sees=sees)
    bare = {name.partition("/")[2] for name in names if name.startswith(("openai/", "anthropic/"))}
    return (name for name in names if start or name in bare)


def _of_stream(path: Path) -> Iterator[str]:
    import json

    last = b""
    with path.open("rb") as lines:
        for line in islice(lines, _LINES):
            found = _CLASS.search(line)
            if found and found[1] != last:  # the lines of a class stay together
                last = found[1]
                yield json.loads(last)


def _of_data(spec: str, root: Path | None) -> list[str]:
    from ltgc_cli.learn.datasets import DIGIT_NAMES, FORMATS, Source, folders, open_data

    if spec.partition(":")[0] == "digits-lt":
        return list(DIGIT_NAMES)
    if next(kind for kind in FORMATS if kind.takes(spec)) is folders.FORMAT:  # its images are not counted
        folder = Path(spec).expanduser()
        inside = folder / "train" if (folder / "train").is_dir() else folder
        return sorted(entry.name for entry in os.scandir(inside) if entry.is_dir() and not entry.name.startswith("."))
    return [info.name for info in open_data(Source(spec, root), "train").classes]


def _downloaded() -> list[str]:
    """Returns the text-to-image models in Hugging Face's cache, by their ids."""
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface"))
    hub = Path(os.environ.get("HF_HUB_CACHE", home / "hub")).expanduser()
    found = sorted(hub.glob("models--*/snapshots/*/model_index.json"))
    return list(dict.fromkeys(path.parts[-4].removeprefix("models--").replace("--", "/") for path in found))


def _open_clip() -> list[str]:
    """Returns MODEL/PRETRAINED of all weights that open_clip knows, read from its source: importing it takes torch."""
    spec = importlib.util.find_spec("open_clip")
    if spec is None or spec.origin is None:
        return []
    tree = ast.parse((Path(spec.origin).parent / "pretrained.py").read_text(encoding="utf-8"))
    assigned = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    return [
        f"{name}/{tag}"
        for name, value in _entries(assigned.get("_PRETRAINED"))
        for tag, _ in _entries(assigned.get(value.id) if isinstance(value, ast.Name) else value)
    ]


def _entries(node: ast.expr | None) -> Iterator[tuple[str, ast.expr]]:
    """Returns what a dict display, or a call of dict, has under its names."""
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value, value
    elif isinstance(node, ast.Call):
        for keyword in node.keywords:
            if keyword.arg:
                yield keyword.arg, keyword.value
