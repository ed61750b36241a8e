"""Reads an answer of a language model: which of it are descriptions, and of all the rest why not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain, islice, pairwise
from typing import NamedTuple

from ltgc_cli.answers import rules
from ltgc_cli.answers.blocks import Block, blocks, plain_text
from ltgc_cli.answers.names import MASK, NAMED, Known, Words, known, masked, unmasked, without_odd, words
from ltgc_cli.answers.rules import Cuts, pattern
from ltgc_cli.answers.sentences import LEAD, cut, reading


class Parsed(NamedTuple):
    """What was found in an answer: Template-1 sentences, and each dropped line or part of one with its reason."""

    texts: list[str]
    dropped: Cuts
    marks: list[tuple[rules.Mark, ...]]  # what is doubtful about each text, which is kept all the same
    trouble: str = ""  # why the answer could not be read at all


class _Piece(NamedTuple):
    """A block of an answer, or one of several descriptions in one."""

    text: str  # its names masked
    names: list[str]  # what each mask stands for
    block: Block
    of: str = ""  # "features" or "scenes" where its heading says so
    plain: str = ""  # what it is read as, where that is plain to see


_LONGEST = 2_000  # characters of a description; what is longer is none, and is not looked at any closer
_LONGEST_LINE = 20_000
# Pieces and characters of an answer, of which some forty are asked for; a model that goes round in a loop writes more.
_MOST, _LONGEST_ANSWER = 2_000, 200_000
BEYOND = f"stands behind {_MOST:,} lines or {_LONGEST_ANSWER:,} characters, as all that follows; it is not read"
_ENDS = (".", "!", "?", "…", "。", "！", "？")
_CLOSED = (*_ENDS, ":")
_QUOTES = "\"'`*“”‘’„«» \t"


def read(
    answer: str, name: str, subject: str, synonyms: Sequence[str] = (), *, cut_off: bool = False, one: bool = False
) -> Parsed:
    """Returns the Template-1 sentences of an answer about the class `name`, in order, and what was dropped.

    Every sentence comes back as `A photo of the class NAME, …`. The class is known by its name, its name with the
    sense (`subject`), and its synonyms.

    cut_off -- the model stopped for want of tokens, so the end is no end
    one -- one sentence was asked for: features that stand in several lines are one description
    """
    try:
        return _parsed(answer, name, subject, synonyms, cut_off, one)
    except Exception as error:  # the answer is paid for, and stays in the store: a later version may read it
        return Parsed(
            [], [], [], f"its answer cannot be read ({type(error).__name__}: {error}); this is a fault of ltgc's"
        )


def _parsed(answer: str, name: str, subject: str, synonyms: Sequence[str], cut_off: bool, one: bool) -> Parsed:
    names = known(name, subject, tuple(synonyms))
    if not cut_off and (plain := _plain(answer.strip(), names)):
        return Parsed([plain], [], [rules.lint(plain, name, subject)])
    pieces, beyond = _all_pieces(plain_text(without_odd(answer, names)), names, one)
    found, dropped = _descriptions(pieces, names, cut_off and not beyond, one)
    if one and not any(LEAD.match(piece.text) and not piece.block.heading for piece in pieces):
        found = _together(found, name)
    texts = [text for text, _ in found]
    if len(found) > 2 and not found[-1][1] and all(ended for _, ended in found[:-1]):
        dropped.append((texts.pop().rstrip("."), rules.CUT))
    pupils = rules.of_pupils(texts, dropped)
    dropped += [(text, rules.SCHOOL) for text in pupils]
    texts = [text for text in texts if text not in pupils]
    return Parsed(texts, dropped + beyond, _marks(texts, name, subject))


def _descriptions(
    pieces: Sequence[_Piece], names: Known, cut_off: bool, one: bool
) -> tuple[list[tuple[str, bool]], Cuts]:
    """Returns each piece that is a description, and whether it came to its end, and what was dropped."""
    found: list[tuple[str, bool]] = []
    dropped: Cuts = []
    unmarked, named = _context(pieces, names)
    for number, piece in enumerate(pieces, start=1):
        last, ended = number == len(pieces), piece.text.endswith(_CLOSED)
        stump = piece.block.cut or (cut_off and last and not piece.block.whole)
        # The first and the last line of a list without marks may be talk; a single one may be of another thing.
        alone = len(pieces) == 1 and (names.scientific or not _ARTICLE.match(piece.text))
        listed = unmarked and (1 < number < len(pieces) or not ended)
        listed = listed or (one and (alone or _LABEL.match(piece.text) is not None))
        text, cuts = _read(piece, names, stump, listed, named)
        dropped += cuts
        if text:
            whole = piece.plain or stump or piece.block.whole or piece.text.rstrip(_QUOTES + ")").endswith(_ENDS)
            found.append((text, bool(whole)))
        elif last and found:  # more stood behind it: it came to its end
            found[-1] = (found[-1][0], True)
    return found, dropped


def _marks(texts: Sequence[str], name: str, subject: str) -> list[tuple[rules.Mark, ...]]:
    found: list[tuple[rules.Mark, ...]] = []
    earlier: set[Words] = set()  # what a text must not repeat
    for text in texts:
        own = words(text, name)
        again: tuple[rules.Mark, ...] = ("duplicate",) if own in earlier else ()
        found.append(rules.lint(text, name, subject) + again)
        earlier.add(own)
    return found


_CLEAN = re.compile(r"(?:, | with )[a-z][A-Za-z0-9 ,'-]*[A-Za-z0-9]\.")


@lru_cache(maxsize=64)
def _plain(text: str, names: Known) -> str:
    """Returns a text as it is read where that is plain to see, else nothing: a shortcut through all that follows.

    It is Template 1 word for word, one sentence, with no word in it that any rule looks for.
    """
    start = f"A photo of the class {names.subject}"
    rest = text[len(start) :]
    if not text.startswith(start) or len(text) > 500 or not _CLEAN.fullmatch(rest) or "  " in rest or " ," in rest:
        return ""
    if not rules.harmless(rest, names.name):
        return ""
    return f"A photo of the class {names.name}{rest}"


def _context(pieces: Sequence[_Piece], names: Known) -> tuple[bool, bool]:
    """Returns whether the lines are a list without marks (most say something of the class), and most name the class."""
    lines = [piece for piece in pieces if not piece.block.heading]
    marked = len(lines) < 2 or any(piece.block.listed for piece in lines)
    bare = not marked and not any(piece.text.endswith(_CLOSED) for piece in lines)  # features, not sentences
    said = 0 if marked or bare or len(lines) < 4 else sum(bool(_read(piece, names)[0]) for piece in lines)
    listed = bare or 2 * said > len(lines)
    named = len(lines) > 2 and 2 * sum(bool(piece.names or piece.plain) for piece in lines) > len(lines)
    return listed, named


def _together(found: list[tuple[str, bool]], name: str) -> list[tuple[str, bool]]:
    """Returns features that stand in several lines as one description."""
    start = f"A photo of the class {name}"
    said = [text[len(start) :].rstrip(".") for text, _ in found[:8]]
    rest = "".join(part if at == 0 or part.startswith(",") else f",{part[5:]}" for at, part in enumerate(said))
    return [(f"{start}{rest}.", found[-1][1])] if len(said) > 1 else found


# --- the pieces of an answer

_END = Block("")  # stands behind the last one
_HEADING = re.compile(r"(?:\W*+\w++){1,14}\W*+$")  # of what ends with a colon
_OF = {of: pattern(rf"\b{{{of}}}\b") for of in ("features", "scenes")}
_BRACES = pattern(r"\}\s?,?\s?\{(?!\s?(?:with|in|on|at|by|near|under|while|and|\w+ing)\b)")
_HOLE = pattern(r"[,.]? ?\{(?:with |in )?(?:distinctive features?|specific scenes?)\} ?: ?")
_COUNTED = pattern(r"\s?\((?:\d+ (?:words|tokens|characters)|template \d)[^()]{0,20}\)\.?$")


def _all_pieces(text: str, names: Known, one: bool) -> tuple[list[_Piece], Cuts]:
    """Returns the pieces of a plain text, and the first of what stands behind as much as is read of one."""
    end = (text.rfind("\n", 0, _LONGEST_ANSWER) + 1 or _LONGEST_ANSWER) if len(text) > _LONGEST_ANSWER else len(text)
    pieces = list(islice(_pieces(text[:end], names, one), _MOST + 1))
    beyond = [unmasked(piece.text, piece.names, names) for piece in pieces[_MOST:]] or [text[end : end + _LONGEST]]
    return pieces[:_MOST], [(said.strip(), BEYOND) for said in beyond if said.strip()]


def _pieces(text: str, names: Known, one: bool) -> Iterator[_Piece]:
    """Returns each part of a plain text that may be a description."""
    under = ""
    item: list[_Piece] = []
    for block, after in pairwise(chain(blocks(text), [_END])):
        below = after is not _END and (not after.listed or (block.item and after.item == block.item))
        if block.listed and block.heading and not block.whole and not below:
            block = block._replace(heading=False)  # a bold feature: nothing stands under it
        bare = _bare(block.text)
        if not bare:
            continue
        plain = "" if block.cut or block.item else _plain(bare, names)
        hidden, found = (bare, []) if plain else masked(bare, names)
        heading = bare.endswith(":") and (not block.listed or bool(_HEADING.match(bare)))
        heading = not plain and (heading or (block.heading and not (found and LEAD.match(hidden))))
        if heading:
            under = (
                "old" if _OLD.match(bare) and not _NEW.search(bare) else "about" if _ABOUT.match(bare) else _of(bare)
            )
        parts = [hidden] if plain or heading or len(hidden) > _LONGEST_LINE else cut(hidden, one)
        block = block._replace(heading=heading)
        pieces = [_Piece(said, found, block, under, plain) for part in parts if (said := part.strip(_QUOTES))]
        if not (item and block.item and block.item == item[0].block.item) or len(item) > _MOST:
            yield from _of_one_item(item)
            item = []
        item += pieces
    yield from _of_one_item(item)


def _bare(text: str) -> str:
    """Returns a line without quotes around it and without literal braces."""
    if len(text) > _LONGEST_LINE:
        return text
    if "{" in text or "}" in text:
        text = _HOLE.sub(", ", text)
        text = " ".join(_BRACES.sub(", ", text).replace("{", " ").replace("}", " ").split())
    text = text.strip(_QUOTES + "[],;").strip(_QUOTES)
    return _COUNTED.sub("", text) if text.endswith((")", ").")) else text


def _of(text: str) -> str:
    return next((of for of, named in _OF.items() if named.search(text)), "")


_ARTICLE = pattern("{article} ")
_ASPECT = pattern(r"\W*(?:\w+ ){0,2}{aspect}(?: \d)?\s?[:–—-] ?")


def _of_one_item(pieces: list[_Piece]) -> list[_Piece]:
    """Returns the pieces of a list's item, as one where they are parts of one: "Features: …", "Scene: …"."""
    talk = [piece for piece in pieces[1:] if rules.talk(piece.text)]
    if talk:
        texts = {piece.text for piece in talk}
        return [*_of_one_item([*pieces[:1], *(piece for piece in pieces[1:] if piece.text not in texts)]), *talk]
    if not 1 < len(pieces) < 7:
        return pieces
    parts = [piece for piece in pieces if _ASPECT.match(piece.text) and not LEAD.match(_unlabelled_aspect(piece.text))]
    first = pieces[0]
    if len(parts) < len(pieces) - 1:
        return pieces
    led = LEAD.match(first.text) and not first.block.heading
    if len(parts) + bool(led) < 2:
        return pieces
    said = [_unlabelled_aspect(part.text).strip(" .;,") for part in parts]
    text = ", ".join([first.text.strip(" .:;,") if led else f"Features: {said[0]}", *said[not led :]])
    names = [name for piece in pieces for name in piece.names[:1]]
    title = [] if led or first is parts[0] else [first._replace(block=first.block._replace(heading=True))]
    return [
        *title,
        first._replace(text=f"{text}.", names=names, block=first.block._replace(heading=False, listed=True)),
    ]


