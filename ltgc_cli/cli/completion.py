"""What a shell may complete behind a flag: models, classes, data sets. All of it is read from files that are here."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import typer

from ltgc_cli.settings import Setting

_LINES = 20_000
"""Of a stream, looked through for class names."""
_OURS = ("embedded", "replay:")
_DIFFUSERS = (
    "stabilityai/sd-turbo",
    "stabilityai/sdxl-turbo",
    "stabilityai/stable-diffusion-xl-base-1.0",
    "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "black-forest-labs/FLUX.1-schnell",
)
"""Models of the hub that people begin with; those that were downloaded are found besides."""


def values_of(setting: Setting) -> Callable[..., Any] | None:
    """Returns what Typer asks for the values of a setting, None where there are none to offer."""
    listed = _VALUES.get(setting.name) if not setting.choices else lambda start, given: setting.choices
    if listed is None:
        return None

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        try:
            return [value for value in listed(incomplete, ctx.params) if value.startswith(incomplete)]
        except Exception:  # completion is silent about a broken file
            return []

    return complete


def _language_models(start: str, _: Mapping[str, Any], *, sees: bool = False) -> Iterable[str]:
    """Returns the models of litellm's list; at first, where all would be thousands, those with a bare name."""
    from ltgc_cli.providers import prices

    names = prices.names("text", sees=sees)
    bare = {name.partition("/")[2] for name in names if name.startswith(("openai/", "anthropic/"))}
    return [*_OURS, *(name for name in names if start or name in bare)]


def _vision_models(start: str, given: Mapping[str, Any]) -> Iterable[str]:
    return _language_models(start, given, sees=True)


def _image_models(start: str, _: Mapping[str, Any]) -> Iterable[str]:
    """Returns text-to-image models: diffusers' and, where `litellm:` begins the word, image APIs."""
    if start.startswith("litellm:"):
        from ltgc_cli.providers import prices

        return [f"litellm:{name}" for name in prices.names("image")]
    return [*_OURS, "blank", "litellm:", *dict.fromkeys([*_downloaded(), *_DIFFUSERS])]


def _downloaded() -> list[str]:
    """Returns the text-to-image models in Hugging Face's cache, by their ids."""
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface"))
    hub = Path(os.environ.get("HF_HUB_CACHE", home / "hub")).expanduser()
    found = sorted(hub.glob("models--*/snapshots/*/model_index.json"))
    return list(dict.fromkeys(path.parts[-4].removeprefix("models--").replace("--", "/") for path in found))


def _clip_models(start: str, _: Mapping[str, Any]) -> Iterable[str]:
    return [*_OURS, "hf-hub:", "local-dir:", *_open_clip()]


def _open_clip() -> Iterator[str]:
    """Returns MODEL/PRETRAINED of all weights that open_clip knows, read from its source: importing it takes torch."""
    spec = importlib.util.find_spec("open_clip")
    if spec is None or spec.origin is None:
        return
    tree = ast.parse((Path(spec.origin).parent / "pretrained.py").read_text(encoding="utf-8"))
    tables = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for model, table in _entries(tables["_PRETRAINED"]):
        for tag, _ in _entries(tables[table.id] if isinstance(table, ast.Name) else table):
            yield f"{model}/{tag}"


def _entries(node: ast.expr) -> list[tuple[str, ast.expr]]:
    """Returns what a dict display, or a call of dict, has under its names."""
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return [(str(key.value), value) for key, value in pairs if isinstance(key, ast.Constant)]
    return [(one.arg, one.value) for one in getattr(node, "keywords", []) if one.arg]


def _class_names(start: str, given: Mapping[str, Any]) -> Iterable[str]:
    """Returns the classes of the data, or of the stream, that the command's other flags or ltgc.toml name."""
    from ltgc_cli import settings_file
    from ltgc_cli.learn import datasets

    stream = given.get("input")
    if stream:  # a pipe would wait, and what is read from it is lost to the command
        return _of_stream(Path(stream)) if Path(stream).is_file() else []
    named = given if given.get("data") or given.get("classes") else (settings_file.load() or {}).get("describe", {})
    if named.get("classes"):
        return [info.name for info in datasets.class_table.load(Path(named["classes"]))]
    if not named.get("data"):
        return []
    columns = (named.get("image_column"), named.get("label_column"))
    source = datasets.Source(named["data"], named.get("root"), None, *columns)
    return [info.name for info in datasets.open_data(source, "train").classes]


def _of_stream(path: Path) -> Iterable[str]:
    import json

    from ltgc_cli.files import whole_lines

    with path.open("rb") as lines:
        found = (
            re.search(rb'"class":\s*("(?:[^"\\]|\\.)*")', line) for line in islice(whole_lines(lines, path), _LINES)
        )
        return dict.fromkeys(json.loads(one[1]) for one in found if one)


_VALUES: Mapping[str, Callable[[str, Mapping[str, Any]], Iterable[str]]] = {
    "llm": _language_models,
    "lmm": _vision_models,
    "direct": _vision_models,
    "t2i": _image_models,
    "clip": _clip_models,
    "class_": _class_names,
    "data": lambda start, _: ["digits-lt"] if start else [],
    "val": lambda start, _: ["digits-lt"] if start else [],
    "device": lambda start, _: ["cpu", "cuda", "mps"],
}
