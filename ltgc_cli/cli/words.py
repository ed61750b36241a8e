"""A command line that is still being typed, cut into words as a shell cuts it."""

from __future__ import annotations

import re
from typing import NamedTuple


class Line(NamedTuple):
    """A command line up to the cursor, without its quotes."""

    words: list[str]
    """Those that are complete."""
    last: str
    """What is typed of the word at the cursor, empty where none is begun."""
    broken: int = 0
    """So many letters of it are before the last place where bash breaks words (at a colon, say)."""
    quote: str = ""
    """The quote that is open at the cursor."""


def split(text: str, breaks: str = "") -> Line:
    r"""Returns a command line cut into words; a quote that is still open is no error.

    breaks -- letters at which bash breaks a word that it completes

    >>> split("ltgc extend --class 'Trogon ru")
    Line(words=['ltgc', 'extend', '--class'], last='Trogon ru', broken=0, quote="'")
    >>> split(r"ltgc --class Trogon\ rufus ").words
    ['ltgc', '--class', 'Trogon rufus']
    >>> split("ltgc render --t2i litellm:gpt-i", ":=").broken
    8
    """
    words: list[str] = []
    word: str | None = None
    quote, escaped, broken = "", False, 0
    for letter in text:
        if escaped:
            word, escaped = (word or "") + letter, False
        elif letter == "\\" and quote != "'":
            word, escaped = word or "", True
        elif quote:
            if letter == quote:
                quote = ""
            else:
                word = (word or "") + letter
        elif letter in "'\"":
            word, quote = word or "", letter
        elif letter.isspace():
            words += [] if word is None else [word]
            word, broken = None, 0
        else:
            word = (word or "") + letter
            broken = len(word) if letter in breaks else broken
    return Line(words, word or "", 0 if quote else broken, quote)


def quoted(word: str, quote: str) -> str:
    r"""Returns a word as bash reads it behind an open quote, or behind none.

    >>> print(quoted("O'Brien's gull", ""), quoted("O'Brien", "'"), quoted('5" $', '"'))
    O\'Brien\'s\ gull O'\''Brien 5\" \$
    """
    if quote == "'":
        return word.replace("'", r"'\''")
    return re.sub(r'(["$`\\])' if quote else r"([^\w./:=@%+,-])", r"\\\1", word)
