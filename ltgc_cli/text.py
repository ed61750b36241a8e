"""How numbers and names are written in messages: counts with their plural, dollars, what was meant, one line."""

from __future__ import annotations

import re
from collections.abc import Iterable

_AS_ONE = ("rejected",)  # many are written as one is


def counted(count: int, name: str) -> str:
    """Returns a number of things.

    >>> counted(1, "tail class"), counted(2_000, "tail class"), counted(3, "try"), counted(2, "rejected")
    ('1 tail class', '2,000 tail classes', '3 tries', '2 rejected')
    """
    return f"{count:,} {name if count == 1 or name in _AS_ONE else _plural(name)}"


def agreeing(count: int, one: str, many: str) -> str:
    """Returns the verb that goes with a number of things.

    >>> agreeing(1, "is", "are"), agreeing(0, "is", "are")
    ('is', 'are')
    """
    return one if count == 1 else many


def _plural(name: str) -> str:
    if re.search("[^aeiou]y$", name):
        return f"{name[:-1]}ies"
    return f"{name}es" if re.search("(s|x|z|ch|sh)$", name) else f"{name}s"


def cents(dollars: float) -> str:
    """Returns US dollars with as many digits as say something.

    >>> cents(0.0), cents(12.345), cents(0.00123)
    ('0', '12.35', '0.0012')
    """
    return f"{dollars:,.2f}" if dollars >= 0.1 else f"{dollars:.2g}"


_MEANT = {
    "mix-train": ("train", "fit", "finetune", "fine-tune"),
    "eval": ("evaluate", "test", "measure"),
    "render": ("generate", "draw", "paint"),
    "filter": ("judge", "score"),
    "predict": ("classify", "infer"),
    "init": ("setup", "config", "configure", "new"),
    "run": ("start", "go", "all"),
    "cost": ("price", "costs"),
    "doctor": ("check", "status"),
    "verify": ("check", "fsck"),
    "prune": ("rm", "remove", "delete", "clear", "clean", "purge", "gc"),
    "show": ("ls", "list"),
    "info": ("size", "stats", "status"),
    "dir": ("path", "where"),
    "export": ("save", "dump"),
    "import": ("load",),
    "cache": ("store",),
    "--llm": ("--model", "--llm-model", "--lmm-model", "--language-model"),
    "--lmm": ("--model", "--lmm-model", "--llm-model", "--vlm", "--vision-model"),
    "--t2i": ("--model", "--t2i-model", "--image-model"),
    "--clip": ("--model", "--clip-model"),
    "--max-cost": ("--budget", "--limit", "--max-dollars"),
}
"""What other tools call a thing, by what it is called here."""


def nearest(name: str, names: Iterable[str], *, quoted: bool = False) -> str:
    """Returns the end of an error about a name that does not exist: which one was meant, where one is close.

    >>> nearest("gpt4o", ["gpt-4o", "gpt-5"]), nearest("gpt4o", ["flux"]), nearest("rm", ["show", "prune"])
    ('; did you mean gpt-4o?', '', '; did you mean prune?')
    """
    import difflib

    folded = {known.casefold(): known for known in names}
    other = [known for known in folded if name.casefold() in _MEANT.get(known, ())]
    close = other or difflib.get_close_matches(name.casefold(), folded, n=1)
    meant = folded[close[0]] if close else ""
    return meant and (f"; did you mean {meant!r}?" if quoted else f"; did you mean {meant}?")


def one_line(said: object, length: int = 200) -> str:
    """Returns what an error (or a text) says, in one line of at most `length` characters, none of which moves a cursor.

    >>> one_line("no:\\n\\x1b[31m red"), one_line("as long as this", 8)
    ('no: �[31m red', 'as long…')
    """
    text = " ".join(str(said).split()) or type(said).__name__
    text = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text[: length + 1])
    return text if len(text) <= length else text[: length - 1] + "…"
