"""The commands as functions: for a notebook, a script, a program of one's own.

Each function *is* its command: the same flags as keywords, with the same defaults, checks, LTGC_* variables and
ltgc.toml; the same store, so that what a command asked is not asked again, and the other way round. Records go in and
come out; nothing is read from stdin or written to stdout, and errors are raised (LtgcError) instead of printed. Calls
from several threads wait for each other: a stage asks many questions at once by itself (`concurrency=`).
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ltgc_cli.calling import Given, file_writer, line_writer, lines_of, rows_of, stage, store_of
from ltgc_cli.cli import cost as costing
from ltgc_cli.cli import evaluating, language, learning, pictures
from ltgc_cli.cli import export as exporting
from ltgc_cli.cli import report as reporting
from ltgc_cli.errors import InputError
from ltgc_cli.pipeline.evaluation import predict as predicting
from ltgc_cli.records import Checkpoint, Image, Record, Rejected

if TYPE_CHECKING:
    from PIL import Image as PIL

describe = stage(language.describe)
extend = stage(language.extend)
reflect = stage(language.reflect)
render = stage(pictures.render)
filter = stage(pictures.filter_)
mix_train = stage(learning.mix_train)
eval = evaluate = stage(evaluating.eval_)
cost = stage(costing.cost)
write_report = file_writer(reporting.report, "output")
export = file_writer(exporting.export, "out")
predict = line_writer(predicting.predict)


Kind = Literal["original", "generated", "plain", "rejected"]


def images(
    given: Given,
    class_: str | int | None = None,
    kind: Kind = "generated",
    limit: int | None = None,
    cache_dir: Path | None = None,
) -> list[PIL.Image]:
    """Returns the pictures of a stream, in its order: by default the drawings that were accepted.

    class_ -- only those of one class, by its name or label
    kind -- original, generated, plain (drawn from the bare name) or rejected
    limit -- so many at the most
    cache_dir -- the store that they lie in, by default that of the records
    Raises InputError where one is not in the store.
    """
    from PIL import Image as PIL

    store = store_of(given, cache_dir)
    found = [row for row in rows_of(given) if _pictured(row, kind) and class_ in (None, row.class_, row.label)]
    return [PIL.open(io.BytesIO(store.get_object(row.sha256))) for row in found[:limit]]  # type: ignore[attr-defined]


def _pictured(row: Record, kind: Kind) -> bool:
    if kind == "rejected":
        return isinstance(row, Rejected) and row.of == "image" and bool(row.sha256)
    return isinstance(row, Image) and row.origin == kind


def contact_sheet(given: Given, cache_dir: Path | None = None) -> PIL.Image:
    """Returns one picture of the tail classes: real images, accepted and rejected drawings of each, the rarest first.

    Raises InputError where an image is not in the store.
    """
    from PIL import Image as PIL

    from ltgc_cli.report import contact_sheet as sheets

    sheet = sheets.contact_sheet(rows_of(given), store_of(given, cache_dir).get_object)
    return PIL.open(io.BytesIO(sheet))


def checkpoint(given: Given, method: str = "", cache_dir: Path | None = None) -> Path:
    """Returns the folder of a stream's last checkpoint, or of the last that a method of that name left: for predict.

    Raises InputError where there is none.
    """
    found = [row for row in rows_of(given) if isinstance(row, Checkpoint) and method in ("", row.method)]
    if not found:
        raise InputError(f"no checkpoint{f' of {method}' if method else ''} among the records; mix_train makes one")
    return store_of(given, cache_dir).folder / "checkpoints" / found[-1].sha256


def curves(given: Given, cache_dir: Path | None = None) -> dict[str, list[dict[str, float]]]:
    """Returns the training curve of each checkpoint of a stream, by its method, as `figures.curves` takes them."""
    from ltgc_cli.pipeline import lineage as provenance

    return provenance.curves(rows_of(given), store_of(given, cache_dir).folder)


def real_scores(given: Given, cache_dir: Path | None = None) -> dict[int, list[float]]:
    """Returns what filter scored the original images with, by label, as `figures.scores` takes them.

    Only the store has these scores, and it knows them by the run that wrote the stream: a changed one has none.
    """
    from ltgc_cli.pipeline import lineage as provenance

    rows, store = rows_of(given), store_of(given, cache_dir)
    runs = provenance.road(hashlib.sha256(lines_of(rows).encode()).hexdigest(), store.folder).runs
    found: dict[int, list[float]] = {}
    for row in provenance.with_real_scores(rows, store, runs):
        if isinstance(row, Image) and row.origin == "original" and row.score is not None:
            found.setdefault(row.label, []).append(row.score)
    return found
