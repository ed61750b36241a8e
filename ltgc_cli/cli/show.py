"""Tables for a person, from the records that a stage wrote."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ltgc_cli import console, records
from ltgc_cli.records import Checkpoint, Class, Description, Group, Image, Metric, Record, Rejected, Template
from ltgc_cli.report.accuracy import MEASURES, MethodResult, groups, results, uncertainty_note
from ltgc_cli.report.format import percent
from ltgc_cli.settings import Judging

if TYPE_CHECKING:
    from ltgc_cli.pipeline.preview import Preview

_WIDE = 110
"""Columns of a terminal from which on there is room for quantiles beside the histograms."""
_ROWS = 40  # descriptions shown; the artifact has them all
_PAIRS = 3  # confusions shown of each method; the records have more


def show(artifact: Path, stage: str, stream: IO[str] | None = None) -> None:
    """Prints the table that suits a stage's output, on stdout or another stream."""
    with artifact.open("rb") as lines:
        rows = list(records.read(lines, str(artifact)))
    if stage in ("describe", "extend", "reflect"):
        descriptions(rows)
    elif stage in ("render", "filter"):
        generated_images(rows)
    elif stage == "adapt":
        found = [row for row in rows if isinstance(row, Checkpoint) and not row.classifies]
        said = ("t2i", "images", "classes", "steps", "rank")
        cells = [(row.sha256[:12], *(str(row.settings.get(name, "")) for name in said)) for row in found]
        console.table("", ("adapter", "of", "images", "classes", "steps", "rank"), cells)
    elif stage == "mix-train":
        found = [row for row in rows if isinstance(row, Checkpoint) and row.classifies]
        cells = [(row.method, str(row.settings.get("images", "")), row.sha256[:12]) for row in found]
        console.table("", ("method", "generated images", "checkpoint"), cells)
    else:
        accuracy(rows, stream)
        if stage == "eval":
            measures(rows, stream)


def descriptions(rows: Iterable[Record]) -> None:
    """Prints the descriptions, and how many more there are than fit."""
    found = [row for row in rows if isinstance(row, Description)]
    cells = [(row.class_, row.origin, row.text) for row in found[:_ROWS]]
    console.table("", ("class", "origin", "description"), cells)
    if len(found) > _ROWS:
        console.notice(f"… and {len(found) - _ROWS:,} more")


def generated_images(rows: Iterable[Record]) -> None:
    """Prints, per tail class, how many images were generated, generated again and rejected."""
    cells = [_class(group) for group in records.by_class(rows) if group.cls.tail]
    counts = ("class", "training images", "descriptions", "images", "regenerated", "rejected")
    console.table("", (*counts, "threshold", "mean score"), cells)


def _class(group: Group) -> tuple[str, ...]:
    rejected = [row for row in group.rows if isinstance(row, Rejected) and row.of == "image"]
    template = next((row for row in group.rows if isinstance(row, Template)), None)
    scores = [image.score for image in group.generated if image.score is not None]
    return (
        group.cls.class_,
        "" if group.cls.count is None else str(group.cls.count),
        str(sum(isinstance(row, Description) for row in group.rows)),
        str(len(group.generated)),
        str(_regenerated([*group.generated, *rejected])),
        str(len(rejected)),
        f"{template.threshold:.3f}" if template and template.threshold is not None else "",
        f"{sum(scores) / len(scores):.3f}" if scores else "",
    )


def _regenerated(judged: Iterable[Image | Rejected]) -> int:
    """Returns how many images were generated over and above the first of each description."""
    return sum(max(0, len(row.history) - 1) for row in judged)


