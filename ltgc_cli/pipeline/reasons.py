"""Why a run asked although its stage had run before: what is new in its input, or which setting changed."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

from ltgc_cli import manifest, records
from ltgc_cli.errors import InputError
from ltgc_cli.manifest import Manifest
from ltgc_cli.records import Class, Description, Image
from ltgc_cli.text import counted

_COMPARED = 20
"""Earlier runs looked through for the one that is most like this one."""

_LARGEST = 1 << 26
"""Bytes of a stream that is compared line by line."""

_NAMED = 2
"""Classes that are named; of more there is the number."""

_MODELS = {"lmm": "--lmm", "llm": "--llm", "direct": "--lmm", "t2i": "--t2i", "clip": "--clip"}
_OF_VERSION = {"reader", "measures", "parts", "pixels", "trial"}
"""What a newer version of ltgc changes, and no person."""

Things = dict[str, dict[str, set[str]]]
"""What a stream has, by class and by what it is called."""


def why(done: Manifest, artifact: Path, given: Path | None, made: Path, *, retried: bool) -> str:
    """Returns why something was asked, as the summary has it; "" for a first run, and where nothing is known.

    It is a remark: what is damaged, or gone by now, explains nothing, and ends no run that was paid for.

    artifact -- where the run's lines will be; what is there is still that of the run before
    given -- the lines that it read, where they are in a file; made -- those that it wrote
    retried -- whether failures are asked again
    """
    try:
        return _why(done, artifact, given, made, retried=retried)
    except Exception:
        return ""


def _why(done: Manifest, artifact: Path, given: Path | None, made: Path, *, retried: bool) -> str:
    if artifact.exists():
        again = "of --retry-failures" if retried else "answers were refused the last time"
        return f" (asked because {again})"
    flags = json.loads(json.dumps(done.flags, default=str))  # as a manifest that was read has them: lists, no tuples
    earlier = [(found, path) for path in _latest(artifact.parent) if (found := manifest.read(path))]
    if not earlier:
        return ""
    before, path = min(earlier, key=lambda one: len(_changed(one[0].flags, flags)) + (one[0].input != done.input))
    reasons = _named(before.flags, flags)
    if before.prompts and before.prompts != done.prompts:
        reasons.append("the prompts of this version of ltgc are others")
    if before.input != done.input:
        # Of what it wrote only the images were surely there before it asked.
        new = _new(path, given or made, ("image", "description", "generated image") if given else ("image",))
        # With nothing in common it is another piece of work, which no setting explains.
        reasons = [*reasons, *new] if new is not None else []
    return f" (asked because {' and '.join(reasons)})" if reasons else ""


def _changed(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return [name for name in {**now, **before} if before.get(name) != now.get(name)]


def _named(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Returns the settings that changed, as a person typed them."""
    changed = [name for name in _changed(before, now) if name not in _OF_VERSION]
    typed = list(dict.fromkeys(_typed(name, str(before.get(name)), str(now.get(name))) for name in changed))
    return [f"{', '.join(typed)} changed"] if typed else []


def _typed(name: str, before: str, now: str) -> str:
    """Returns what a person changed: of a model that is called as it was, its server, its name or its weights.

    >>> _typed("llm", "openai/llama@localhost:8000", "openai/llama"), _typed("t2i", "sd@1a2b", "sd@3c4d")
    ('--api-base', 'what lies behind --t2i')
    >>> _typed("class_", "[]", "['crane']"), _typed("llm", "openai/a#x", "openai/a#y")
    ('--class', '--model-id')
    """
    flag = _MODELS.get(name, "--" + name.strip("_").replace("_", "-"))
    same = re.split("[@#]", before)[0] == re.split("[@#]", now)[0]
    if name not in _MODELS or not same:
        return flag
    is_image_api, own_file = before.startswith("litellm:"), before.startswith(("replay@", "embedded/"))
    if name == "clip" or own_file or (name == "t2i" and not is_image_api):
        return f"what lies behind {flag}"
    prefix = "--t2i-" if name == "t2i" else "--"
    return f"{prefix}model-id" if "#" in before + now else f"{prefix}api-base"


def _new(before: Path, now: Path, kinds: tuple[str, ...]) -> list[str] | None:
    """Returns what a stream has that an earlier run did not have; None where they have no class in common."""
    if max(before.stat().st_size, now.stat().st_size) > _LARGEST:
        return ["the input changed"]
    known, given = _things(before), _things(now)
    if known.keys().isdisjoint(given):
        return None
    found = []
    if classes := [name for name in given if name not in known]:
        found.append(f"{counted(len(classes), 'new class')} ({_listed(classes)})")
    for what in kinds:
        counts = {name: len(given[name][what] - known[name][what]) for name in given if name in known}
        if names := [name for name, count in counts.items() if count]:
            found.append(f"{counted(sum(counts.values()), f'new {what}')} in {_listed(names)}")
    return [", ".join(found)] if found else ["the input changed"]


def _things(path: Path) -> Things:
    """Returns the classes of a stream, with their original images, descriptions and generated images."""
    found: Things = defaultdict(lambda: defaultdict(set))
    with suppress(InputError, OSError), path.open("rb") as lines:
        for row in records.read(lines):
            if isinstance(row, Class):
                found[row.class_]["class"].add(row.class_)
            elif isinstance(row, Image):
                found[row.class_]["image" if row.origin == "original" else "generated image"].add(row.sha256)
            elif isinstance(row, Description):
                found[row.class_]["description"].add(row.text)
    return found


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {counted(more, 'more class')}" if more > 0 else "")


def _latest(folder: Path) -> list[Path]:
    ages = {}
    for path in folder.glob("*.jsonl"):
        with suppress(OSError):  # deleted by another process meanwhile
            ages[path] = path.stat().st_mtime
    return sorted(ages, key=lambda path: ages[path], reverse=True)[:_COMPARED]
