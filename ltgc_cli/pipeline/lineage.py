"""Where a stream came from: the runs that led to it, by their manifests; the curves and scores in the store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ltgc_cli.files import read_regular
from ltgc_cli.manifest import Manifest
from ltgc_cli.pipeline.evaluation.methods import distinct_names
from ltgc_cli.pipeline.stage import ALONE
from ltgc_cli.ports import Match
from ltgc_cli.providers.secrets import scrubbed
from ltgc_cli.records import Checkpoint, Class, Image, Record, Template
from ltgc_cli.settings import Scale
from ltgc_cli.stages.thresholds import clip_text, scaled
from ltgc_cli.store import Store, key
from ltgc_cli.text import counted

if TYPE_CHECKING:
    from ltgc_cli.report.page import PageRun

_MOST = 400
"""Characters of one setting that are shown."""


_FIRST_STAGES = ("describe", "extend")
"""Stages that begin with data or with names: nothing need be before them."""
_WHY_NOT = "several streams put together, lines changed or left out on the way, or a run of which some was refused"


class Lineage(NamedTuple):
    """The runs that led to a stream, the first one first, and why nothing is known from before them."""

    runs: tuple[Manifest, ...]
    gap: str = ""


def trace(digest: str, folder: Path) -> Lineage:
    """Returns the lineage of a stream: what a run read was written by the run before it.

    digest -- sha256 of the stream's bytes
    folder -- the store's
    """
    by_output = _runs_by_output(folder)
    runs: list[Manifest] = []
    seen: set[str] = set()
    while digest in by_output and digest not in seen:
        seen.add(digest)
        # A run that changed nothing wrote what it read; of each stage only the latest such run is shown.
        idle = {done.stage: done for done in by_output[digest] if done.input == digest}
        made = [done for done in by_output[digest] if done.input != digest][-1:]
        runs[:0] = [*made, *idle.values()]
        digest = made[0].input if made else digest
    if not runs:
        return Lineage((), f"No run in the store wrote this stream as it is: {_WHY_NOT}.")
    first = runs[0]
    if first.input == ALONE or first.stage in _FIRST_STAGES:
        return Lineage(tuple(runs))
    return Lineage(tuple(runs), f"What {first.stage} read was written by no run in the store as it is: {_WHY_NOT}.")


def _runs_by_output(folder: Path) -> dict[str, list[Manifest]]:
    """Returns all whole runs by the sha256 of what they wrote, the latest last. What is no manifest is passed over."""
    found: dict[str, list[Manifest]] = {}
    runs: list[tuple[float, str, Manifest]] = []
    for path in folder.glob("artifacts/*/*.json"):
        with suppress(OSError, ValueError, RecursionError):
            runs.append((path.stat().st_mtime, path.name, msgspec.json.decode(read_regular(path), type=Manifest)))
    for *_, done in sorted(runs, key=lambda run: run[:2]):
        if done.output:
            found.setdefault(done.output, []).append(done)
    return found


def page_run(done: Manifest) -> PageRun:
    """Returns a run as the report shows it: its settings as text, nothing in them that looks like a key."""
    from ltgc_cli.report.page import PageRun

    # The style's own name of what the flag is called: both are in the flags, and both say the same.
    hidden = {"strength"} if "from-original" in done.flags else set()
    return PageRun(
        stage=f"{done.stage}: {name}" if (name := done.flags.get("name")) else done.stage,
        settings={flag: setting_text(value) for flag, value in done.flags.items() if flag not in hidden},
        answers={kind: (one.asked, one.found, one.failed) for kind, one in done.answers.items()},
        dollars=done.dollars,
        unpriced=done.unpriced,
        versions=done.versions,
        made=", ".join(counted(count, kind) for kind, count in done.kinds.items()),
    )


def setting_text(value: Any) -> str:
    """Returns a setting as text.

    >>> [setting_text(value) for value in (None, True, 0.4, "http://me:secret@host/v1", "a1" * 32)]
    ['not set', 'yes', '0.4', 'http://…@host/v1', 'a1a1a1a1a1a1…']
    """
    if value is None or value == "":
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) == 64 and set(text) <= set("0123456789abcdef"):
        return f"{text[:12]}…"
    text = scrubbed(text)
    return text if len(text) <= _MOST else f"{text[:_MOST]}…"


def curves(rows: Sequence[Record], folder: Path) -> dict[str, list[dict[str, float]]]:
    """Returns the training curve of each checkpoint of a stream, by its method; those without one are left out."""
    found = {}
    checkpoints = list({row.id: row for row in rows if isinstance(row, Checkpoint) and row.classifies}.values())
    for one in distinct_names(checkpoints):
        if len(one.checkpoint.sha256) == 64 and one.checkpoint.sha256.isalnum():
            curve = _curve(folder / "checkpoints" / one.checkpoint.sha256 / "metrics.jsonl")
            found.update({one.method: curve} if curve else {})
    return found


def _curve(path: Path) -> list[dict[str, float]]:
    try:
        reports = [json.loads(line) for line in read_regular(path).decode().splitlines()]
    except (OSError, ValueError, RecursionError):
        return []
    return [
        {name: float(value) for name, value in report.items() if isinstance(value, int | float)}
        for report in reports
        if isinstance(report, dict)
    ]


class ScoredBy(NamedTuple):
    """The CLIP that scored the generated images and the scale, empty where neither runs nor records say."""

    clip: str
    scale: Any


def real_scores(rows: Sequence[Record], store: Store, runs: Sequence[Manifest]) -> dict[int, list[float]]:
    """Returns the scores that filter found for the original images, by label, where the records or the store have them.

    A stream does not hold these: they set the threshold, and are asked for as those of generated images are.
    """
    scale = next((row.scale for row in rows if isinstance(row, Image) and row.scale), "")
    return scores_of_originals(rows, store, judge_of(rows, scale, runs))


def scores_of_originals(rows: Sequence[Record], store: Store, judge: ScoredBy) -> dict[int, list[float]]:
    """Returns the same of whole classes, where the judge is known."""
    clip, scale = judge
    templates = {row.label: row for row in rows if isinstance(row, Template)} if clip and scale else {}
    if scale == "margin":  # two answers each, one of them of a list that no record names
        templates = {}
    classes = {row.label: row for row in rows if isinstance(row, Class)}
    texts = {label: clip_text(template, classes[label]) for label, template in templates.items() if label in classes}
    found: dict[int, list[float]] = {}
    for row in rows:
        if isinstance(row, Image) and row.origin == "original":
            score = row.score
            if score is None and row.label in texts:
                score = _score(row, texts[row.label], clip, scale, store)
            if score is not None:
                found.setdefault(row.label, []).append(score)
    return found


def judge_of(rows: Iterable[Record], scale: str, runs: Sequence[Manifest]) -> ScoredBy:
    """Returns who scored the generated images: what a run of filter says, else the first checkpoint of the records."""
    filters = [str(run.flags.get("clip", "")) for run in runs if run.stage == "filter"]
    trained = [str(row.settings.get("clip", "")) for row in rows if isinstance(row, Checkpoint) and row.classifies]
    return ScoredBy(next(iter([*filters, *trained]), ""), scale)


def _score(row: Image, text: str, clip: str, scale: Scale, store: Store) -> float | None:
    entry = store.get(key(Match(model=clip, image=row.sha256, text=text)))
    cosine = entry.get("answer") if entry else None
    return round(scaled(float(cosine), scale), 6) if isinstance(cosine, int | float) else None
