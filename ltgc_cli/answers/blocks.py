"""What the structure of an answer says: its blocks of text, each with where it stood.

Markdown is read by markdown-it-py, JSON by the standard library and, where it is sloppy or cut off, by json-repair.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from ltgc_cli.thoughts import CLOSES, OPENS

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token


class Block(NamedTuple):
    """A piece of an answer that stands by itself, without the marks of what it stood in."""

    text: str
    listed: bool = False  # one of several of a kind: an item of a list, a row of a table, a string in JSON
    heading: bool = False
    item: int = 0  # blocks with the same number stood in one item of a list; 0 is in none
    whole: bool = False  # it was closed by what it stood in, so that it is not cut off
    cut: bool = False  # what it stood in was not closed


_AT_ONCE = 20_000  # characters that are parsed together, so that no answer takes more than linear time
_THOUGHTS = re.compile(rf"(?:{OPENS}).*?(?:{CLOSES}|\Z)", re.DOTALL | re.IGNORECASE)
_THOUGHT = re.compile(CLOSES, re.IGNORECASE)
_TURN = re.compile(
    r"(?<=\n)[ \t]*(?:#{2,} ?)?(?:human|user|question|instruction) ?:|<\|(?:im_start|start_header_id)\|>user"
    r"|<start_of_turn>user",
    re.IGNORECASE,
)
_SPEAKER = re.compile(
    r"^[ \t]*(?:#{2,} ?)?(?:assistant|response|gpt|ai|model|output) ?:[ \t]*", re.IGNORECASE | re.MULTILINE
)
_SPECIAL = re.compile(
    r"<\|[\w ]{1,30}\|>|</?s>|\[/?INST\]|<(?:end|start)_of_turn>(?:model\n)?|(?<!#)#{2,}+\s?(?:END|STOP|EOS|DONE)\s?#*"
    r"|\[(?:END|EOS|DONE|/?OUT)\]|<(?:eos|pad|unk|bos)>",
    re.IGNORECASE,
)
_CHARACTER = re.compile("&#0*([0-9]+)")  # Python reads no number of thousands of digits
_TAG = re.compile(r"</?([A-Za-z][\w-]{0,30})(?:\s[^<>\n]{0,80})?/?>")
_INLINE = ("b", "i", "u", "em", "strong", "span", "code", "q", "a", "sub", "sup", "mark", "small", "font")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]+")  # as a broken tokenizer writes them
_PLACEHOLDER = ("y", "x", "class", "name", "feature", "scene", "object", "subject", "location", "insert")
_UNSEEN = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad\ufe0f")) | {
    0x20E3: ".",
    0xFF0C: ", ",
    0xFF1A: ": ",
}


def plain_text(answer: str) -> str:
    """Returns an answer without what its model thought aloud, the marks of its chat template, and turns it made up.

    Chat templates often swallow the tag that opens the thoughts.
    """
    text = _CONTROL.sub("", answer)
    text = text if text.isascii() else text.translate(_UNSEEN).replace("\u00a0", " ")
    if "<" in text or "[" in text or "◁" in text or "##" in text or "assistantfinal" in text:
        text = _TURN.split(_THOUGHT.split(_THOUGHTS.sub("", text))[-1], maxsplit=1)[0]
        text = _SPECIAL.sub("\n", text)
    if ":" in text and (speaker := _SPEAKER.search(text)):
        text = _TURN.split(text[speaker.end() :] if not text[: speaker.start()].strip() else text, maxsplit=1)[0]
    if "<" in text:
        text = _TAG.sub(_untagged, text)
    if "&" in text:
        text = html.unescape(_CHARACTER.sub(lambda number: f"&#{number[1][:8]}", text))
    if "\\n" in text and '"' not in text and "\n" not in text.strip():
        text = text.replace("\\n", "\n")
    return text


def _untagged(tag: re.Match[str]) -> str:
    name = tag[1].lower()
    if name in _PLACEHOLDER:
        return f"[{name}]" if tag[0][1] != "/" else ""
    return "" if name in _INLINE else "\n"


def blocks(text: str) -> Iterator[Block]:
    """Returns the blocks of a plain text, in order: JSON by its strings, all else as Markdown."""
    at = 0
    for start, end, strings in _objects(text):
        yield from _markdown(text[at:start])
        yield from strings
        at = end
    yield from _markdown(text[at:])


# --- Markdown, and the marks of lists that it does not know

_STRUCTURE = re.compile(r"^(?:[ \t]*[>#|`~]|[ \t]+\S|[^\w\n]+$)|\|", re.MULTILINE)
_BEGINS = re.compile(r"\W*(?:\w+ ){0,6}?(?:photo(?:graph)?|picture|image|close[- ]?up) (?:of|showing) ", re.IGNORECASE)
_CLOSED = (".", "!", "?", ":", ";", "…", "。", "！", "？", '"', "”")
_HANGING = re.compile(
    r"(?:[,(–—-]|\b(?:an?|the|and|or|with|of|in|on|at|by|to|from|for|its|their|class|as|while))$", re.IGNORECASE
)
# What stands before the first letter, quote or digit of a sentence: signs of any kind, a number, a letter.
_MARK = re.compile(
    r"\\[a-z]+(?:\{\w*\})?"
    r"|(?:[^\w\"'“‘«([{<\ue000-\uf8ff]|_)+"
    r"|\[[ xX]?\]\s"
    r"|[(\[]?#?(?:no\.?|nr\.?)? ?\d{1,4}(?:\.\d{1,2})*"
    r"(?:\\?\s?[.):\]}、．）,|/]+(?!\d)|\s?[-–—]+\s|\s(?=an? (?:photo|picture|image)\b))"
    r"|[①-⓿❶-➓]|\(?(?:[a-zA-H]|[ivx]{1,5}|[IVX]{1,5})[.)]\s|[A-Z][.)]\s(?=[A-Z\"“])|\(?[a-zA-Z]\)\s|[A-Z]\d{1,2}[.):]\s|\d{1,3}[a-z][.):]\s"
)  # fmt: skip
_ITEM = re.compile(r"\s*(?:\d{1,4}[.)]|[-•]) (\w[^*_`~\\\t]*\S)")  # what most lists have
_BOLD = re.compile(r"[^\w*_]*(?:[*-] +)?(?:\d{1,3}[.)]\s*)?(\*\*|__)([^*_]+)\1:?")
_KEY = re.compile(r"\w+(?: \w+)?: ")
_CAPTION = re.compile(r"(?:an?|the|two|three|several|some|there (?:is|are)) ")


def _markdown(text: str) -> Iterator[Block]:
    """Returns the blocks of Markdown. A flat list, of which every line is an item, needs no parser."""
    if not text.strip():
        return
    start = 0
    while start < len(text):
        end = start + _AT_ONCE
        end = max(text.rfind("\n", start, end), text.find("\n", start)) + 1 if end < len(text) else len(text)
        part, start = text[start : end or len(text)], end or len(text)
        yield from _flat(part) if not _STRUCTURE.search(part.strip("\n")) else _parsed(part)


def _flat(text: str) -> Iterator[Block]:
    for paragraph in re.split(r"\n\s*\n", text):
        yield from _joined(_line(line) for line in paragraph.splitlines() if line.strip())


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("zero").enable(["list", "blockquote", "heading", "fence", "table", "hr"])


def _parsed(text: str) -> Iterator[Block]:
    """Returns the blocks as Markdown has them; what an item of a list holds has the item's number."""
    tokens: list[Token] = []
    _parser().block.parse(text.expandtabs(4), _parser(), {}, tokens)
    item = depth = heads = 0
    cells: list[str] = []
    in_row = False
    for token in tokens:
        if token.type == "list_item_open":
            item, depth = item or (token.map or [0])[0] + 1, depth + 1
        elif token.type == "list_item_close":
            depth -= 1
            item = item if depth else 0
        elif token.type.startswith(("heading", "thead")):
            heads += token.nesting
        elif token.type.startswith("tr_"):
            in_row = token.nesting > 0
            yield from () if in_row else _row(cells, bool(heads))
            cells = []
        elif token.type == "inline" and in_row:
            cells.append(token.content)
        elif token.type in ("inline", "fence"):
            yield from _paragraph(token.content, item, bool(heads))


