"""Marks what is wrong with a description: one function, and one table of what a mark means."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from ltgc_cli.answers import clip_tokens, school, tidy
from ltgc_cli.answers import phrases as p
from ltgc_cli.answers.spelling import MASK, Words, features, masked, names, words
from ltgc_cli.prompts import image_prompt

Mark = Literal[
    "wrong class", "placeholder echo", "class taken as a subject", "truncated", "medium leaked", "nothing visible",
    "non-visual", "hedging", "over 77 tokens", "duplicate",
]  # fmt: skip


class Rule(NamedTuple):
    """What a mark does to a description."""

    fatal: bool  # a description with it is dropped
    reason: str  # the reason that a dropped description gets


RULES: dict[Mark, Rule] = {
    "wrong class": Rule(True, "names another class"),  # an image generated from it would be of something else
    "placeholder echo": Rule(True, "echoes the template's placeholders"),  # and describes nothing
    # It describes a school class with its teacher; image models draw just that.
    "class taken as a subject": Rule(True, "takes the word class for a school class"),
    # What is missing cannot be known, and image models make something of half a sentence.
    "truncated": Rule(True, "is cut off"),
    # The classifier learns from photos: a painting of the class is another domain.
    "medium leaked": Rule(True, "shows the class in another medium"),
    "nothing visible": Rule(True, "names nothing that can be seen"),  # sounds, smells and reputation alone
    # Beside features that can be seen it is harmless in a generated image, and weaker as C_y.
    "non-visual": Rule(False, "names something that cannot be seen"),
    # An image can still be made of it; what was only a phrase ("appears to be") has been taken out before.
    "hedging": Rule(False, "is not sure of what it says"),
    "over 77 tokens": Rule(False, "is longer than CLIP reads"),  # CLIP and Stable Diffusion read the beginning
    "duplicate": Rule(False, "says the same as another"),  # reflect decides which one stays
}


def lint(
    text: str, name: str, subject: str, synonyms: Sequence[str] = (), others: Collection[Words] = ()
) -> tuple[Mark, ...]:
    """Returns the marks of a Template-1 sentence about the class `name`, in the order of the table.

    `others` are the words (`spelling.words`) of descriptions that it must not repeat.

    >>> lint("A photo of the class crane, perhaps in a marsh.", "crane", "crane")
    ('hedging',)
    """
    marks = _marks(text, name, subject, tuple(synonyms))
    return (*marks, "duplicate") if others and words(text, name) in others else marks


@lru_cache(maxsize=1024)  # a description is marked when it is read, and again when its record is made
def _marks(text: str, name: str, subject: str, synonyms: tuple[str, ...]) -> tuple[Mark, ...]:
    about = features(text, name)
    stems = p.stems(about)
    visible = tidy.seen(about, name)
    found: dict[Mark, bool] = {
        "wrong class": _of_another_class(text, name, subject, synonyms),
        "placeholder echo": echoes(about),
        "class taken as a subject": bool(school.MAY_TEACH & stems) and school.of_a_class(about, name),
        "truncated": broken_off(text),
        "medium leaked": bool(_MAY_PAINT & stems and (_OF_A_MEDIUM.match(about) or _IN_STYLE.search(about)))
        and not _OF_MEDIA.search(name.replace("_", " ")),
        "nothing visible": bool(about) and not visible,
        "non-visual": bool(visible) and tidy.names_unseen(about, name),
        "hedging": bool(_MAY_HEDGE & stems and _HEDGE.search(about)),
        # an image is generated from these words alone
        "over 77 tokens": clip_tokens.may_be_over(f"{text} {subject}")
        and clip_tokens.over(image_prompt(text, name, subject)),
    }
    return tuple(mark for mark in RULES if found.get(mark))


def fatal(marks: Sequence[Mark]) -> str:
    """Returns the reason to drop a description with these marks, empty where there is none.

    >>> fatal(["hedging", "truncated"]), fatal(["hedging"])
    ('is cut off', '')
    """
    return next((RULES[mark].reason for mark in RULES if mark in marks and RULES[mark].fatal), "")


# --- the class


def _of_another_class(text: str, name: str, subject: str, synonyms: tuple[str, ...]) -> bool:
    start = f"A photo of the class {name}"
    known = names(name, subject, synonyms)
    if not text.startswith(start) or re.match(r"\w|['’]s\b", text[len(start) :]):
        hidden, _ = masked(text, known)
        return _STARTS.match(hidden) is None or denied(hidden)
    may = _MAY_DENY & p.stems(features(text, name))
    return bool(may) and denied(f"{MASK[1]} {masked(text[len(start) :], known)[0]}")


_STARTS = p.pattern(rf"A photo of (?:the |an? )?(?:class )?[^\w]{{0,8}}{MASK}(?!\w|['’]s\b)")
_DENIED = p.pattern(
    r"(?:\b(?:not|isn['’]t|no|without|absence of|lack of|rather than|instead of|unlike|mistaken for|confused with)\s"
    r"(?:actually |really |contain |show |depict |include |of )?(?:an? |any |the )?(?:class )?"
    rf"|\b(?:similar to|resembl(?:es|ing)|looks like|reminiscent of)\s(?:an? |the )?){MASK}(?!['’])"
    rf"|{MASK},?\s(?:is|are)(?:n['’]t| not) (?:visible|present|shown|seen|depicted|included|in)\b"
    rf"|{MASK},? (?:not|hardly) (?:visible|present|shown|seen|depicted|included)\b"
)
_MAY_DENY = p.gate(
    "not isn aren no without absence lack rather instead unlike mistaken confused similar resembles looks reminiscent"
)


def denied(text: str) -> bool:
    """Returns whether a sentence says that what it shows is not the class; its names are masked (`spelling.masked`)."""
    return bool(_MAY_DENY & p.stems(text) and _DENIED.search(text))


# --- the template's own words

_LIKE = r"(?!\s*(?:like|such as|including|include|of|being|are|is|:|-|–|—|\()\s*\w)"
_BEFORE = r"(?:the |some |various |many |other |an? )?"
_ECHO = p.pattern(
    rf"\b(?:with|and|(?<=,)|(?<=, )) ?{_BEFORE}distinctive features?\b{_LIKE}"
    rf"|\b(?:in|and|(?<=,)|(?<=, )) ?{_BEFORE}specific scenes?\b{_LIKE}"
    r"|[\[<](?:y|x|class|name|feature|scene|insert|distinctive|specific|object|subject|location"
    r"|your)\b[^\]>]{0,60}[\]>]|\[\.{2,}\]|\b(?:feature|scene) (?:\d|[xyn])\b|\bclass (?:y|x|name)\b(?! \()"
    r"|\binsert (?:\w+ )?here\b|\btemplate [12]\b"
)
_MAY_ECHO = p.gate("distinctive feature features scene scenes y x name insert template")


def echoes(text: str) -> bool:
    """Returns whether a text repeats the words that the template has for what a model should say."""
    return bool(("[" in text or "<" in text or _MAY_ECHO & p.stems(text)) and _ECHO.search(text))


# --- the end

_BROKEN_OFF = p.pattern(
    # a word that cannot end a sentence, whatever stands behind it, or one that can only where the sentence was closed
    r"(?:\b(?:an?|the|and|or|but|its|their|his|her|very|with|of|from|into|while|which|whose|that is|as|such as"
    r"|including|featuring)[.…]*|\b(?:in|on|at|by|to|for|is|are|has|that)(?:\.{3}|…)?|[-–—(\[{“])$"
)


def broken_off(text: str) -> bool:
    """Returns whether a text ends in the middle of what it says.

    >>> broken_off("A photo of the class crane, with a long neck and a."), broken_off("tall")
    (True, False)
    """
    return _BROKEN_OFF.search(text, max(0, len(text) - 20)) is not None


# --- the medium

_ART = (
    r"(?:paintings?|drawings?|sketch(?:es)?|illustrations?|cartoons?|caricatures?|watercolou?rs?|engravings?|etchings?"
    r"|woodcuts?|lithographs?|renderings?|renders?|clip-?art|vector art|pixel art|anime|line art|doodles?|origami"
    r"|sculptures?|statues?|figurines?|diagrams?|screenshots?|collages?|plush(?: toys?)?|stuffed toys?|video games?)"
)
_MEDIUM = (  # of some a thing may bear one, so that only "a mural of" it tells
    rf"(?:{_ART}|artworks?|murals?|graffiti|mosaics?|tapestr(?:y|ies)|logos?|emojis?|icons?|posters?|embroider(?:y|ies)"
    r"|tattoos?|prints?|stamps?|stickers?)"
)
_OF_MEDIA = p.pattern(
    rf"{_MEDIUM}|art|comic|toy|teddy|doll|mask|vase|totem|fountain|stained|jigsaw|puzzle|crossword|web ?site|menu"
    r"|museum|gallery|studio|altar|pedestal|obelisk|tomb|temple|church|screen|jersey|digit|letter|sign|packet|carving"
    r"|pattern|shirt|monitor"
)
_WORDS = r"(?:(?!with|on|of|in|and|near|against|beside)\w+[ -]){0,3}?"
_OF_A_MEDIUM = p.pattern(rf"(?:an? |the |this )?{_WORDS}{_MEDIUM} (?:of|depicting|showing|featuring|portraying)\b")
_IN_STYLE = p.pattern(
    rf"\b(?<!covered )(?<!decorated )(?:in|as) (?:an?|the)? ?{_WORDS}{_ART}(?: style| form)?"
    r"(?=[,.]|$| of| with| in| on| style)"
    rf"|\bin the style of (?:an? )?{_WORDS}{_MEDIUM}\b|\b(?:cartoon|anime|watercolou?r|comic|pixel|sketch)[ -]style\b"
    r"|\b(?:drawn|painted|sketched|illustrated|rendered|depicted|captured|portrayed|sculpted)"
    rf" (?:in|as|on|with|by) (?:an?|the)? ?{_WORDS}"
    rf"(?:{_ART}|acrylics?|oils?|inks?|pastels?|charcoal|pencil|canvas|3d|cgi)\b"
    rf"|\b(?:depicted|portrayed) (?:in|as|on) (?:an?|the)? ?{_WORDS}(?:mural|mosaic|tapestry|poster|stamp|print)\b"
    r"|\bhand[ -]drawn\b|\b(?:computer|digitally)[ -](?:drawn|generated|painted|illustrated)\b"
    r"|\b3d[ -]render\w*\b|\bcgi\b"
)
_MAY_PAINT = p.gate(
    "painting painted drawing drawn sketch illustration cartoon caricature watercolor engraving etching woodcut"
    " lithograph render clip clipart vector pixel anime line doodle artwork mural graffiti mosaic tapestry sculpture"
    " statue figurine origami logo logos emoji emojis icon icons diagram poster screenshot embroidery collage plush"
    " stuffed tattoo video comic depicted captured portrayed carved print prints stamp stamps sticker acrylic oil oils"
    " ink inks pastel charcoal pencil canvas cgi d generated"
)


# --- what is not sure

_HEDGE = p.pattern(
    r"\b(?:possibly|perhaps|maybe|probably|presumably|apparently|seemingly|potentially|likely|might|could be|may be"
    r"|may have|appears?|appearing|seems?|seeming(?:ly)?|unclear|not (?:clear|sure|certain)|hard to tell"
    r"|difficult to (?:tell|say|determine)|cannot be determined|some (?:kind|sort|type) of|what looks like"
    r"|suggest(?:s|ing) (?:that|it))\b"
)
_MAY_HEDGE = p.gate(
    "possibly perhaps maybe probably presumably apparently seemingly potentially likely might could may appear seem"
    " seems unclear not hard difficult cannot some looks suggests"
)

# Stems without any of which a description has no mark but for its length and its end.
SUSPECT = _MAY_DENY | _MAY_ECHO | school.MAY_TEACH | _MAY_PAINT | tidy.MAY_UNSEE | _MAY_HEDGE
