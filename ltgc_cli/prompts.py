"""The seven texts of the LTGC paper, and one of ours, in the order of the pipeline; how they become questions.

`[y]` stands for the class. The templates hold literal braces, so they are filled by replacement, never by
`str.format`. A person replaces any of them with `--prompts FILE.toml`.
Source: LTGC, CVPR 2024, section 3 (arXiv 2403.05854).
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import msgspec

from ltgc_cli.errors import InputError
from ltgc_cli.files import named_errors, read_regular


class Prompts(msgspec.Struct, frozen=True, kw_only=True):
    """The texts in use. All but `sense` are the paper's."""

    sense: str = (
        "These are photos of the class [y]. The name [y] can mean more than one thing. In which sense is it meant here?"
    )
    template_1: str = "A photo of the class [y], {with distinctive features}{in specific scenes}."
    describe: str = "Please use the Template 1 to briefly describe the image of the class [y]."
    extend: str = (
        "Besides these descriptions mentioned above, please use the Template 1 to list other possible "
        "{distinctive features} and {specific scenes} for the class [y]."
    )
    reflect: str = (
        "Please exclude any repetitive {distinctive features} and {specific scenes} for class [y] "
        "in this descriptions list."
    )
    template_2: str = "A photo of the class [y] with {feature 1}{feature 2}{...}."
    template: str = "Please use Template 2 to summarize the most distinctive features of class [y]."
    refine: str = (
        "This description d doesn't seem to be representative of the class [y]. Could you refine it to "
        "enhance the distinctive features of class [y]?"
    )


PAPER = Prompts()

# An image model's prompt without any description: the paper's Figures 6 and 7 show images of it beside its own.
BARE = "A photo of the class [y]"


def load(path: Path | None) -> Prompts:
    """Returns the texts of a TOML file laid over the paper's. Raises InputError for an unknown name."""
    if path is None:
        return PAPER
    try:
        with named_errors(path):
            texts = tomllib.loads(read_regular(path).decode())
        if unknown := sorted(set(texts) - set(Prompts.__struct_fields__)):
            names = ", ".join(Prompts.__struct_fields__)
            raise InputError(f"{path}: no prompt is named {unknown[0]!r}; there are {names}")
        prompts = msgspec.convert(texts, Prompts)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise InputError(f"{path}: {error}") from None
    for name in Prompts.__struct_fields__:
        if "[y]" not in getattr(prompts, name):
            raise InputError(f"{path}: {name} never names the class; write [y] where its name belongs")
    return prompts


def fill(text: str, subject: str) -> str:
    """Returns a text with the class in it.

    >>> fill(PAPER.template, "seal (marine mammal)")
    'Please use Template 2 to summarize the most distinctive features of class seal (marine mammal).'
    """
    return text.replace("[y]", subject)


def numbered(texts: Sequence[str]) -> str:
    """Returns the texts as a numbered list, a line each, counted from 1."""
    return "\n".join(f"{number}. {text}" for number, text in enumerate(texts, start=1))


def sense(prompts: Prompts, name: str) -> str:
    """Returns the question in which sense a name is meant, which is shown with images of the class."""
    return _joined(
        fill(prompts.sense, name),
        "Answer with the two to four words that a dictionary would put in brackets behind the name, "
        "such as: marine mammal. Nothing else.",
    )


def describe(prompts: Prompts, subject: str) -> str:
    """Returns Prompt 1, with Template 1."""
    return _joined(_template_1(prompts, subject), fill(prompts.describe, subject), "Answer with one sentence.")


def extend(prompts: Prompts, subject: str, known: Sequence[str], want: int, besides: str = "") -> str:
    """Returns Prompt 2 below the descriptions that are there already; `besides` is what else is said to it."""
    return _joined(
        f"Descriptions of the class {subject}:\n{numbered(known)}" if known else "",
        _template_1(prompts, subject),
        fill(prompts.extend, subject),
        besides,
        f"Answer with {want} descriptions, one a line, numbered, and nothing else.",
    )


_VIEWS = (
    "close up", "from far away", "from above", "from below", "from behind", "from the side", "half hidden",
    "in a mirror", "through a window", "among others of its kind", "cut off by the edge",
)  # fmt: skip
_PLACES = (
    "on a city street", "in a garden", "by the sea", "in the mountains", "in a kitchen", "in a workshop",
    "in a meadow", "at a market", "against a plain wall", "in a museum", "on a beach", "in a forest", "in a courtyard",
)  # fmt: skip
_TIMES = ("at dawn", "in the morning", "at noon", "in the late afternoon", "at sunset", "at dusk", "at night")
_AT_ONCE = 3  # of each, named in one question: 27 combinations


