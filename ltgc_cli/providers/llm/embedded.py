"""`embedded`: a language model that is a grammar over banks of phrases. It knows nothing of any class.

Everything it chooses comes from the sha256 of the whole question, so the same question has the same answer everywhere,
and another `attempt` another answer. A change here or in the banks that changes an answer needs a new name in MODEL.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count, islice
from typing import TypeVar

from ltgc_cli.embedded.banks import WRITTEN
from ltgc_cli.embedded.general_bank import GENERAL
from ltgc_cli.errors import ProviderError
from ltgc_cli.keys import key
from ltgc_cli.ports import Answer, Ask, Question, Usage
from ltgc_cli.providers.opened import AskOptions, Opened, with_notice

MODEL = "embedded/grammar-1"
NOTICE = (
    "the embedded language model is a grammar of views, lights and surroundings that knows nothing of any class; "
    "--llm gpt-4o, or any model that litellm names, knows more"
)
FREE = Usage(dollars=0.0)

Banks = Mapping[str, Sequence[str]]
T = TypeVar("T")

_SIGN = re.compile(r"\([^)]*\b(?:digit|letter|sign|numeral|character|glyph|handwrit\w*)s?\b", re.IGNORECASE)
_LISTED = re.compile(r"^\s*\d+\.\s+(.+?)\s*$", re.MULTILINE)
_AIM = re.compile(r"^Distinctive features of the class (.+)$", re.MULTILINE)
_IN_VAIN = 200  # tries in a row that bring nothing new, after which the banks count as exhausted
_MOST_FEATURES = 3  # in a class's template


def open_port(_: str, options: AskOptions) -> Opened[Ask]:
    """Returns the grammar, with a notice of what it is when it is first asked."""
    return with_notice(Opened(MODEL, ask), options.notice, NOTICE)


def ask(question: Question) -> Answer:
    """Returns the grammar's answer. Raises ProviderError for a task that needs eyes."""
    answer = _TASKS.get(question.task)
    if answer is None:
        raise ProviderError(f"the embedded language model cannot {question.task} images; ask it of --lmm")
    return Answer(text=answer(question, banks_for(question.subject)), usage=FREE)


def banks_for(subject: str) -> Banks:
    """Returns the banks that suit a class: those of written signs where its sense says that it is one.

    >>> list(banks_for("three (written digit)")), "weather" in banks_for("three")
    (['weight', 'slant', 'style', 'size', 'ground'], True)
    """
    return WRITTEN if _SIGN.search(subject) else GENERAL


def sentence(subject: str, phrases: Sequence[str]) -> str:
    """Returns the phrases in Template 1.

    >>> sentence("Trogon rufus", ["seen from below", "in dim light"])
    'A photo of the class Trogon rufus, seen from below, in dim light.'
    """
    return f"A photo of the class {', '.join([subject, *phrases])}."


def features(text: str, banks: Banks) -> dict[str, str]:
    """Returns the phrase of each bank that a sentence has.

    >>> features("A photo of the class three with thin strokes, upright.", WRITTEN)
    {'weight': 'with thin strokes', 'slant': 'upright'}
    """
    parts = [f" {part.strip()}" for part in re.split("[,.]", text)]
    found: dict[str, str] = {}
    for name, phrases in banks.items():
        for phrase in phrases:
            if any(part.endswith(f" {phrase}") for part in parts):
                found.setdefault(name, phrase)
    return found


def _extend(question: Question, banks: Banks) -> str:
    listed = [features(text, banks) for text in _LISTED.findall(question.text)]
    new = islice(_unlike(listed, _draws(key(question), banks)), question.want)
    texts = [sentence(question.subject, list(phrases.values())) for phrases in new]
    return "\n".join(f"{number}. {text}" for number, text in enumerate(texts, start=1))


def _reflect(question: Question, banks: Banks) -> str:
    seen: list[object] = []
    repeats: list[str] = []
    for number, text in enumerate(_LISTED.findall(question.text), start=1):
        phrases = features(text, banks) or text.casefold()
        if phrases in seen:
            repeats.append(str(number))
        seen.append(phrases)
    return ", ".join(repeats) or "none"


def _template(question: Question, banks: Banks) -> str:
    listed = [features(text, banks) for text in _LISTED.findall(question.text)]
    often = Counter(item for phrases in listed for item in phrases.items())
    best: dict[str, str] = {}
    for (bank, phrase), _ in often.most_common():
        if len(best) < _MOST_FEATURES:
            best.setdefault(bank, phrase)
    # It knows nothing of the class: where no image was described, there is no feature to name.
    phrases = sorted((best[bank] for bank in banks if bank in best), key=lambda phrase: not phrase.startswith("with "))
    return sentence(question.subject, phrases).replace(f"{question.subject}, with ", f"{question.subject} with ", 1)


def _refine(question: Question, banks: Banks) -> str:
    failed = features("".join(_LISTED.findall(question.text)[:1]), banks)
    aim = features("".join(_AIM.findall(question.text)[:1]), banks)
    seed = key(question)
    mixed = (_mixed(f"{seed}/{number}", failed, aim, banks) for number in count())
    phrases = next(_unlike([failed, {}], mixed), None) or next(_unlike([failed], _draws(seed, banks)), failed)
    return sentence(question.subject, list(phrases.values()))


_TASKS: dict[str, Callable[[Question, Banks], str]] = {
    "extend": _extend,
    "reflect": _reflect,
    "template": _template,
    "refine": _refine,
}


def _draws(seed: str, banks: Banks) -> Iterator[dict[str, str]]:
    """Returns phrases of two to five banks, again and again, in the banks' order."""
    for number in count():
        of = f"{seed}/{number}"
        size = _chosen(of, range(2, min(5, len(banks)) + 1))
        names = set(sorted(banks, key=lambda name: _number(f"{of}/{name}"))[:size])
        yield {name: _chosen(f"{of}/{name}/phrase", banks[name]) for name in banks if name in names}


def _mixed(seed: str, failed: Mapping[str, str], aim: Mapping[str, str], banks: Banks) -> dict[str, str]:
    """Returns some of what failed with the rest of the aim; where a bank has no aim, anything else of it."""
    mixed = {}
    for name, phrases in banks.items():
        if name in failed or name in aim:
            old = failed.get(name) or aim[name]
            new = aim.get(name) or _chosen(f"{seed}/{name}/new", phrases)
            mixed[name] = _chosen(f"{seed}/{name}", (old, new))
    return mixed


def _unlike(seen: Sequence[Mapping[str, str]], draws: Iterator[dict[str, str]]) -> Iterator[dict[str, str]]:
    """Returns the draws that are not there yet, until they bring nothing new any more."""
    there = {frozenset(phrases.values()) for phrases in seen}
    vain = 0
    while vain < _IN_VAIN:
        phrases = next(draws)
        chosen = frozenset(phrases.values())
        vain = vain + 1 if chosen in there else 0
        if not vain:
            there.add(chosen)
            yield phrases


def _chosen(seed: str, items: Sequence[T]) -> T:
    return items[_number(seed) % len(items)]


def _number(seed: str) -> int:
    return int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8])
