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
from ltgc_cli.ports import Ask, Question, Tries, Usage
from ltgc_cli.records import Class, Group, Made, Record, evolve, failed, identify
from ltgc_cli.stages.tries import first_useful, once, photo
from ltgc_cli.thoughts import CLOSES

SHOWN = 4  # images shown with the question
_MOST_WORDS = 6
_ONE_WORD = re.compile(r"[\W_]*[^\W_]+[\W_]*")


class NameInfo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of a class's name: the sense in which it is meant, other names for it."""

    sense: str = ""
    synonyms: tuple[str, ...] = ()


def ambiguous(classes: Sequence[Class]) -> set[int]:
    """Returns the labels of the tail classes whose name may mean several things, and that have no sense yet.

    A name that two classes share does; a name of one word may (crane, seal, nail). Longer ones hardly ever do.
    """
    often = Counter(cls.class_.casefold() for cls in classes)
    unclear = [cls for cls in classes if often[cls.class_.casefold()] > 1 or _ONE_WORD.fullmatch(cls.class_)]
    return {cls.label for cls in unclear if cls.tail and not cls.sense}


def with_names(groups: Sequence[Group], known: Mapping[int, NameInfo]) -> list[Group]:
    """Returns the classes with what is known of their names, by label."""
    classes = [group.cls for group in groups if group.cls.label in known]
    return _replaced(groups, {cls.label: [_with_name(cls, known[cls.label])] for cls in classes})


def with_senses(
    groups: Sequence[Group], *, ask: Ask, model: str, prompts: p.Prompts = p.PAPER, workers: int = 1,
    tries: Tries = once,
) -> list[Group]:  # fmt: skip
    """Returns the classes, those of an ambiguous name with the sense that the model sees, or with a failure."""
    unclear = ambiguous([group.cls for group in groups])
    see = partial(_sense, ask=ask, model=model, prompts=prompts, tries=tries)
    asking = [group for group in groups if group.cls.label in unclear and group.originals]
    found = zip(asking, in_order(see, asking, workers), strict=True)
    return _replaced(groups, {group.cls.label: rows for group, rows in found})


def _sense(group: Group, *, ask: Ask, model: str, prompts: p.Prompts, tries: Tries) -> list[Record]:
    """Returns the class with the sense that up to four of its images show; with a failure where that is not clear."""
    cls = group.cls
    text, images = p.sense(prompts, cls.class_), tuple(image.sha256 for image in group.originals[:SHOWN])
    question = Question(model=model, task="sense", subject=cls.class_, text=text, images=images, temperature=0.0)
    made = Made(model=model, prompt=p.name(prompts, "sense"))
    shown = f"(its images: {', '.join(map(photo, group.originals[:SHOWN]))})"
    try:
        answer, found, usage = first_useful(
            question, ask=ask, tries=tries, read=lambda answer: read(answer.text, cls.class_), useful=bool
        )
    except Refused as error:
        made = msgspec.structs.replace(made, usage=error.usage or Usage())
        reason = f"its sense could not be asked: {error} {shown}"
        return [cls, failed(cls, "senses", reason, parents=(cls.id,), made=made)]
    made = msgspec.structs.replace(made, usage=usage)
    if not found:
        reason = f"the answer names no sense of it {shown}"
        return [cls, failed(cls, "senses", reason, text=answer.text, parents=(cls.id,), made=made)]
    return [_with_name(evolve(cls, made=made), NameInfo(sense=found))]


def _with_name(cls: Class, known: NameInfo) -> Class:
    """Returns the class with what is known of its name; its id changes with its sense, as its prompts do."""
    named = evolve(cls, sense=known.sense or cls.sense, synonyms=known.synonyms or cls.synonyms)
    return identify(named, cls.id, known.sense)


def read(answer: str, name: str) -> str:
    """Returns the sense that an answer names, in a few words; empty where it names none.

    >>> read('Seal (marine mammal).', 'seal'), read('{"sense": "construction machine"}', 'crane')
    ('marine mammal', 'construction machine')
    """
    text = re.split(CLOSES, answer)[-1]
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


def _replaced(groups: Sequence[Group], found: Mapping[int, list[Record]]) -> list[Group]:
    """Returns the groups, those found with other lines in the place of their class record; these come first."""

    replaced = []
    for group in groups:
        if new := found.get(group.cls.label):
            cls = next(row for row in new if isinstance(row, Class))
            group = Group(cls, [*new, *(row for row in group.rows if row is not group.cls)])
        replaced.append(group)
    return replaced
