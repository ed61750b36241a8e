"""Answers held to JSON: what is asked for, and which models can."""

from __future__ import annotations

import functools
import importlib.util
import json
from pathlib import Path
from typing import Any

from ltgc_cli.ports import Schema

_LIST = "model_prices_and_context_window_backup.json"
_TEXT = {"type": "string"}
_FIELDS: dict[Schema, dict[str, Any]] = {
    "descriptions": {"type": "array", "items": _TEXT},
    "description": _TEXT,
    "numbers": {"type": "array", "items": {"type": "integer"}},
    "sense": _TEXT,
}


def _response_format(name: Schema, field: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": {name: field}, "required": [name], "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": schema}}


RESPONSE_FORMATS = {name: _response_format(name, field) for name, field in _FIELDS.items()}
"""What a request says, by `Question.schema`: an answer like {"descriptions": ["…", "…"]} or {"numbers": [1, 4]}."""


def structured(spec: str) -> bool:
    """Returns whether a model holds its answers to a JSON schema, by the list that litellm ships with.

    The list is read without importing litellm (4 s), once, in 0.1 s. Models that it does not have cannot.
    """
    able = _able()
    return spec in able or spec.partition("/")[2] in able


@functools.cache
def _able() -> frozenset[str]:
    found = importlib.util.find_spec("litellm")
    if found is None or found.origin is None:
        return frozenset()
    models = json.loads(Path(found.origin).with_name(_LIST).read_bytes())
    return frozenset(name for name, facts in models.items() if facts.get("supports_response_schema"))
