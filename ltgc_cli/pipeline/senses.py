"""--senses FILE: what a person says of names that mean several things."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ltgc_cli.errors import InputError
from ltgc_cli.files import named_errors, read_regular
from ltgc_cli.records import Class
from ltgc_cli.stages.senses import NameInfo
from ltgc_cli.text import nearest


def load(path: Path) -> dict[str, NameInfo]:
    """Returns what a TOML file says of names (or labels): a sense, or a table with sense and synonyms.

    Raises InputError for a file that says anything else.
    """
    try:
        with named_errors(path):
            given = tomllib.loads(read_regular(path).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}") from None
    return {name: _named(path, name, value) for name, value in given.items()}


def senses_by_label(classes: Sequence[Class], senses: Mapping[str, NameInfo], path: Path) -> dict[int, NameInfo]:
    """Returns what is known of each class, by its label; the file names a class by its label, its name or a synonym.

    Raises InputError for a name that no class has: it is mistyped, or belongs to other data.
    """
    names = {name for cls in classes for name in (str(cls.label), cls.class_, *cls.synonyms)}
    for name in senses:
        if name not in names:
            raise InputError(f"{path}: no class is called {name!r}{nearest(name, names, quoted=True)}")
    found = {
        cls.label: next((senses[name] for name in (str(cls.label), cls.class_, *cls.synonyms) if name in senses), None)
        for cls in classes
    }
    return {label: named for label, named in found.items() if named}


def _named(path: Path, name: str, value: Any) -> NameInfo:
    try:
        named = msgspec.convert({"sense": value} if isinstance(value, str) else value, NameInfo)
    except msgspec.ValidationError as error:
        raise InputError(
            f'{path}: {name}: {error}; write {name} = "marine mammal", or {{ sense = "…", synonyms = ["…"] }}'
        ) from None
    if not all(text.isprintable() for text in (named.sense, *named.synonyms)):
        raise InputError(f"{path}: {name}: a sense is a few words in one line")
    return named