def combined(subject: str, attempt: int) -> str:
    """Returns a sentence of ours that leads a model away from what it repeats; each attempt names other examples.

    >>> [combined("crane", attempt).partition(": ")[2].partition(";")[0] for attempt in (1, 2)]
    ['from below, from behind, from the side', 'half hidden, in a mirror, through a window']
    """
    named = "; ".join(", ".join(_turn(bank, attempt)) for bank in (_VIEWS, _PLACES, _TIMES))
    return (
        "Let each description combine a view, a place and a time of day that none of those above has, such as these or "
        f"others that suit the class {subject}: {named}."
    )


def _turn(bank: Sequence[str], attempt: int) -> list[str]:
    """Returns some of a bank, those after the ones of the attempt before, and round again."""
    return [bank[(attempt * _AT_ONCE + number) % len(bank)] for number in range(_AT_ONCE)]


def reflect(prompts: Prompts, subject: str, listed: Sequence[str]) -> str:
    """Returns Prompt 3 below a numbered list. The answer is the numbers to exclude, not the list again."""
    return _joined(
        f"Descriptions list:\n{numbered(listed)}",
        fill(prompts.reflect, subject),
        "Answer only with the numbers of the descriptions to exclude, separated by commas, or with: none.",
    )


def template(prompts: Prompts, subject: str, known: Sequence[str]) -> str:
    """Returns Prompt 4, below the descriptions of the class's own images where there are any."""
    return _joined(
        f"Descriptions of the class {subject}:\n{numbered(known)}" if known else "",
        f"Template 2: {fill(prompts.template_2, subject)}",
        fill(prompts.template, subject),
        "Name only what can be seen in a photo. Answer with one sentence.",
    )


def refine(prompts: Prompts, subject: str, description: str, class_template: str) -> str:
    """Returns Prompt 5 on the description that failed, with the class's template as the aim."""
    return _joined(
        f"Description d:\n{numbered([description])}",
        f"Distinctive features of the class {subject}: {class_template}",
        _template_1(prompts, subject),
        fill(prompts.refine, subject),
        "Answer with one sentence.",
    )


def recognize(names: Sequence[str]) -> str:
    """Returns the question which of some classes a photo shows, the paper's Table 3 (its own words are not known)."""
    return _joined(
        "Which of these classes does the photo show?",
        "\n".join(f"- {name}" for name in names),
        "Answer with one name of the list, word for word, and nothing else.",
    )


def choices(question: str) -> list[str]:
    """Returns the names that a question lists.

    >>> choices(recognize(["crane", "seal (marine mammal)"]))
    ['crane', 'seal (marine mammal)']
    """
    return [line.removeprefix("- ") for line in question.splitlines() if line.startswith("- ")]


def recognize_openly(examples: Sequence[str]) -> str:
    """Returns the question what a photo shows where the classes are too many: some show how they are named."""
    return _joined(
        f"What does the photo show? Name it as exactly as these are named: {'; '.join(examples)}.",
        "It need not be one of these. Answer with the name alone.",
    )


def image_prompt(text: str, name: str, subject: str) -> str:
    """Returns a description as image models and CLIP get it: without the words "the class", with the class's sense.

    They take "the class" for a school class.

    >>> image_prompt("A photo of the class seal, on a rock.", "seal", "seal (marine mammal)")
    'A photo of seal (marine mammal), on a rock.'
    """
    text, found = _as_class(name).subn(lambda _: subject, text)
    if "class " in text.casefold():  # most texts say it once: compiled for each class, a pattern less is much
        text = re.sub(rf"\b(?:the |a )?class (?={_name_alone(name)})", "", text, flags=re.IGNORECASE)
    if found or subject in text:
        return text
    return re.sub(rf"(?<!\w){_name_alone(name)}", lambda _: subject, text, count=1)


@lru_cache(maxsize=100)  # a stream has its classes one after another
def _as_class(name: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:the |a )?class {_name_alone(name)}(?! \()", re.IGNORECASE)


def _name_alone(name: str) -> str:
    return rf"{re.escape(name)}(?!\w)"


def _template_1(prompts: Prompts, subject: str) -> str:
    return f"Template 1: {fill(prompts.template_1, subject)}"


def _joined(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)


def name(prompts: Prompts, which: str) -> str:
    """Returns what a record calls a prompt: its name, with a hash where it is not the paper's text."""
    text: str = getattr(prompts, which)
    if text == getattr(PAPER, which):
        return which
    return f"{which}@{hashlib.sha256(text.encode()).hexdigest()[:8]}"