def _unlabelled_aspect(text: str) -> str:
    """Returns what stands behind "Features:" or "Scene:" at the beginning of a text."""
    label = _ASPECT.match(text)
    return text[label.end() :] if label else text


# --- one piece

_SENTENCE = re.compile(
    r"(?<=[.!?…。])(?<!\b[A-Z]\.)(?<!\bSt\.)(?<!\bNo\.)(?<!e\.g\.)[\"”’')\]]{0,2}\s+"
    r"(?=[\"'“‘(\[*_]{0,2}[A-Z\ue000-\uf8ff])|(?<!\s)\s++(?=\((?:Note|I |This|These|Here)\b)"
)
_LABEL = pattern(
    r"(?:[\w'’()#/&,+-]+ ){0,6}?[\w'’()#/-]+(?: \([^()]{0,40}\))?\s?(?::|=| [-–—])"
    r"[\"'“‘* ]*(?= |[\"“\ue000-\uf8ff])\s?|(?:{answer}|scene) ?#?\d{1,3}\s?[-–—.]?\s+"
)
_COLON = re.compile(r"[:–—=]\W{0,4}|\s-\W{1,4}")
_OPENING = pattern(r"(?:in (?:summary|short|conclusion|general)|overall|generally|finally|additionally|lastly|also),? ")
_ABOUT = pattern(r"\W*(?:\w+ ){0,4}?{about}\b")
_OLD, _NEW = pattern(r"\W*(?:the )?{old}\b(?! (?:features?|scenes?))"), pattern(r"\b{new}\b")
_FRAGMENT = pattern(r"\W*{fragment}\b")
_PHOTO = pattern(r"\b{photo}\b")
_OF_ANSWER = pattern(r"\W*(?:\w+ ){0,2}{answer}\b")


