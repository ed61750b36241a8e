"""How the name of a class is recognised in a sentence, however a model spells it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

_WORD = re.compile(r"[^\W_]+")
_CODE = re.compile(r"^(?:n\d{8}|\d{1,5})[._ -]+(?=[^\W\d])")
_ENDINGS = (
    # of the name, and the pattern of the same ending in one or many; the first that fits
    (r"([^aeiou])y$", r"\1(?:y|ies)"),
    (r"fe?$", "(?:fe?s?|ves)"),
    (r"man$", "m[ae]n"),
    (r"mouse$", "m(?:ous|ic)e"),
    (r"goose$", "g(?:oo|ee)se"),
    (r"us$", "(?:us|i)(?:es)?"),
    (r"s$", "s?(?:es)?"),
    (r"$", "(?:e?s)?"),
)
_SPELLINGS = ((r"gr[ae]y$", "gr[ae]y"), (r"ou?r$", "ou?r"), (r"(theat|cent|fib|lit)(?:er|re)$", r"\1(?:er|re)"))
_COMMON = frozenset(
    ["a", "an", "and", "as", "at", "by", "for", "from", "in", "is", "its", "of", "on", "or", "the", "to", "with"]
)
Words = frozenset[str]
MASK = "[\ue000-\uf8ff]"  # a name in a masked text: a character of Unicode's private use


@lru_cache(maxsize=4096)
def names(name: str, subject: str, synonyms: tuple[str, ...] = ()) -> re.Pattern[str]:
    """Returns the pattern of a class's names as whole words: as the class table has it, with its sense, its synonyms.

    >>> bool(names("tench, Tinca tinca", "tench, Tinca tinca").search("two Tenches in a pond"))
    True
    """
    longest = sorted(forms(name, subject, synonyms), key=lambda form: (-len(form), form))
    spelled = "|".join(_spelling(form) for form in longest)
    return re.compile(rf"(?<!\w)(?:{spelled})(?!\w|-\w)", re.IGNORECASE)


def masked(text: str, names: re.Pattern[str]) -> tuple[str, dict[str, str]]:
    """Returns the text with a mask in the place of each name, and what each mask stands for.

    So the phrases around a name need no pattern of their own for each class.
    """
    found: dict[str, str] = {}

    def mask(name: re.Match[str]) -> str:
        found[chr(0xE000 + len(found) % 6400)] = name[0]
        return chr(0xE000 + (len(found) - 1) % 6400)

    return names.sub(mask, text), found


def unmasked(text: str, found: dict[str, str]) -> str:
    """Returns the text with its names again."""
    for mask, name in found.items():
        text = text.replace(mask, name)
    return text


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
        if re.fullmatch(r"[A-Z][a-z]{2,}[ _][a-z]{3,}", form):  # T. rufus
            found.add(f"{form[0]}. {re.split('[ _]', form)[1]}")
    return {form for form in found if form.strip()}


def _spelling(name: str) -> str:
    """Returns a pattern of a name however its words are joined and marked: models write Trogon_rufus as Trogon rufus,
    and marks of a name (braces, quotes) may have been taken off with those of the list."""
    words = _WORD.findall(name)
    if not words:
        return r"\s+".join(re.escape(part) for part in name.split())
    marks = re.escape(name[name.rindex(words[-1]) + len(words[-1]) :].strip(" {}"))
    spelled = [_letters(word) for word in words[:-1]] + [_letters(words[-1], many=True)]
    return r"[\W_]{0,4}(?:(?<=[\W_])(?:an?|the)[\W_])?".join(spelled) + (f"(?:{marks})?" if marks else "")


def _letters(word: str, many: bool = False) -> str:
    """Returns a pattern of a word, British or American, of one or many, as one word or as two (goldfish, gold fish)."""
    stem, tail = _ending(word, _SPELLINGS)
    if tail:
        return _apart(stem) + tail + ("(?:e?s)?" if many else "")
    if many and len(word) > 2 and word.isascii() and word.isalpha():
        stem, tail = _ending(word, _ENDINGS)
    return _apart(stem) + tail


def _ending(word: str, endings: Sequence[tuple[str, str]]) -> tuple[str, str]:
    for ending, pattern in endings:
        if found := re.search(ending, word, re.IGNORECASE):
            return word[: found.start()], found.expand(pattern)
    return word, ""


def _apart(word: str) -> str:
    return "[ -]?".join(word) if len(word) > 5 and word.isalpha() else re.escape(word)


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
    return frozenset(re.findall(r"\w+", features(text, name).lower())) - _COMMON
