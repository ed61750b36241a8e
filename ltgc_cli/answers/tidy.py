"""Puts what a model says of a class in order: braces, labels, hedges and the template's own words taken out."""

from __future__ import annotations

import re

from ltgc_cli.answers import phrases as p
from ltgc_cli.answers.spelling import stems

Replacements = list[tuple[re.Pattern[str], str]]


def _replacements(*rows: tuple[str, str]) -> Replacements:
    return [(re.compile(pattern, re.IGNORECASE), instead) for pattern, instead in rows]


_SOMETHING = (
    r"(?:\s*(?::|-|–|—|\()\s*|\s+(?:like|such as|including|include|of|being|are|is|featuring)\s+)"
    r"(?=\w)(?!the class|this class|class\b)"
)
_SPECIFIC = _replacements(
    # "with distinctive features such as a red cap" names one, unlike the bare words of the template
    (
        r"\b(?:with |featuring |showing |showcasing |and )?(?:its |their |the )?(?:\w+ )?distinctive features?"
        + _SOMETHING,
        "with ",
    ),
    (
        rf"\b(?:in |and in |and )?(?:a |the |its )?specific scenes?{_SOMETHING}"
        rf"(?={p.FRAGMENT.pattern}|(?!red\b)\w+ed\b|held\b|worn\b|seen\b)",
        "",
    ),
    (rf"\b(?:in |and in |and )?(?:a |the |its )?specific scenes?{_SOMETHING}", "in "),
    (
        r"(?:^|(?<=[,;.] ))(?:(?:distinctive|specific|unique|key|visual) )?"
        r"(?:features?|scenes?|settings?|background|location|environment)(?: \d)?\s?: ?",
        "",
    ),
)
_BRACKETS = re.compile(
    r"[\[<(]((?:with|in|on|at|by|near|featuring|showing|standing|\w+ing)\b[^\[\]<>()]*)[\])>]", re.IGNORECASE
)
_ASIDE = re.compile(r"^\s*[\"'”’]?\((?!with|in|on|at|by|near|\w+ing\b)[^()]{1,60}\)(?=.*\w)", re.IGNORECASE)
"""Another name of the class behind its name: crane (Grus grus)."""
_ENCLOSED = re.compile(r"^([\s,:–-]*)\(([^()]{3,})\)\.?$")
_TWICE = re.compile(r"\b(with|in|on|at|a|an|the|and|of) \1\b", re.IGNORECASE)

_BE = r"(?:is|are|was|were)"
_LEADING = _replacements(
    # how a sentence goes on after the name of the class, and how a description does
    (rf"{_BE} (?:shown|seen|captured|depicted|pictured|displayed|featured|photographed) ", ""),
    (r"(?:can|could|may) be (?:seen|observed|found) ", ""),
    (rf"(?:that|which|who) {_BE} ", ""),
    (rf"{_BE} ", ""),
    (r"(?:that|which|who) (?:has|have) ", "with "),
    (r"(?:usually|typically|generally|often) (?:has|have) ", "with "),
    (r"(?:has|have) ", "with "),
    (r"(?:it|they) (?:is|are) |it['’]s ", ""),
    (r"(?:it|they) (?:has|have) ", "with "),
)
_ING = {
    "shows": "showing",
    "features": "featuring",
    "displays": "displaying",
    "depicts": "depicting",
    "showcases": "showcasing",
    "captures": "capturing",
    "exhibits": "exhibiting",
    "includes": "including",
    "highlights": "highlighting",
    "presents": "presenting",
}
_FINITE = re.compile(rf"({'|'.join(_ING)})\b(?! of\b)", re.IGNORECASE)

