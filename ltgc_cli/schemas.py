"""The schema of what lies on a disk: what a newer ltgc wrote in a form that this one would misread is refused.

All that is written today is of schema 1, and says no number: keys, hashes and bytes are as they were. A change of form
raises SCHEMA and writes the number: `PRAGMA user_version` of the store's database, which speaks for all in its folder;
a key `schema` in a record, in a line of a recording or an export, in a manifest, in a checkpoint's JSON and in the
facts of a state of training.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ltgc_cli.errors import InputError

SCHEMA = 1  # the newest that is read


def newer(schema: object) -> str:
    """Returns what is said of something with this number, "" where this version reads it.

    >>> newer(None), newer(1), newer("mine")
    ('', '', '')
    >>> newer(2)
    'was written by a newer ltgc (schema 2, this one reads up to 1); upgrade ltgc'
    """
    if not isinstance(schema, int) or schema <= SCHEMA:
        return ""
    return f"was written by a newer ltgc (schema {schema}, this one reads up to {SCHEMA}); upgrade ltgc"


def check(where: object, schema: object) -> None:
    """Raises InputError for the number of a newer version."""
    if said := newer(schema):
        raise InputError(f"{where} {said}")


def check_json(where: object, data: str | bytes) -> None:
    """Raises InputError for a JSON object with the number of a newer version; what is no JSON its reader refuses."""
    try:
        found = msgspec.json.decode(data, type=_Marked)
    except (ValueError, RecursionError):  # not UTF-8, no JSON, no object
        return
    check(where, found.schema)


class _Marked(msgspec.Struct):
    schema: Any = None