def _read(
    piece: _Piece, names: Known, stump: bool = False, listed: bool = False, named: bool = False
) -> tuple[str, Cuts]:
    """Returns a piece as a Template-1 sentence, empty where it is none, and what was dropped of it."""
    if piece.plain and not stump:
        return piece.plain, []
    whole = unmasked(piece.text, piece.names, names)
    if len(piece.text) > _LONGEST:
        return "", [(whole, "is too long for a description")]
    text, label = _unlabelled(piece.text)
    opening = _OPENING.match(text)
    text = text[opening.end() :] if opening and re.search(MASK, text[:50]) else text
    if piece.block.heading:
        return "", [(whole, rules.talk(text) or "is a heading")]
    if piece.of == "about" and not LEAD.match(text):
        return "", [(whole, rules.TALK)]
    if piece.of == "old" or (LEAD.match(text) and _OLD.match(label) and not _NEW.search(label)):
        return "", [(whole, "is the description that was to be refined")]
    told = _OF_ANSWER.match(label) or _PHOTO.search(label) or _of(label)
    scene = label.strip(_QUOTES + ":–—-=") if _FRAGMENT.match(label) and " " in label.strip() and not told else ""
    first, *further = [part for part in _SENTENCE.split(text) if part]
    if not LEAD.match(text) and (reason := rules.talk(first) or (rules.TALK if "?" in first[-2:] else "")):
        return "", [(whole, reason)]
    cuts: Cuts = []
    if stump or rules.broken_off((further or [first])[-1].rstrip(_QUOTES)):
        if not further:
            return "", [(whole, rules.CUT)]
        cuts.append((further.pop(), rules.CUT))
    if len(label.split()) > 5 and not scene:  # what was said before a description, in one breath
        cuts.append((label.strip(_QUOTES), rules.TALK))
    asides = [(sentence, rules.aside(sentence, names.name)) for sentence in further]
    cuts = [(sentence, reason) for sentence, reason in asides if reason] + cuts
    text = " ".join([first, *(sentence for sentence, reason in asides if not reason)])
    listed = listed or piece.block.listed or bool(label and not _OF_ANSWER.match(label))
    rest, reason = reading(text, names, listed, _of(label) or (piece.of if piece.block.listed else ""), named)
    if not reason:
        rest = f"{rest.rstrip('. ')}, {scene[0].lower()}{scene[1:]}" if scene else rest
        text, more = _template_1(rest, names)
        cuts += more
        reason = "" if text else cuts[-1][1]
    if reason:
        return "", [(whole, reason)]
    return unmasked(text, piece.names, names), [(unmasked(said, piece.names, names), why) for said, why in cuts]


