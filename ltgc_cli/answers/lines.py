"""Cuts a language model's answer into lines: lists, tables, JSON and hard-wrapped prose alike, without their marks."""

from __future__ import annotations

import ast
import html
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ltgc_cli.answers import phrases as p
from ltgc_cli.answers.spelling import MASK


class AnswerLine(NamedTuple):
    """A line of an answer as it reads without its marks."""

    text: str
    listed: bool = False
    """It stood behind a number or a bullet, in a table, or in JSON: it is one of several things of a kind."""
    heading: bool = False
    """It is set as a heading."""
    whole: bool = False
    """It was closed by what it stood in, so that it is not cut off."""
    cut: bool = False
    """What it stood in was not closed: it is cut off."""


_SHOT = r"(?:photo(?:graph)?|picture|image|pic|snapshot|shot|view|close-? ?up|portrait)s?"
_PHOTO = rf"(?:(?:an?|the|one|another)\s)?(?:[\w-]+\s){{0,3}}?{_SHOT} (?:of|showing|depicting|featuring)\b"
_BEGINS = re.compile(rf"[\W_]*{_PHOTO}", re.IGNORECASE)
_LEAD = r"\b(?:(?:an?|the) )?(?:photo(?:graph)?|picture|image) of "

_TAGS = "think|thinking|thought|thoughts|reasoning|reflection|scratchpad|analysis|inner_monologue"
_THOUGHTS = re.compile(rf"[<\[](?P<tag>{_TAGS})[>\]].*?(?:[<\[]/(?P=tag)[>\]]|\Z)", re.DOTALL | re.IGNORECASE)
_THOUGHT = re.compile(rf"[<\[]/(?:{_TAGS})[>\]]|◁/think▷|<\|channel\|>final(?:<\|message\|>)?", re.IGNORECASE)
_TURN = re.compile(r"(?<=\n)[ \t]*(?:#{2,} ?)?(?:human|user) ?:|<\|(?:im_start|start_header_id)\|>user", re.IGNORECASE)
_SPEAKER = re.compile(r"^[ \t]*(?:#{2,} ?)?(?:assistant|response|gpt|ai|model) ?:[ \t]*", re.IGNORECASE | re.MULTILINE)
_SPECIAL = re.compile(
    r"<\|[\w ]{1,30}\|>|</?s>|\[/?INST\]|<end_of_turn>|</?(?:answer|output|response|final|result)>", re.I
)
_INLINE = re.compile(r"</?(?:b|i|u|em|strong|span|code|q)>", re.IGNORECASE)
_BLOCK = re.compile(r"</?(?:ul|ol|li|p|br|div|pre|h[1-6]|td|tr|th|table)\s{0,3}/?>", re.IGNORECASE)
_UNSEEN = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad\ufe0f\u20e3"), None)

_BULLET = "-*•–—‣◦▪■□●○►▶→·+✓✔☑✅🔹🔸🔷🔶👉⭐➤➢❖※◆◇"
_MARK = re.compile(
    r"\s*(?:"
    rf"[{re.escape(_BULLET)}]+\s+|[•‣◦▪●►▶✓✔✅🔹🔸👉➤➢]\s*"
    r"|\[[ xX]?\]\s+"
    r"|#{1,6}\s+"
    r"|[(\[]?#?\d{1,4}(?:\.\d{1,2})?(?:\\?[.):、．）\]]+(?!\d)\s*|\s[-–—]\s)"
    r"|#\d{1,3}\s+"
    r"|(?:no|nr)\.?\s?\d{1,3}[.:)]\s*"
    rf"|\d{{1,3}}\s+(?={_PHOTO})"
    r"|[①-⑳❶-❿➀-➓]\s*"
    r"|\(?(?:[a-hA-H]|[ivx]{1,5}|[IVX]{1,5})[.)]\s+"
    r")",
    re.IGNORECASE,
)
_HEADING = re.compile(r"#{1,6}\s")
_BOLD = re.compile(r"(?:[-*•]\s|\d{1,3}[.)]\s)?(\*\*|__)[^*.]+\1:?")
_FENCE = re.compile(r"\s*(?:```|~~~)\s*\w*\s*$")
_RULE = re.compile(r"[\s|:+=_*-]*")
_UNFINISHED = re.compile(r"(?:[,(–—-]|\b(?:an?|the|and|or|with|of|in|on|at|by|to|from|for|its|their|class|as))$", re.I)
_CAPTION = re.compile(r"(?:an?|the|two|three|several|some|there (?:is|are)) ", re.IGNORECASE)
_ENDS = (*p.ENDS, ":", ";")


def lines(answer: str, name: str, named: re.Pattern[str]) -> Iterator[AnswerLine]:
    """Returns the lines of an answer, in order; the class's names, of which `named` is a pattern, stay as they are."""
    text = plain_text(answer, name)
    at = 0
    for start, end, items in _objects(text):
        yield from _plain(text[at:start], named)
        yield from items
        at = end
    yield from _plain(text[at:], named)


