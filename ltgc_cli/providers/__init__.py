"""What answers: a spec that a person writes becomes a port that a stage calls.

A new provider is one file with an `open_port(name, options)` and one line in a table below. Opening a port reads a file
or two to name the model; its library is imported, and its weights loaded, when the port is first asked something.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from typing import Any, Literal

from ltgc_cli.ports import Ask, Compare, Generate, Score
from ltgc_cli.providers.opened import AskOptions, ClipOptions, Encode, GenerateOptions, Opened

__all__ = ["Opened", "is_real", "open_ask", "open_compare", "open_encode", "open_generate", "open_score"]

# By a whole spec, or by a prefix with its colon, the function that opens it and gets the rest of the spec; "" is for
# all other specs. Modules are imported when a spec names them.
_LLM = {
    "embedded": "llm.embedded:open_port",
    "replay:": "replay:open_ask",
    "": "llm.litellm:open_port",
}
_LMM = {**_LLM, "embedded": "llm.embedded_lmm:open_port", "": "llm.litellm:open_seeing_port"}
_T2I = {
    "blank": "t2i.blank:open_port",
    "replay:": "replay:open_generate",
    "litellm:": "t2i.image_api:open_port",
    "": "t2i.diffusers:open_port",
}
_SCORE = {"replay:": "replay:open_score", "": "clip.judge:open_score"}
_ENCODE = {"": "clip.judge:open_encode"}
_COMPARE = {"replay:": "replay:open_compare", "": "clip.judge:open_compare"}


def is_real(spec: str) -> bool:
    """Returns whether a spec names somebody's model, not one of ltgc's own or a recording, which cost nothing.

    >>> is_real("gpt-4o"), is_real("replay:answers.jsonl")
    (True, False)
    """
    return spec not in ("embedded", "blank") and not spec.startswith("replay:")


def open_ask(spec: str, *, kind: Literal["llm", "lmm"], **options: Any) -> Opened[Ask]:
    """Returns a language model (`llm`), or a vision-language model (`lmm`); the options are AskOptions.

    Raises InputError for a spec that names none, or one without eyes.
    """
    return _open(spec, _LMM if kind == "lmm" else _LLM, AskOptions(**options))


def open_generate(spec: str, **options: Any) -> Opened[Generate]:
    """Returns a text-to-image model; the options are GenerateOptions.

    Raises InputError for a spec, or a LoRA, that names none.
    """
    return _open(spec, _T2I, GenerateOptions(**options))


def open_score(spec: str, **options: Any) -> Opened[Score]:
    """Returns a CLIP model as a judge of how alike images and texts are; the options are ClipOptions.

    Raises InputError for a spec that names none, ProviderError for a folder without weights.
    """
    return _open(spec, _SCORE, ClipOptions(**options))


def open_compare(spec: str, **options: Any) -> Opened[Compare]:
    """Returns a CLIP model as a judge of which of many texts an image is most alike; `objects` gives the list too.

    It is the one that `open_score` opened for the spec, if the options are the same: loaded once. Raises as that.
    """
    return _open(spec, _COMPARE, ClipOptions(**options))


def open_encode(spec: str, **options: Any) -> Opened[Encode]:
    """Returns a CLIP model as what encodes images, for a judge in another process; options and errors as above."""
    return _open(spec, _ENCODE, ClipOptions(**options))


def _open(spec: str, table: Mapping[str, str], options: object) -> Opened[Any]:
    prefix, colon, rest = spec.partition(":")
    if colon and prefix + colon in table:
        name, given = prefix + colon, rest
    else:
        name, given = spec if spec in table else "", spec
    opened: Opened[Any] = pkgutil.resolve_name(f"ltgc_cli.providers.{table[name]}")(given, options)
    return opened