def _paragraph(text: str, item: int, head: bool) -> Iterator[Block]:
    lines = [_line(line) for line in text.splitlines() if line.strip()]
    if item and lines:
        lines[0] = lines[0]._replace(listed=True)
    for block in _joined(lines):
        yield block._replace(heading=True, listed=False) if head else block._replace(item=item)


def _row(cells: list[str], head: bool) -> Iterator[Block]:
    """Returns a table's row as one block: the cell that is a description, else all that are no number."""
    found = [block.text for block in map(_line, cells) if re.search(r"[^\W\d]", block.text)]
    photos = [text for text in found if _BEGINS.match(text)]
    if found:
        yield Block(", ".join(photos or found), listed=True, heading=head and not photos, whole=True)


def _line(raw: str) -> Block:
    """Returns a line without the marks before it and without Markdown's emphasis."""
    item = _ITEM.fullmatch(raw)
    if item and "  " not in item[1]:
        return Block(item[1], listed=True)
    text = " ".join(raw.split())
    bold = _BOLD.fullmatch(text)
    listed, at = False, 0
    for _ in range(5):
        mark = _MARK.match(text, at)
        if not mark or mark.end() == at:
            break
        listed = listed or text[at] not in "#*_`~> \\"
        at = mark.end() if text[at] != "*" or text[at : at + 2] == "**" or text[at + 1 : at + 2] == " " else at + 1
    listed = listed or bool(at and raw.lstrip()[:2] in ("* ", "- "))
    text = _unmarked(text[at:])
    return Block(text, listed=listed, heading=bool(bold and not _BEGINS.match(text) and bold[2].count(" ") < 9))


