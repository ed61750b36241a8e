"""Class names as folders and lists spell them, and as people write them; and names that are none.

`golden_retriever`, `001.Black_footed_Albatross`, `n02099601-golden_retriever` and `n02099601` are read as golden
retriever, Black footed Albatross, golden retriever, golden retriever. What the data has stays a synonym, by which
folders, tables and older checkpoints are matched.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.resources import files
from urllib.parse import unquote

import msgspec

from ltgc_cli.learn.datasets.types import ClassInfo

_WNID = re.compile(r"n\d{8}")  # WordNet's id of a noun, by which ImageNet calls its classes
# What stands before a name and is surely none of it: a WordNet id, a number filled up with zeros, a number with a dot.
_INDEX = re.compile(r"\A(?:n\d{8}[\s._-]+|0\d+[\s._-]+|\d+\.\s*)(?=[^\W\d_])")
# What may be part of a name, as in 4-door sedan: it is an index where all classes have one, and none is left out.
_NUMBER = re.compile(r"(\d{1,9})[\s_-]+(?=[^\W\d_])")
_LETTER = re.compile(r"\A/?(\w)/(?=\1)")  # Places365 sorts its classes by their first letters: /a/abbey
_ESCAPE = re.compile(r"%[\dA-Fa-f]{2}")
_CODE = re.compile(
    r"n\d{8}"
    r"|[\d\s.,_]+"  # numbers; 727-200 and C-130 are aircraft
    r"|c\d+|(?i:[a-z]0\d+)"
    r"|(?i:(?:class(?:e|es)?|cls|category|label|lbl|idx|id|index|item|object|obj|cluster|folder|dir|species|subject|taxon)"
    r"[\s_.#-]*\d+)"
    r"|/?[mg]/[\da-z_]{2,}"  # of Open Images, /m/0bt9lr
    r"|(?i:(?=(?:\D*\d){2})(?=.*[a-f])[\da-f]{8,}|[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12})"  # hashes, UUIDs
)


def as_read(classes: Sequence[ClassInfo]) -> tuple[ClassInfo, ...]:
    """Returns the classes under names as people write them, each with the data's own spelling as its first synonym.

    Where two classes would be called the same, both keep their own names.

    >>> as_read([ClassInfo(label=0, name="golden_retriever")])
    (ClassInfo(label=0, name='golden retriever', sense='', synonyms=('golden_retriever',), count=0),)
    """
    spelled = {info.name: info.name for info in classes}
    numbered = _numbered(spelled)
    spelled = {name: readable(name, numbered=numbered) for name in spelled}
    often = Counter(name.casefold() for name in spelled.values())
    return tuple(
        _called(info, spelled[info.name]) if often[spelled[info.name].casefold()] == 1 else info for info in classes
    )


def readable(name: str, *, numbered: bool = False) -> str:
    """Returns a name as people write it: without an index, with spaces for underscores, ImageNet's ids as names.

    numbered -- whether any number before a name is an index

    >>> readable("001.Black_footed_Albatross"), readable("jack-o'-lantern"), readable("2012_BMW_M3")
    ('Black footed Albatross', "jack-o'-lantern", '2012 BMW M3')
    """
    # macOS writes é as two characters, other systems and people as one.
    bare = unicodedata.normalize("NFC", _unescaped(name)).strip().rstrip("/")
    if _CODE.fullmatch(bare):
        return imagenet().get(bare, name)
    bare = _LETTER.sub("", _INDEX.sub("", bare, count=1), count=1)
    if numbered:
        bare = _NUMBER.sub("", bare, count=1)
    return imagenet().get(bare) or " ".join(bare.replace("_", " ").split()) or name


def _unescaped(name: str) -> str:
    """Returns a name without the web's escapes: `golden%20retriever`."""
    found = unquote(name) if _ESCAPE.search(name) else name
    return found if found.isprintable() and "\ufffd" not in found else name


def written(info: ClassInfo) -> str:
    """Returns the name of a class as the data has it."""
    return next((name for name in info.synonyms if readable(name, numbered=True) == info.name), info.name)


def spellings(info: ClassInfo) -> tuple[str, ...]:
    """Returns what a class is surely called: its name as the data has it, as people write it, and WordNet's id."""
    return (written(info), info.name, *filter(_WNID.fullmatch, info.synonyms))


def codes(names: Iterable[str]) -> list[str]:
    """Returns the names that are none: numbers, codes and hashes, of which a model knows nothing.

    >>> codes(["0042", "n12345678", "class_3", "c12", "9f86d081884c", "Boeing 747", "727-200", "A320", "7up"])
    ['0042', 'n12345678', 'class_3', 'c12', '9f86d081884c']
    """
    return [name for name in names if _CODE.fullmatch(name)]


@lru_cache(maxsize=1)
def imagenet() -> dict[str, str]:
    """Returns the names of ImageNet's 1,000 classes by WordNet's ids, in the order of their labels."""
    text = files("ltgc_cli.learn.datasets").joinpath("imagenet.tsv").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in text.splitlines() if not line.startswith("#"))
    return {wnid: name for wnid, name in rows}


def _called(info: ClassInfo, name: str) -> ClassInfo:
    if name == info.name:
        return info
    wnid = _WNID.match(info.name)
    others = [info.name, *([wnid[0]] if wnid else []), *info.synonyms]
    others = [other for other in others if other.isprintable()]  # as class tables have them, which export writes
    return msgspec.structs.replace(info, name=name, synonyms=tuple(dict.fromkeys(others)))


def _numbered(names: Iterable[str]) -> bool:
    """Returns whether the names are counted through: a number before each, from 0 or 1 on, none left out."""
    found = [_NUMBER.match(name) for name in names]
    numbers = sorted(int(one[1]) for one in found if one)
    return (
        len(found) == len(numbers) > 1 and numbers[0] in (0, 1) and numbers == list(range(numbers[0], numbers[-1] + 1))
    )
