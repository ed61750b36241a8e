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
    listed: bool = False  # it stood behind a number or a bullet, in a table, or in JSON: one of several of a kind
    heading: bool = False  # it is set as a heading
    whole: bool = False  # it was closed by what it stood in, so that it is not cut off
    cut: bool = False  # what it stood in was not closed: it is cut off


_SHOT = r"(?:photo(?:graph)?|picture|image|pic|snapshot|shot|view|close-? ?up|portrait)s?"
_PHOTO = rf"(?:(?:an?|the|one|another)\s)?(?:[\w-]+\s){{0,3}}?{_SHOT} (?:of|showing|depicting|featuring)\b"
_BEGINS = p.pattern(rf"[\W_]*{_PHOTO}")
_LEAD = r"\b(?:(?:an?|the) )?(?:photo(?:graph)?|picture|image) of "

_TAGS = "think|thinking|thought|thoughts|reasoning|reflection|scratchpad|analysis|inner_monologue"
_THOUGHTS = re.compile(rf"[<\[](?P<tag>{_TAGS})[>\]].*?(?:[<\[]/(?P=tag)[>\]]|\Z)", re.DOTALL | re.IGNORECASE)
_THOUGHT = p.pattern(rf"[<\[]/(?:{_TAGS})[>\]]|◁/think▷|<\|channel\|>final(?:<\|message\|>)?")
_TURN = p.pattern(r"(?<=\n)[ \t]*(?:#{2,} ?)?(?:human|user) ?:|<\|(?:im_start|start_header_id)\|>user")
_SPEAKER = re.compile(r"^[ \t]*(?:#{2,} ?)?(?:assistant|response|gpt|ai|model) ?:[ \t]*", re.IGNORECASE | re.MULTILINE)
_SPECIAL = p.pattern(r"<\|[\w ]{1,30}\|>|</?s>|\[/?INST\]|<end_of_turn>|</?(?:answer|output|response|final|result)>")
_INLINE = p.pattern(r"</?(?:b|i|u|em|strong|span|code|q)>")
_BLOCK = p.pattern(r"</?(?:ul|ol|li|p|br|div|pre|h[1-6]|td|tr|th|table)\s{0,3}/?>")
_UNSEEN = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad\ufe0f\u20e3"), None)

_BULLET = "-*•–—‣◦▪■□●○►▶→·+✓✔☑✅🔹🔸🔷🔶👉⭐➤➢❖※◆◇"
_MARK = p.pattern(
    rf"\s*(?:[{re.escape(_BULLET)}]+\s+|[•‣◦▪●►▶✓✔✅🔹🔸👉➤➢]\s*|\[[ xX]?\]\s+|#{{1,6}}\s+"
    r"|[(\[]?#?\d{1,4}(?:\.\d{1,2})?(?:\\?[.):、．）\]]+(?!\d)\s*|\s[-–—]\s)|#\d{1,3}\s+"
    rf"|(?:no|nr)\.?\s?\d{{1,3}}[.:)]\s*|\d{{1,3}}\s+(?={_PHOTO})"
    r"|[①-⑳❶-❿➀-➓]\s*|\(?(?:[a-hA-H]|[ivx]{1,5}|[IVX]{1,5})[.)]\s+)"
)
_HEADING = re.compile(r"#{1,6}\s")
_BOLD = re.compile(r"(?:[-*•]\s|\d{1,3}[.)]\s)?(\*\*|__)[^*.]+\1:?")
_FENCE = re.compile(r"\s*(?:```|~~~)\s*\w*\s*$")
_RULE = re.compile(r"[\s|:+=_*-]*")
_UNFINISHED = p.pattern(r"(?:[,(–—-]|\b(?:an?|the|and|or|with|of|in|on|at|by|to|from|for|its|their|class|as))$")
_CAPTION = p.pattern(r"(?:an?|the|two|three|several|some|there (?:is|are)) ")
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
_TEXT_KEY = p.pattern(r"descr|caption|text|sentence|prompt|content|answer|refined|output|result|photo|template")
_OTHER_KEY = p.pattern(
    r"^(?:class|label|name|class_?name|id|index|number|no|type|title|original.*|reason.*|note.*|count)$"
)
_PART_KEY = p.pattern("feature|scene|setting|background|pose|action")
_LIST_KEY = p.pattern("feature|scene|setting")
_LONGEST_JSON = 2_000_000


def _objects(text: str) -> Iterator[tuple[int, int, list[AnswerLine]]]:
    """Returns where each JSON value begins and ends, and its strings; one that is broken off is read to its end."""
    at = 0 if "[" in text or "{" in text else len(text)
    while at < len(text) and (opened := _OPENS.search(text, at)) is not None:
        start = opened.end()
        value, end = value_at(text, start)
        if end < 0:
            if found := _literals(text[start:]):
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
        rest = [key for key in strings if not _OTHER_KEY.match(key)]
        texts = [key for key in rest if _TEXT_KEY.search(key)]
        if not texts and len(rest) > 1 and all(map(_PART_KEY.search, rest)):
            yield "Features: " + ", ".join(strings[key].strip(" .,") for key in rest)
        else:
            yield from (strings[key] for key in texts or rest)
        for key, one in value.items():
            if not isinstance(one, str):
                of = _LIST_KEY.search(str(key))
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
    for line in [*_marked(text, named), None]:
        if last and line and _goes_on(last, line, named):
            last = last._replace(text=f"{last.text} {line.text}")
            continue
        if last:
            yield last
        last = line


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
        text = text[mark.end() :].removeprefix("** ").removeprefix("__ ")
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
    whole = raw.rstrip().endswith("|")
    return AnswerLine(", ".join(photos or cells), listed=True, heading=heading and not photos, whole=whole)


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
    unnamed = _BEGINS.match(last.text) and not named.search(last.text)
    return bool(unnamed and named.search(f"{last.text} {line.text}"))


_NUMBER = r"(?:\(?\d{1,3}[.):]\s*)?"
_AGAIN = p.pattern(
    # a further sentence of the kind, or a further "A photo of the class" whatever stands before it
    rf"(?:(?<=[.!?;。])|(?<=[.!?]\W)|(?<=[.!?]\W\W))[\"'“”‘’)\]*, ]{{1,5}}[\"'“‘(\[]?{_NUMBER}(?={_LEAD})"
    rf"|[\s\"'“,;/-]\s?{_NUMBER}(?=a (?:photo|picture|image) of the class )"
)
_PHOTOS = re.compile("[Pp]hoto(?:graph)? of |[Pp]icture of |[Ii]mage of |PHOTO|IMAGE|PICTURE")
_LABELS = p.pattern(r"[:=–—-]$|^\W*(?:this|that|here|it)(?: is|['’]s)$")


def cut(line: str) -> Sequence[str]:
    """Returns a line cut before each further "A photo of …" that begins a sentence, or names the class outright."""
    if not _PHOTOS.search(line, 9):
        return [line]
    parts, at = [], 0
    for again in _AGAIN.finditer(line):
        before = line[at : again.end()].rstrip(" \"'“")
        if _BEGINS.match(before) or not _LABELS.search(before):  # the label of a sentence stays with it
            parts.append(line[at : again.start()])
            at = again.end()
    return [part for part in [*parts, line[at:]] if re.search(r"\w", part)]
