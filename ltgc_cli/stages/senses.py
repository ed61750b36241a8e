"""senses: which meaning of a class's name is meant, as a person says or a vision-language model sees in its images."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

import msgspec

from ltgc_cli import prompts as p
from ltgc_cli.engine import in_order
from ltgc_cli.errors import Refused
from ltgc_cli.ports import Ask, Question, Usage
from ltgc_cli.records import Class, Failure, Group, Image, Made, Record, evolve, identify

SHOWN = 4
"""Images shown with the question."""
_MOST_WORDS = 6


class Named(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of a class's name: the sense in which it is meant, other names for it."""

    sense: str = ""
    synonyms: tuple[str, ...] = ()


def ambiguous(classes: Sequence[Class]) -> set[int]:
    """Returns the labels of the tail classes whose name may mean several things, and that have no sense yet.

    A name that two classes share does; a name of one word may (crane, seal, nail). Longer ones hardly ever do.
    """
    often = Counter(cls.class_.casefold() for cls in classes)
    return {
        cls.label
        for cls in classes
        if cls.tail and not cls.sense and (often[cls.class_.casefold()] > 1 or len(_words(cls.class_)) == 1)
    }


def told(groups: Sequence[Group], named: Mapping[int, Named]) -> list[Group]:
    """Returns the classes with what is known of their names, by label."""
    return [
        _replaced(group, [known(group.cls, named[group.cls.label])]) if group.cls.label in named else group
        for group in groups
    ]


def asked(
    groups: Sequence[Group], *, ask: Ask, model: str, prompts: p.Prompts = p.PAPER, workers: int = 1
) -> list[Group]:
    """Returns the classes, those of an ambiguous name with the sense that the model sees, or with a failure."""
    unclear = ambiguous([group.cls for group in groups])
    seen = partial(_seen, ask=ask, model=model, prompts=prompts)
    asking = [group for group in groups if group.cls.label in unclear and _originals(group)]
    found = {g.cls.label: rows for g, rows in zip(asking, in_order(seen, asking, workers), strict=True)}
    return [_replaced(group, found[group.cls.label]) if group.cls.label in found else group for group in groups]


def sense(cls: Class, images: Sequence[Image], *, ask: Ask, model: str, prompts: p.Prompts = p.PAPER) -> list[Record]:
    """Returns the class with the sense that up to four of its images show; with a failure where that is not told."""
    question = Question(
        model=model,
        task="sense",
        subject=cls.class_,
        text=p.sense(prompts, cls.class_),
        images=tuple(image.sha256 for image in images[:SHOWN]),
        temperature=0.0,
    )
    made = Made(model=model, prompt=p.name(prompts, "sense"))
    try:
        answer = ask(question)
    except Refused as error:
        made = msgspec.structs.replace(made, usage=error.usage or Usage())
        return [cls, _failure(cls, f"its sense could not be asked: {error}", made)]
    made = msgspec.structs.replace(made, usage=answer.usage)
    found = read(answer.text, cls.class_)
    if not found:
        return [cls, _failure(cls, "the answer names no sense of it", made, answer.text)]
    return [known(evolve(cls, made=made), Named(sense=found))]


def known(cls: Class, named: Named) -> Class:
    """Returns the class with what is known of its name; its id changes with its sense, as its prompts do."""
    return identify(
        evolve(cls, sense=named.sense or cls.sense, synonyms=named.synonyms or cls.synonyms), cls.id, named.sense
    )


def read(answer: str, name: str) -> str:
    """Returns the sense that an answer names, in a few words; empty where it names none.

    >>> read('Seal (marine mammal).', 'seal'), read('{"sense": "construction machine"}', 'crane')
    ('marine mammal', 'construction machine')
    """
    text = re.split(r"</think(?:ing)?>", answer)[-1]
    if '"sense"' in text:  # JSON, maybe fenced, with a preamble, or cut off: then there is none
        held = _IN_JSON.search(text)
        text = msgspec.json.decode(held[1], type=str) if held else ""
    line = next((line for line in text.splitlines() if line.strip() and not line.startswith("```")), "")
    before, bracket, inside = line.rpartition(":")[2].partition("(")
    named = bracket and _bare(before) in ("", _bare(name))
    sense = " ".join((inside.partition(")")[0] if named else before).strip(_AROUND).split())
    nothing = _NOTHING.search(sense) or re.search(r"[{}\[\]\"]", sense) or _bare(sense) in ("", _bare(name))
    return "" if nothing or len(sense.split()) > _MOST_WORDS or not sense.isprintable() else sense


_IN_JSON = re.compile(
    r'"sense"\s*:\s*("(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u(?!d[89a-f])[\da-f]{4}))*")', re.IGNORECASE
)
_AROUND = " \t\"'`*“”‘’.,;:!()[]{}"
_NOTHING = re.compile(
    r"\b(?:none|n/a|cannot|can['’]t|unable|unclear|unsure|unknown|ambiguous|sorry|not (?:sure|clear)|(?-i:I))\b",
    re.IGNORECASE,
)


def _bare(words: str) -> str:
    """Returns a name without what may stand around it: "The class **Seal**" is "seal"."""
    return re.sub(r"^(?:(?:a|an|the|class)\s+)+", "", words.strip(_AROUND).casefold())


def _seen(group: Group, *, ask: Ask, model: str, prompts: p.Prompts) -> list[Record]:
    return sense(group.cls, _originals(group), ask=ask, model=model, prompts=prompts)


def _originals(group: Group) -> list[Image]:
    return [row for row in group.rows if isinstance(row, Image) and row.origin == "original"]


def _replaced(group: Group, new: Sequence[Record]) -> Group:
    """Returns the group with other lines in the place of its class record, which come first where it has none."""
    cls = next(row for row in new if isinstance(row, Class))
    others = [row for row in group.rows if row is not group.cls]
    return Group(cls, [*new, *others])


def _words(name: str) -> list[str]:
    return re.findall(r"[^\W_]+", name)


def _failure(cls: Class, reason: str, made: Made, text: str = "") -> Failure:
    failed = Failure(
        label=cls.label, class_=cls.class_, stage="senses", reason=reason, text=text, parents=(cls.id,), made=made
    )
    return identify(failed, reason)
