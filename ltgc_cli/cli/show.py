"""Tables for a person, from the records that a stage wrote."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ltgc_cli import console, records
from ltgc_cli.records import Checkpoint, Class, Description, Image, Metric, Record, Rejected, Template

_ROWS = 40
"""Descriptions shown; the artifact has them all."""

GROUPS = ("many", "medium", "few", "all")


def show(artifact: Path, stage: str) -> None:
    """Prints the table that suits a stage's output."""
    with artifact.open(encoding="utf-8") as lines:
        rows = list(records.read(lines, str(artifact)))
    if stage in ("describe", "extend", "reflect"):
        descriptions(rows)
    elif stage in ("render", "filter"):
        drawings(rows)
    elif stage == "mix-train":
        checkpoints(rows)
    else:
        accuracy(rows)
        measures(rows)


def descriptions(rows: Iterable[Record]) -> None:
    """Prints the descriptions, and how many more there are than fit."""
    found = [row for row in rows if isinstance(row, Description)]
    cells = [(row.class_, row.origin, row.text) for row in found[:_ROWS]]
    console.table("", ("class", "origin", "description"), cells)
    if len(found) > _ROWS:
        console.notice(f"… and {len(found) - _ROWS:,} more")


def drawings(rows: Iterable[Record]) -> None:
    """Prints, per tail class, what was drawn and what became of it."""
    cells = []
    for group in records.by_class(rows):
        if group.cls.tail:
            cells.append(_drawn(group.cls, group.rows))
    columns = ("class", "training images", "descriptions", "images", "redrawn", "rejected", "bar", "mean score")
    console.table("", columns, cells)


def _drawn(cls: Class, rows: Sequence[Record]) -> tuple[str, ...]:
    images = [row for row in rows if isinstance(row, Image) and row.origin == "generated"]
    rejected = [row for row in rows if isinstance(row, Rejected) and row.of == "image"]
    template = next((row for row in rows if isinstance(row, Template)), None)
    scores = [image.score for image in images if image.score is not None]
    return (
        cls.class_,
        str(cls.count if cls.count is not None else ""),
        str(sum(isinstance(row, Description) for row in rows)),
        str(len(images)),
        str(redrawn([*images, *rejected])),
        str(len(rejected)),
        f"{template.threshold:.3f}" if template and template.threshold is not None else "",
        f"{sum(scores) / len(scores):.3f}" if scores else "",
    )


def redrawn(judged: Iterable[Image | Rejected]) -> int:
    """Returns how many drawings were made over and above the first of each description."""
    return sum(max(0, len(row.history) - 1) for row in judged)


def checkpoints(rows: Iterable[Record]) -> None:
    """Prints what was trained."""
    cells = [
        (row.method, str(row.settings.get("images", "")), row.sha256[:12])
        for row in rows
        if isinstance(row, Checkpoint)
    ]
    console.table("", ("method", "generated images", "checkpoint"), cells)


def accuracy(rows: Iterable[Record]) -> None:
    """Prints accuracy in percent, a method a line, over many / medium / few / all.

    What was published stands under a rule, behind what was measured here.
    """
    found = [row for row in rows if isinstance(row, Metric) and row.method]
    lines = _by_method([row for row in found if not row.source])
    other = _by_method([row for row in found if row.source])
    cells = [_cells(line, "accuracy", GROUPS) for line in lines.values()]
    if other:
        cells.append(_RULE[: len(GROUPS) + 1])
        cells += [_cells(line, "accuracy", GROUPS) for line in other.values()]
    console.table(f"accuracy, %{_uncertainty(found)}", ("method", *GROUPS), cells)
    sources = sorted({row.source for row in found if row.source})
    if sources:
        console.notice(f"published: {'; '.join(sources)}")


