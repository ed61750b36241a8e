"""What answers: a spec that a person writes becomes a port that a stage calls.

A new provider is one file with an `open_port(name, options)` and one line in a table below. Opening a port reads a file
or two to name the model; its library is imported, and its weights loaded, when the port is first asked something.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Literal

from ltgc_cli.ports import Ask, Compare, Generate, Score
from ltgc_cli.providers.opened import AskOptions, ClipOptions, GenerateOptions, Opened

__all__ = ["Opened", "is_real", "open_ask", "open_compare", "open_generate", "open_score"]

# By a whole spec, or by a prefix with its colon, the module that opens it and gets the rest; "" opens all other specs.
_LLM = {"embedded": "llm.embedded", "replay:": "replay", "": "llm.litellm"}
_LMM = {**_LLM, "embedded": "llm.embedded_lmm"}
_T2I = {"blank": "t2i.blank", "replay:": "replay", "litellm:": "t2i.image_api", "": "t2i.diffusers"}
_CLIP = {"replay:": "replay", "": "clip.judge"}


def is_real(spec: str) -> bool:
    """Returns whether a spec names somebody's model, not one of ltgc's own or a recording, which cost nothing.

    >>> is_real("gpt-4o"), is_real("replay:answers.jsonl")
    (True, False)
    """
    return spec not in ("embedded", "blank") and not spec.startswith("replay:")


def open_ask(spec: str, *, kind: Literal["llm", "lmm"], **options: Any) -> Opened[Ask]:
    """Returns a language model (`llm`), or a vision-language model (`lmm`); the options are AskOptions.

    Raises InputError for a spec that names none.
    """
    return _open("ask", spec, _LMM if kind == "lmm" else _LLM, AskOptions(**options))


def open_generate(spec: str, **options: Any) -> Opened[Generate]:
    """Returns a text-to-image model; the options are GenerateOptions.

    Raises InputError for a spec, or a LoRA, that names none.
    """
    return _open("generate", spec, _T2I, GenerateOptions(**options))


def open_score(spec: str, **options: Any) -> Opened[Score]:
    """Returns a CLIP model as a judge of how alike images and texts are; the options are ClipOptions.

    Raises InputError for a spec that names none, ProviderError for a folder without weights.
    """
    return _open("score", spec, _CLIP, ClipOptions(**options))


def open_compare(spec: str, **options: Any) -> Opened[Compare]:
    """Returns a CLIP model as a judge of which of many texts an image is most alike; `objects` gives the list too.

    It is the one that `open_score` opened for the spec, if the options are the same: loaded once. Raises as that.
    """
    return _open("compare", spec, _CLIP, ClipOptions(**options))


def _open(port: str, spec: str, table: Mapping[str, str], options: Any) -> Any:
    """Returns what the module of a spec opens, with its `open_PORT`, or its `open_port` where it has one alone."""
    prefix, colon, rest = spec.partition(":")
    known = colon and prefix + colon in table
    module = import_module(f"ltgc_cli.providers.{table[prefix + colon] if known else table.get(spec, table[''])}")
    opener = getattr(module, f"open_{port}", None) or module.open_port
    return opener(rest if known else spec, options)
