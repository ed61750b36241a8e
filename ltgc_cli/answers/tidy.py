"""Puts what a model says of a class in order: braces, labels, hedges and the template's own words are taken out.

So is what no image can show: sounds, smells, tastes, and what the class is known for.
"""

from __future__ import annotations

import re
from operator import eq

from ltgc_cli.answers import phrases as p


def _replacements(*rows: tuple[str, str]) -> list[tuple[re.Pattern[str], str]]:
    return [(p.pattern(pattern), instead) for pattern, instead in rows]


_SOMETHING = (
    r"(?:\s*(?::|-|–|—|\()\s*|\s+(?:like|such as|including|include|of|being|are|is|featuring)\s+)"
    r"(?=\w)(?!the class|this class|class\b)"
)
_FEATURES = r"\b(?:with |featuring |showing |showcasing |and )?(?:its |their |the )?(?:\w+ )?distinctive features?"
_SCENES = rf"\b(?:in |and in |and )?(?:a |the |its )?specific scenes?{_SOMETHING}"
_LABEL = (
    r"(?:^|(?<=[,;.] ))(?:(?:distinctive|specific|unique|key|visual) )?"
    r"(?:features?|scenes?|settings?|background|location|environment)(?: \d)?\s?: ?"
)
_SPECIFIC = _replacements(
    # "with distinctive features such as a red cap" names one, unlike the bare words of the template
    (_FEATURES + _SOMETHING, "with "),
    (rf"{_SCENES}(?={p.FRAGMENT.pattern}|(?!red\b)\w+ed\b|held\b|worn\b|seen\b)", ""),
    (_SCENES, "in "),
    (_LABEL, ""),
)
_BRACKETS = p.pattern(r"[\[<(]((?:with|in|on|at|by|near|featuring|showing|standing|\w+ing)\b[^\[\]<>()]*)[\])>]")
_ASIDE = p.pattern(  # another name of the class behind its name: crane (Grus grus)
    r"^\s*[\"'”’]?\((?!with|in|on|at|by|near|\w+ing\b)[^()]{1,60}\)(?=.*\w)"
)
_ENCLOSED = re.compile(r"^([\s,:–-]*)\(([^()]{3,})\)\.?$")
_TWICE = p.pattern(r"\b(with|in|on|at|a|an|the|and|of) \1\b")

_BE = r"(?:is|are|was|were)"
# How a sentence goes on after the name of the class, and how a description does: "is", "has".
_IS = p.pattern(
    rf"{_BE} (?:shown|seen|captured|depicted|pictured|displayed|featured|photographed) "
    rf"|(?:can|could|may) be (?:seen|observed|found) |(?:(?:that|which|who) )?{_BE} |(?:it|they) (?:is|are) |it['’]s "
)
_HAS = p.pattern(r"(?:(?:that|which|who|it|they|usually|typically|generally|often) )?(?:has|have) ")
_ING = {
    "shows": "showing", "features": "featuring", "displays": "displaying", "depicts": "depicting",
    "showcases": "showcasing", "captures": "capturing", "exhibits": "exhibiting", "includes": "including",
    "highlights": "highlighting", "presents": "presenting",
}  # fmt: skip
_FINITE = p.pattern(rf"({'|'.join(_ING)})\b(?! of\b)")

_APPEARS = r"(?:appears?|seems?|looks)"
_ADVERBS = "possibly|perhaps|maybe|presumably|seemingly|apparently|probably|potentially"
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
    (rf"(?:, )?\b(?:{_ADVERBS}|(?:most |very )?likely(?! to\b)),? (?=\w)", " "),
)
_SPACED = re.compile(r" +([,.;!?])")
_CLASS = p.pattern(r"^class\b")
_PUNCTUATION = (",", ";", ":", ".", "–", "—", "-")
_PUNCTUATED = re.compile(r"^[\s,;:!?–—.\"'“”’)\]-]+(?=[\w\"'“(])")
_PRONOUN = p.pattern(r"(?:it|they|which|that)\b")
_RELATIVE = re.compile(rf", (?:that|which|who) {_BE} (?!\w+ (?:by|of)\b)")
MAY_HEDGE = p.gate(
    "appear seem seems seeming look looks possibly perhaps maybe presumably apparently probably potentially likely"
    " hard difficult"
)
MAY_SPECIFY = p.gate("feature scene scenes setting background location environment")
_SMALL = p.pattern(rf"{p.FRAGMENT.pattern}|(?:{p.ARTICLE}|its|their|with)\b")
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
    if MAY_HEDGE & p.stems(rest):
        for hedge, instead in _HEDGES:
            rest = hedge.sub(instead, rest)
    rest = _RELATIVE.sub(", ", rest) if ", th" in rest or ", wh" in rest else rest
    spoken = rest.split()
    if any(map(eq, spoken, spoken[1:])):
        spoken = _TWICE.sub(r"\1", rest).split()
    rest = " ".join(spoken)
    if _SMALL.match(rest):
        rest = rest[0].lower() + rest[1:]
    return f", {rest}" if comma or not rest.startswith("with ") else rest


def specific(text: str) -> str:
    """Returns a text without the template's words where they announce a feature ("distinctive features such as")."""
    if MAY_SPECIFY & p.stems(text):
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
    if begun := _IS.match(rest):
        return rest[begun.end() :]
    if begun := _HAS.match(rest):
        return f"with {rest[begun.end() :]}"
    return _FINITE.sub(lambda verb: _ING[verb[1].lower()], rest, count=1) if _FINITE.match(rest) else rest


# --- what no image can show