def _unlabelled(text: str) -> tuple[str, str]:
    """Returns a sentence without the label before it ("Description 2:", "In flight:"), and the label."""
    if LEAD.match(text):
        return text, ""
    for colon in islice(_COLON.finditer(text[:200]), 9):
        if LEAD.match(text, colon.end()):
            return text[colon.end() :], text[: colon.end()]
    label = _LABEL.match(text)
    rest = text[label.end() :] if label else ""
    if not label or not rest:
        return text, ""
    if rules.talk(text):
        return text, ""
    photo = _PHOTO.search(label[0])
    known = photo or _of(label[0]) or _OF_ANSWER.match(label[0]) or re.search(MASK, rest[:40])
    return (rest, label[0]) if known and (photo or not re.search(MASK, label[0])) else (text, "")


_BRACKETS = re.compile(r"[\[<(]((?:with|in|on|at|by|near|featuring|showing|standing|\w+ing)\b[^\[\]<>()]*)[\])>]")
_ASPECT_WITHIN = pattern(
    r"(?:(?<=[,;.] )|(?<=^, )|(?<=^ with ))(?:(?:with |in )?(?:distinctive|specific|unique|key|visual) )?"
    r"{aspect}(?: \d)?\s?: ?"
)
_SPACED = re.compile(r"(?<!\s)\s++(?=[,.;!?])")
_BE = "(?:is|are|was|were)"
_IS = pattern(
    rf"^([,.;:–—-]? ?)(?:(?:that|which|who|it|they) )?(?:{_BE} (?:shown|seen|captured|depicted|pictured|displayed"
    rf"|featured|photographed) |(?:can|could|may) be (?:seen|observed|found) |{_BE} |['’]s )"
)
_HAS = pattern(
    r"^([,.;:–—-]? ?)(?:(?:that|which|who|it|they) )?(?:(?:usually|typically|often|generally) )?(?:has|have) "
)
_WHICH_IS = pattern(rf", (?:that|which|who) {_BE} (?!\w+ (?:by|of)\b)")
_TWICE = pattern(r"\b(with|in|on|at|a|an|the|and|of),? \1\b")


