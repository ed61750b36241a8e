"""What drops a line or cuts a part of it, and what only sets a mark: each rule with its reason.

A rule that drops is nearly always right; what is not plain to see is marked, and left to the threshold, to the check
for duplicates, or to a person. The words that they look for are in phrases.toml.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal, NamedTuple

from ltgc_cli import clip_tokens
from ltgc_cli.answers.names import MASK
from ltgc_cli.prompts import image_prompt

Mark = Literal["non-visual", "hedging", "over 77 tokens", "duplicate"]
Cuts = list[tuple[str, str]]  # a line or a part of one, and the reason why it was dropped

CUT = "is cut off"
ECHO = "echoes the template's placeholders"
EMPTY = "says nothing of the class"
FORM = "is not in the form of Template 1"
OTHER = "names another class"
SCHOOL = "takes the word class for a school class"
TALK = "is talk around the list"
UNNAMED = "does not name the class"
UNSEEN = "names nothing that can be seen"

PHRASES: dict[str, Any] = tomllib.loads(files("ltgc_cli.answers").joinpath("phrases.toml").read_text(encoding="utf-8"))


def pattern(text: str, of: dict[str, Any] | None = None) -> re.Pattern[str]:
    """Returns a regular expression, compiled, with the phrases of the file in it where it has {their name}."""
    return re.compile(_filled(text, of or {}).replace("NAME", MASK), re.IGNORECASE)


def _filled(text: str, of: dict[str, Any]) -> str:
    def phrases(name: re.Match[str]) -> str:
        alternatives = (of.get(name[1]) or PHRASES[name[1]]).strip().replace("\n|", "|").replace("\n", "|")
        return f"(?:{_filled(alternatives, of)})"

    return re.sub(r"\{([a-z]\w*)\}", phrases, text)


_LETTERS, _TOKENS = re.compile("[a-z]+"), re.compile(r"[^\W_]+")


@lru_cache(maxsize=256)  # one text is looked at by one rule after another
def suspected(text: str) -> frozenset[str]:
    """Returns the names of the rules that may apply to a text, by its words: of most texts there are none.

    >>> sorted(suspected("perhaps a painting"))
    ['hedge', 'medium', 'talk', 'unsure']
    """
    return frozenset[str]().union(*filter(None, map(_suspected, _LETTERS.findall(text.lower()))))


@lru_cache(maxsize=65_536)
def _suspected(word: str) -> frozenset[str]:
    return frozenset(name for name, gate in _GATES.items() if word in gate[0] or word.startswith(gate[1]))


def _gate(words: str) -> tuple[frozenset[str], tuple[str, ...]]:
    """Returns the whole words of a gate, and beginnings of words."""
    whole = frozenset(word.rstrip(".") for word in words.split() if len(word) < 4 or word.endswith("."))
    return whole, tuple(word for word in words.split() if word.rstrip(".") not in whole)


_GATES = {name: _gate(rule["gate"]) for name, rule in PHRASES.items() if isinstance(rule, dict)}
_GATES["photo"] = _gate("photo picture image i you your let please class template")  # another sentence, or talk in it


class Rule(NamedTuple):
    """A reason to drop a text. It is tried on a text that has a word of the gate of its name."""

    name: str
    reason: str
    finds: Callable[[str], object]

    def holds(self, text: str, suspects: frozenset[str] | None = None) -> object:
        """Returns whether the rule applies to a text, of which the suspected rules may be known."""
        return self.name in (suspected(text) if suspects is None else suspects) and self.finds(text)


def _rule(name: str, reason: str, form: str = "{any}") -> Rule:
    return Rule(name, reason, pattern(form, PHRASES[name]).search)


_FILLING = frozenset(PHRASES["unseen"]["filling"].split())
_IN_LOOPS = re.compile(r"[^\W_]+(?:[:.]\d+)*")  # 00:00:00 is one word


def repeated(text: str) -> bool:
    """Returns whether a text goes round in a loop: the same words three times in a row.

    >>> repeated("a red crown and a red crown and a red crown and"), repeated("a red crown, a red bill and red legs")
    (True, False)
    """
    found = _IN_LOOPS.findall(text.lower())[:400]
    if len(found) > 7 and 3 * len(set(found)) <= len(found):
        return True
    often = any(found.count(word) > 2 for word in set(found) - _FILLING) if len(found) - len(set(found)) > 1 else False
    for size in range(1, 13) if often else ():
        same = 0
        for a, b in zip(found, found[size:], strict=False):
            same = same + 1 if a == b else 0
            if same >= 2 * size:
                return True
    return False


def _foreign(text: str) -> bool:
    """Returns whether a text has words of another script than Latin, but for what stands in quotes."""
    bare = "" if text.isascii() else re.sub("[\"“「『'‘].{1,40}?[\"”」』'’]", "", text)
    return re.search("[\u0370-\u1dff]{2}|[\u2c00-\u2dff\u3040-\ud7ff\uf900-\ufaff]", bare) is not None


REFUSAL, TALKING = _rule("refusal", "is a refusal"), _rule("talk", TALK, r"^\W*{any}")
TO_READER, ABOUT_TEXT = _rule("to_reader", TALK), _rule("about_text", TALK)
_MEDIUM, _CLASS = (
    _rule("medium", "shows the class in another medium"),
    _rule("class", SCHOOL),
)
_PUPILS = _rule("pupils", SCHOOL)
_UNFIT = (
    _rule("denied", "says that the class is not there"), _rule("unsure", "is not sure of the class"),
    _rule("address", "holds an address"), _CLASS,
)  # fmt: skip
_BUT = {
    _MEDIUM: pattern("{but}", PHRASES["medium"]),
    _PUPILS: pattern("{but}", PHRASES["pupils"]),
}
_FACT, _SIGHT = pattern(r"\s*+,?\s*+{fact}"), pattern(r"\s*{sight}")
_KIND = pattern(
    r"(?:{article} )?(?:(?:class )?NAME|it\b|they\b|(?:species|plant|bird|animal|flower|fish)\b)(?: of this kind)?"
)


_SCHOOLISH = pattern(r"\b(?:{learners}|instructors?|{schooling}|children|kids|young people)", PHRASES["pupils"])
_OF_THING = pattern(r"\b(?:its?|them|(?:used|held|played|worn) by)\b")


def of_pupils(texts: Sequence[str], cuts: Cuts) -> list[str]:
    """Returns those texts of an answer that speak of pupils too, where many of its lines were dropped as such.

    A model that takes "class" for a school class writes whole lists of them.
    """
    dropped = sum(reason == SCHOOL for _, reason in cuts)
    many = dropped > 2 and 3 * dropped >= len(texts)
    first = {text: (text.split(",") + [""])[1] for text in texts} if many else {}
    return [text for text, clause in first.items() if _SCHOOLISH.search(clause) and not _OF_THING.search(text)]


def unfit(text: str, name: str) -> str:
    """Returns the reason to drop what is said of the class `name`, its names masked; empty where there is none."""
    suspects = suspected(text)
    text = text.lstrip(", ")
    if _foreign(text) and not _foreign(name):
        return "mixes two scripts"
    if repeated(text):
        return "repeats itself"
    if reason := next((rule.reason for rule in _UNFIT if rule.holds(text, suspects)), ""):
        return reason
    return next(
        (
            rule.reason
            for rule, but in _BUT.items()
            if rule.holds(text, suspects) and not but.search(name.replace("_", " "))
        ),
        "",
    )


def talk(text: str) -> str:
    """Returns why a text is no description but talk, empty where it is none."""
    suspects = suspected(text)
    return next((rule.reason for rule in (REFUSAL, TALKING) if rule.holds(text, suspects)), "")


def aside(sentence: str, name: str) -> str:
    """Returns why a sentence behind a description is no part of it, empty where it is."""
    kind = _KIND.match(sentence)
    if kind and is_fact(unhedged(sentence)[kind.end() :]):
        return UNSEEN
    return talk(sentence) or (TALK if TO_READER.holds(sentence) else "") or unfit(sentence, name)


def is_fact(rest: str) -> bool:
    """Returns whether what follows a name is said of a kind of thing, rather than of one in a picture."""
    return bool(_FACT.match(rest)) and not _SIGHT.match(rest)


# --- clauses: what of a description no image can show, or is the template's own words

_ECHO, _NOT_SEEN = _rule("echo", ECHO, r"^(?:{any})$"), _rule("unseen", UNSEEN, "^(?:{any})$")
_SENSED = _filled("{sensed}", PHRASES["unseen"])
_NAMED_SENSE = re.compile(rf"(?<![^\W_]){_SENSED}(?![^\W_])", re.IGNORECASE)  # a call_bell, not a calla lily
_ADJECTIVES = r"(?:(?!(?:an?|its|the|of|in|on|at|by|for|to|with|open)\b)[\w'’-]+ ){0,4}?"
_SENSED_THING = rf"(?:(?:an?|its|their|the) )?{_ADJECTIVES}{_SENSED}"
_INNER = pattern(  # a warm, resonant sound
    rf"\b((?:an?|its|their|the|with|and|or) [\w'’-]+), (?=(?:[\w'’-]+ ){{0,3}}{_SENSED}\b)"
)
_BESIDE = pattern(  # what is sensed in one breath with something that is seen
    rf",? and {_SENSED_THING}(?: (?:of|in the|echoing|drifting|filling)[\w -]+)?(?=[,.;]|$)"
    rf"|(?<=with ){_SENSED_THING} and (?=an? |its |the |\w+ \w)"
)
_FAME = pattern("^{any}", PHRASES["fame"])
_EMPTY, _ABSTRACT = frozenset(PHRASES["unseen"]["empty"].split()), frozenset(PHRASES["unseen"]["abstract"].split())
_CLAUSE = re.compile(r"([,;] (?:and |but )?|(?<=[\w)])[.!?] )")


def clauses(rest: str, name: str) -> tuple[str, Cuts]:
    """Returns a description without the clauses that no image can show or that only echo the template; and these.

    >>> clauses(", with a red cap, a varied call, in a marsh.", "crane")
    (', with a red cap, in a marsh.', [('a varied call', 'names nothing that can be seen')])
    """
    cuts: Cuts = []
    suspects = suspected(rest)
    sensed = "unseen" in suspects and not _NAMED_SENSE.search(name)
    if sensed:
        rest = _INNER.sub(r"\1 ", rest)
        cuts = [(beside[0].strip(" ,"), UNSEEN) for beside in _BESIDE.finditer(rest)]
        rest = _BESIDE.sub("", rest)
    kept, start, end = "", rest[: len(rest) - len(rest.lstrip(" ,"))] or " ", rest[len(rest.rstrip(" .!")) :]
    parts = _CLAUSE.split(rest.rstrip(" .!").lstrip(" ,"))
    for joint, clause in zip(["", *parts[1::2]], parts[::2], strict=True):
        clause = _FAME.sub("with its ", clause) if sensed else clause
        unseen = (sensed and _NOT_SEEN.holds(clause)) or _abstract(clause)
        if unseen or ("[" in clause or "echo" in suspects) and _ECHO.finds(clause):
            cuts.append((clause, UNSEEN if unseen else ECHO))
        else:
            kept += (joint if kept else "") + clause
    return (start + kept + end if kept else ""), cuts


def _abstract(clause: str) -> bool:
    found = _LETTERS.findall(clause.lower())
    meant = set(found) - _FILLING
    return len(found) > 1 and bool(meant) and meant <= _ABSTRACT


def empty(rest: str, name: str) -> bool:
    """Returns whether words about a class say nothing of it: "showing its unique features" does not.

    >>> empty(", showcasing a crane's unique features.", "crane"), empty(", tall.", "crane")
    (True, False)
    """
    found = set(_TOKENS.findall(rest.lower())) - _EMPTY
    return not found or (len(found) < 9 and found <= {"s", *_TOKENS.findall(name.lower())})


# A word that cannot end a sentence, whatever stands behind it, or one that can only where the sentence was closed.
_NEVER_LAST = "a|an|the|and|or|but|its|their|very|with|of|from|into|while|which|whose|as|including|featuring"
_LAST = frozenset(_NEVER_LAST.split("|"))
_HANGING = pattern(
    rf"(?:\b(?:{_NEVER_LAST}|that is)[.…]*|\b(?:in|on|at|by|to|for|is|are|has|that|his|her)(?:\.\.\.|…)?|[-–—(\[{{“])$"
)


def broken_off(text: str) -> bool:
    """Returns whether a text ends in the middle of what it says.

    >>> broken_off("A photo of the class crane, with a long neck and a."), broken_off("tall")
    (True, False)
    """
    return _HANGING.search(text, max(0, len(text) - 20)) is not None


# --- what is not sure, and other marks

_HEDGE = _rule("hedge", "")
_HEDGES = [
    (pattern(hedge, PHRASES["hedge"]), instead)
    for hedge, instead in (
        (r",? (?:but|although|though) (?:it is|it['’]s) (?:hard|difficult) to (?:tell|say|see)[^.]*", ""),
        (r"\bwhat (?:appears?|seems?|looks) (?:to be|like) ", ""),
        (r"(^,? ?|[,;] ?(?:and |but )?|\band |\bwith )(?:which |that |it |they )?(?:appears?|seems?) to be ", r"\1"),
        (r"\b(?:appear|seem) to be ", "are "),
        (r"\b(?:appears|seems) to be ", "is "),
        (r"(^,? ?|[,;] ?)(?:appears?|seems?) to have ", r"\1with "),
        (r"\b(?:appearing|seeming) to be ", ""),
        (r"\b(?:{adverbs}|(?:most |very )?likely(?! to\b)),? (?=\w)", ""),
    )
]


def unhedged(rest: str) -> str:
    """Returns a description without what only says that its writer is not sure.

    >>> unhedged(", which appears to be tall, possibly in a marsh.")
    ', tall, in a marsh.'
    """
    if "hedge" not in suspected(rest):
        return rest
    for hedge, instead in _HEDGES:
        rest = hedge.sub(instead, rest)
    return rest.replace(", ,", ",").replace("  ", " ")


_OF_WHOLE = {"talk", "refusal", "to_reader", "about_text"}  # rules for what is no description


def harmless(rest: str, name: str) -> bool:
    """Returns whether no rule changes a plain description: mostly because none of its words is in their lists."""
    found = rest.rstrip(".").replace(",", " ").split()
    if found[-1] in _LAST or (len(found) - len(set(found)) > 1 and repeated(rest)):
        return False
    if suspects := suspected(rest) - _OF_WHOLE:
        if "photo" in suspects or name[:4].lower() in rest.lower() or unfit(rest, name):
            return False
        if unhedged(rest) != rest or clauses(rest, name) != (rest, []):
            return False
    elif not _ABSTRACT.isdisjoint(found) and any(map(_abstract, rest.split(","))):
        return False
    return len(set(found) - _EMPTY) > 3 or not empty(rest, name)


def lint(text: str, name: str, subject: str) -> tuple[Mark, ...]:
    """Returns the marks of a Template-1 sentence about the class `name`, which is kept all the same.

    >>> lint("A photo of the class crane, perhaps in a marsh.", "crane", "crane")
    ('hedging',)
    """
    about, marks = text.removeprefix(f"A photo of the class {name}"), list[Mark]()
    suspects = suspected(about)
    if "unseen" in suspects and re.search(rf"\b{_SENSED}\b", about, re.IGNORECASE):
        marks.append("non-visual")
    if _HEDGE.holds(about, suspects):
        marks.append("hedging")
    # An image is generated from these words alone; CLIP and Stable Diffusion read the beginning.
    if clip_tokens.may_be_over(f"{text} {subject}") and clip_tokens.over(image_prompt(text, name, subject)):
        marks.append("over 77 tokens")
    return tuple(marks)