def measures(rows: Iterable[Record]) -> None:
    """Prints what else was measured: means over classes, the worst class, calibration, confusions."""
    found = [row for row in rows if isinstance(row, Metric) and row.method and not row.source]
    lines = {key: line for key, line in _by_method(found).items() if ("class_mean", "all") in line}
    if not lines:
        return
    balanced = [line for line in lines.values() if _balanced(line)]
    if len(balanced) < len(lines):
        means = [_cells(line, "class_mean", GROUPS) for line in lines.values()]
        console.table("mean over classes, % (the test set is not balanced)", ("method", *GROUPS), means)
    columns = ("method", "class mean", "harmonic mean", "worst class", "macro-F1", "ECE")
    names = ("class_mean", "harmonic_mean", "worst_class", "macro_f1", "calibration_error")
    console.table(
        "over all classes, %" + (" (balanced: accuracies are class means too)" if len(balanced) == len(lines) else ""),
        columns,
        [(_title(line), *(percent(_value(line, name, "all")) for name in names)) for line in lines.values()],
    )
    _confusions([row for row in found if row.group == "pair"])


Line = dict[tuple[str, str], Metric]
"""What was measured of one method, by measure and group."""
_RULE = ("–––––",) * 5
_PAIRS = 3
"""Confusions shown of each method; the records have more."""


def _by_method(found: Iterable[Metric]) -> dict[tuple[str, int], Line]:
    lines: dict[tuple[str, int], Line] = {}
    for row in found:
        if row.group in GROUPS and row.name not in ("cost", "questions"):
            lines.setdefault((row.method, row.runs), {})[row.name, row.group] = row
    return {key: line for key, line in lines.items() if ("accuracy", "all") in line or ("accuracy", "few") in line}


def _cells(line: Line, name: str, groups: Sequence[str]) -> tuple[str, ...]:
    return (_title(line), *(_cell(line.get((name, group))) for group in groups))


def _title(line: Line) -> str:
    row = next(iter(line.values()))
    return f"{row.method}, {row.runs} runs" if row.runs > 1 else row.method


def _cell(row: Metric | None) -> str:
    """Returns a value and how sure it is: half its interval, or its spread over runs."""
    if row is None or row.value is None:
        return "–"
    if row.spread is not None:
        return f"{row.value:.1f} ± {row.spread:.1f}"
    if row.low is not None and row.high is not None:
        return f"{row.value:.1f} ± {(row.high - row.low) / 2:.1f}"
    return f"{row.value:.1f}"


def _uncertainty(found: Sequence[Metric]) -> str:
    said = ["± half a 95% interval"] if any(row.low is not None for row in found) else []
    said += ["runs: ± standard deviation"] if any(row.spread is not None for row in found) else []
    return f" ({'; '.join(said)})" if said else ""


def _balanced(line: Line) -> bool:
    """Returns whether the accuracy over the images of every group is the mean over its classes."""
    return all(_value(line, "accuracy", group) == _value(line, "class_mean", group) for group in GROUPS)


def _value(line: Line, name: str, group: str) -> float | None:
    row = line.get((name, group))
    return row.value if row else None


def _confusions(pairs: Sequence[Metric]) -> None:
    by_method: dict[str, list[Metric]] = {}
    for row in pairs:
        by_method.setdefault(row.method, []).append(row)
    cells = [
        (method, row.class_, row.predicted, f"{row.images:,}", percent(row.value))
        for method, own in by_method.items()
        for row in own[:_PAIRS]
    ]
    if cells:
        console.table("worst confusions", ("method", "class", "taken for", "images", "% of its"), cells)


def percent(value: float | None) -> str:
    """Returns a percentage with one decimal, or a dash where there is none."""
    return "–" if value is None else f"{value:.1f}"


def totals(rows: Sequence[Record]) -> None:
    """Prints how many descriptions, drawings, rejections and redrawings the whole stream holds."""
    images = [row for row in rows if isinstance(row, Image) and row.origin == "generated"]
    rejected = [row for row in rows if isinstance(row, Rejected) and row.of == "image"]
    texts = [row for row in rows if isinstance(row, Description)]
    cells = [
        ("tail classes", str(sum(isinstance(row, Class) and row.tail for row in rows))),
        ("descriptions of original images", str(sum(row.origin == "described" for row in texts))),
        ("descriptions added by the language model", str(sum(row.origin != "described" for row in texts))),
        ("drawings accepted", str(len(images))),
        ("drawings made again after a refinement", str(redrawn([*images, *rejected]))),
        ("descriptions that no drawing passed for", str(len(rejected))),
    ]
    console.table("", ("", "number"), cells)
