"""Finds in one sentence what it says of a class, whatever form the sentence has."""

from __future__ import annotations

import re
from typing import NamedTuple

from ltgc_cli.answers import lint
from ltgc_cli.answers import phrases as p
from ltgc_cli.answers.spelling import MASK, masked, unmasked

FORM = "is not in the form of Template 1"
TALK = "is talk around the list"
OTHER = lint.RULES["wrong class"].reason
UNNAMED = "does not name the class"
EMPTY = "says nothing of the class"

# What is said of the class and no reason, or nothing and the reason why; None where a sentence has another form.
Reading = tuple[str, str] | None

_MARKS = r"[^\w\ue000-\uf8ff]{0,8}_?"
_AFTER = r"[\"'”’\]})*_]{0,3}(?![\w]|['’]s?\b)"
_NAMED = p.pattern(rf"(?:{p.ARTICLE} )?[\"'“‘]?{p.A_CLASS}?{_MARKS}{MASK}{_AFTER}")
_DESCRIBED = p.pattern(
    rf"(?:(?P<article>{p.ARTICLE}) )?(?P<adjectives>(?:(?!{p.BREAK}\b)[\w'’-]+,? ){{1,5}}?){MASK}{_AFTER}"
)
_EXPLICIT = p.pattern(r"(?:the |an? )?class\b[ :\"'“‘]*")
_HEAD = p.pattern(
    r"[^,.;:]{0,120}?(?= (?:with|in|on|at|standing|that|which|is|are|and|or|near|under|next|beside)\b|[,.;:]|$)"
)
_SWALLOWED = p.pattern(
    r"(?:the |an? )?class(?:y|ical|es|ed|ified|room|rooms|mates?)\b"
)  # "a photo of the classy woman"
_SEEMS = p.pattern(r"^(?:what )?(?:appears|seems|looks) (?:to be|like) (?=an? |the )")
_ARAFED = p.pattern(r"^ara(?:f|ff)e?d?s? (?=\w|[\ue000-\uf8ff])")  # BLIP made it up; its captions begin with it
_MAYBE = r"(?:possibly|perhaps|maybe|probably|likely|could(?: also)? be|might(?: also)? be|may(?: also)? be)"
_DOUBTED = p.pattern(
    rf"{MASK}(?:,? or (?:possibly |perhaps |maybe |an? |some |other |similar )"
    rf"|,? \(?(?:or )?(?:which )?{_MAYBE} (?:an? |the |another |some )(?!\w+ (?:of|in|on)\b))"
    r"|\b(?:(?:not|un)[ -]?(?:sure|certain|clear)|hard to (?:tell|say)|difficult to (?:tell|say|determine|identify))\b"
    rf"[^.]{{0,60}}?{MASK}"
    rf"|\b{_MAYBE} (?:an? |the )?(?:class )?{MASK}(?!['’])|\b(?:it|this|that) {_MAYBE} an? (?!\w+ (?:of|in|on)\b)"
)
MAY_DOUBT = p.gate(
    "possibly perhaps maybe probably likely could might may or not unsure uncertain unclear hard difficult"
)