def plain_text(answer: str, name: str = "") -> str:
    """Returns an answer without what its model thought aloud, the marks of its chat template, and turns it made up.

    Chat templates often swallow the tag that opens the thoughts.
    """
    text = answer.replace("\u00a0", " ")
    if not text.isascii():
        text = re.sub(MASK, "", text.translate(_UNSEEN))
    if re.search("[<\\[◁]", text):
        text = _SPECIAL.sub("\n", _TURN.split(_THOUGHT.split(_THOUGHTS.sub("", text))[-1], maxsplit=1)[0])
    if ":" in text and (speaker := _SPEAKER.search(text)):
        text = _TURN.split(text[speaker.end() :] if not text[: speaker.start()].strip() else text, maxsplit=1)[0]
    if "<" in text and "<" not in name:
        text = _BLOCK.sub("\n", _INLINE.sub("", text))
    if "&" in text and "&" not in name:
        text = html.unescape(text)
    if "\\n" in text and '"' not in text and "\n" not in text.strip():
        text = text.replace("\\n", "\n")
    return text


# --- JSON


_OPENS = re.compile(r"(?:^|(?<=\n))[ \t]*(?:```+\w*\s*|json\s*)?(?=[\[{]\s*[\"'\[{\]}])|(?<=[:.]) ?(?=[\[{]\s*[\"])")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*+)("?)(?:\s*+(:))?', re.DOTALL)
_TEXT_KEY = re.compile(r"descr|caption|text|sentence|prompt|content|answer|refined|output|result|photo|template", re.I)
_OTHER_KEY = re.compile(
    r"^(?:class|label|name|class_?name|id|index|number|no|type|title|original.*|reason.*|note.*|count)$", re.I
)
_LONGEST_JSON = 2_000_000


def _objects(text: str) -> Iterator[tuple[int, int, list[AnswerLine]]]:
    """Returns where each JSON value begins and ends, and its strings; one that is broken off is read to its end."""
    at = 0 if "[" in text or "{" in text else len(text)
    while at < len(text) and (opened := _OPENS.search(text, at)) is not None:
        start = opened.end()
        value, end = value_at(text, start)
        if end < 0:
            found = _literals(text[start:])
            if found:
                yield opened.start(), len(text), found
            return
        try:
            leaves = [AnswerLine(one, listed=True, whole=True) for one in _leaves(value) if one.strip()]
        except RecursionError:
            return
        yield opened.start(), end, leaves
        at = end


def value_at(text: str, start: int) -> tuple[Any, int]:
    """Returns the JSON (or Python) value that begins at a place, and where it ends: -1 where it is none."""
    try:
        return json.JSONDecoder(strict=False).raw_decode(text, start)
    except (ValueError, RecursionError):
        pass
    end = text.rfind("]" if text[start] == "[" else "}", start, start + _LONGEST_JSON) + 1
    if re.match(r"[\[{]\s*'", text[start : start + 20]) and end:
        try:
            return ast.literal_eval(text[start:end]), end
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            pass
    return None, -1


def _leaves(value: Any) -> Iterator[str]:
    """Returns the strings of a JSON value that may be descriptions."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _leaves(one)
    elif isinstance(value, dict):
        strings = {str(key): one for key, one in value.items() if isinstance(one, str)}
        texts = [key for key in strings if _TEXT_KEY.search(key) and not _OTHER_KEY.match(key)]
        rest = [key for key in strings if not _OTHER_KEY.match(key)]
        if texts:
            yield from (strings[key] for key in texts)
        elif len(rest) > 1 and all(
            re.search("feature|scene|setting|background|pose|action", key, re.I) for key in rest
        ):
            yield "Features: " + ", ".join(strings[key].strip(" .,") for key in rest)
        else:
            yield from (strings[key] for key in rest)
        for key, one in value.items():
            if not isinstance(one, str):
                of = re.search("feature|scene|setting", str(key), re.IGNORECASE)
                yield from (f"{of[0]}s: {leaf}" if of else leaf for leaf in _leaves(one))


def _literals(text: str) -> list[AnswerLine]:
    """Returns the strings of JSON that is broken or broken off; the last is cut off if it was never closed."""
    found = []
    for string in _STRING.finditer(text):
        body, closed, key = string.groups()
        if key or not re.search(r"\w", body):
            continue
        body = body.replace('\\"', '"').replace("\\n", " ").replace("\\", "")
        found.append(AnswerLine(body, listed=True, whole=bool(closed), cut=not closed))
    return found


# --- plain text


def _plain(text: str, named: re.Pattern[str]) -> Iterator[AnswerLine]:
    """Returns the lines of plain text; what was wrapped onto the next line is joined, tables are read by their rows."""
    last: AnswerLine | None = None
    for line in _marked(text, named):
        if last and line and _goes_on(last, line, named):
            last = last._replace(text=f"{last.text} {line.text}")
            continue
        if last:
            yield last
        last = line
    if last:
        yield last


def _marked(text: str, named: re.Pattern[str]) -> Iterator[AnswerLine | None]:
    """Returns each line without its marks, None for one with nothing on it."""
    rows = [row for row in text.splitlines() if not _FENCE.match(row)]
    table = False
    for row, under in zip(rows, [*rows[1:], ""], strict=False):
        heads = "-" in under and "|" in under and _RULE.fullmatch(under) is not None
        table = heads or row.strip().startswith("|") or (table and "|" in row)
        yield _row(row, heads) if table else _line(row, named)


def _line(raw: str, named: re.Pattern[str]) -> AnswerLine | None:
    """Returns a line without its marks, None where nothing is left."""
    text = " ".join(raw.replace("，", ", ").replace("：", ": ").split())
    if not text:
        return None
    text = text.lstrip("> ") if text[0] == ">" else text
    heading = bool(_HEADING.match(text)) or "__" in text or bool(_BOLD.fullmatch(text))
    text = re.sub(r"^(?:\*\*|__)(?=[\W_]*\d{1,3}[.):])", "", text) if text[0] in "*_" else text
    listed = False
    for _ in range(4):
        mark = _MARK.match(text)
        if not mark or (mark[0][0].isalpha() and named.match(text)):
            break
        listed = listed or not mark[0].lstrip().startswith("#")
        text = text[mark.end() :]
        text = text.removeprefix("** ").removeprefix("__ ")
    text = _unmarked(text)
    return AnswerLine(text, listed=listed, heading=heading) if re.search(r"\w", text) or named.match(text) else None


def _unmarked(text: str) -> str:
    """Returns a text without Markdown's bold, italics and code."""
    text = text.replace("**", "").replace("__", "").replace("~~", "").replace("`", "")
    text = re.sub(r"\*(\w[^*]*)\*", r"\1", text) if "*" in text else text
    text = re.sub(r"(?<!\w)_([^_]+)_(?!\w)", r"\1", text) if "_" in text else text
    return " ".join(text.split())


def _row(raw: str, heading: bool) -> AnswerLine | None:
    """Returns a table's row as one line: the cell that is a description, else all that are no number."""
    cells = [_unmarked(cell) for cell in raw.strip().strip("|").split("|")]
    cells = [cell for cell in cells if re.search(r"[^\W\d]", cell)]
    photos = [cell for cell in cells if _BEGINS.match(cell)]
    if not cells:
        return None
    return AnswerLine(
        ", ".join(photos or cells), listed=True, heading=heading and not photos, whole=raw.rstrip().endswith("|")
    )


def _goes_on(last: AnswerLine, line: AnswerLine, named: re.Pattern[str]) -> bool:
    """Returns whether a line is the rest of the one before, which was wrapped."""
    if last.heading or line.heading or line.listed or last.whole or last.text.endswith(_ENDS):
        return False
    if _BEGINS.match(line.text) or not (last.listed or _BEGINS.match(last.text) or len(last.text) > 40):
        return False
    if _UNFINISHED.search(last.text[-40:]):
        return True
    if _CAPTION.match(line.text):
        return False
    if line.text[0].islower() and (last.listed or not last.text[0].islower() or _BEGINS.match(last.text)):
        return True
    return (
        bool(_BEGINS.match(last.text))
        and not named.search(last.text)
        and bool(named.search(f"{last.text} {line.text}"))
    )


_NUMBER = r"(?:\(?\d{1,3}[.):]\s*)?"
_AGAIN = re.compile(
    # a further sentence of the kind, or a further "A photo of the class" whatever stands before it
    rf"(?:(?<=[.!?;。])|(?<=[.!?]\W)|(?<=[.!?]\W\W))[\"'“”‘’)\]*, ]{{1,5}}[\"'“‘(\[]?{_NUMBER}(?={_LEAD})"
    rf"|[\s\"'“,;/-]\s?{_NUMBER}(?=a (?:photo|picture|image) of the class )",
    re.IGNORECASE,
)


_PHOTOS = re.compile("[Pp]hoto(?:graph)? of |[Pp]icture of |[Ii]mage of |PHOTO|IMAGE|PICTURE")
_LABELS = re.compile(r"[:=–—-]$|^\W*(?:this|that|here|it)(?: is|['’]s)$", re.IGNORECASE)


def cut(line: str) -> Sequence[str]:
    """Returns a line cut before each further "A photo of …" that begins a sentence, or names the class outright."""
    if not _PHOTOS.search(line, 9):
        return [line]
    parts, at = [], 0
    for again in _AGAIN.finditer(line):
        before = line[at : again.end()].rstrip(" \"'“")
        if _LABELS.search(before) and not _BEGINS.match(before):
            continue  # the label of a sentence stays with it
        parts.append(line[at : again.start()])
        at = again.end()
    return [part for part in [*parts, line[at:]] if re.search(r"\w", part)]
