"""Puts what a piece of an answer says of a class into Template 1: "A photo of the class y, …"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice, pairwise
from typing import NamedTuple

from ltgc_cli.answers.names import MASK, Known, spelled
from ltgc_cli.answers.rules import ABOUT_TEXT, FORM, OTHER, TALK, UNNAMED, UNSEEN, is_fact, pattern


class Reading(NamedTuple):
    """What a piece says of the class behind its name, or the reason why it is no description of it."""

    rest: str
    reason: str = ""


_IMAGE = "(?:image|photo|picture|photograph|scene|frame|shot)"
LEAD = pattern(  # A photo of, The image shows, In this close-up picture of
    rf"(?:(?:this|here|it|that)(?: is|['’]s) |(?:in|from) (?:this|the|that) {_IMAGE},? |(?:in|from) )?"
    r"(?:(?:an?|the|this|that|one|another|some|my|our) )?"
    r"(?P<view>(?:(?!{break}\b|photo|image|picture)[\w'’/-]+,? |and ){0,6})"
    r"(?:{photo} {shows}\b|(?:photo(?:graph)?|picture|image)s?(?:: | [-–—] )"
    r"|(?:view|scene|depiction|footage|capture|profile)s? {shows}\b)\s*"
    r"(?:(?:an?|the) (?P<closer>(?:[\w-]+ ){0,2}(?:close-?up|portrait|view|shot|(?:side )?profile)) of )?"
)
_VIEW = pattern(r"\b{view}\b")
_PLACE = rf"(?:(?:center|centre|middle|foreground|background)(?: of (?:this|the) {_IMAGE})?|{_IMAGE})(?: shown)?"
_THERE = pattern(  # There is, In the middle of the image we see, One could imagine
    rf"(?:(?:in|at|on) (?:this|the|that) {_PLACE},? )?"
    r"(?:(?:(?:you|one) (?:could|can|might|may) (?:also |further |even )?(?:imagine|picture|envision)"
    r"|(?:an?|another|one) (?:[\w-]+ ){0,4}(?:scene|option|idea|example|possibility|view) (?:would|could|might) be"
    r"|there (?:may|might|could|can) (?:also )?be|(?:picture|imagine|envision)(?= an? | the )"
    r"|there (?:is|are|stands|sits)(?: also)?|there['’]s|we (?:can )?see|(?:you|one) can see|here (?:is|are)|here['’]s"
    rf"|this is|these are|(?:the main (?:subject|focus) (?:of|in) (?:this|the) {_IMAGE}"
    rf"|(?:captured|pictured|shown|depicted|featured)(?: here| in (?:this|the) {_IMAGE})?) is|it shows) )?"
)
_CLASS = (
    r"(?:(?:the |an? )?(?:class|category|species|object class)[ :,]+(?:of |named |called |label(?:l?ed)? )?"
    r"[\"'“‘]?(?:an? |the )?)"
)
_AFTER = r"[\"'”’\]})*_]{0,3}(?!\w)"
_HEAD = pattern(rf"(?:{{article}} )?{_CLASS}?")
_FIRST = pattern(rf"(?:{{article}} )?[\"'“‘]?{_CLASS}?[^\w\s,.;:!?\ue000-\uf8ff–—-]{{0,4}}_?NAME{_AFTER}")
_DESCRIBED = pattern(
    rf"(?P<before>(?:{{article}} )?{_CLASS}?)"
    rf"(?P<adjectives>(?:(?!{{break}}\b)[\w'’-]+,? |and ){{1,7}}?)[\"“‘]?NAME{_AFTER}"
)
_ALIASED = pattern(rf"(?:{{article}} )?{_CLASS}?[^,.;:()\ue000-\uf8ff]{{3,60}} [(\[]NAME[)\]]")
_ASIDE = pattern(r"\s*[\"'”’]?\((?!with|in|on|at|by|near|\w+ing\b|{state}\b)[^()]{1,60}\)(?=.*\w)")
_CLASS_ALONE = pattern(r"(?:the |an? )?class(?:, |[,.]?\s+(?={fragment}\b|[^\w\s]))")
_EXPLICIT = pattern(r"(?:the |an? )?class\b")
_SWALLOWED = pattern(r"(?:the |an? )?class(?:y|ical|es|ed|ified|rooms?|mates?)\b|(?:the |an? )?class of (?:19|20)\d\d")
_FEATURES = pattern(  # The most distinctive features of the class y are, Key features include:
    r"(?:[\w'’()-]+ |[\"“”*\ue000-\uf8ff,] ?){0,12}?(?:features?|characteristics?|traits?|attributes|hallmarks"
    r"|elements)\b[^.:;]{0,80}?(?:\b(?:are|is|includes?|included|including|being|comprise|consist of)\b:?|:)\s+"
)
_COUNTED = pattern(r"{article}\b|(?:close-?up|groups?|pairs?|flocks?|herds?|rows?|piles?|bunch(?:es)?|clusters?)\b")
_SEEMS = pattern(  # "arafed" is a word of BLIP's
    r"(?:what )?(?:appears|seems|looks) (?:to be|like) (?=an? |the )|ara(?:f|ff)e?d?s? (?=\w|NAME)"
)
_FRAGMENT, _OWN = pattern(r"{fragment}\b"), pattern(r"(?:its|his|her|their|{fragment})\b")
_PART = pattern(r"(?:(?!{break}\b)[\w'’-]+,? |the |an? ){0,5}?{part}\b")
_BREAK, _ADJECTIVE = pattern("{break}"), pattern("{adjective}")
_GENERIC, _STATE = pattern("{generic}s?"), pattern("{state}")
_SEVERAL = pattern(r"(?:two|three|four|five|six|several|multiple|many|some) ")
_COMPOUND = pattern(r" (?!and\b|{break}\b|{fragment}\b)[a-z]+")  # television set: the name is a part of another
_NO_ADJECTIVES = pattern(r"['’]s?$|\bdozen$|\band$|\w \w+ing,?$")
_PROPER = re.compile(
    r"(?!(?:An?|The|In|On|At|With|Its|Two|Three|From|Under|Near|By) )"
    r"[A-Z](?:[A-Z]|\w*['’]s |\w*\.? [A-Z]|[a-z]{3,}(?:an|ish|ese)\b)"
    r"|(?:Christmas|Easter|Halloween)\b"
)
_IN_IMAGE = re.compile(r"^ in (?:this|the) (?:image|photo|picture)\b,?")
_OWNED = re.compile(r"['’]s?(?!\w) ?")
_SPECIES = re.compile(r" [a-z]+(?:us|a|um|is|ii?|ae|ens|ans|or|ur|x|os)\b")
_LATIN = re.compile(rf"(?:[Tt]he |[Aa]n? )?(?:class )?[A-Z][\w.]+{_SPECIES.pattern}")


def reading(text: str, names: Known, listed: bool, of: str, named: bool = False) -> Reading:
    """Returns what a sentence with masked names says of the class.

    listed -- it stood in a list: it says something of the class without naming it
    of -- "features" or "scenes" where its label or heading says so
    named -- the others of its list name the class, so that one that begins with another thing is of that
    """
    lead = LEAD.match(text)
    if not lead and (features := _FEATURES.match(text)) and len(text) - features.end() > 8:
        return Reading(_with(text[features.end() :]))
    if not lead:  # one could imagine a photo of
        text = _THERE.sub("", text, count=1)
        lead = LEAD.match(text)
    body = text[lead.end() :] if lead else text
    if seems := _SEEMS.match(body):
        body = f"{'a ' if seems[0].startswith('ara') else ''}{body[seems.end() :]}"
    if _SWALLOWED.match(body) and not _FIRST.match(body):
        return Reading("", FORM)
    found = _named(body, names, bool(lead), listed) or _short(body, names, bool(lead), listed)
    if found is None and lead:
        found = _led(body, names, close=re.search(r"close|detail|macro", lead[0], re.IGNORECASE) is not None)
    if (
        named
        and not names.scientific
        and not found
        and not of
        and re.match(r"(?:an?|the|two) ", body, re.IGNORECASE)
        and not _PART.match(body)
    ):
        return Reading("", UNNAMED)
    kind = re.match(r"(?:[\w'’-]+ ){1,3}(?=(?:is|are|can|may|should|live|eat) )", body) if names.scientific else None
    if kind and not found and is_fact(f" {body[kind.end() :]}"):
        return Reading("", UNSEEN)
    found = found or _unnamed(body, listed, of, names.scientific)
    return found._replace(rest=_view(lead) + found.rest) if found.rest else found


def _named(body: str, names: Known, led: bool, listed: bool) -> Reading | None:
    """Returns what is said where the class's own name stands, None where it does not."""
    name = re.search(MASK, body)
    if not name:
        return None
    rest, several = body[name.end() :], _SEVERAL.match(body)
    if first := _FIRST.match(body):
        rest = body[first.end() :]
        if not led and not _caption(rest):
            return Reading("", FORM)
        if rest[:1] in ("/", "_") or (names.scientific and _SPECIES.match(rest)):
            return Reading("", OTHER)  # church/outdoor; a subspecies
        if several:
            return Reading(f", {_small(body)}")
        if owned := _OWNED.match(rest):
            return Reading(f", its {rest[owned.end() :]}")
        aside = _ASIDE.match(rest)
        return Reading(_after(rest[aside.end() :] if aside else rest))
    if aliased := _ALIASED.match(body):
        return Reading(_after(body[aliased.end() :]))
    described = _DESCRIBED.match(body)
    if described and not several and not _OWNED.match(rest) and not _COMPOUND.match(rest):
        words, article = described["adjectives"].strip(" ,"), described["before"]
        if (led or listed or (article and _caption(rest))) and not _NO_ADJECTIVES.search(words):
            return Reading(
                f", {words if led or article else _small(words)}{_after(body[described.end() :], comma=True)}"
            )
    if led and _EXPLICIT.match(body) and not re.match(r"(?:the |an? )?class of ", body) and not described:
        return Reading("", OTHER)
    if not (led or listed or (_COUNTED.match(body) and body.count(" ") > 2) or _FRAGMENT.match(body)):
        return Reading("", FORM)
    return Reading("", TALK) if ABOUT_TEXT.holds(body) else Reading(f", {_small(body)}")