_AGAIN = re.compile(rf"^\.\s+(?:The|This) {MASK}(?=\s)")  # "A photo of the class crane. The crane is tall"
_OWNED = p.pattern(rf"['’]s? ((?:[\w-]+[ ,]){{0,3}}{p.PARTS}\b.*)")
_BESIDE = p.pattern(
    r"\b(?:next to|beside|near|alongside|close to|behind|compared (?:to|with)|than|unlike|like) "
    rf"(?:{p.ARTICLE} )?(?:[\w-]+ )?$"
)
_PARTICIPLE = re.compile(
    r"(?!seed|weed|reed|speed|breed|feed)(?:[a-z]{2,}ed|made|woven|worn|built|cut|bent|spread|torn)\b"
)
_PEOPLE = p.pattern(
    r"\b(?:m[ae]n|wom[ae]n|person|people|child(?:ren)?|boys?|girls?|kids?|hands?|someone|couple|family"
    r"|(?!(?:flow|wat|riv|tow|pap|lett|numb|cent|corn|sweat|lobst|spid|tig|ott|badg|hamst|beav|should|feath|summ"
    r"|wint)ers?\b)[a-z]+(?:er|or|ist)s?)\b"
)
_TO_READER = p.pattern(r"\b(?:i|you|your|we|me|my|us)\b")
_OF = p.pattern(rf"^(?!the|this|these|those|that)\b.* of (?:{p.ARTICLE} )?$")
_CAPTION = p.pattern(
    r"(?:an?|some|one|another|two|three|four|several|multiple|many|close-?up|groups?|pairs?|flocks?|herds?|rows?|piles?"
    r"|bunch(?:es)?|clusters?|(?:side|front|top|rear|aerial) view)\b"
)


class _Body(NamedTuple):
    """A sentence behind the words that it begins with, the class's names masked."""

    text: str
    led: bool  # it began with "A photo of" or the like
    listed: bool  # it stood in a list


def rest_of(sentence: str, listed: bool, of: str, names: re.Pattern[str]) -> tuple[str, str]:
    """Returns what a sentence says of the class, or the reason why it is no description of it.

    `listed` is whether it stood in a list; `of` is "features" or "scenes" where its label or heading says so.
    """
    lead = p.LEAD.match(sentence) or p.THERE.match(sentence)
    start = lead.end() if lead else 0
    text, found = masked(sentence[start:], names)
    if not lead and (p.TALK.match(text) or text.endswith("?")) and not _NAMED.match(text):
        return "", TALK
    if lint.denied(text):
        return "", "says that the class is not there"
    if MAY_DOUBT & p.stems(text) and _DOUBTED.search(text):
        return "", "is not sure of the class"
    text = text if lead else _ARAFED.sub("a ", p.IN_IMAGE.sub("", text, count=1))
    rest, reason = _parsed(_Body(_SEEMS.sub("", text), lead is not None, listed), of)
    return ("", reason) if reason else (_view(lead) + unmasked(rest, found), "")


def _parsed(body: _Body, of: str) -> tuple[str, str]:
    if _SWALLOWED.match(body.text):
        return "", FORM
    for form in (_named, _explicit, _described, _somewhere):
        if found := form(body):
            return found
    if body.led:
        return "", TALK if p.ABOUT_TEXT.search(body.text) else UNNAMED
    return _fragment(body.text, of)


def captions(piece: str, names: re.Pattern[str]) -> list[str]:
    """Returns the sentences of a paragraph in which each is a description: "A crane in a marsh. A crane in flight."."""
    if not re.match("An? ", piece) or not re.search(r"[.!?] An? ", piece) or p.LEAD.match(piece):
        return [piece]
    text, found = masked(piece, names)
    starts = [0, *(one.end() for one in re.finditer(r"[.!?] (?=An? )", text))]
    parts = [text[start:end].strip() for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]
    if all(_NAMED.match(part) or _DESCRIBED.match(part) for part in parts):
        return [unmasked(part, found) for part in parts]
    return [piece]


def _view(lead: re.Match[str] | None) -> str:
    """Returns how a photo is taken, where its beginning says so: ", close-up"."""
    groups = lead.groupdict() if lead else {}
    words = f"{groups.get('view') or ''} {groups.get('closer') or ''}"
    found = re.findall(rf"\b{p.VIEWS}\b", words, re.IGNORECASE) if words.strip() else []
    if lead and not found and re.search(r"close-?up", lead[0], re.IGNORECASE):
        found = ["close-up"]
    return "".join(f", {word.lower()}" for word in found)


