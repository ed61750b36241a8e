"""How the name of a class is recognised in a text, however a model spells it; and what a description says beside it.

No pattern is compiled for a class: its names are kept as their letters run together, and looked up word by word.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

Words = frozenset[str]
MASK = "[\ue000-\uf8ff]"  # a name in a masked text: a character of Unicode's private use
_MASK = re.compile(MASK)
NAMED = "\ue000"  # stands for the name as the class table has it

_WORD = re.compile(r"([^\W_]+)(?:['’]s(?![^\W_]))?")  # without the s of "the crane's"
_LETTERS = re.compile(r"[^\W_]+")
_TOKEN = re.compile(r"\w+")
_CODE = re.compile(r"^(?:n\d{8}|\d{1,5})[._ -]+(?=[^\W\d])")
_NEXT = re.compile(rf"[\s_.,&/'’()*\"“”‘-]{{0,4}}{_WORD.pattern}")
_HYPHEN = re.compile(r"-[^\W_]")
_ODD = re.compile(r"[^\w\s'’.,/()&-]")
_BINOMIAL = re.compile(r"[A-Z][a-z]{2,}[ _][a-z]{3,}")
_LATIN = re.compile(r"[A-Z][a-z]{2,}[ _][a-z]+(?:us|a|um|is|i|ae|ens|ans|as|or|ur|x|os|es|on|o|ys)")
_ARTICLES = frozenset(["a", "an", "the"])
_PLURALS = (
    (r"([^aeiou])y$", (r"\1ies",)), (r"fe?$", ("ves", "fes", "fs")), (r"man$", ("men",)), (r"mouse$", ("mice",)),
    (r"goose$", ("geese",)), (r"us$", ("i", "uses")), (r"es$", ("", "e")), (r"s$", ("", "ses")), (r"$", ("s", "es")),
)  # fmt: skip
_COMMON = frozenset(
    ["a", "an", "and", "as", "at", "by", "for", "from", "in", "is", "its", "of", "on", "or", "the", "to", "with"]
)


class Known(NamedTuple):
    """The names of a class."""

    name: str
    subject: str
    odd: tuple[str, ...]  # names with signs in them that lists and Markdown have too; they are found letter by letter
    spellings: frozenset[str]  # every form of every name, its words run together
    begins: frozenset[str]  # what these begin with
    short: frozenset[str]  # words that may stand for it: the last of its name, its genus
    scientific: bool  # the name is a Latin one, for which a model may know a common one


@lru_cache(maxsize=4096)
def known(name: str, subject: str, synonyms: tuple[str, ...] = ()) -> Known:
    """Returns a class's names as a text may have them: as the class table has it, with its sense, its synonyms."""
    forms_ = forms(name, subject, synonyms)
    odd = sorted((form for form in forms_ if _ODD.search(form) or not _WORD.search(form)), key=len, reverse=True)
    parts = [[spelled(word) for word in split.findall(form)] for form in forms_ for split in (_WORD, _LETTERS)]
    spellings = {"".join([*words[:-1], last]) for words in parts if words for last in in_many(words[-1])}
    scientific = bool(_LATIN.fullmatch(name.split(",")[0].strip()))
    long = {
        word
        for words in parts
        if len(words) > 1
        for word in (words[-1], *words[:scientific])
        if len(word) > 2 or word.isdigit()
    }
    short = {number for word in long for number in in_many(word)}
    begins = {spelling[:end] for spelling in spellings for end in range(1, len(spelling) + 1)}
    return Known(name, subject, tuple(odd), frozenset(spellings), frozenset(begins), frozenset(short), scientific)


