"""recognize: a vision-language model is asked which class an image shows, as the paper's Table 3 does."""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ltgc_cli import prompts as p
from ltgc_cli.answers.blocks import plain_text
from ltgc_cli.answers.names import forms
from ltgc_cli.errors import TooLong
from ltgc_cli.ports import Ask, Question, Tries, Usage
from ltgc_cli.records import Class
from ltgc_cli.stages.tries import first_useful, once

# Characters: a longer list of names (ImageNet's thousand are 20,000) is not sent; the name is asked for openly.
LISTED = 40_000
_EXAMPLES = 12  # names that an open question shows, so that the answer is of their kind (a species, not a genus)
_NEAR = 0.88  # how alike (difflib's ratio) letters must be to mean the same name in spite of a misspelling
_LONGEST = 80  # letters of an answer that is compared so
_MOST_WORDS = 30  # words of an answer that a name is looked for in: a long talk names many things

Index = Mapping[str, frozenset[int]]  # the labels that a name may mean


class NameTable(NamedTuple):
    """The classes as a question lists them, and as answers may name them."""

    questions: tuple[str, ...]  # what is asked: with the list of all names where it fits, then openly
    exact: Index  # names and synonyms as the class table has them, but for case
    names: Index  # the same by their letters
    forms: Index  # other forms of these: one of several names, without what stands in brackets


class Recognized(NamedTuple):
    """What an image was taken for: a label, None for an answer that names no class of the table, or several."""

    label: int | None
    answer: str
    usage: Usage


def table(classes: Sequence[Class]) -> NameTable:
    """Returns how these classes are asked for and recognised. No order of the class table is in a question."""
    names = [(cls.label, name) for cls in classes for name in (cls.class_, cls.subject, *cls.synonyms)]
    others = [(cls.label, form) for cls in classes for form in forms(cls.class_, cls.subject, cls.synonyms)]
    listed = sorted(cls.subject for cls in classes)
    step = max(1, len(listed) // _EXAMPLES)
    whole, openly = p.recognize(listed), p.recognize_openly(listed[::step][:_EXAMPLES])
    return NameTable(
        (whole, openly) if len(whole) <= LISTED else (openly,),
        _index((label, _cased(name)) for label, name in names),
        _index((label, _letters(name)) for label, name in names),
        _index((label, _letters(form)) for label, form in others),
    )


def recognize(sha256: str, known: NameTable, *, ask: Ask, model: str, tries: Tries = once) -> Recognized:
    """Returns what a model takes an image for. Raises Refused where it does not answer.

    A list of names that is too long for the model is left out of a second question. A wrong answer is an answer: it is
    not asked again.
    """
    for number, text in enumerate(known.questions, start=1):
        question = Question(model=model, task="recognize", subject="", text=text, images=(sha256,), temperature=0.0)
        try:
            heard = first_useful(
                question, ask=ask, tries=tries, read=lambda answer: label_of(answer.text, known), useful=lambda _: True
            )
        except TooLong:
            if number == len(known.questions):
                raise
        else:
            return Recognized(heard.found, heard.answer.text, heard.usage)
    raise AssertionError("a question is asked")


def label_of(answer: str, known: NameTable) -> int | None:
    """Returns the label of the one class that an answer names, None where it names none, or several.

    First the whole answer, or a line of it, is looked up; then the longest name within it; then a name that is
    nearly so written. Case, spaces, marks and accents do not count.

    >>> cranes = [Class(label=0, class_="crane", sense="bird", tail=True), Class(label=1, class_="heron", tail=True)]
    >>> [label_of(answer, table(cranes)) for answer in ("Crane (bird)", "It is a heron.", "herron", "a gull")]
    [0, 1, 1, None]
    """
    text = _name(answer)
    for part in (text, *text.splitlines()):
        label = _only(_cased(part), known.exact)
        label = _only(_letters(part), known.names, known.forms) if label is None else label
        if label is not None:
            return label
    words = _words(text)
    within = _within(words, known) if len(words) <= _MOST_WORDS else set()
    if within:
        return next(iter(within)) if len(within) == 1 else None
    letters = _letters(text)
    near = difflib.get_close_matches(letters, known.names, n=1, cutoff=_NEAR) if len(letters) <= _LONGEST else []
    return _only(near[0], known.names) if near else None


def _name(answer: str) -> str:
    """Returns the text of an answer: without thoughts, of JSON the name."""
    text = plain_text(answer).strip()
    held = re.search(r"\{.*\}", text, re.DOTALL)
    try:
        value: Any = json.loads(held[0]) if held else None
    except (ValueError, RecursionError):
        value = None
    name = value.get("name") if isinstance(value, dict) else None
    return name if isinstance(name, str) else text


def _only(name: str, *indices: Index) -> int | None:
    """Returns the one label that a name means in the first index that has it; None where it means several."""
    for index in indices:
        labels = index.get(name, frozenset())
        if labels:
            return next(iter(labels)) if len(labels) == 1 else None
    return None


def _within(words: Sequence[str], known: NameTable) -> set[int]:
    """Returns the labels of the longest names among the words of an answer."""
    for size in range(min(len(words), 12), 0, -1):
        parts = ("".join(words[start : start + size]) for start in range(len(words) - size + 1))
        labels = {label for part in parts if (label := _only(part, known.names, known.forms)) is not None}
        if labels:
            return labels
    return set()


def _index(pairs: Iterable[tuple[int, str]]) -> Index:
    found: dict[str, frozenset[int]] = {}
    for label, name in pairs:
        if name:
            found[name] = found.get(name, frozenset()) | {label}
    return found


def _words(text: str) -> list[str]:
    """Returns the words of a text, without case and accents."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(char))
    return re.findall(r"[^\W_]+", plain)


def _letters(text: str) -> str:
    """Returns a name as one word, without marks, accents and article: gold fish and a Goldfish are one."""
    words = _words(text)
    if words[:1] in (["a"], ["an"], ["the"]) and len(words) > 1:
        words = words[1:]
    return "".join(words)


def _cased(text: str) -> str:
    """Returns a name as it is written, but for case, spaces and what a model puts around it."""
    return " ".join(text.casefold().split()).strip("\"'`*“”‘’.")