def _named(body: _Body) -> Reading:
    """The name comes first: "a photo of a crane, tall", "Crane: tall"."""
    if not (named := _NAMED.match(body.text)):
        return None
    rest = _AGAIN.sub("", body.text[named.end() :])
    if body.led or _is_caption(rest):
        return rest, ""
    return "", FORM if re.search(r"\w", rest) else EMPTY


def _explicit(body: _Body) -> Reading:
    """It speaks of "the class", with something else before its name or in its place: "the class Crane Bird (crane)"."""
    explicit = _EXPLICIT.match(body.text) if body.led else None
    if not explicit:
        return None
    text = body.text[explicit.end() :]
    head = _HEAD.match(text)
    name = re.search(MASK, text[: head.end()] if head else "")
    if not name:
        return "", OTHER
    before, rest = text[: name.start()].rstrip(), text[name.end() :]
    if before.endswith(("(", "[")):
        return re.sub(r"^\s*[)\]]", "", rest), ""
    if owned := _OWNED.match(rest):
        return f", its {owned[1]}", ""
    if re.match(r"['’]s?\b", rest) or not _describe(before) or re.search(rf"\b{p.BREAK}\b", before, re.IGNORECASE):
        return "", OTHER
    return (f", {before.strip(' ,-')}" if re.search(r"\w", before) else "") + _joined(rest), ""


def _described(body: _Body) -> Reading:
    """Words that describe come before the name: "a tall grey crane in a marsh"."""
    found = _DESCRIBED.match(body.text)
    if not found or not _describe(found["adjectives"]) or not (body.led or found["article"] or body.listed):
        return None
    rest = body.text[found.end() :]
    if not body.led and not _is_caption(rest):
        return None
    words = found["adjectives"].strip(" ,")
    words = words if body.led or found["article"] else words[0].lower() + words[1:]
    return f", {words}" + _joined(rest), ""


def _somewhere(body: _Body) -> Reading:
    """The name comes later: "a man playing an accordion" describes the class all the same."""
    if not (name := re.search(MASK, body.text)):
        return None
    if p.ABOUT_TEXT.search(body.text):
        return "", TALK
    before, behind = body.text[: name.start()], body.text[name.end() :]
    if re.match(r"['’]s?\b", behind) and not _OWNED.match(behind):
        return "", OTHER
    if _BESIDE.search(before) and not _PEOPLE.search(before):
        return "", OTHER
    caption = _CAPTION.match(body.text) or p.FRAGMENT.match(body.text) or (body.listed and _OF.search(before))
    return (f", {body.text}", "") if body.led or (caption and body.text.count(" ") > 2) else ("", FORM)


def _fragment(text: str, of: str) -> tuple[str, str]:
    """Returns features that stand without the class's name: "standing in a marsh at dawn"."""
    if " " not in text or _TO_READER.search(text) or p.ABOUT_TEXT.search(text):
        return "", TALK
    lower = f"{text[0].lower()}{text[1:]}"
    if p.FRAGMENT.match(text):
        return f", {lower}", ""
    if not of or re.match(r"(?:the|this|it|they|is|are)\b", lower):
        return "", UNNAMED if re.match(rf"{p.ARTICLE}\b", lower) else FORM
    thing = of == "features" and not _PARTICIPLE.match(lower)
    return (f" with {lower}", "") if thing else (f", {lower}", "")


def _joined(rest: str) -> str:
    return rest if not rest.strip() or re.match(r"\s*[,.;:–—-]", rest) else f", {rest.strip()}"


def _describe(words: str) -> bool:
    """Returns whether words before a name describe it: "woman playing" (an accordion) and "heron and" do not."""
    return not re.search(r"\w \w+ing,?\s*$|\band\s*$", words)


def _is_caption(rest: str) -> bool:
    """Returns whether what follows a name could stand below an image: facts of its kind could not."""
    return bool(re.search(r"\w", rest)) and (not p.FACT.match(rest) or bool(p.SIGHT.match(rest)))
