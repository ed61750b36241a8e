"""What the pictures are called: class names, features, and the forms of words that ltgc uses."""

import random

import torch
from glyphs import WRITTEN

Tensor = torch.Tensor

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
BANKS = tuple(WRITTEN)
OPENINGS = (
    "A photo of {} (written digit)",
    "A photo of the class {}",
    "A photo of {}",
    "A photo of the class {} (written digit)",
)
NAMELESS = "a written digit"  # a picture of which only features are said


def short(form: random.Random) -> str:
    """A caption of the class alone, still to be given its name: "A photo of {} (written digit)."."""
    return form.choice([*(opening + "." for opening in OPENINGS), OPENINGS[0], "{}"])


def long(name: str, phrases: list[str], form: random.Random) -> str:
    """A caption of a class and some features, in any order and in one of the ways of joining them."""
    opening = form.choice(OPENINGS).format(name) if name != NAMELESS else f"A photo of {name}"
    joined = form.choice([", ", ", ", " and "]).join(form.sample(phrases, len(phrases)))
    return opening + form.choice([", ", ", ", " "]) + joined + form.choice([".", ".", ""])


def caption(
    data: dict[str, Tensor], row: int, form: random.Random, counts: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 5, 5)
) -> tuple[str, list[str]]:
    """A caption of one drawing with as many features as chance takes from `counts`, and the banks it speaks of."""
    banks = form.sample(BANKS, form.choice(counts))
    name = NAMES[int(data["digit"][row])]
    if not banks:
        return short(form).format(name), banks
    return long(name, [WRITTEN[bank][int(data[bank][row])] for bank in banks], form), banks