def _short(body: str, names: Known, led: bool, listed: bool) -> Reading | None:
    """Returns what is said of "the bird", or of the last word of the name, where the name itself does not stand."""
    head = _HEAD.match(body)
    article = head[0] if head else ""
    start = end = len(article)
    for word in islice(re.finditer(r"[\w-]+", body[start:]), 6):
        at = start + word.start()
        if body[end:at] not in ("", " ", ", ") or _BREAK.fullmatch(word[0]):
            return None
        end = start + word.end()
        own, generic, state = spelled(word[0]) in names.short, _GENERIC.fullmatch(word[0]), _STATE.fullmatch(word[0])
        if own or generic or state:
            break
    else:
        return None
    rest, adjectives = body[end:], body[start:at].strip(" ,")
    if own and names.scientific and word[0].istitle() and _SPECIES.match(rest):  # another species of the genus
        return Reading("", OTHER)
    proper = re.search(r"\b[A-Z][a-z]+" if start else r"\b[A-Z][a-z]+(?:an|ish|ese|ern)\b", adjectives)
    if own and proper and not names.scientific and names.name[:1].isupper():  # the Asian elephant is no African one
        return Reading("", OTHER)
    last = adjectives.split()[-1].lower() if adjectives and own and "class" in article and not names.scientific else ""
    if last and not _ADJECTIVE.fullmatch(last) and not any(spelling.startswith(last) for spelling in names.spellings):
        return Reading("", OTHER)  # the class snowy owl is no great grey owl
    if not own and ((rest.startswith(" of ") and not names.scientific) or not (article or state)):
        return None
    if not led and not listed and not (article and _caption(rest)):
        return None
    if (
        state
        or rest.startswith(" of ")
        or (names.scientific and adjectives)
        or _SEVERAL.match(body)
        or _COMPOUND.match(rest)
        or _NO_ADJECTIVES.search(adjectives)
    ):
        return Reading(f", {_small(body)}")
    if owned := _OWNED.match(rest):
        return Reading(f", its {rest[owned.end() :]}")
    adjectives = adjectives if article else _small(adjectives)
    return Reading((f", {adjectives}" if adjectives else "") + _after(rest, comma=bool(adjectives)))


