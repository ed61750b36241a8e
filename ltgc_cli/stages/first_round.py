"""How images came through the first round, in a few bytes each: it is over for all before one is rewritten."""

from __future__ import annotations

import sys
from array import array
from typing import NamedTuple

from ltgc_cli.records import Step
from ltgc_cli.stages.candidate import Candidate
from ltgc_cli.stages.verdicts import Verdicts

_NONE = float("nan")  # no score or margin is one


class FirstRound(NamedTuple):
    """What became of each image, in their order."""

    scores: array[float]  # on the scale; nan where it could not be scored
    passed: bytearray
    margins: array[float]  # nan where no other class was asked about
    nearest: list[str]
    alike: array[float]  # nan where no original was asked about
    copies: dict[int, str]  # by place, the original that it is a copy of
    troubles: dict[int, str]  # by place


def nothing() -> FirstRound:
    """Returns a first round before its first image."""
    return FirstRound(array("d"), bytearray(), array("d"), [], array("d"), {}, {})


def note(found: FirstRound, c: Candidate) -> None:
    """Keeps what became of the next image."""
    step = c.steps[-1] if c.steps else None
    if c.trouble:
        found.troubles[len(found.passed)] = c.trouble
    found.scores.append(step.score if step else _NONE)
    found.margins.append(_NONE if step is None or step.margin is None else step.margin)
    found.nearest.append(step.nearest if step else "")
    found.alike.append(_NONE if step is None or step.alike is None else step.alike)
    if step and step.copy_of:
        found.copies[len(found.passed)] = sys.intern(step.copy_of)  # many are of one
    found.passed.append(c.passed)


def recall(found: FirstRound, place: int, c: Candidate, verdicts: Verdicts) -> None:
    """Gives an image back what became of it."""
    score, margin = found.scores[place], found.margins[place]
    if score == score:
        verdict = verdicts.get((c.cls.label, c.sha256)) or ""
        alike = found.alike[place]
        step = Step(
            text=c.text, sha256=c.sha256, score=score, nearest=found.nearest[place], margin=_known(margin),
            verdict=verdict, alike=_known(alike), copy_of=found.copies.get(place, ""),
        )  # fmt: skip
        c.steps, c.images = [step], [(c.format, c.made)]
    c.passed, c.trouble = bool(found.passed[place]), found.troubles.get(place, "")


def _known(value: float) -> float | None:
    return None if value != value else value