_SENSED = (
    r"(?:fragrances?|scents?|aromas?|odou?rs?|stench|smells?|tastes?|flavou?rs?|sounds?|songs?|calls?|cry|cries|voices?"
    r"|melod(?:y|ies)|noises?|tunes?|buzz)"
)
_THING = (  # "a sweet, intoxicating scent", but not "a sound hole"
    rf"(?:an?|its|their|the) (?:[\w'’-]+, )?"
    rf"(?:(?!(?:an?|its|the|of|in|on|at|by|for|to|with|open)\b)[\w'’-]+ ){{0,4}}?{_SENSED}"
    r"(?=[,.;]|$| (?:of|in|that|and|while|from|filling|echoing|carrying)\b)"
)
_SENSED_THING = p.pattern(_THING)
_BESIDE = p.pattern(  # what is sensed in one breath with something that is seen
    rf",? and {_THING}(?: of [\w -]+| in the [\w -]+)?(?=[,.;]|$)|(?<=with ){_THING} and (?=an? |its |the |\w+ \w)"
)
_UNSEEN = p.pattern(
    rf"\b(?:{_THING}|fragran\w+|scents?|aromas?|aromatic|odou?rs?|stench|(?:smells?|tastes?) (?:of|like)"
    r"|(?:sweet|rich|strong|bold|nutty|sour|bitter|unique|distinctive|delicious|crisp) (?:\w+ )?(?:smells?|tastes?"
    r"|flavou?rs?)|melod(?:y|ies|ic|ious)\w*|birdsongs?|chirp(?:s|ing)? sounds?|sounds? (?:of|like|that|fill\w*"
    r"|echo\w*|it)|(?:\w+ing|loud|soft|deep) (?:\w+ )?sounds?|noises?|noisy|echo(?:es|ing)|to the touch"
    r"|feels? (?:soft|smooth|rough|warm|cool|cold|silky|like)|personalit(?:y|ies)|temperament|loyal\w*|intelligen\w+"
    r"|friendl(?:y|iness) (?:nature|temperament|disposition|demeanor)|symboli[sz]\w*|symbol of|evok(?:es|ing)"
    r"|represent(?:s|ing)|(?:un)?able to|capable of|important|hearing|night vision|battery life|communicat(?:es|ing)"
    r"|(?:cultural|historical|religious|ecological|economic|commercial) (?:significance|importance|value)|(?:named"
    r"|called) (?:after|for)|first described|discovered by|described by|invented by|manufactured by|native to"
    r"|endemic to|endangered|threatened|lifespan|life span|medicinal|nutri\w+|vitamins?|caffeine|useful for"
    r"|popular (?:among|with|for|in|as|around|choice)|famous for|renowned for|well[ -]known|known (?:for|as|to)"
    r"|considered|belongs to|members? of the (?:\w+ )?(?:family|genus|species)|widely (?:used|cultivated|distributed)"
    r"|commonly (?:used|known|called)|(?:rich|long) history|life cycle|migrat(?:ion|ory) (?:patterns?|habits?)"
    r"|diet)\b"
)
MAY_UNSEE = p.gate(
    "fragrance scent scents aroma aromas aromatic odor odors odour odours stench smell smells taste tastes flavor"
    " flavour melody melodies birdsong chirp chirps chirping sound sounds noise noises noisy tune tunes echo echoes"
    " echoing call calls song songs cries cry voice voices touch feel feels personality temperament loyal loyalty"
    " intelligent friendly hearing night battery buzz represents able unable capable important communicates symbol"
    " evokes evoking significance value named called described discovered invented manufactured native endemic"
    " endangered threatened lifespan life medicinal nutrition nutrients vitamin caffeine useful popular famous renowned"
    " well known considered belongs member widely commonly history migration diet"
)
_VISIBLE_FAME = p.pattern(
    r"\b(?:known|famous|renowned) for (?:its|their|having) (?!.*\b(?:loyal|intellig|person|temper|song|call|sound|voice"
    r"|scent|frag|aroma|taste|flavo|abilit|speed|history|nature|use|strength|endurance|stamina|hunting|behavi|skill))"
)
_CLAUSE = re.compile(r"([,;.!?] )")


def seen(text: str, name: str) -> str:
    """Returns what an image can show of a description, empty where it is nothing. Clauses between commas stay or go.

    >>> seen("with a red cap and a varied call, in a marsh", "crane")
    'with a red cap, in a marsh'
    """
    if not names_unseen(text, name):
        return text
    text = _BESIDE.sub("", text)
    whole = _SENSED_THING.sub(lambda thing: thing[0].replace(",", ""), _VISIBLE_FAME.sub("with its ", text))
    parts = _CLAUSE.split(whole)
    joints, clauses = ["", *parts[1::2]], parts[::2]
    kept = [joint + clause for joint, clause in zip(joints, clauses, strict=True) if not _unseen(clause)]
    left = re.sub(r"^(?:[,;.!?] )?(?:and |but )?", "", "".join(kept))
    return left if re.search(r"\w", re.sub(r"\b(?:and|it|is|with)\b", "", left)) else ""


def names_unseen(text: str, name: str) -> bool:
    """Returns whether a description names something that no image shows, other than the class itself."""
    return bool(MAY_UNSEE & p.stems(text) and _UNSEEN.search(text) and not _UNSEEN.search(name))


def _unseen(clause: str) -> bool:
    """Returns whether a clause speaks only of what cannot be seen: one that joins it to something else does not."""
    if not _UNSEEN.search(clause):
        return False
    clause = re.sub(r"\bfill(?:s|ing) (?:the|a) \w+ with ", "", clause)  # what fills a room is not seen there
    whole = re.sub(r"^(?:with )?(an? [\w-]+) and ", r"\1 ", clause)  # "a loyal and energetic companion" is one thing
    return all(_UNSEEN.search(half) or " " not in half for half in re.split(r" (?:and|while|with) ", whole))