def _led(body: str, names: Known, close: bool) -> Reading:
    """Returns what a photo is of that is not called by a name of the class."""
    if alone := _CLASS_ALONE.match(body):
        return Reading(f", {body[alone.end() :]}")
    explicit = _EXPLICIT.match(body)
    if _OWN.match(body) or (not explicit and (_PART.match(body) or (close and body.startswith("the ")))):
        return Reading(f", {_small(body)}")
    if names.scientific and not _LATIN.match(body):  # a common name for it, which nothing here can tell from another's
        return Reading(f", {body[explicit.end() :].strip() if explicit else body}")
    if ABOUT_TEXT.holds(body) or explicit:
        return Reading("", OTHER if explicit else TALK)
    # A heron is another thing; Mount Fuji may well be this one.
    return Reading(f", {body}") if body[:1].isupper() else Reading("", UNNAMED)


def _unnamed(body: str, listed: bool, of: str, scientific: bool) -> Reading:
    """Returns features that stand without any name: "standing in a marsh at dawn", "long grey legs"."""
    fragment = _FRAGMENT.match(body)
    if not (listed or of) and (not fragment or " " not in body or ABOUT_TEXT.holds(body)):
        return Reading("", TALK if ABOUT_TEXT.holds(body) else FORM)
    begun = re.match(
        r"(?:an?|the|this|two|three|its|it|they|he|she|some|one)\b|\(|(?:\w+ ){1,4}\w+ing ", body, re.IGNORECASE
    )
    # Of a class with a Latin name it may be the common one.
    return Reading(f", {_small(body)}" if of != "features" and (of or begun or scientific) else _with(body))


def _with(features: str) -> str:
    plain = _FRAGMENT.match(features) or re.match(r"(?:it|they|has|have)\b", features, re.IGNORECASE)
    return f"{',' if plain else ' with'} {_small(features)}"


