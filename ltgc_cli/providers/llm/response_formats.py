"""The JSON Schemas that an answer may be asked to follow, as a request names them."""

from __future__ import annotations

from typing import Any

from ltgc_cli.ports import Schema

_TEXT = {"type": "string"}
_FIELDS: dict[Schema, dict[str, Any]] = {
    "descriptions": {"type": "array", "items": _TEXT},
    "description": _TEXT,
    "numbers": {"type": "array", "items": {"type": "integer"}},
    "sense": _TEXT,
    "name": _TEXT,
}


def _response_format(name: Schema, field: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": {name: field}, "required": [name], "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": schema}}


RESPONSE_FORMATS = {name: _response_format(name, field) for name, field in _FIELDS.items()}
"""What a request says, by `Question.schema`: an answer like {"descriptions": ["…", "…"]} or {"numbers": [1, 4]}."""
