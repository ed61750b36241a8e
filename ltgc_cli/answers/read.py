"""Reads an answer of a language model: which lines are descriptions, and of every other line why not.

What plainly describes the class in another form ("The image shows a crane standing in a marsh") is put into
Template 1; what lint.py calls fatal is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from operator import eq
from typing import NamedTuple

from ltgc_cli.answers import lint, tidy
from ltgc_cli.answers import phrases as p
from ltgc_cli.answers.lines import AnswerLine, cut, lines, plain_text, value_at
from ltgc_cli.answers.sentences import EMPTY, MAY_DOUBT, TALK, captions, rest_of
from ltgc_cli.answers.spelling import Words, masked, names, words


class _Class(NamedTuple):
    name: str
    subject: str
    synonyms: tuple[str, ...]
    names: re.Pattern[str]


class Parsed(NamedTuple):
    """What was found in an answer: Template-1 sentences, and each dropped line with its reason."""

    texts: list[str]
    dropped: list[tuple[str, str]]
    marks: list[tuple[lint.Mark, ...]]  # what the linter finds wrong with each text, which is kept all the same


_CUT = lint.RULES["truncated"].reason
_LONGEST = 2_000  # characters of a description; what is longer is none, and is not looked at any closer
_LONGEST_LINE = 20_000


def read(answer: str, name: str, subject: str, synonyms: Sequence[str] = ()) -> Parsed:
    """Returns the Template-1 sentences of an answer about the class `name`, normalised, in order.

    Every sentence comes back as `A photo of the class NAME, …`: list marks, bold, quotes and literal braces are
    taken off, a paragraph that holds several sentences is cut into them. The class is known by its name, its
    name with the sense (`subject`), and its synonyms.
    """
    cls = _Class(name, subject, tuple(synonyms), names(name, subject, tuple(synonyms)))
    texts: list[str] = []
    dropped: list[tuple[str, str]] = []
    ended: list[bool] = []
    last = False
    for piece, line, under in _pieces(answer, cls):
        plain = "" if line.cut else _plain(piece, cls)
        text, reason = (plain, "") if plain else _sentence(piece, line, under, cls)
        if reason:
            dropped.append((piece, reason))
        else:
            texts.append(text)
            ended.append(line.whole or piece.endswith(p.ENDS))
        last = not reason
    if len(texts) > 2 and last and all(ended[:-1]) and not ended[-1]:
        dropped.append((texts.pop().rstrip("."), _CUT))
    marks: list[tuple[lint.Mark, ...]] = []
    earlier: set[Words] = set()  # what a text must not repeat
    for text in texts:
        marks.append(lint.lint(text, name, subject, cls.synonyms, earlier))
        earlier.add(words(text, name))
    return Parsed(texts, dropped, marks)


_CLEAN = re.compile(r", [a-z][A-Za-z0-9 ,'-]*[A-Za-z0-9]\.")
_SUSPECT = (
    lint.SUSPECT | MAY_DOUBT | p.MAY_REFUSE | tidy.MAY_HEDGE | tidy.MAY_SPECIFY
    | p.gate("photo photos photograph picture image it they which that who class template description words")
)  # fmt: skip


@lru_cache(maxsize=64)
def _plain(text: str, cls: _Class) -> str:
    """Returns a text as it is read where that is plain to see, else nothing: a shortcut through all that follows.

    It is Template 1 word for word, one sentence, with no word in it that any pattern here looks for.
    """
    start = f"A photo of the class {cls.subject}"
    rest = text[len(start) :]
    if not text.startswith(start) or len(text) > 500 or not _CLEAN.fullmatch(rest) or "  " in rest or " ," in rest:
        return ""
    words = rest.split()
    if any(map(eq, words, words[1:])) or _SUSPECT & p.stems(rest):
        return ""
    return "" if lint.broken_off(rest) or tidy.empty(rest, cls.name) else f"A photo of the class {cls.name}{rest}"


def _pieces(answer: str, cls: _Class) -> Iterator[tuple[str, AnswerLine, str]]:
    """Returns each sentence that may be a description, its line, and what the heading above it is of."""
    under = ""
    if _plain(answer, cls):
        yield answer, AnswerLine(answer), under
        return
    for line in lines(answer, cls.name, cls.names):
        if not (bare := _bare(line.text)):
            continue
        if _plain(bare, cls):
            yield bare, line, under
            continue
        named = p.LEAD.match(bare) and cls.names.search(bare)
        heading = bare.endswith(":") or (line.heading and not named)
        under = _of(bare) if heading else under
        for piece in [bare] if heading or len(bare) > _LONGEST_LINE else cut(bare):
            for one in captions(piece, cls.names):
                yield one.strip(p.QUOTES), line._replace(heading=heading), under


def _bare(text: str) -> str:
    """Returns a line without quotes around it and without literal braces."""
    if len(text) > _LONGEST_LINE:
        return text
    if "{" in text or "}" in text:
        text = _BRACES.sub(", ", text).replace("{", " ").replace("}", " ")
    text = " ".join(text.split()).strip(p.QUOTES + "[],;").strip(p.QUOTES)
    return _COUNTED.sub("", text) if text.endswith((")", ").")) else text


_BRACES = p.pattern(r"\}\s?,?\s?\{(?!\s?(?:with|in|on|at|by|near|under|while|and|\w+ing)\b)")
_COUNTED = p.pattern(r"\s?\((?:\d+ (?:words|tokens|characters)|template \d)[^()]{0,20}\)\.?$")


def _sentence(piece: str, line: AnswerLine, under: str, cls: _Class) -> tuple[str, str]:
    """Returns a piece as a Template-1 sentence, or the reason why it is none."""
    if len(piece) > _LONGEST:
        return "", "is too long for a description"
    if line.cut:
        return "", _CUT
    sentence, label = _unlabelled(piece, cls)
    sentence = _without_talk(sentence)
    led = p.LEAD.match(sentence)
    if p.MAY_REFUSE & p.stems(sentence) and p.REFUSAL.search(sentence):
        return "", "is a refusal"
    if line.heading:
        return "", TALK if p.TALK.match(sentence) else "is a heading"
    if led and p.OLD.match(label):
        return "", "is the description that was to be refined"
    if led and lint.echoes(tidy.specific(sentence)) and lint.echoes(tidy.specific(masked(sentence, cls.names)[0])):
        return "", lint.RULES["placeholder echo"].reason  # words of the template, not of a name that is like them
    listed = line.listed and not re.match("an? ", sentence, re.IGNORECASE)
    rest, reason = rest_of(sentence, line.listed, _of(label) or (under if listed else ""), cls.names)
    return ("", reason) if reason else _template_1(rest, cls)


def _of(text: str) -> str:
    return "features" if p.FEATURES.search(text) else "scenes" if p.SCENES.search(text) else ""


def _template_1(rest: str, cls: _Class) -> tuple[str, str]:
    """Returns what a sentence says of the class in Template 1, or the reason why it will not do."""
    rest = tidy.tidy(rest)
    if lint.broken_off(rest):
        return "", _CUT
    if tidy.empty(rest, cls.name):
        return "", EMPTY
    comma, rest = rest.startswith(","), rest.lstrip(" ,")
    rest = tidy.seen(rest, cls.name) or rest
    rest = re.sub(r"(?:\.{2,}|…)$", ".", rest.rstrip(" ,;:–-"))
    if not rest.endswith(p.ENDS):
        rest += "."
    # Template 1 has a comma before the features; Template 2 ("with …") has none.
    text = f"A photo of the class {cls.name}{',' if comma else ''} {rest}"
    return text, lint.fatal(lint.lint(text, cls.name, cls.subject, cls.synonyms))


def _unlabelled(piece: str, cls: _Class) -> tuple[str, str]:
    """Returns a sentence without the label before it ("Description 2:", "In flight:"), and the label."""
    if p.LEAD.match(piece):
        return piece, ""
    for colon in re.finditer(r"[:–—=]\W{0,4}|\s-\W{1,4}", piece[:200]):
        if p.LEAD.match(piece, colon.end()):
            return piece[colon.end() :], piece[: colon.end()]
    label = p.LABEL.match(piece)
    rest = piece[label.end() :] if label else ""
    if not label or not rest or _named(piece, cls) or (p.TALK.match(label[0]) and not p.PLAIN_LABEL.match(label[0])):
        return piece, ""
    if p.LEAD.match(rest) or _named(rest, cls) or _of(label[0]) or p.PLAIN_LABEL.match(label[0]):
        return rest, label[0]
    return piece, ""


def _named(text: str, cls: _Class) -> bool:
    """Returns whether a text begins with a name of the class, an article before it or not."""
    article = re.match(rf"{p.ARTICLE} ", text, re.IGNORECASE)
    return cls.names.match(text, article.end() if article else 0) is not None


def _without_talk(piece: str) -> str:
    """Returns a piece without what it says to the reader behind its last sentence ("I hope this helps!")."""
    ends = [found.start() for found in re.finditer(r"(?<=[.!?])[\"”’')]{0,2} (?=[\"'“(]?[A-Z])", piece)]
    while ends:
        tail = piece[ends[-1] :].lstrip(" (*_\"'”’)")
        if p.LEAD.match(tail) or not (p.TALK.match(tail) or p.ABOUT_TEXT.search(tail) or p.REFUSAL.search(tail)):
            break
        piece = piece[: ends.pop()].strip(p.QUOTES)
    return piece


# --- the numbers of Prompt 3

_ANNOUNCING = p.pattern(
    r"\b(?:and|or|to|be|the|are|is|exclud\w*|remov\w*|repetitive|repeated|duplicates?|redundant|following|these|ones?"
    r"|numbers?|descriptions?|none|answer|sure|json|should|would|here|list|i|from)\b"
)
_WORD = p.pattern(r"[a-z]{3,}")


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
        value, end = value_at(text, opened.start())
        # Of a list that was broken off the last number may be half of one.
        listed = _numbers(value) if end >= 0 else re.findall(r"(?<![\w.])\d{1,9}(?=\s*[,\]}])", text)
        return {int(number) for number in listed} & set(range(1, count + 1))
    text = re.sub(r"\([^()]*\)", "", text)
    if _WORD.search(_ANNOUNCING.sub("", text)) or re.search(r"\d[ \n]+(?!and|or|to)[a-z]", text, re.IGNORECASE):
        return set()
    ranges = re.findall(r"(?<!\d)(\d{1,9})(?!\d)(?: ?[-–—] ?(\d{1,9})(?!\d))?", text)
    ends = [(int(first), int(last or first)) for first, last in ranges]
    return {number for number in range(1, count + 1) if any(first <= number <= last for first, last in ends)}


def _numbers(value: object) -> list[int]:
    """Returns the whole numbers of a JSON value, those written as strings too."""
    if isinstance(value, int) and not isinstance(value, bool):
        return [value]
    if isinstance(value, str):
        digits = value.strip(" #.")
        return [int(digits)] if re.fullmatch(r"[0-9]{1,9}", digits) else []
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [number for one in inner for number in _numbers(one)]