def _unmarked(text: str) -> str:
    """Returns a text without Markdown's bold, italics, code and escapes."""
    for mark in ("**", "__", "~~", "`"):
        text = text.replace(mark, "")
    text = re.sub(r"(?<!\w)\*([^*]+)\*(?!\w)", r"\1", text) if "*" in text else text
    text = re.sub(r"(?<!\w)_([^_]+)_(?!\w)", r"\1", text) if "_" in text else text
    text = re.sub(r"\\(?=[^\w\s])", "", text) if "\\" in text else text
    return " ".join(text.split())


def _joined(lines: Iterable[Block]) -> Iterable[Block]:
    """Returns the lines, those that go on in the next one joined with it."""
    found: list[Block] = []
    for line in lines:
        if found and _goes_on(found[-1], line):
            found[-1] = found[-1]._replace(text=f"{found[-1].text} {line.text}")
        else:
            found.append(line)
    return [block for block in found if block.text]


def _goes_on(last: Block, line: Block) -> bool:
    if last.heading or line.heading or line.listed or not line.text or last.text.endswith(_CLOSED):
        return False
    if _BEGINS.match(line.text):
        return False
    if _HANGING.search(last.text[-10:]):
        return True
    if _CAPTION.match(line.text) or _KEY.match(line.text):
        return False
    begun = _BEGINS.match(last.text) is not None
    wrapped = len(last.text) > (50 if begun else 64) and (begun or not last.text[0].islower())
    return line.text[0].islower() and (last.listed or wrapped)


# --- JSON

_OPENS = re.compile(r"(?:^|(?<=\n)|(?<=[:.]))[ \t]*(?:```+\w*\s*|json\s*)?(?=[\[{]\s*[\"'“\[{\]}])")
_NO_JSON = re.compile(r"[\[{](?:\s*[\[{\"]){5}")  # json-repair's time would not be linear
_TEXT_KEY = re.compile(r"descr|caption|text|sentence|prompt|content|answer|refined|output|result|photo|template", re.I)
_OTHER_KEY = re.compile(
    r"^(?:class|label|name|class_?name|id|index|number|no|type|title|original.*|reason.*|note.*|count|category)$", re.I
)
_PART_KEY = re.compile("feature|scene|setting|background|pose|action|light|location", re.I)
_LIST_KEY = re.compile("feature|scene|setting", re.I)
_MOST_QUOTES, _MOST_BRACKETS, _MOST_TRIES = 600, 100, 200


def _objects(text: str) -> Iterator[tuple[int, int, list[Block]]]:
    """Returns where each JSON value begins and ends, and its strings; one that is broken off is read to its end."""
    at = 0 if "[" in text or "{" in text else len(text)
    tries = 0
    while at < len(text) and tries < _MOST_TRIES and (opened := _OPENS.search(text, at)) is not None:
        tries += 1
        value, end, whole = value_at(text, opened.end())
        if end < 0:
            at = opened.end() + 1
            continue
        strings = [Block(one, listed=True, whole=True) for one in _strings(value) if one.strip()]
        if strings and not whole:
            strings[-1] = strings[-1]._replace(whole=False, cut=not strings[-1].text.endswith(_CLOSED))
        yield opened.start(), end, strings
        fence = re.compile(r"\s*```").match(text, end)
        at = fence.end() if fence else end


def value_at(text: str, start: int) -> tuple[Any, int, bool]:
    """Returns the JSON value that begins at a place, where it ends (-1: it is none), and whether it was closed."""
    try:
        return *json.JSONDecoder(strict=False).raw_decode(text, start), True
    except (ValueError, RecursionError):
        pass
    opener = text[start]
    close = text.rfind("]" if opener == "[" else "}", start, start + _AT_ONCE) + 1
    end = close or min(len(text), start + _AT_ONCE)
    part = text[start:end]
    if part.count('"') > _MOST_QUOTES or part.count("[") + part.count("{") > _MOST_BRACKETS or _NO_JSON.search(part):
        return None, -1, False
    try:
        import json_repair

        value = json_repair.loads(part)
    except (ValueError, RecursionError, IndexError, TypeError):
        return None, -1, False
    return (value, end, bool(close)) if value and re.search("[\"'“]", part) else (None, -1, False)


def _strings(value: Any) -> Iterator[str]:
    """Returns the strings of a JSON value that may be descriptions; features and scenes of one object are one."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _strings(one)
    elif isinstance(value, dict):
        strings = {str(key): one for key, one in value.items() if isinstance(one, str)}
        rest = [key for key in strings if not _OTHER_KEY.match(key)]
        texts = [key for key in rest if _TEXT_KEY.search(key)]
        if not texts and len(rest) > 1 and all(map(_PART_KEY.search, rest)):
            yield "Features: " + ", ".join(strings[key].strip(" .,") for key in rest)
        else:
            yield from (strings[key] for key in texts or rest)
        for key, one in value.items():
            if isinstance(one, list | tuple) and (of := _LIST_KEY.search(str(key))):
                yield from (f"{of[0]}s: {item}" for item in one if isinstance(item, str))
            elif isinstance(one, list | tuple | dict) and not _OTHER_KEY.match(str(key)):
                yield from _strings(one)