def _small(text: str) -> str:
    """Returns a text with a small letter first, unless it begins with what is a name by its looks."""
    return text if _PROPER.match(text) else text[:1].lower() + text[1:]


def _after(rest: str, comma: bool = False) -> str:
    """Returns what follows a name, with a comma or "with" between."""
    rest = _IN_IMAGE.sub("", rest, count=1)
    joined = re.match(r"\s*[,.;:–—(]| - " if comma else r"\s*[,.;:–—(]|\s+with\b| - ", rest)
    return rest if joined or not rest.strip() else f", {rest.strip()}"


def _view(lead: re.Match[str] | None) -> str:
    """Returns how a photo is taken, where its beginning says so: ", close-up"."""
    if not lead:
        return ""
    found = _VIEW.findall(f"{lead['view'] or ''} {lead['closer'] or ''}")
    return "".join(f", {word.lower()}" for word in found or re.findall("close-?up", lead[0], re.IGNORECASE)[:1])


def _caption(rest: str) -> bool:
    """Returns whether what follows a name could stand below an image."""
    return bool(re.search(r"\w", rest)) and not is_fact(rest)


# --- several descriptions in one line

_AGAIN = pattern(
    r"(?:(?<=[.!?;。])|(?<=[.!?]\W)|(?<=[.!?]\W\W))[\"'“”‘’)\]*, ]{1,5}[\"'“‘(\[]?(?:\(?\d{1,3}[.):]\s*)?"
    r"(?=(?:an?|the|another) {photo} (?:of|showing|depicting) )"
    r"|[\"'“,;/-]?\s(?:and )?(?:\(?\d{1,3}[.):]\s*)?(?=a (?:photo|picture|image) of the class )"
)
_NUMBERS = re.compile(r"(?:^|[\s,;])\(?(\d{1,2})[.):]\s+(?=\w|[\"“\ue000-\uf8ff])")
_LABELS = pattern(
    r"[:=–—-]$|^\W*(?:this|that|here|it)(?: is|['’]s)$|\b(?:imagine|picture|envision|be|include|have|see)$"
)
_ANOTHER = pattern(
    r"(?:an?|another|others?|some|one|you (?:could|can|might)|in (?:an?|another)|there (?:may|might|could) be)\b"
    r"[^.]{0,80}?NAME"
)


_SAME = pattern(r"(?:(?:the|this|its|it|they|both|each) (?:class )?(?:[\w-]+ )?)?NAME")


def cut(text: str, one: bool) -> Sequence[str]:
    """Returns a line cut before each further "A photo of …", at its numbers, or into captions that name the class."""
    parts, at = [], 0
    for again in _AGAIN.finditer(text) if re.search(r"(?:hoto|mage|icture)\w* ", text[9:]) else ():
        before = text[at : again.end()].rstrip(" \"'“")
        if LEAD.match(before) or not _LABELS.search(before):  # the label of a sentence stays with it
            parts.append(text[at : again.start()])
            at = again.end()
    pieces = (piece for part in [*parts, text[at:]] for piece in _numbered(part))
    return [
        part for piece in pieces for part in ([piece] if one else _captions(piece)) if re.search(rf"\w|{MASK}", part)
    ]


def _numbered(text: str) -> Sequence[str]:
    """Returns a list that was written in one line ("long legs 2. a red crown 3. …") by its items."""
    marks = list(_NUMBERS.finditer(text)) if re.search(r"\d[.):] ", text) else []
    if len(marks) < 2 or any(int(after[1]) != int(before[1]) + 1 for before, after in pairwise(marks)):
        return [text]
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    return [text[: marks[0].start()], *(text[mark.end() : end] for mark, end in zip(marks, ends, strict=True))]


def _captions(text: str) -> Sequence[str]:
    """Returns the sentences of a paragraph in which each is a caption: "A crane in a marsh. A crane in flight."."""
    parts = text.split("; ")
    if len(parts) > 2 and all(_COUNTED.match(part) or re.search(MASK, part) for part in parts):
        return parts
    sentences = re.split(r"(?<=[.!?]) (?=[A-Z\ue000-\uf8ff])", text)
    named = [at for at, one in enumerate(sentences) if at and re.search(MASK, one[:120]) and not _SAME.match(one)]
    if len(named) > 1:  # prose in which each sentence is of another one
        return [" ".join(sentences[a:b]) for a, b in pairwise([0, *named, len(sentences)])]
    starts = [at for at, sentence in enumerate(sentences) if at and _ANOTHER.match(sentence)]
    if len(starts) < 2 and not (
        len(starts) == 1 == len(sentences) - 1 and _ANOTHER.match(text) and not LEAD.match(text)
    ):
        return [text]
    return [" ".join(sentences[a:b]) for a, b in pairwise([0, *starts, len(sentences)])]
