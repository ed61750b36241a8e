"""The numbers of Prompt 3: which descriptions a language model excludes."""

from __future__ import annotations

import re

from ltgc_cli.answers.blocks import plain_text, value_at
from ltgc_cli.answers.rules import pattern

_ANNOUNCING = pattern(
    r"\b(?:and|or|to|be|the|are|is|exclud\w*|remov\w*|repetitive|repeated|duplicates?|redundant|following|these|ones?"
    r"|numbers?|descriptions?|none|answer|sure|json|should|would|here|list|i|from|so|repeats?|others?|another|same|similar"
    r"|can|could|must)\b"
)
_REFERENCE = pattern(  # 2 is a duplicate of 1
    r"\b(?:of|as|like|with|than|repeats?|(?:similar|identical|equal) to)\s+(?:description |number |no\. ?)?#?\d{1,9}\b"
)
_NONE = pattern(r"\bnone\b|\bno\b|\ball (?:\w+ ){0,2}(?:different|distinct|unique)|\bnothing\b|\[\s*\]")
_WORD = pattern(r"[a-z]{3,}")


def numbers(answer: str, count: int) -> set[int]:
    """Returns the numbers from 1 to `count` that an answer to Prompt 3 lists; empty for "none".

    A list is a JSON value, or numbers with nothing before them but words that announce them. A sentence of prose that
    happens to hold a number is no list.

    >>> sorted(numbers("2, 5 and 7.", 6)), sorted(numbers('{"numbers": [3]}', 6))
    ([2, 5], [3])
    """
    text = plain_text(answer).strip()
    opened = re.search(r"[\[{]\s*[\"\[{\d\]]", text)
    if opened and not _WORD.search(_ANNOUNCING.sub("", text[: opened.start()])):
        value, _, whole = value_at(text, opened.start())
        # Of a list that was broken off the last number may be half of one.
        listed = _numbers(value) if whole else re.findall(r"(?<![\w.])\d{1,9}(?=\s*[,\]}])", text)
        return {int(number) for number in listed} & set(range(1, count + 1))
    if says_none(text):
        return set()
    text = _REFERENCE.sub("", re.sub(r"\([^()]*\)", "", text))
    if _WORD.search(_ANNOUNCING.sub("", text)):
        return set()
    ranges = re.findall(r"(?<!\d)(\d{1,9})(?!\d)(?: ?[-–—] ?(\d{1,9})(?!\d))?", text)
    ends = [(int(first), int(last or first)) for first, last in ranges]
    return {number for number in range(1, count + 1) if any(first <= number <= last for first, last in ends)}


def says_none(answer: str) -> bool:
    """Returns whether an answer to Prompt 3 says that nothing is repeated."""
    return _NONE.search(plain_text(answer)) is not None


def _numbers(value: object) -> list[int]:
    """Returns the whole numbers of a JSON value, those written as strings too."""
    if isinstance(value, int) and not isinstance(value, bool):
        return [value]
    if isinstance(value, str):
        digits = value.strip(" #.")
        return [int(digits)] if re.fullmatch(r"[0-9]{1,9}", digits) else []
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [number for one in inner for number in _numbers(one)]
