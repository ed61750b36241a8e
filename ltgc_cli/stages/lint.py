"""Marks what is wrong with a description: one function, and one table of what a mark means."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import cache
from typing import Literal, NamedTuple

from ltgc_cli.prompts import drawn
from ltgc_cli.stages import tokens
from ltgc_cli.stages.near import words
from ltgc_cli.stages.spelling import features, names

Mark = Literal[
    "wrong class",
    "placeholder echo",
    "class taken as a subject",
    "truncated",
    "medium leaked",
    "nothing visible",
    "non-visual",
    "hedging",
    "over 77 tokens",
    "duplicate",
]


class Rule(NamedTuple):
    """What a mark does to a description."""

    fatal: bool
    """A description with it is dropped."""
    says: str
    """The reason that a dropped description gets."""


RULES: dict[Mark, Rule] = {
    # An image drawn from it would be of something else.
    "wrong class": Rule(True, "names another class"),
    # It says what a description should say, and describes nothing.
    "placeholder echo": Rule(True, "echoes the template's placeholders"),
    # It describes a school class with its teacher; image models draw just that.
    "class taken as a subject": Rule(True, "takes the word class for a school class"),
    # What is missing cannot be known, and image models make something of half a word.
    "truncated": Rule(True, "is cut off"),
    # The classifier learns from photos: a drawing of the class is another domain.
    "medium leaked": Rule(True, "shows the class in another medium"),
    # Sounds, smells and reputation alone: no image can show them.
    "nothing visible": Rule(True, "names nothing that can be seen"),
    # Something that no image shows, beside features that one does: harmless in a drawing, weaker as C_y.
    "non-visual": Rule(False, "names something that cannot be seen"),
    # It can still be drawn; what was only a phrase ("appears to be") has been taken out before.
    "hedging": Rule(False, "is not sure of what it says"),
    # CLIP and Stable Diffusion read the beginning of it.
    "over 77 tokens": Rule(False, "is longer than CLIP reads"),
    # reflect decides which one stays.
    "duplicate": Rule(False, "says the same as another"),
}


def lint(
    text: str, name: str, subject: str, synonyms: Sequence[str] = (), others: Collection[frozenset[str]] = ()
) -> tuple[Mark, ...]:
    """Returns the marks of a Template-1 sentence about the class `name`, in the order of the table.

    `others` are the words (`near.words`) of descriptions that it must not repeat.

    >>> lint("A photo of the class crane, perhaps in a marsh.", "crane", "crane")
    ('hedging',)
    """
    said = features(text, name)
    found: dict[Mark, bool] = {
        "wrong class": _of_another_class(text, name, subject, tuple(synonyms)),
        "placeholder echo": echoes(text),
        "class taken as a subject": _of_a_school(said, name),
        "truncated": broken_off(text),
        "medium leaked": _in_another_medium(said, name),
        "nothing visible": bool(said) and not seen(said, name),
        "non-visual": _UNSEEN.search(said) is not None and not _UNSEEN.search(name),
        "hedging": _HEDGE.search(said) is not None,
        "over 77 tokens": tokens.over(drawn(text, name, subject)),
        "duplicate": bool(others) and words(text, name) in others,
    }
    if found["nothing visible"]:
        found["non-visual"] = False
    return tuple(mark for mark in RULES if found[mark])


def fatal(marks: Sequence[Mark]) -> str:
    """Returns the reason to drop a description with these marks, empty where there is none.

    >>> fatal(["hedging", "truncated"]), fatal(["hedging"])
    ('is cut off', '')
    """
    return next((RULES[mark].says for mark in RULES if mark in marks and RULES[mark].fatal), "")


# --- the class


def _of_another_class(text: str, name: str, subject: str, synonyms: tuple[str, ...]) -> bool:
    if text.startswith(f"A photo of the class {name}"):
        return denied(text, name, subject, synonyms)
    start = re.match(
        rf"A photo of (?:the |an? )?(?:class )?{names(name, subject, synonyms).pattern}(?!\w|['’]s\b)",
        text,
        re.IGNORECASE,
    )
    return start is None or denied(text, name, subject, synonyms)


def denied(text: str, name: str, subject: str, synonyms: tuple[str, ...] = ()) -> bool:
    """Returns whether a sentence says that what it shows is not the class.

    >>> denied("A photo of a bird that is not a crane.", "crane", "crane")
    True
    """
    return _denial(name, subject, synonyms).search(text) is not None


@cache
def _denial(name: str, subject: str, synonyms: tuple[str, ...]) -> re.Pattern[str]:
    spelled = names(name, subject, synonyms).pattern
    return re.compile(
        rf"(?:\b(?:not|isn['’]t|no|without|absence of|lack of|rather than|instead of|unlike|mistaken for|confused with)\s"
        rf"(?:actually\s|really\s|contain\s|show\s|depict\s|include\s)?(?:an?\s|any\s|the\s)?(?:class\s)?"
        rf"|\b(?:similar to|resembl(?:es|ing)|looks like|reminiscent of)\s(?:an?\s|the\s)?)"
        rf"(?:{spelled})(?![\w-]|['’])"
        rf"|(?:{spelled}),?\s(?:is|are)(?:n['’]t|\snot)\s(?:visible|present|shown|seen|depicted|included|in)\b",
        re.IGNORECASE,
    )


# --- the template's own words

_LIKE = r"(?!\s*(?:like|such as|including|include|of|being|are|is|:|-|–|—|\()\s*\w)"
_ECHO = re.compile(
    rf"\b(?:with|and|(?<=,)|(?<=, )) ?(?:the |some |various |many |other )?distinctive features?\b{_LIKE}"
    rf"|\b(?:in|and|(?<=,)|(?<=, )) ?(?:an? |the |some |various |other )?specific scenes?\b{_LIKE}"
    r"|\[(?:y|x|class|name|feature|scene|insert|distinctive|specific|object|subject|location|your)\b[^\]]*\]|\[\.{2,}\]"
    r"|\b(?:feature|scene) (?:\d|[xyn])\b|\{(?:feature|scene|class|y)\b|\bclass (?:y|x|name)\b(?! \()|\binsert (?:\w+ )?here\b"
    r"|\btemplate [12]\b|<(?:class|feature|scene|name)[^>]{0,20}>",
    re.IGNORECASE,
)



def echoes(text: str) -> bool:
    """Returns whether a text repeats the words that the template has for what a model should say."""
    return _ECHO.search(text) is not None


# --- the word "class"

_PLURAL_CLASS = re.compile(
    r"\bclass ?mates?\b|\bclass (?:photo|picture|portrait|members?|trip|session|reunion|discussion|president|of (?:19|20)\d\d)"
    r"|\b(?:the|a|this|their|whole|entire|our|another) class (?:is|are|was|were|has|have|poses?|posing|gather\w*|sit\w*|stand\w*|"
    r"smil\w*|learn\w*|listen\w*|attend\w*|in session|together|looks?|watch\w*|work\w*|enjoy\w*|on a|full|participat\w*)\b"
    r"|\b(?:members|students|pupils|teacher|rest) of (?:the|a|this) class\b|\bwhole class\b|\bentire class\b|\byearbook\b",
    re.IGNORECASE,
)
_PUPILS = re.compile(
    r"\bstudents\b|\bteachers?\b|\bprofessors?\b|\bclass ?rooms?\b|\bschool ?(?:children|kids|boys|girls)\b|\bschool (?:uniforms?|desks?|setting)\b"
    r"|\blecturers?\b|\bpupils (?:in|at|with|sitting|listening|gathered|engaged|learning|raising|wearing|studying)\b",
    re.IGNORECASE,
)
_SCHOOLING = re.compile(
    r"\b(?:student|schools?(?! of)|universit\w+|colleges?|campus|lectures?|lessons?|learning|education\w*|instructors?|graduat\w+"
    r"|whiteboards?|blackboards?|chalkboards?|desks|textbooks|academic|seminar|homework|studying|pupils|children|kids|group photo)\b",
    re.IGNORECASE,
)
_OF_SCHOOLS = re.compile(
    # things and places where a school class is at home: what is said of one may be meant
    r"school|class|lectur|student|teach|academ|board|desk|pencil|\bpens?\b|pen$|book|ruler|projector|librar|campus|globe|pack|gown"
    r"|universit|colleg|kinder|auditor|eraser|binder|\blab|bus\b|gym|play|educat|abacus|nursery|cafeteria|chair|easel|crayon|locker"
    r"|laptop|computer|microscope|telescope|calculator|slide.?rule|scientist|uniform|mortar|chalk|notepad|satchel|bag\b|schoolyard"
    r"|room|shop|studio|store|house|hall|station|cent(?:er|re)|museum|park|street|court|field|office|arena|church|temple|yard|plaza"
    r"|theat|stadium|building|garden|zoo|aquarium|farm|pool|stage|restaurant|bar$|market|dorm|dinette|patio|indoor|outdoor|site|area",
    re.IGNORECASE,
)


def _of_a_school(said: str, name: str) -> bool:
    """Returns whether a description is of a school class, as where a model without the image took "class" for one."""
    if _PLURAL_CLASS.search(said):
        return True
    if _OF_SCHOOLS.search(name.replace("_", " ")):
        return False
    if _PUPILS.search(said):
        return True
    return len({word.lower() for word in _SCHOOLING.findall(said)}) > 1


# --- the end

_BROKEN_OFF = re.compile(
    # A word that cannot end a sentence, whatever stands behind it, or one that can only where it was closed.
    r"(?:\b(?:an?|the|and|or|but|its|their|his|her|very|with|of|from|into|while|which|whose|that is|as|such as|including|featuring)"
    r"[.…]*|\b(?:in|on|at|by|to|for|is|are|has|that)(?:\.{3}|…)?|[-–—(\[{“])$",
    re.IGNORECASE,
)

def broken_off(text: str) -> bool:
    """Returns whether a text ends in the middle of what it says.

    >>> broken_off("A photo of the class crane, with a long neck and a."), broken_off("tall")
    (True, False)
    """
    return _BROKEN_OFF.search(text) is not None


# --- the medium

_MEDIUM = (
    r"(?:paintings?|drawings?|sketch(?:es)?|illustrations?|cartoons?|caricatures?|watercolou?rs?|engravings?|etchings?|woodcuts?|lithographs?|renderings?"
    r"|renders?|clip-?art|vector art|pixel art|anime|line art|doodles?|artworks?|murals?|graffiti|mosaics?|tapestr(?:y|ies)|sculptures?|statues?|figurines?"
    r"|origami|logos?|emojis?|icons?|diagrams?|posters?|screenshots?|embroider(?:y|ies)|collages?|plush(?: toys?)?|stuffed toys?|tattoos?|video games?)"
)
_OF_MEDIA = re.compile(
    rf"{_MEDIUM}|art|comic|toy|teddy|doll|mask|vase|totem|fountain|stained|jigsaw|puzzle|crossword|web ?site|menu|museum|gallery"
    r"|studio|altar|pedestal|obelisk|tomb|temple|church|screen|jersey|digit|letter|sign|packet|carving|pattern|shirt|monitor",
    re.IGNORECASE,
)
_IN_STYLE = re.compile(
    rf"\b(?:in|as|like) (?:an?|the)? ?(?:\w+[ -]){{0,3}}?{_MEDIUM}(?: style| form)?(?=[,.]|$| of| with| in| on| style)"
    rf"|\bin the style of (?:an? )?(?:\w+ ){{0,3}}?{_MEDIUM}\b|\b(?:cartoon|anime|watercolou?r|comic|pixel|sketch)[ -]style\b"
    rf"|\b(?:drawn|painted|sketched|illustrated|rendered|depicted|captured|portrayed|carved|sculpted|embroidered) (?:in|as|on|with|by) "
    rf"(?:an?|the)? ?(?:\w+[ -]){{0,3}}?(?:{_MEDIUM}|acrylics?|oils?|inks?|pastels?|charcoal|pencil|canvas|watercolou?rs?|3d|cgi)\b"
    r"|\b(?:hand|computer|digitally)[ -](?:drawn|generated|painted|illustrated)\b|\b3d[ -]render\w*\b|\bcgi\b",
    re.IGNORECASE,
)


def _in_another_medium(said: str, name: str) -> bool:
    """Returns whether a description shows the class painted, drawn or modelled rather than itself."""
    if _OF_MEDIA.search(name.replace("_", " ")):
        return False
    start = rf"(?:an? |the |this )?(?:(?!with|in|on|near|beside|against|under)[\w-]+ ){{0,3}}?{_MEDIUM} (?:of|depicting|showing|featuring|portraying)\b"
    return bool(re.match(start, said, re.IGNORECASE) or _IN_STYLE.search(said))


# --- what cannot be seen

_UNSEEN = re.compile(
    r"\b(?:fragran\w+|scents?|aromas?|aromatic|odou?rs?|smell\w*|stench|tast(?:es?|y|ing)|flavou?r\w*|melod(?:y|ies|ic|ious)\w*|birdsongs?|chirp(?:s|ing)? sounds?"
    r"|sounds? (?:of|like|that|fill\w*|echo\w*|it)|(?:\w+ing|its|loud|soft|deep|distinctive|unique) (?:\w+ )?sounds?|noises?|noisy|echo(?:es|ing)"
    r"|(?:varied|loud|distinctive|haunting|trumpeting|high-pitched|shrill|raucous|harsh|musical|unique|piercing|whistling) (?:\w+ )?(?:calls?|songs?|cries|cry)"
    r"|(?:its|their) (?:\w+ )?(?:calls?|songs?|voice)|to the touch|feels? (?:soft|smooth|rough|warm|cool|cold|silky|like)|lightweight feel"
    r"|personalit(?:y|ies)|temperament|loyal\w*|intelligen\w+|friendl(?:y|iness) (?:nature|temperament|disposition|demeanor)|symboli[sz]\w*|symbol of"
    r"|(?:cultural|historical|religious|ecological|economic|commercial) (?:significance|importance|value)|(?:named|called) (?:after|for)|first described|discovered by|described by"
    r"|invented by|manufactured by|native to|endemic to|endangered|threatened|lifespan|life span|medicinal|nutriti\w+|popular (?:among|with|for|in|as)"
    r"|famous for|renowned for|well[ -]known|known (?:for|as|to)|considered|belongs to|member of the|widely (?:used|cultivated|distributed)|commonly (?:used|known|called)"
    r"|(?:rich|long) history|life cycle|migrat(?:ion|ory) (?:patterns?|habits?)|diet)\b",
    re.IGNORECASE,
)
_VISUAL_FAME = re.compile(r"\b(?:known|famous|renowned) for (?:(?:its|their|having) )(?!.*\b(?:loyal|intellig|person|temper|song|call|sound|voice|scent|frag|aroma|taste|flavo|abilit|speed|history|nature|use|strength|endurance|stamina|hunting|behavi|skill))", re.I)
_CLAUSE = re.compile(r"([,;]\s+|[.!?]\s+)")


def seen(said: str, name: str) -> str:
    """Returns what a picture can show of a description, empty where it is nothing. Clauses between commas stay or go.

    >>> seen("with a red cap, a varied call, in a marsh", "crane")
    'with a red cap, in a marsh'
    """
    if not _UNSEEN.search(said) or _UNSEEN.search(name):
        return said
    said = _VISUAL_FAME.sub("with its ", said)
    parts = _CLAUSE.split(said)
    clauses, joints = parts[::2], ["", *parts[1::2]]
    kept = [(joint, clause) for joint, clause in zip(joints, clauses, strict=True) if not _unseen(clause)]
    text = "".join(joint + clause for joint, clause in kept)
    text = re.sub(r"^(?:[,;.!?]\s+)?(?:and |but )?", "", text)
    return text if re.search(r"\w", re.sub(r"\b(?:and|it|is|with)\b", "", text)) else ""


def _unseen(clause: str) -> bool:
    """Returns whether a clause speaks only of what cannot be seen: one that joins it to something else does not."""
    found = _UNSEEN.search(clause)
    if not found:
        return False
    halves = re.split(r" (?:and|while|with) ", clause)
    return all(_UNSEEN.search(half) or len(half.split()) < 2 for half in halves)


# --- what is not sure

_HEDGE = re.compile(
    r"\b(?:possibly|perhaps|maybe|probably|presumably|apparently|seemingly|potentially|likely|might|could be|may be|may have|appears?|appearing|seems?|seeming(?:ly)?"
    r"|unclear|not (?:clear|sure|certain)|hard to tell|difficult to (?:tell|say|determine)|cannot be determined|some (?:kind|sort|type) of|what looks like|suggest(?:s|ing) (?:that|it))\b",
    re.IGNORECASE,
)
