"""What a question is kept under: stated apart from the store, which is opened only where an answer is wanted."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec

from ltgc_cli.ports import request_name

SCHEMA = 1  # part of every key: a change here makes every user pay again; say so in the CHANGELOG

# json.dumps would make one for each call
_canonical = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def key(request: msgspec.Struct) -> str:
    """Returns the sha256 (hex) of the canonical JSON of a frozen request, its type and the schema version."""
    return key_of(request_name(request), msgspec.to_builtins(request))


def key_of(name: str, asked: Any) -> str:
    """Returns the key of a request's type, by its name in the store, and its fields."""
    return hashlib.sha256(_canonical([SCHEMA, name, asked]).encode()).hexdigest()
