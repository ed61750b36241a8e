"""Which answers are shared: those that are meant, and none that looks as if it held a key."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ltgc_cli import console, records
from ltgc_cli.cache.archive import Shared, pack
from ltgc_cli.cache.entries import Choice, Kept
from ltgc_cli.cache.verify import named
from ltgc_cli.ports import Comparison, GeneratedImage, Match, Question
from ltgc_cli.providers.secrets import keys_set, scrubbed
from ltgc_cli.records import Class
from ltgc_cli.store import Entry, Row, Store

_HASH = re.compile(r"[0-9a-f]{64}")
_NAMED = 3


class About(NamedTuple):
    """What an artifact's records are about: their classes, as questions name them, and their images."""

    subjects: frozenset[str]
    images: frozenset[str]


def export(
    store: Store, file: Path, stage: str | None, model: str | None, artifact: Path | None, told: Callable[[int], object]
) -> Shared:
    """Returns what was written to the file. Says which answers were left out, as they may hold a key."""
    choice = Choice(stage, model)
    about = about_of(artifact) if artifact else None
    left_out: list[str] = []
    keys = keys_set()

    def wanted(key: str, one: Entry) -> bool:
        kept = Kept(Row(0, key, 0.0, None, 0), *one)
        if not choice.fits(kept, 0.0) or (about and not belongs(one, about)):
            return False
        if holds_a_key(one, keys):
            left_out.append(key)
            return False
        return True

    done = pack(store, file, wanted, told)
    if left_out:
        more = ", …" if len(left_out) > _NAMED else ""
        console.notice(
            f"cache export: {len(left_out):,} answers look as if they held a key, and were left out: "
            f"{', '.join(key[:12] for key in left_out[:_NAMED])}{more} (ltgc cache show)"
        )
    if done.others:
        console.notice(f"cache export: {done.others:,} answers of another version of ltgc were left out")
    return done


def about_of(artifact: Path) -> About:
    """Returns what the records of a file are about. Raises InputError for a line that is no record."""
    subjects: set[str] = set()
    with artifact.open("rb") as lines:
        for record in records.read(lines, str(artifact)):
            subjects.add(record.class_)
            if isinstance(record, Class):
                subjects.add(record.subject)
    return About(frozenset(subjects - {""}), frozenset(named(artifact).images))


def belongs(one: Entry, about: About) -> bool:
    """Returns whether an answer is about one of these images, or a question on one of these classes."""
    request = one.request
    if isinstance(request, Question):
        return request.subject in about.subjects
    if isinstance(request, (Match, Comparison)):
        return request.image in about.images
    return isinstance(one.answer, GeneratedImage) and one.answer.sha256 in about.images


def holds_a_key(one: Entry, keys: Sequence[str]) -> bool:
    """Returns whether a request or an answer holds one of the keys that are set here, or what looks like a key.

    Hashes are none; nor is a model's name, which may be as long as one, unless it is a key that is set here.
    """
    model = one.request.model
    found = _texts([msgspec.to_builtins(one.request), msgspec.to_builtins(one.answer)])
    text = "\n".join(text for text in found if text != model and not _HASH.fullmatch(text))
    return scrubbed(text, keys) != text or any(value in model for value in keys)


def _texts(value: Any) -> list[str]:
    """Returns all texts in plain data."""
    if isinstance(value, (dict, list, tuple)):
        return [text for item in (value.values() if isinstance(value, dict) else value) for text in _texts(item)]
    return [value] if isinstance(value, str) else []
