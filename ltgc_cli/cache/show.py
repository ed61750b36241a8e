"""What `ltgc cache show` shows: a list of answers or artifacts; or one record with everything that it was made from."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from ltgc_cli import manifest, records
from ltgc_cli.cache.walk import SHORTEST, Stored, answer, fits, walk
from ltgc_cli.console import Branch
from ltgc_cli.errors import InputError
from ltgc_cli.files import whole_lines
from ltgc_cli.ports import GeneratedImage, Usage, unpriced
from ltgc_cli.records import Made, Record
from ltgc_cli.settings import Choice
from ltgc_cli.store import Store
from ltgc_cli.text import cents, counted

_ID = re.compile(rb'"id":\s*"([^"\\]{1,80})"')
_GENERATIONS = 50  # steps that a record is followed back; a whole pipeline has six
_NAMED = 5  # candidates that are named where an id is not enough
_FACTS = ("class", "origin", "of", "verdict", "method", "name", "group", "value", "shot", "count")
_TEXTS = ("sense", "text", "reason")

Shown = tuple[list[str], list[Branch]]  # a line of JSON for each record, for programs, and trees for people


# ---- the list


def answers(store: Store, choice: Choice) -> Iterator[dict[str, Any]]:
    """Returns the answers that are meant, in the order stored; dollars are None where the price is not known."""
    for one in (one for one in walk(store, "answers") if fits(choice, one)):
        about = {"kind": "answer", "key": one.name, "stage": one.stage, "model": one.model, "subject": one.subject}
        tokens = one.usage.prompt_tokens + one.usage.completion_tokens
        yield about | {"tokens": tokens, "dollars": one.usage.dollars, "bytes": one.size, "stored": _utc(one.time)}


def artifacts(store: Store, choice: Choice) -> Iterator[dict[str, Any]]:
    """Returns the artifacts that are meant, the newest first."""
    for one in (one for one in _newest(store) if fits(choice, one)):
        known = manifest.read(one.path)
        about = {"kind": "artifact", "stage": one.stage, "path": str(one.path), "whole": known is not None}
        made = {"kinds": known.kinds if known else {}, "dollars": known.dollars if known else None}
        yield about | made | {"bytes": one.path.stat().st_size, "made": _utc(one.time)}


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _newest(store: Store) -> list[Stored]:
    """Returns the artifacts that have lines, the newest first."""
    found = [one for one in walk(store, "artifacts") if one.path.is_file() and not one.path.is_symlink()]
    return sorted(found, key=lambda one: one.time, reverse=True)


# ---- one


def show(store: Store, name: str, *, children: bool) -> Shown:
    """Returns the records under an id, or with an image, or the answers under a key; a prefix of each is enough.

    Artifacts are read from the newest on, as lines of bytes, of which only those that matter are parsed.
    Raises InputError where nothing is there, or where the prefix is not enough.
    """
    if len(name) < SHORTEST or '"' in name:
        raise InputError(f"{name!r}: give an id, a key or an image's sha256, or at least {SHORTEST} characters of it")
    if rows := list(islice(store.sorted_rows(name), _NAMED)):
        return _shown_answers([answer(_only(name, "keys", {row.key: row for row in rows}))])
    paths = [one.path for one in _newest(store)]
    home, asked = _asked(paths, name)
    if asked:
        # What a record was made from is in its own artifact most of the time: stages hand on what they read.
        ancestors = _ancestors([home, *paths], asked)
        return _shown_records(asked, ancestors, _children(home, asked) if children else [])
    entries = ((one, one.entry.answer) for one in walk(store, "answers") if one.entry)
    images = [one for one, said in entries if isinstance(said, GeneratedImage) and said.sha256.startswith(name)]
    if not images:
        raise InputError(
            f"{name}: no record, answer or image of {store.folder} begins so; `ltgc cache show` lists the answers, "
            "and records have their `id` in every line"
        )
    return _shown_answers(images)


def _only(name: str, what: str, found: Mapping[str, Any]) -> Any:
    """Returns what is under the name, or else under the only one that there is. Raises InputError for several."""
    if name not in found and len(found) > 1:
        more = ", …" if len(found) >= _NAMED else ""
        named = ", ".join(one[:16] for one in sorted(found)[:_NAMED])
        raise InputError(f"{name}: several {what} begin so: {named}{more}")
    return found.get(name) or next(iter(found.values()))


def _asked(paths: Sequence[Path], name: str) -> tuple[Path, list[Record]]:
    """Returns the newest artifact that has any, and its records: one of this id, or all with this image."""
    part = b'"' + json.dumps(name, ensure_ascii=False)[1:-1].encode()
    for path in paths:
        found = {record.id: record for record in _records(path, lambda line: part in line)}
        if ids := {id: record for id, record in found.items() if id.startswith(name)}:
            return path, [_only(name, "ids", ids)]
        images: dict[str, list[Record]] = {}
        for record in found.values():
            earlier = [step.sha256 for step in getattr(record, "history", ())]
            for sha256 in {getattr(record, "sha256", ""), *earlier}:
                images.setdefault(sha256, []).append(record)
        if images := {sha256: named for sha256, named in images.items() if sha256.startswith(name)}:
            return path, _only(name, "images", images)
    return Path(), []


def _ancestors(paths: Sequence[Path], asked: Sequence[Record]) -> dict[str, Record]:
    """Returns by id everything that records were made from, each from the first file that has it."""
    known: dict[str, Record] = {}
    wanted = {parent for record in asked for parent in record.parents}
    for _ in range(_GENERATIONS):
        new: dict[str, Record] = {}
        for path in paths:
            if left := {id.encode() for id in wanted - new.keys()}:
                new |= {record.id: record for record in _records(path, _identified(left))}
        known |= new
        wanted = {parent for record in new.values() for parent in record.parents} - known.keys()
    return known


def _identified(ids: set[bytes]) -> Callable[[bytes], bool]:
    return lambda line: (id := _ID.search(line)) is not None and id[1] in ids


def _children(path: Path, asked: Sequence[Record]) -> list[Record]:
    ids = {record.id for record in asked}
    quoted = [f'"{id}"'.encode() for id in ids]
    near = _records(path, lambda line: any(id in line for id in quoted))
    return [record for record in near if ids & set(record.parents)]


def _records(path: Path, wanted: Callable[[bytes], bool]) -> Iterator[Record]:
    """Returns the records of an artifact whose lines are wanted; a damaged one is left to `ltgc cache verify`."""
    with path.open("rb") as lines:
        for line in filter(wanted, whole_lines(lines, path)):
            try:
                yield records.parse(line.decode())
            except ValueError:
                continue


def _shown_records(asked: Sequence[Record], ancestors: Mapping[str, Record], children: Sequence[Record]) -> Shown:
    """Returns each record once, what was asked for first; below each in the tree is what it was made from."""
    unique: dict[str, Record] = {}
    for record in [*asked, *ancestors.values(), *children]:
        unique.setdefault(record.id, record)
    seen: set[str] = set()
    trees = [_branch(record, ancestors, seen) for record in asked]
    if children:
        trees.append(Branch(["made from it"], [Branch(_facts(record), []) for record in children]))
    return [records.dump(record) for record in unique.values()], trees


def _branch(record: Record, ancestors: Mapping[str, Record], seen: set[str]) -> Branch:
    """Returns a record above what it was made from; one that was shown before is only named."""
    if record.id in seen:
        return Branch([f"{records.kind_of(record)} {record.id} (shown above)"], [])
    seen.add(record.id)
    below = []
    for number, step in enumerate(json.loads(records.dump(record)).get("history", ())):
        margin = step.get("margin")
        nearest = "" if margin is None else f", nearest class {step.get('rival', '')} (margin {margin:.3g})"
        score = f"score {step['score']:.4g}{nearest}"
        below.append(Branch([f"image {number}: {score}, {step['sha256'][:12]}: {step['text']}"], []))
    for parent in record.parents:
        gone = Branch([f"{parent} (in no artifact of this store)"], [])
        below.append(_branch(ancestors[parent], ancestors, seen) if parent in ancestors else gone)
    return Branch(_facts(record), below)


def _facts(record: Record) -> list[str]:
    """Returns what a record says, in lines: what it is, its text, who made it."""
    data = json.loads(records.dump(record))
    facts = [f"{name} {data[name]}" for name in _FACTS if data.get(name) not in (None, "")]
    numbers = {"score": data.get("score"), "threshold": data.get("bar")}
    facts += [f"{name} {value:.4g}" for name, value in numbers.items() if value is not None]
    texts = [f"{name}: {data[name]}" for name in _TEXTS if data.get(name)]
    texts += [f"sha256 {data['sha256']}"] if data.get("sha256") else []
    texts += [f"made by {made(record.made)}"] if record.made else []
    return [", ".join([f"{data['kind']} {record.id}", *facts]), *texts]


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
    paid = [counted(tokens, "token")] if tokens else []
    if usage.dollars:
        return [*paid, f"${cents(usage.dollars)}"]
    return [*paid, "price unknown"] if unpriced(model, usage) else paid


def _shown_answers(found: Sequence[Stored]) -> Shown:
    lines, trees = [], []
    for one in found:
        if not one.row or not one.entry:
            raise InputError(f"answer {one.name[:12]}: {one.error}; `ltgc cache verify` says what to do")
        line = {"kind": "answer", "key": one.name, **json.loads(one.row.text or "{}")}
        lines.append(json.dumps(line, ensure_ascii=False, separators=(",", ":")))
        asked, said = map(msgspec.to_builtins, one.entry)
        head = ", ".join([f"answer {one.name[:12]} of {one.stage}", *_paid(one.model, one.usage)])
        question = Branch([type(one.entry.request).__name__, *_fields(asked)], [])
        reply = Branch(["answer", *_fields(said if isinstance(said, dict) else {"score": said})], [])
        trees.append(Branch([head], [question, reply]))
    return lines, trees


def _fields(data: Mapping[str, Any]) -> list[str]:
    """Returns the fields that have something in them, a line each, longer texts indented."""
    found: list[str] = []
    for name, value in data.items():
        if value not in (None, "", [], {}) and name != "usage":
            found += f"{name}: {value}".replace("\n", "\n  ").split("\n")
    return found
