"""Reads the answers of language models: which lines are descriptions, and of every other line why not."""

from __future__ import annotations

import re
from typing import NamedTuple


class Read(NamedTuple):
    """What was found in an answer: Template-1 sentences, and each dropped line with its reason."""

    texts: list[str]
    dropped: list[tuple[str, str]]


_THOUGHTS = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
_MARK = re.compile(r"^\s*(?:[-*•–]\s+|\(?\d{1,3}[.):]\s*|#+\s+)+")
_QUOTES = "\"'`*“”‘’ \t"
_START = r"\b(?:an? |the )?(?:photo|picture|image)(?:graph)? of "
_PLACEHOLDERS = ("distinctive feature", "specific scene", "[y]", "feature 1")
_ENDS = (".", "!", "?", "…", "。", "！", "？")
_NUMBER = r"(?:\(?\d{1,3}[.):]\s*)?"


def descriptions(answer: str, name: str, subject: str) -> Read:
    """Returns the Template-1 sentences of an answer about the class `name`, normalised, in order.

    Every sentence comes back as `A photo of the class NAME, …`: list marks, bold, quotes and literal braces are
    taken off, a paragraph that holds several sentences is cut into them.
    """
    texts: list[str] = []
    dropped: list[tuple[str, str]] = []
    ended: list[bool] = []
    for line in _said(answer).splitlines():
        bare = _bare(line)
        if not bare:
            continue
        for sentence in _cut(bare):
            text, reason = _description(sentence, name, subject)
            if reason:
                dropped.append((sentence, reason))
            else:
                texts.append(text)
                ended.append(sentence.endswith(_ENDS))
    if len(texts) > 1 and all(ended[:-1]) and not ended[-1] and text == texts[-1]:
        dropped.append((texts.pop().rstrip("."), "is cut off"))
    return Read(texts, dropped)


def features(text: str, name: str) -> str:
    """Returns what a Template-1 sentence says of its class: all that follows the name.

    >>> features("A photo of the class crane, standing in a marsh.", "crane")
    'standing in a marsh'
    """
    start = f"A photo of the class {name}"
    rest = text[len(start) :] if text.startswith(start) else text
    return rest.strip(" ,.;:")


def excluded(answer: str, count: int) -> set[int]:
    """Returns the numbers from 1 to `count` that an answer to Prompt 3 lists; empty for "none".

    A sentence of prose that happens to hold a number is no list.

    >>> sorted(excluded("2, 5 and 7.", 6))
    [2, 5]
    """
    text = _said(answer).strip()
    if re.search(r"[a-z]{3,}", re.sub(r"\b(?:and|excluded?|(?:number|description)s?|none)\b", "", text.lower())):
        return set()
    ends = [(int(first), int(last or first)) for first, last in re.findall(r"(\d+)(?: ?[-–—] ?(\d+))?", text)]
    return {number for number in range(1, count + 1) if any(first <= number <= last for first, last in ends)}


def _said(answer: str) -> str:
    """Returns an answer without what its model thought aloud; chat templates often swallow the opening tag."""
    return re.split(r"</think(?:ing)?>", _THOUGHTS.sub("", answer), flags=re.IGNORECASE)[-1]


def _bare(line: str) -> str:
    line = _MARK.sub("", line).replace("**", "").replace("__", "")
    line = re.sub(r"\*(\w[^*]*)\*", r"\1", line.replace("{", " ").replace("}", " "))
    line = re.sub(
        rf"^(?!{_START})[^.!?]*:\W*(?={_START})", "", line, flags=re.IGNORECASE
    )  # "Here is one:", "**In a marsh**:"
    return re.sub(r"\s+", " ", line).strip(_QUOTES + "[],;").strip(_QUOTES)


def _cut(line: str) -> list[str]:
    """Returns the line cut before each further "A photo of …" that begins a sentence."""
    return [
        part.strip(_QUOTES) for part in re.split(rf"(?<=[.!?;])\s+{_NUMBER}(?={_START})", line, flags=re.IGNORECASE)
    ]


def _description(sentence: str, name: str, subject: str) -> tuple[str, str]:
    if any(placeholder in sentence.lower() for placeholder in _PLACEHOLDERS):
        return "", "echoes the template's placeholders"
    spelled = "|".join(_spelling(form) for form in sorted({subject, name}, key=len, reverse=True))
    match = re.match(
        rf"{_START}(?:the |an? )?(?:class )?(?:{spelled})[\"'”’\]}}]?(?!\w|['’]s\b)", sentence, re.IGNORECASE
    )
    if not match:
        other = re.match(rf"{_START}the class ", sentence, re.IGNORECASE)
        return "", "names another class" if other else "is not in the form of Template 1"
    rest = re.sub(r"\s+([,.;])", r"\1", sentence[match.end() :]).strip()
    rest = re.sub(r"^[:–—-]\s*", "", rest).rstrip(",;:")
    if not re.search(r"\w", rest):
        return "", "says nothing of the class"
    if not rest.endswith(_ENDS):
        rest += "."
    # Template 1 has a comma before the features; Template 2 ("with …") has none.
    joint = "" if rest.startswith((",", "with ")) else ","
    return f"A photo of the class {name}{joint}{'' if rest.startswith(',') else ' '}{rest}", ""


def _spelling(name: str) -> str:
    """Returns a pattern for a name however its words are joined and marked: models write Trogon_rufus as Trogon rufus,
    and marks of a name (braces, quotes) may have been taken off with those of the list."""
    words = re.findall(r"[^\W_]+", name)
    if not words:
        return r"\s+".join(re.escape(part) for part in name.split())
    marks = re.escape(name[name.rindex(words[-1]) + len(words[-1]) :].strip(" {}"))
    return r"[\W_]*" + r"[\W_]*".join(words) + (f"(?:{marks})?" if marks else "")
