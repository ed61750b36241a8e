"""Finds in one sentence what it says of a class, whatever form the sentence has."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from ltgc_cli.stages import lint
from ltgc_cli.stages import phrases as p
from ltgc_cli.stages.spelling import names

FORM = "is not in the form of Template 1"
TALK = "is talk around the list"
OTHER = lint.RULES["wrong class"].says
UNNAMED = "does not name the class"
DENIED = "says that the class is not there"
DOUBT = "is not sure of the class"
EMPTY = "says nothing of the class"

_AFTER = r"[\"'”’\]})*]{0,3}(?![\w]|-\w|['’]s?\b)"


class Cls(NamedTuple):
    """A class as sentences name it."""

    name: str
    subject: str
    synonyms: tuple[str, ...]
    named: re.Pattern[str]
    """The name at the beginning: "the class crane", "a crane", "Cranes"."""
    described: re.Pattern[str]
    """Words that describe, and then the name: "a tall grey crane"."""
    anywhere: re.Pattern[str]
    doubted: re.Pattern[str]


@lru_cache(maxsize=4096)
def cls_of(name: str, subject: str, synonyms: tuple[str, ...]) -> Cls:
    """Returns the patterns of a class."""
    spelled = names(name, subject, synonyms)
    core = spelled.anywhere.pattern
    maybe = "(?:possibly|perhaps|maybe|probably|likely|could(?: also)? be|might(?: also)? be|may(?: also)? be)"
    named = rf"(?:{p.ARTICLE} )?[\"'“‘]?{p.A_CLASS}?(?:{spelled.pattern}){_AFTER}"
    described = (
        rf"(?:(?P<article>{p.ARTICLE}) )?(?P<adjectives>(?:(?!{p.BREAK}\b)[\w'’-]+,? ){{1,5}}?)(?:{core}){_AFTER}"
    )
    doubted = (
        rf"(?:{core})(?:,? or (?:possibly |perhaps |maybe |an? |some |other |similar )"
        rf"|,? \(?(?:or )?(?:which )?{maybe} (?:an? |the |another |some )(?!\w+ (?:of|in|on)\b))"
        rf"|\b(?:(?:not|un)[ -]?(?:sure|certain|clear)|hard to (?:tell|say)|difficult to (?:tell|say|determine|identify))\b"
        rf"[^.]{{0,60}}?(?:{core})"
        rf"|\b{maybe} (?:an? |the )?(?:class )?(?:{core})(?!['’])"
    )
    compiled = [re.compile(pattern, re.IGNORECASE) for pattern in (named, described, doubted)]
    return Cls(name, subject, synonyms, compiled[0], compiled[1], spelled.anywhere, compiled[2])


def rest_of(sentence: str, listed: bool, of: str, cls: Cls) -> tuple[str, str]:
    """Returns what a sentence says of the class, or the reason why it is no description of it.

    `listed` is whether it stood in a list; `of` is "features" or "scenes" where its label or heading says so.
    """
    lead = p.LEAD.match(sentence) or p.THERE.match(sentence)
    if not lead and (p.TALK.match(sentence) or sentence.endswith("?")) and not cls.named.match(sentence):
        return "", TALK
    if lint.denied(sentence, cls.name, cls.subject, cls.synonyms):
        return "", DENIED
    if cls.doubted.search(sentence):
        return "", DOUBT
    body = sentence[lead.end() :] if lead else p.IN_IMAGE.sub("", sentence, count=1)
    body = re.sub(r"^ara(?:f|ff)e?d?s? (?=\w)", "a ", body, flags=re.IGNORECASE)  # a word that BLIP made up
    body = re.sub(r"^(?:what )?(?:appears|seems|looks) (?:to be|like) (?=an? |the )", "", body, flags=re.IGNORECASE)
    if re.match(r"(?:the |an? )?class(?:y|ical|es|ed|ified|room|rooms|mates?)\b", body, re.IGNORECASE):
        return "", FORM  # a name that was swallowed: "a photo of the classy woman"
    view = _view(lead)
    for form in (_named, _explicit, _described, _somewhere):
        found = form(body, lead is not None, listed, cls)
        if found:
            return (view + found[0], "") if not found[1] else found
    if lead:
        return "", TALK if p.ABOUT_TEXT.search(body) else UNNAMED
    return _fragment(body, of)


def captions(piece: str, cls: Cls) -> list[str]:
    """Returns the sentences of a paragraph in which each is a description: "A crane in a marsh. A crane in flight."."""
    starts = [found.end() for found in re.finditer(r"[.!?] (?=An? )", piece)]
    if not starts or p.LEAD.match(piece) or not all(_a(piece, start, cls) for start in (0, *starts)):
        return [piece]
    return [piece[start:end].strip() for start, end in zip([0, *starts], [*starts, len(piece)], strict=True)]


def _a(piece: str, start: int, cls: Cls) -> bool:
    return bool(re.match("An? ", piece[start:])) and bool(cls.named.match(piece, start) or cls.described.match(piece, start))


def _view(lead: re.Match[str] | None) -> str:
    """Returns how a photo is taken, where its beginning says so: ", close-up"."""
    groups = lead.groupdict() if lead else {}
    found = re.findall(rf"\b{p.VIEWS}\b", f"{groups.get('view') or ''} {groups.get('closer') or ''}", re.IGNORECASE)
    if lead and not found and re.search(r"close-?up", lead[0], re.IGNORECASE):
        found = ["close-up"]
    return "".join(f", {word.lower()}" for word in found)


Found = tuple[str, str] | None


def _named(body: str, led: bool, listed: bool, cls: Cls) -> Found:
    """The name comes first: "a photo of a crane, tall", "Crane: tall"."""
    named = cls.named.match(body)
    if not named:
        return None
    rest = body[named.end() :]
    if led or _pictures(rest):
        return rest, ""
    return "", FORM if re.search(r"\w", rest) else EMPTY


def _explicit(body: str, led: bool, listed: bool, cls: Cls) -> Found:
    """It speaks of "the class", and of something else before its name or in its place: "the class Crane Bird (crane)"."""
    explicit = re.match(r"(?:the |an? )?class\b[ :\"'“‘]*", body, re.IGNORECASE) if led else None
    if not explicit:
        return None
    body = body[explicit.end() :]
    head = re.match(r"[^,.;:]{0,120}?(?= (?:with|in|on|at|standing|that|which|is|are|and|or|near|under|next|beside)\b|[,.;:]|$)", body)
    name = cls.anywhere.search(body[: head.end()] if head else "")
    if not name:
        return "", OTHER
    before, rest = body[: name.start()].rstrip(), body[name.end() :]
    if before.endswith(("(", "[")):
        return re.sub(r"^\s*[)\]]", "", rest), ""
    owned = re.match(rf"['’]s? ((?:[\w-]+[ ,]){{0,3}}{p.PARTS}\b.*)", rest, re.IGNORECASE)
    if owned:
        return f", its {owned[1]}", ""
    if re.match(r"['’]s?\b", rest) or not _adjectives(before) or re.search(rf"\b{p.BREAK}\b", before, re.IGNORECASE):
        return "", OTHER
    return (f", {before.strip(' ,-')}" if re.search(r"\w", before) else "") + _joined(rest), ""


def _described(body: str, led: bool, listed: bool, cls: Cls) -> Found:
    """Words that describe come before the name: "a tall grey crane in a marsh"."""
    found = cls.described.match(body)
    if not found or not _adjectives(found["adjectives"]) or not (led or found["article"] or listed):
        return None
    rest = body[found.end() :]
    return (f", {found['adjectives'].strip(' ,')}" + _joined(rest), "") if led or _pictures(rest) else None


def _somewhere(body: str, led: bool, listed: bool, cls: Cls) -> Found:
    """The name comes later: "a man playing an accordion" describes the class all the same."""
    name = cls.anywhere.search(body)
    if not name:
        return None
    if p.ABOUT_TEXT.search(body):
        return "", TALK
    owned = re.match(r"['’]s?\b", body[name.end() :])
    if owned and not re.match(rf"['’]s? (?:[\w-]+[ ,]){{0,3}}{p.PARTS}\b", body[name.end() :], re.IGNORECASE):
        return "", OTHER
    beside = re.search(rf"\b(?:next to|beside|near|alongside|close to|behind|compared (?:to|with)|than|unlike|like) (?:{p.ARTICLE} )?(?:[\w-]+ )?$", body[: name.start()], re.IGNORECASE)
    if beside and not _PEOPLE.search(body[: name.start()]):
        return "", OTHER
    caption = re.match(
        r"(?:an?|some|one|another|two|three|four|several|multiple|many|close-?up|groups?|pairs?|flocks?|herds?|rows?|piles?"
        r"|bunch(?:es)?|clusters?|(?:side|front|top|rear|aerial) view)\b",
        body,
        re.IGNORECASE,
    )
    if led or ((caption or p.FRAGMENT.match(body)) and len(body.split()) > 3):
        return f", {body}", ""
    return "", FORM


_PEOPLE = re.compile(r"\b(?:m[ae]n|wom[ae]n|person|people|child(?:ren)?|boys?|girls?|kids?|hands?|someone|couple|family|[a-z]+(?:er|or|ist)s?)\b", re.IGNORECASE)


def _fragment(body: str, of: str) -> tuple[str, str]:
    """Returns features that stand without the class's name: "standing in a marsh at dawn"."""
    if len(body.split()) < 2 or re.search(r"\b(?:i|you|your|we|me|my|us)\b", body, re.IGNORECASE):
        return "", TALK
    if p.ABOUT_TEXT.search(body):
        return "", TALK
    lower = f"{body[0].lower()}{body[1:]}"
    if p.FRAGMENT.match(body):
        return f", {lower}", ""
    if not of or re.match(r"(?:the|this|it|they|is|are|a)\b", lower):
        return "", UNNAMED if re.match(rf"{p.ARTICLE}\b", lower) else FORM
    return (f" with {lower}", "") if of == "features" else (f", {lower}", "")


def _joined(rest: str) -> str:
    return rest if not rest.strip() or re.match(r"\s*[,.;:–—-]", rest) else f", {rest.strip()}"


def _adjectives(text: str) -> bool:
    """Returns whether words before a name describe it: "woman playing" (an accordion) and "heron and" do not."""
    return not re.search(r"\w \w+ing,?\s*$|\band\s*$", text)


def _pictures(rest: str) -> bool:
    """Returns whether what follows a name could stand below a picture: facts of its kind do not."""
    return bool(re.search(r"\w", rest)) and (not p.FACT.match(rest) or bool(p.SIGHT.match(rest)))