def forms(name: str, subject: str, synonyms: Sequence[str]) -> set[str]:
    """Returns every form of the names: "tench, Tinca tinca" is two, and what stands in brackets may be left out."""
    found = {subject, name, *synonyms}
    for form in [*found]:
        found.add(_CODE.sub("", form))
    for form in [*found]:
        found |= set(re.split(r"\s*[,;]\s+", form))
    for form in [*found]:
        found.add(re.sub(r"\s*[(\[][^()\[\]]*[)\]]\s*$", "", form))
        parts = [part for part in re.split("/|[-_ ](?=(?:in|out)door$)", form) if len(part) > 2]
        if len(parts) > 1 or "/" in form:  # church/indoor
            found |= {*parts[:1], " ".join(reversed(parts))}
        if re.fullmatch(r"[^\W_]+_[^\W_]+", form):  # mountain_snowy
            found.add(" ".join(reversed(form.split("_"))))
        if _BINOMIAL.fullmatch(form):  # T. rufus
            found.add(f"{form[0]}. {re.split('[ _]', form)[1]}")
    return {form for form in found if form.strip()}


@lru_cache(maxsize=65_536)
def spelled(word: str) -> str:
    """Returns a word without case and accents, in American spelling.

    >>> spelled("Crème"), spelled("grey"), spelled("parlour")
    ('creme', 'gray', 'parlor')
    """
    word = word.casefold()
    if not word.isascii():
        word = "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))
    word = word.replace("grey", "gray")
    word = f"{word[:-3]}or" if word.endswith("our") and len(word) > 4 else word
    return f"{word[:-2]}er" if word.endswith(("theatre", "centre", "fibre", "litre")) else word


def in_many(word: str) -> set[str]:
    """Returns a word in one and in many."""
    found = {word}
    if len(word) > 2 and word.isascii() and word.isalpha():
        for ending, others in _PLURALS:
            if re.search(ending, word):
                found |= {re.sub(ending, other, word, count=1) for other in others}
    return found


def spans(text: str, names: Known) -> Iterator[tuple[int, int]]:
    """Returns where a text has a name of the class, as whole words: "crane" is not in "cranefly"."""
    after = 0
    for first in _WORD.finditer(text):
        letters, word, end = spelled(first[1]), first, 0
        while first.start() >= after and letters in names.begins:
            if letters in names.spellings and not _HYPHEN.match(text, word.end(1)):
                end = word.end(1)
            following = _NEXT.match(text, word.end())
            if following and following[1].lower() in _ARTICLES and letters + following[1].lower() not in names.begins:
                following = _NEXT.match(text, following.end())  # a crack on a tile is one on tile
            if not following:
                break
            letters, word = letters + spelled(following[1]), following
        if end:
            yield first.start(), end
            after = end


def masked(text: str, names: Known) -> tuple[str, list[str]]:
    """Returns the text with a mask in the place of each name, and the names: so no phrase around one is of a class."""
    parts: list[str] = []
    found: list[str] = []
    at = 0
    for start, end in spans(text, names):
        parts += [text[at:start], chr(0xE001 + len(found) % 6000)]
        found.append(text[start:end])
        at = end
    return "".join([*parts, text[at:]]), found


def unmasked(text: str, found: Sequence[str], names: Known) -> str:
    """Returns the text with its names again."""

    def name(mask: re.Match[str]) -> str:
        number = ord(mask[0]) - 0xE001
        return names.name if number < 0 else found[number] if number < len(found) else mask[0]

    return _MASK.sub(name, text)


def without_odd(answer: str, names: Known) -> str:
    """Returns an answer with a mask for names that have signs in them, which may else be taken for Markdown."""
    answer = answer if answer.isascii() else re.sub(MASK, "", answer)
    for form in names.odd:
        answer = answer.replace(form, NAMED)
    return answer


def features(text: str, name: str) -> str:
    """Returns what a Template-1 sentence says of its class: all that follows the name.

    >>> features("A photo of the class crane, standing in a marsh.", "crane")
    'standing in a marsh'
    """
    start = f"A photo of the class {name}"
    rest = text[len(start) :] if text.startswith(start) else text
    return rest.strip(" ,.;:")


def words(text: str, name: str) -> Words:
    """Returns the words that carry a description's features, without order or case.

    >>> sorted(words("A photo of the class crane, standing in a marsh.", "crane"))
    ['marsh', 'standing']
    """
    return frozenset(_TOKEN.findall(features(text, name).lower())) - _COMMON
