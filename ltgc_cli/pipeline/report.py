"""The report of a stream: its records, with what the store knows of where they came from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from ltgc_cli import records
from ltgc_cli.errors import InputError
from ltgc_cli.pipeline import lineage
from ltgc_cli.pipeline.dry_run import real
from ltgc_cli.records import Record
from ltgc_cli.report import build, page
from ltgc_cli.report.build import Provenance
from ltgc_cli.report.content import without_repeats
from ltgc_cli.settings import Report
from ltgc_cli.store import Store


def write_report(given: Iterable[Record], store: Store, settings: Report) -> None:
    """Writes a stream's report as one HTML file.

    Raises InputError, before the stream is read, where another file would be overwritten; and for an empty stream.
    """
    page.check_output(settings.output)
    rows = list(real(iter(given)))
    if not rows:
        raise InputError("report found no records in its input; it shows what eval, filter or any stage wrote")
    build.write(rows, store, provenance(rows, store), settings)


def provenance(rows: Sequence[Record], store: Store) -> Provenance:
    """Returns what the store knows of where a stream came from: it knows the stream by the hash of its lines."""
    lines = hashlib.sha256()
    for row in rows:
        lines.update(f"{records.dump(row)}\n".encode())
    runs, gap = lineage.trace(lines.hexdigest(), store.folder)
    rows = without_repeats(rows)
    curves, scores = lineage.curves(rows, store.folder), lineage.real_scores(rows, store, runs)
    return Provenance([lineage.page_run(run) for run in runs], gap, curves, scores)