def _template_1(rest: str, names: Known) -> tuple[str, Cuts]:
    """Returns what a sentence says of the class in Template 1, and what was cut of it; empty where nothing is left."""
    rest = _ASPECT_WITHIN.sub("", _BRACKETS.sub(r"\1", _SPACED.sub("", rest)))
    if reason := rules.unfit(rest, names.name):
        return "", [(rest, reason)]
    rest = _HAS.sub(r"\1with ", _IS.sub(r"\1", rules.unhedged(rest)))
    rest = _TWICE.sub(r"\1", _WHICH_IS.sub(", ", rest))
    if rules.broken_off(rest):
        return "", [(rest, rules.CUT)]
    said, cuts = rules.clauses(rest, names.name)
    if not said or rules.empty(said, names.name):
        return "", cuts or [(rest, rules.EMPTY)]
    comma = said.lstrip().startswith((",", ":", "–", "—", "-", ";"))
    said = re.sub(r"(?:\.{2,}|…)$", ".", said.strip(" ,;:–—-").lstrip(".!? "))
    # Template 1 has a comma before the features; Template 2 ("with …") has none.
    joint = "," if comma or not said.startswith("with") else ""
    return f"A photo of the class {NAMED}{joint} {said}{'' if said.endswith(_ENDS) else '.'}", cuts
