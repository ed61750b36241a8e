"""How numbers and names are written in messages: counts with their plural, dollars, what was meant, one line."""

from __future__ import annotations

from collections.abc import Iterable

_PLURALS = {"rejected": "rejected", "try": "tries"}  # those that do not end in -s, or in -es after an s


def counted(count: int, name: str) -> str:
    """Returns a number of things.

    >>> counted(1, "class"), counted(2_000, "class"), counted(3, "image"), counted(2, "rejected")
    ('1 class', '2,000 classes', '3 images', '2 rejected')
    """
    plural = _PLURALS.get(name) or (f"{name}es" if name.endswith("s") else f"{name}s")
    return f"{count:,} {name if count == 1 else plural}"


def cents(dollars: float) -> str:
    """Returns US dollars with as many digits as say something.

    >>> cents(0.0), cents(12.345), cents(0.00123)
    ('0', '12.35', '0.0012')
    """
    return f"{dollars:,.2f}" if dollars >= 0.1 else f"{dollars:.2g}"


def nearest(name: str, names: Iterable[str], *, quoted: bool = False) -> str:
    """Returns the end of an error about a name that does not exist: which one was meant, where one is close.

    >>> nearest("gpt4o", ["gpt-4o", "gpt-5"]), nearest("gpt4o", ["flux"])
    ('; did you mean gpt-4o?', '')
    """
    import difflib

    folded = {known.casefold(): known for known in names}
    close = difflib.get_close_matches(name.casefold(), folded, n=1)
    meant = folded[close[0]] if close else ""
    return meant and (f"; did you mean {meant!r}?" if quoted else f"; did you mean {meant}?")


def one_line(said: object, length: int = 200) -> str:
    """Returns what an error (or a text) says, in one line of at most `length` characters."""
    text = " ".join(str(said).split()) or type(said).__name__
    return text if len(text) <= length else text[: length - 1] + "…"
