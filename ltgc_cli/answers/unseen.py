"""Takes out of a description what no image can show: sounds, smells, tastes, and what the class is known for."""

from __future__ import annotations

import re

from ltgc_cli.answers import phrases as p
from ltgc_cli.answers.spelling import stems

_SENSED = (
    r"(?:fragrances?|scents?|aromas?|odou?rs?|stench|smells?|tastes?|flavou?rs?|sounds?|songs?|calls?|cry|cries|voices?"
    r"|melod(?:y|ies)|noises?|tunes?|buzz)"
)
_THING = (  # "a sweet, intoxicating scent", but not "a sound hole"
    rf"(?:an?|its|their|the) (?:[\w'’-]+, )?"
    rf"(?:(?!(?:an?|its|the|of|in|on|at|by|for|to|with|open)\b)[\w'’-]+ ){{0,4}}?{_SENSED}"
    r"(?=[,.;]|$| (?:of|in|that|and|while|from|filling|echoing|carrying)\b)"
)
_SENSED_THING = re.compile(_THING, re.IGNORECASE)
_BESIDE = re.compile(
    rf",? and {_THING}(?: of [\w -]+| in the [\w -]+)?(?=[,.;]|$)|(?<=with ){_THING} and (?=an? |its |the |\w+ \w)",
    re.IGNORECASE,
)
"""What is sensed in one breath with something that is seen."""
_UNSEEN = re.compile(
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
    r"|diet)\b",
    re.IGNORECASE,
)
MAY_UNSEE = p.gate(
    "fragrance fragrances fragrant scent scents aroma aromas aromatic odor odors odour odours stench smell smells taste"
    " tastes flavor flavors flavour melody melodies melodic melodious birdsong chirp chirps chirping sound sounds noise"
    " noises noisy tune tunes echo echoes echoing call calls song songs cries cry voice voices touch feel feels"
    " personality temperament loyal loyalty intelligent friendly friendliness hearing night battery buzz"
    " represents able unable capable important communicates symbol symbolizing symbolic evokes evoking"
    " significance importance value named called described discovered invented manufactured native endemic endangered"
    " threatened lifespan life medicinal nutrition nutrients nutritious vitamin caffeine useful popular famous renowned"
    " well known considered belongs member members widely commonly history migration migratory diet"
)
_VISIBLE_FAME = re.compile(
    r"\b(?:known|famous|renowned) for (?:its|their|having) (?!.*\b(?:loyal|intellig|person|temper|song|call|sound"
    r"|voice|scent"
    r"|frag|aroma|taste|flavo|abilit|speed|history|nature|use|strength|endurance|stamina|hunting|behavi|skill))",
    re.IGNORECASE,
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
    may = not MAY_UNSEE.isdisjoint(stems(text))
    return may and _UNSEEN.search(text) is not None and not _UNSEEN.search(name)


def _unseen(clause: str) -> bool:
    """Returns whether a clause speaks only of what cannot be seen: one that joins it to something else does not."""
    if not _UNSEEN.search(clause):
        return False
    clause = re.sub(r"\bfill(?:s|ing) (?:the|a) \w+ with ", "", clause)  # what fills a room is not seen there
    whole = re.sub(r"^(?:with )?(an? [\w-]+) and ", r"\1 ", clause)  # "a loyal and energetic companion" is one thing
    return all(_UNSEEN.search(half) or " " not in half for half in re.split(r" (?:and|while|with) ", whole))