_APPEARS = r"(?:appears?|seems?|looks)"
_HEDGES = _replacements(
    (r",? (?:but|although|though) (?:it is|it['’]s) (?:hard|difficult) to (?:tell|say|see)[^.]*", ""),
    (rf"\bwhat {_APPEARS} (?:to be|like) ", ""),
    (rf"(^|[,;] ?(?:and |but )?|\band |\bwith )(?:which |that |it |they )?{_APPEARS} to be ", r"\1"),
    (r"(\b(?:which|that|it|who)) (?:appears|seems) to (?:be )", r"\1 is "),
    (r"\b(?:appear|seem) to be ", "are "),
    (rf"\b{_APPEARS} to be ", "is "),
    (rf"(^|[,;] ?){_APPEARS} to have ", r"\1with "),
    (rf"\b{_APPEARS} to have ", "has "),
    (r"\b(?:appearing|seeming) to be ", ""),
    (
        r"(?:, )?\b(?:possibly|perhaps|maybe|presumably|seemingly|apparently|probably|potentially"
        r"|(?:most |very )?likely(?! to\b)),? (?=\w)",
        " ",
    ),
)
_SPACED = re.compile(r" +([,.;!?])")
_CLASS = re.compile(r"^class\b", re.IGNORECASE)
_PUNCTUATION = (",", ";", ":", ".", "–", "—", "-")
_PUNCTUATED = re.compile(r"^[\s,;:!?–—.\"'“”’)\]-]+(?=[\w\"'“(])")
_PRONOUN = re.compile(r"(?:it|they|which|that)\b", re.IGNORECASE)
_RELATIVE = re.compile(rf", (?:that|which|who) {_BE} (?!\w+ (?:by|of)\b)")
MAY_HEDGE = p.gate(
    "appear appears appearing seem seems seeming seemingly look looks possibly perhaps maybe presumably apparently"
    " probably potentially likely hard difficult"
)
MAY_SPECIFY = p.gate("feature features scene scenes setting settings background location environment")
_SMALL = re.compile(rf"{p.FRAGMENT.pattern}|(?:{p.ARTICLE}|its|their|with)\b", re.IGNORECASE)
_NOTHING = (
    "showing showcasing highlighting displaying featuring emphasizing with in and the a an its their of all various"
    " different many several unique distinct distinctive specific typical characteristic etc so on feature features"
    " characteristics scene scenes setting settings appearance image photo picture class interesting beautiful"
    " attractive stunning striking remarkable notable special amazing wonderful impressive look looks condition"
    " conditions environment environments background backgrounds location locations context contexts place places"
    " angle angles pose poses lighting"
)
_SAY_NOTHING = frozenset(_NOTHING.split())


def tidy(rest: str) -> str:
    """Returns what follows the name in a sentence as it reads in Template 1, its first comma kept.

    >>> tidy(" is standing in what appears to be a marsh , with distinctive features like a red cap.")
    ', standing in a marsh, with a red cap.'
    """
    if re.search(r"[\[(<]", rest):
        rest = _ENCLOSED.sub(r"\1 \2", _ASIDE.sub(" ", rest, count=1))
        rest = re.sub(r"[\[\]]", " ", re.sub(r"\]\s*\[", ", ", _BRACKETS.sub(r"\1", rest)))
    if not rest.isascii():
        rest = rest.replace("，", ", ").replace("、", ", ")
    rest = " ".join(_SPACED.sub(r"\1", rest).split()).strip(" \"'“”‘’*`_")
    rest = _CLASS.sub("", rest)
    comma = rest[:1] in _PUNCTUATION
    rest = _PUNCTUATED.sub("", rest) if not rest[:1].isalnum() else rest
    rest = specific(rest)
    rest = _begun(rest) if not comma or _PRONOUN.match(rest) else rest
    if not MAY_HEDGE.isdisjoint(stems(rest)):
        for hedge, instead in _HEDGES:
            rest = hedge.sub(instead, rest)
    rest = _RELATIVE.sub(", ", rest) if ", th" in rest or ", wh" in rest else rest
    spoken = rest.split()
    if any(one == next for one, next in zip(spoken, spoken[1:], strict=False)):
        spoken = _TWICE.sub(r"\1", rest).split()
    rest = " ".join(spoken)
    if _SMALL.match(rest):
        rest = rest[0].lower() + rest[1:]
    return f", {rest}" if comma or not rest.startswith("with ") else rest


def specific(text: str) -> str:
    """Returns a text without the template's words where they announce a feature ("distinctive features such as")."""
    if not MAY_SPECIFY.isdisjoint(stems(text)):
        for words, instead in _SPECIFIC:
            text = words.sub(instead, text)
    return text


def empty(rest: str, name: str) -> bool:
    """Returns whether a text has no word but those that say nothing of the class, and its name.

    >>> empty(", showcasing a crane's unique features.", "crane"), empty(", tall.", "crane")
    (True, False)
    """
    words = set(re.findall(r"[^\W_]+", rest.lower())) - _SAY_NOTHING
    return not words or words <= {"s", *re.findall(r"[^\W_]+", name.lower())}


def _begun(rest: str) -> str:
    for verb, instead in _LEADING:
        if verb.match(rest):
            return verb.sub(instead, rest, count=1)
    return _FINITE.sub(lambda verb: _ING[verb[1].lower()], rest, count=1) if _FINITE.match(rest) else rest