def accuracy(rows: Iterable[Record], stream: IO[str] | None = None) -> None:
    """Prints accuracy in percent, a method a line, over many / medium / few / all, and at most 5 where it was measured.

    What was published stands under a rule, behind what was measured here.
    """
    found = results(rows)
    columns = groups(found)
    here = [_cells(one, columns) for one in found if not one.source]
    published = [_cells(one, columns) for one in found if one.source]
    rule = [("–––––",) * (len(columns) + 1)] if published else []
    notes = uncertainty_note(found, "± half a 95% interval", "runs: ± standard deviation")
    title = "accuracy, %" + (f" ({'; '.join(notes)})" if notes else "")
    console.table(title, ("method", *columns.values()), [*here, *rule, *published], stream)
    if published:
        console.notice(f"published: {'; '.join(sorted({one.source for one in found if one.source}))}")


def measures(rows: Sequence[Record], stream: IO[str] | None = None) -> None:
    """Prints what else was measured: means over classes, the worst class, calibration, confusions."""
    found = [one for one in results(rows) if not one.source and ("class_mean", "all") in one.values]
    if not found:
        return
    # Whether the accuracy over the images of every group is the mean over its classes.
    columns = groups(found)
    balanced = all(one.value(group) == one.value(group, "class_mean") for one in found for group in columns)
    if not balanced:
        means = [_cells(one, columns, "class_mean") for one in found]
        console.table(
            "mean over classes, % (the test set is not balanced)", ("method", *columns.values()), means, stream
        )
    console.table(
        "over all classes, %" + (" (balanced: accuracies are class means too)" if balanced else ""),
        ("method", *("ECE" if name == "calibration_error" else title for name, title in MEASURES.items())),
        [(one.title, *(percent(one.value("all", name)) for name in MEASURES)) for one in found],
        stream,
    )
    pairs: dict[str, list[Metric]] = {}
    for row in rows:
        if isinstance(row, Metric) and row.method and row.group == "pair":
            pairs.setdefault(row.method, []).append(row)
    cells = [
        (method, row.class_, row.predicted, f"{row.images:,}", percent(row.value))
        for method, own in pairs.items()
        for row in own[:_PAIRS]
    ]
    if cells:
        console.table("worst confusions", ("method", "class", "taken for", "images", "% of its"), cells, stream)


def _cells(one: MethodResult, columns: Iterable[str], name: str = "accuracy") -> tuple[str, ...]:
    return (one.title, *(one.cell(group, name) for group in columns))


def totals(rows: Sequence[Record]) -> None:
    """Prints how many descriptions, generated images and rejections the whole stream holds."""
    images = [row for row in rows if isinstance(row, Image) and row.origin == "generated"]
    rejected = [row for row in rows if isinstance(row, Rejected) and row.of == "image"]
    texts = [row for row in rows if isinstance(row, Description)]
    cells = [
        ("tail classes", str(sum(isinstance(row, Class) and row.tail for row in rows))),
        ("descriptions of original images", str(sum(row.origin == "described" for row in texts))),
        ("descriptions added by the language model", str(sum(row.origin != "described" for row in texts))),
        ("generated images accepted", str(len(images))),
        ("images generated again after a refinement", str(_regenerated([*images, *rejected]))),
        ("descriptions without an accepted image", str(len(rejected))),
    ]
    console.table("", ("", "number"), cells)


def preview(found: Preview, judging: Judging, *, as_table: bool) -> None:
    """Prints how images score as a table: on stderr where stdout is no terminal and has the metric records."""
    if not as_table:
        for metric in found.metrics:
            sys.stdout.write(records.dump(metric) + "\n")
        sys.stdout.flush()
    narrow = as_table and shutil.get_terminal_size().columns < _WIDE
    from ltgc_cli.stages import preview as spread  # and with it all stages: loaded when wanted

    columns, rows = spread.table(found.spreads, judging, narrow=narrow)
    console.table("", columns, rows, stream=None if as_table else sys.stderr)
    if found.asked:
        console.notice(f"filter --preview: {found.asked}")
    kind = "percentile of the originals" if judging.scale == "calibrated" else f"threshold on the {judging.scale} scale"
    console.notice(f"filter: a column a {kind}, and the generated images that it passes; * is --threshold")
