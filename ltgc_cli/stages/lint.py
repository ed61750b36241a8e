"""Marks what is wrong with a description: one function, and one table of what a mark means."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from ltgc_cli.prompts import drawn
from ltgc_cli.stages import phrases as p
from ltgc_cli.stages import tokens
from ltgc_cli.stages.near import Words, words
from ltgc_cli.stages.spelling import MASK, features, masked, names, stems

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
    # What is missing cannot be known, and image models make something of half a sentence.
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
    text: str, name: str, subject: str, synonyms: Sequence[str] = (), others: Collection[Words] = ()
) -> tuple[Mark, ...]:
    """Returns the marks of a Template-1 sentence about the class `name`, in the order of the table.

    `others` are the words (`near.words`) of descriptions that it must not repeat.

    >>> lint("A photo of the class crane, perhaps in a marsh.", "crane", "crane")
    ('hedging',)
    """
    marks = _marks(text, name, subject, tuple(synonyms))
    return (*marks, "duplicate") if others and words(text, name) in others else marks


@lru_cache(maxsize=1024)  # a description is marked when it is read, and again when its record is made
def _marks(text: str, name: str, subject: str, synonyms: tuple[str, ...]) -> tuple[Mark, ...]:
    said = features(text, name)
    stem = stems(said)
    visible = seen(said, name)
    found: dict[Mark, bool] = {
        "wrong class": _of_another_class(text, name, subject, synonyms),
        "placeholder echo": echoes(said),
        "class taken as a subject": not _MAY_TEACH.isdisjoint(stem) and _of_a_school(said, name),
        "truncated": broken_off(text),
        "medium leaked": not _MAY_PAINT.isdisjoint(stem) and _in_another_medium(said, name),
        "nothing visible": bool(said) and not visible,
        "non-visual": bool(visible) and _names_unseen(said, name),
        "hedging": not _MAY_HEDGE.isdisjoint(stem) and _HEDGE.search(said) is not None,
        # what is drawn has no other words than these
        "over 77 tokens": tokens.may_be_over(f"{text} {subject}") and tokens.over(drawn(text, name, subject)),
    }
    return tuple(mark for mark in RULES if found.get(mark))


def fatal(marks: Sequence[Mark]) -> str:
    """Returns the reason to drop a description with these marks, empty where there is none.

    >>> fatal(["hedging", "truncated"]), fatal(["hedging"])
    ('is cut off', '')
    """
    return next((RULES[mark].says for mark in RULES if mark in marks and RULES[mark].fatal), "")


# --- the class


def _of_another_class(text: str, name: str, subject: str, synonyms: tuple[str, ...]) -> bool:
    start = f"A photo of the class {name}"
    known = names(name, subject, synonyms)
    if not text.startswith(start) or re.match(r"\w|['’]s\b", text[len(start) :]):
        hidden, _ = masked(text, known)
        return _STARTS.match(hidden) is None or denied(hidden)
    may = not _MAY_DENY.isdisjoint(stems(features(text, name)))
    return may and denied(f"{MASKED} {masked(text[len(start) :], known)[0]}")


MASKED = MASK[1]
_STARTS = re.compile(rf"A photo of (?:the |an? )?(?:class )?[^\w]{{0,8}}{MASK}(?!\w|['’]s\b)", re.IGNORECASE)
_DENIED = re.compile(
    r"(?:\b(?:not|isn['’]t|no|without|absence of|lack of|rather than|instead of|unlike|mistaken for|confused with)\s"
    r"(?:actually |really |contain |show |depict |include |of )?(?:an? |any |the )?(?:class )?"
    rf"|\b(?:similar to|resembl(?:es|ing)|looks like|reminiscent of)\s(?:an? |the )?){MASK}(?!['’])"
    rf"|{MASK},?\s(?:is|are)(?:n['’]t| not) (?:visible|present|shown|seen|depicted|included|in)\b"
    rf"|{MASK},? (?:not|hardly) (?:visible|present|shown|seen|depicted|included)\b",
    re.IGNORECASE,
)
_MAY_DENY = p.gate(
    "not isn aren no without absence lack rather instead unlike mistaken confused similar resembles resembling looks"
    " reminiscent"
)


def denied(text: str) -> bool:
    """Returns whether a sentence says that what it shows is not the class; its names are masked (`spelling.masked`)."""
    return not _MAY_DENY.isdisjoint(stems(text)) and _DENIED.search(text) is not None


# --- the template's own words

_LIKE = r"(?!\s*(?:like|such as|including|include|of|being|are|is|:|-|–|—|\()\s*\w)"
_BEFORE = r"(?:the |some |various |many |other |an? )?"
_ECHO = re.compile(
    rf"\b(?:with|and|(?<=,)|(?<=, )) ?{_BEFORE}distinctive features?\b{_LIKE}"
    rf"|\b(?:in|and|(?<=,)|(?<=, )) ?{_BEFORE}specific scenes?\b{_LIKE}"
    r"|[\[<](?:y|x|class|name|feature|scene|insert|distinctive|specific|object|subject|location"
    r"|your)\b[^\]>]{0,60}[\]>]"
    r"|\[\.{2,}\]|\b(?:feature|scene) (?:\d|[xyn])\b|\bclass (?:y|x|name)\b(?! \()|\binsert (?:\w+ )?here\b"
    r"|\btemplate [12]\b",
    re.IGNORECASE,
)
_MAY_ECHO = p.gate("distinctive feature features scene scenes y x name insert template")


def echoes(text: str) -> bool:
    """Returns whether a text repeats the words that the template has for what a model should say."""
    return ("[" in text or "<" in text or not _MAY_ECHO.isdisjoint(stems(text))) and _ECHO.search(text) is not None


# --- the word "class"

_PLURAL_CLASS = re.compile(
    r"\bclass ?mates?\b|\bclass (?:photo|picture|portrait|members?|trip|session|reunion|discussion|president)\b"
    r"|\bclass of (?:19|20)\d\d"
    r"|\b(?:the|a|this|their|whole|entire|our|another) class (?:is|are|was|were|has|have|poses?|posing|gather\w*|sit\w*"
    r"|stand\w*|smil\w*|learn\w*|listen\w*|attend\w*|in session|together|looks?|watch\w*|work\w*|enjoy\w*|on a|full"
    r"|participat\w*)\b"
    r"|\b(?:members|students|pupils|teacher|rest) of (?:the|a|this) class\b|\b(?:whole|entire) class\b|\byearbook\b",
    re.IGNORECASE,
)
_PUPILS = re.compile(
    r"\b(?:students|learners|teachers?|professors?|class ?rooms?|school ?(?:children|kids|boys|girls)|lecturers?"
    r"|school (?:uniforms?|desks?|setting)|in (?:an?|the|their) (?:\w+ )?school(?! of)"
    r"|pupils (?:in|at|with|sitting|listening|gathered|engaged|learning|raising|wearing|studying))\b",
    re.IGNORECASE,
)
_SCHOOLING = re.compile(
    r"\b(?:student|schools?(?! of)|universit\w+|colleges?|campus|lectures?|lessons?|learning|education\w*|instructors?"
    r"|graduat\w+|whiteboards?|blackboards?|chalkboards?|desks|textbooks|academic|seminar|homework|studying|pupils"
    r"|children|kids|group photo|peers|field trip|teamwork|brainstorm\w*|presentations?|workshops?|auditorium"
    r"|rehears\w+|discussions?|rais\w+ (?:their )?hands)\b",
    re.IGNORECASE,
)
_MAY_TEACH = p.gate(
    "class classmate classmates classroom yearbook students student learners teacher teachers professor school schools"
    " pupils schoolchildren lecturer university college campus lecture lesson learning education instructor graduation"
    " graduate whiteboard blackboard chalkboard desks textbooks academic seminar homework studying children kids group"
    " peers field teamwork brainstorm presentation workshop auditorium rehearse rehearsing discussion raise raising"
)
_OF_SCHOOLS = re.compile(
    # things and places where a school class is at home: what is said of one may be meant
    r"school|class|lectur|student|teach|academ|board|desk|pencil|\bpens?\b|pen$|book|ruler|projector|librar|campus"
    r"|globe|pack|gown|universit|colleg|kinder|auditor|eraser|binder|\blab|bus\b|gym|play|educat|abacus|nursery"
    r"|cafeteria|chair|easel|crayon|locker|laptop|computer|microscope|telescope|calculator|slide.?rule|scientist"
    r"|uniform|mortar|chalk|notepad|satchel|bag\b"
    r"|room|shop|studio|store|house|hall|station|cent(?:er|re)|museum|gallery|park|street|court|field|office|arena"
    r"|church|temple|yard|plaza|parlou?r|theat|stadium|building|garden|zoo|aquarium|farm|pool|stage|restaurant|bar$"
    r"|market|dorm|dinette|patio|indoor|outdoor|site|area|bridge|beach|forest|mountain|lake|river|valley|airport|hotel"
    r"|hospital|bakery|cafe|kitchen|palace|castle|tower|harbor|factory|village|alley|lobby|corridor|terrace|balcony",
    re.IGNORECASE,
)


def _of_a_school(said: str, name: str) -> bool:
    """Returns whether a description is of a school class, as where a model without the image took "class" for one."""
    if _PLURAL_CLASS.search(said):
        return True
    if _OF_SCHOOLS.search(name.replace("_", " ")):
        return False
    return _PUPILS.search(said) is not None or len({word.lower() for word in _SCHOOLING.findall(said)}) > 1


# --- the end

_BROKEN_OFF = re.compile(
    # a word that cannot end a sentence, whatever stands behind it, or one that can only where the sentence was closed
    r"(?:\b(?:an?|the|and|or|but|its|their|his|her|very|with|of|from|into|while|which|whose|that is|as|such as"
    r"|including"
    r"|featuring)[.…]*|\b(?:in|on|at|by|to|for|is|are|has|that)(?:\.{3}|…)?|[-–—(\[{“])$",
    re.IGNORECASE,
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
_OF_MEDIA = re.compile(
    rf"{_MEDIUM}|art|comic|toy|teddy|doll|mask|vase|totem|fountain|stained|jigsaw|puzzle|crossword|web ?site|menu"
    rf"|museum"
    r"|gallery|studio|altar|pedestal|obelisk|tomb|temple|church|screen|jersey|digit|letter|sign|packet|carving|pattern"
    r"|shirt|monitor",
    re.IGNORECASE,
)
_WORDS = r"(?:(?!with|on|of|in|and|near|against|beside)\w+[ -]){0,3}?"
_OF_A_MEDIUM = re.compile(
    rf"(?:an? |the |this )?{_WORDS}{_MEDIUM} (?:of|depicting|showing|featuring|portraying)\b", re.IGNORECASE
)
_IN_STYLE = re.compile(
    rf"\b(?<!covered )(?<!decorated )(?:in|as) (?:an?|the)? ?{_WORDS}{_ART}(?: style| form)?"
    r"(?=[,.]|$| of| with| in| on| style)"
    rf"|\bin the style of (?:an? )?{_WORDS}{_MEDIUM}\b|\b(?:cartoon|anime|watercolou?r|comic|pixel|sketch)[ -]style\b"
    r"|\b(?:drawn|painted|sketched|illustrated|rendered|depicted|captured|portrayed|sculpted)"
    rf" (?:in|as|on|with|by) (?:an?|the)? ?{_WORDS}"
    rf"(?:{_ART}|acrylics?|oils?|inks?|pastels?|charcoal|pencil|canvas|3d|cgi)\b"
    r"|\b(?:depicted|portrayed) (?:in|as|on) (?:an?|the)? ?" + _WORDS + r"(?:mural|mosaic|tapestry|poster|stamp"
    r"|print)\b"
    r"|\bhand[ -]drawn\b|\b(?:computer|digitally)[ -](?:drawn|generated|painted|illustrated)\b|\b3d[ -]render\w*\b"
    r"|\bcgi\b",
    re.IGNORECASE,
)
_MAY_PAINT = p.gate(
    "painting paintings painted drawing drawn sketch sketched illustration cartoon caricature watercolor engraving"
    " etching woodcut lithograph render clip clipart vector pixel anime line doodle artwork mural graffiti mosaic"
    " tapestry tapestries sculpture sculpted statue figurine origami logo logos emoji emojis icon icons diagram poster"
    " screenshot embroidery embroidered collage plush stuffed tattoo video comic rendered depicted captured portrayed"
    " carved print prints stamp stamps sticker acrylic oil oils ink inks pastel charcoal pencil canvas cgi d generated"
)


def _in_another_medium(said: str, name: str) -> bool:
    """Returns whether a description shows the class painted, drawn or modelled rather than itself."""
    if _OF_MEDIA.search(name.replace("_", " ")):
        return False
    return bool(_OF_A_MEDIUM.match(said) or _IN_STYLE.search(said))


# --- what cannot be seen

_UNSEEN = re.compile(
    r"\b(?:fragran\w+|scents?|aromas?|aromatic|odou?rs?|stench|smells? (?:of|like)|tastes? like"
    r"|(?:its|their|an?|the|of|with|sweet|rich|strong|bold|nutty|sour|bitter|unique|distinctive|delicious) (?:\w+ )?"
    r"(?:smells?|tastes?|flavou?rs?)"
    r"|melod(?:y|ies|ic|ious)\w*|birdsongs?|chirp(?:s|ing)? sounds?|sounds? (?:of|like|that|fill\w*|echo\w*|it)"
    r"|(?:\w+ing|its|loud|soft|deep|distinctive|unique) (?:\w+ )?sounds?|noises?|noisy|echo(?:es|ing)"
    r"|(?:varied|loud|distinctive|haunting|trumpeting|high-pitched|shrill|raucous|harsh|musical|unique|piercing"
    r"|whistling)"
    r" (?:\w+ )?(?:calls?|songs?|cries|cry)|(?:its|their) (?:\w+ )?(?:calls?|songs?|voice)"
    r"|to the touch|feels? (?:soft|smooth|rough|warm|cool|cold|silky|like)"
    r"|personalit(?:y|ies)|temperament|loyal\w*|intelligen\w+|friendl(?:y|iness) (?:nature|temperament|disposition"
    r"|demeanor)"
    r"|symboli[sz]\w*|symbol of|(?:cultural|historical|religious|ecological|economic|commercial) (?:significance"
    r"|importance|value)"
    r"|(?:named|called) (?:after|for)|first described|discovered by|described by|invented by|manufactured by|native to"
    r"|endemic to|endangered|threatened|lifespan|life span|medicinal|nutriti\w+|popular (?:among|with|for|in|as)"
    r"|famous for"
    r"|renowned for|well[ -]known|known (?:for|as|to)|considered|belongs to|members? of the (?:\w+ )?(?:family|genus"
    r"|species)"
    r"|widely (?:used|cultivated|distributed)|commonly (?:used|known|called)|(?:rich|long) history|life cycle"
    r"|migrat(?:ion|ory) (?:patterns?|habits?)|diet)\b",
    re.IGNORECASE,
)
_MAY_UNSEE = p.gate(
    "fragrance fragrances fragrant scent scents aroma aromas aromatic odor odors odour odours stench smell smells taste"
    " tastes flavor flavors flavour melody melodies melodic melodious birdsong chirp chirps chirping sound sounds noise"
    " noises noisy echo echoes echoing call calls song songs cries cry voice touch feel feels personality temperament"
    " loyal loyalty intelligent friendly friendliness symbol symbolizing symbolic significance importance value named"
    " called described discovered invented manufactured native endemic endangered threatened lifespan life medicinal"
    " nutrition popular famous renowned well known considered belongs member members widely commonly history migration"
    " migratory diet"
)
_VISIBLE_FAME = re.compile(
    r"\b(?:known|famous|renowned) for (?:its|their|having) (?!.*\b(?:loyal|intellig|person|temper|song|call|sound"
    r"|voice|scent"
    r"|frag|aroma|taste|flavo|abilit|speed|history|nature|use|strength|endurance|stamina|hunting|behavi|skill))",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"([,;.!?] )")


def seen(said: str, name: str) -> str:
    """Returns what a picture can show of a description, empty where it is nothing. Clauses between commas stay or go.

    >>> seen("with a red cap, a varied call, in a marsh", "crane")
    'with a red cap, in a marsh'
    """
    if not _names_unseen(said, name):
        return said
    parts = _CLAUSE.split(_VISIBLE_FAME.sub("with its ", said))
    joints, clauses = ["", *parts[1::2]], parts[::2]
    kept = [joint + clause for joint, clause in zip(joints, clauses, strict=True) if not _unseen(clause)]
    text = re.sub(r"^(?:[,;.!?] )?(?:and |but )?", "", "".join(kept))
    return text if re.search(r"\w", re.sub(r"\b(?:and|it|is|with)\b", "", text)) else ""


def _names_unseen(said: str, name: str) -> bool:
    may = not _MAY_UNSEE.isdisjoint(stems(said))
    return may and _UNSEEN.search(said) is not None and not _UNSEEN.search(name)


def _unseen(clause: str) -> bool:
    """Returns whether a clause speaks only of what cannot be seen: one that joins it to something else does not."""
    if not _UNSEEN.search(clause):
        return False
    whole = re.sub(r"^(an? \w+) and ", r"\1 ", clause)  # "a loyal and energetic companion" is one thing
    return all(_UNSEEN.search(half) or " " not in half for half in re.split(r" (?:and|while|with) ", whole))


# --- what is not sure

_HEDGE = re.compile(
    r"\b(?:possibly|perhaps|maybe|probably|presumably|apparently|seemingly|potentially|likely|might|could be|may be"
    r"|may have"
    r"|appears?|appearing|seems?|seeming(?:ly)?|unclear|not (?:clear|sure|certain)|hard to tell"
    r"|difficult to (?:tell|say|determine)|cannot be determined|some (?:kind|sort|type) of|what looks like"
    r"|suggest(?:s|ing) (?:that|it))\b",
    re.IGNORECASE,
)
_MAY_HEDGE = p.gate(
    "possibly perhaps maybe probably presumably apparently seemingly potentially likely might could may appear appears"
    " appearing seem seems seeming unclear not hard difficult cannot some looks suggests suggesting"
)

# --- all of it

SUSPECT = _MAY_DENY | _MAY_ECHO | _MAY_TEACH | _MAY_PAINT | _MAY_UNSEE | _MAY_HEDGE
"""Stems without any of which a description has no mark but for its length and its end."""
