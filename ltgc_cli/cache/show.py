"""A record of the store with everything that it was made from, found in the artifacts by its id or its image."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ltgc_cli import records
from ltgc_cli.cache.contents import artifacts
from ltgc_cli.cache.entries import Kept, read
from ltgc_cli.console import Branch
from ltgc_cli.errors import InputError
from ltgc_cli.ports import GeneratedImage, Usage, request_name, unpriced
from ltgc_cli.records import Made, Record
from ltgc_cli.store import Row, Store
from ltgc_cli.text import cents

_ID = re.compile(rb'"id":\s*"([^"\\]{1,80})"')
_SHORTEST = 4
_GENERATIONS = 50
"""Steps that a record is followed back; a road has six."""
_NAMED = 5
"""Candidates that are named where an id is not enough."""


class Found(NamedTuple):
    """A record, and the artifact that it is in."""

    record: Record
    artifact: Path


class Shown(NamedTuple):
    """What was asked for, with the records that they were made from, by id, and those that were made from them."""

    asked: list[Found]
    ancestors: dict[str, Found]
    children: list[Found]


def show(store: Store, name: str, *, children: bool) -> Shown | list[Kept]:
    """Returns the records under an id, or with an image, or the answers under a key; a prefix of each is enough.

    Artifacts are read from the newest on, as lines of bytes, of which only those that matter are parsed.
    Raises InputError where nothing is there, or where the prefix is not enough.
    """
    if len(name) < _SHORTEST or '"' in name:
        raise InputError(f"{name!r}: give an id, a key or an image's sha256, or at least {_SHORTEST} characters of it")
    keys = [key for key, _ in zip(store.sorted_keys(name), range(_NAMED), strict=False)]
    if len(keys) > 1:
        raise _ambiguous(name, "keys", keys)
    if keys:
        found = _answers(store, lambda row: row.key == keys[0])
        if not found:
            raise InputError(f"answer {keys[0][:12]} is damaged; `ltgc cache verify` says what to do")
        return found
    files = [one.path for one in artifacts(store)]
    asked = _asked(files, name)
    if asked:
        ancestors = _ancestors(files, asked)
        return Shown(asked, ancestors, _children(asked) if children else [])
    naming = _answers(store, lambda row: f'"{name}' in (row.text or ""))
    drawn = [kept for kept in naming if isinstance(kept.answer, GeneratedImage) and kept.answer.sha256.startswith(name)]
    if not drawn:
        raise InputError(
            f"{name}: no record, answer or picture of {store.folder} begins so; `ltgc cache ls` lists the answers, "
            "and records have their `id` in every line"
        )
    return drawn


def lines(shown: Shown | list[Kept]) -> Iterator[str]:
    """Returns it for programs: each record once, as it lies in its artifact, what was asked for first."""
    if isinstance(shown, list):
        for kept in shown:
            data = {"kind": "answer", "key": kept.row.key, **msgspec.json.decode(kept.row.text or "{}")}
            yield json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    else:
        every = [*shown.asked, *shown.ancestors.values(), *shown.children]
        seen: set[str] = set()
        for record in (found.record for found in every):
            if record.id not in seen:
                yield records.dump(record)
            seen.add(record.id)


def trees(shown: Shown | list[Kept]) -> list[Branch]:
    """Returns it for people: below each record what it was made from, and at the end what was made from it."""
    if isinstance(shown, list):
        return [_answer(kept) for kept in shown]
    seen: set[str] = set()
    roots = [_branch(found.record, shown.ancestors, seen, 0) for found in shown.asked]
    if shown.children:
        roots.append(Branch(["made from it"], [Branch(_said(found.record), []) for found in shown.children]))
    return roots


# ---- finding


def _answers(store: Store, meant: Callable[[Row], bool]) -> list[Kept]:
    return [kept for row in store.rows() if meant(row) and (kept := read(row))]


def _asked(files: Sequence[Path], name: str) -> list[Found]:
    """Returns the records of the newest artifact that has any: one of this id, or all with this image."""
    part = json.dumps(name, ensure_ascii=False)[1:-1].encode()
    for path in files:
        found = {one.record.id: one for one in _parsed(path, (line for line in _lines(path) if b'"' + part in line))}
        if name in found:
            return [found[name]]
        by_id = [one for one in found.values() if one.record.id.startswith(name)]
        if len(by_id) > 1:
            raise _ambiguous(name, "ids", [one.record.id for one in by_id])
        if by_id:
            return by_id
        images = {sha256 for one in found.values() for sha256 in _images(one.record) if sha256.startswith(name)}
        if len(images) > 1:
            raise _ambiguous(name, "images", sorted(images))
        if images:
            return [one for one in found.values() if images & set(_images(one.record))]
    return []


def _images(record: Record) -> list[str]:
    """Returns the images, or the checkpoint, that a record is about: of drawings also those before the last."""
    earlier = [step.sha256 for step in getattr(record, "history", ())]
    return [sha256 for sha256 in (getattr(record, "sha256", ""), *earlier) if sha256]


def _ancestors(files: Sequence[Path], asked: Sequence[Found]) -> dict[str, Found]:
    known: dict[str, Found] = {}
    looked_for: set[str] = set()
    first = asked[0].artifact
    order = [first, *(path for path in files if path != first)]
    wanted = {parent for found in asked for parent in found.record.parents}
    for _ in range(_GENERATIONS):
        wanted -= looked_for
        if not wanted:
            break
        looked_for |= wanted
        new = _located(order, wanted)
        known |= new
        wanted = {parent for found in new.values() for parent in found.record.parents}
    return known


def _located(files: Iterable[Path], ids: set[str]) -> dict[str, Found]:
    """Returns the records of these ids, each from the first file that has it."""
    found: dict[str, Found] = {}
    left = {name.encode(): name for name in ids}
    for path in files:
        if not left:
            break
        named = ((match[1], line) for line in _lines(path) if (match := _ID.search(line)))
        for one in _parsed(path, (line for name, line in named if name in left)):
            found.setdefault(one.record.id, one)
            left.pop(one.record.id.encode(), None)
    return found


def _children(asked: Sequence[Found]) -> list[Found]:
    ids = {found.record.id for found in asked}
    path = asked[0].artifact
    named = [f'"{name}"'.encode() for name in ids]
    near = (line for line in _lines(path) if any(name in line for name in named))
    return [one for one in _parsed(path, near) if ids & set(one.record.parents)]


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file


def _parsed(path: Path, found: Iterable[bytes]) -> Iterator[Found]:
    for line in found:
        try:
            yield Found(records.parse(line.decode()), path)
        except ValueError:  # damaged: `ltgc cache verify` says so
            continue


def _ambiguous(name: str, what: str, found: Sequence[str]) -> InputError:
    more = ", …" if len(found) >= _NAMED else ""
    return InputError(f"{name}: several {what} begin so: {', '.join(one[:16] for one in found[:_NAMED])}{more}")


# ---- saying


def _branch(record: Record, ancestors: Mapping[str, Found], seen: set[str], depth: int) -> Branch:
    """Returns a record above what it was made from; one that was shown before is only named."""
    if record.id in seen:
        return Branch([f"{records.kind_of(record)} {record.id} (shown above)"], [])
    seen.add(record.id)
    below = [Branch([_round(number, step)], []) for number, step in enumerate(getattr(record, "history", ()))]
    for parent in record.parents:
        if depth >= _GENERATIONS:
            below.append(Branch(["…"], []))
        elif parent in ancestors:
            below.append(_branch(ancestors[parent].record, ancestors, seen, depth + 1))
        else:
            below.append(Branch([f"{parent} (in no artifact of this store)"], []))
    return Branch(_said(record), below)


_FACTS = ("origin", "of", "verdict", "method", "name", "group", "value", "shot", "count")
_TEXTS = ("sense", "text", "reason")


def _said(record: Record) -> list[str]:
    """Returns what a record says, in lines: what it is, its text, who made it."""
    facts = [f"{name} {value}" for name in _FACTS if (value := getattr(record, name, None)) not in (None, "")]
    score, bar = getattr(record, "score", None), getattr(record, "bar", None)
    facts += [] if score is None else [f"score {score:.4g}"]
    facts += [] if bar is None else [f"bar {bar:.4g}"]
    name = f"class {record.class_}" if record.class_ else ""
    head = ", ".join(part for part in (f"{records.kind_of(record)} {record.id}", name, *facts) if part)
    texts = [f"{name}: {value}" for name in _TEXTS if (value := getattr(record, name, ""))]
    sha256 = getattr(record, "sha256", "")
    return [
        head,
        *texts,
        *([f"sha256 {sha256}"] if sha256 else []),
        *([f"made by {made(record.made)}"] if record.made else []),
    ]


def made(made: Made) -> str:
    """Returns who made something, and what it cost.

    >>> made(Made(model="sd-turbo", seed=7, attempt=1, usage=Usage(dollars=0.04)))
    'sd-turbo, seed 7, attempt 1, $0.04'
    """
    parts = [made.model]
    parts += [f"prompt {made.prompt}"] if made.prompt else []
    parts += [] if made.seed is None else [f"seed {made.seed}"]
    parts += [f"attempt {made.attempt}"] if made.attempt else []
    return ", ".join([*parts, *_paid(made.model, made.usage)])


def _paid(model: str, usage: Usage) -> list[str]:
    tokens = usage.prompt_tokens + usage.completion_tokens
    said = [f"{tokens:,} tokens"] if tokens else []
    if usage.dollars:
        return [*said, f"${cents(usage.dollars)}"]
    return [*said, "price unknown"] if unpriced(model, usage) else said


def _round(number: int, step: Any) -> str:
    rival = f", nearest other class {step.rival} (margin {step.margin:.3g})" if step.margin is not None else ""
    return f"drawing {number}: score {step.score:.4g}{rival}, {step.sha256[:12]}: {step.text}"


def _answer(kept: Kept) -> Branch:
    """Returns an answer with its question, fields with nothing in them left out."""
    said = msgspec.to_builtins(kept.answer)
    answer = _fields(said) if isinstance(said, dict) else [f"score: {said}"]
    asked = [request_name(kept.request).lower(), *_fields(msgspec.to_builtins(kept.request))]
    head = ", ".join([f"answer {kept.row.key[:12]} of {kept.stage}", *_paid(kept.request.model, kept.usage)])
    return Branch([head], [Branch(asked, []), Branch(["answer", *answer], [])])


def _fields(data: Mapping[str, Any]) -> list[str]:
    found = []
    for name, value in data.items():
        if value not in (None, "", [], {}) and name != "usage":
            first, *others = str(value).split("\n")
            found += [f"{name}: {first}", *(f"  {other}" for other in others)]
    return found
