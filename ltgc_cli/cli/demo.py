"""The demonstration: the seven stages on real handwriting, the baselines beside them, a table and a contact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltgc_cli import console
from ltgc_cli.cli.app import app
from ltgc_cli.cli.flags import command
from ltgc_cli.config import Config, configure
from ltgc_cli.settings import Demo, Report, Storage

if TYPE_CHECKING:
    from ltgc_cli.records import Record
    from ltgc_cli.store import Store

_TITLE = "Handwritten digits, cut to a long tail"
_PLAIN = 4
"""Images from each bare class name that the report shows beside the others."""


@command(app)
def demo(config: Config) -> None:
    """Run all seven stages on scikit-learn's handwritten digits cut to a long tail, offline, in a few minutes.

    Asks nobody and costs nothing: all models are embedded. Writes a report, a contact sheet and every record to --out.

    \b
    ltgc demo
    ltgc demo --seed 1 --out demo-1    # other classes are rare, and the training is seeded anew
    """
    from ltgc_cli import records
    from ltgc_cli.cli import show
    from ltgc_cli.pipeline import chain
    from ltgc_cli.pipeline.report import write_report
    from ltgc_cli.store import Store

    settings = config[Demo]
    folder = config[Storage].folder
    data = f"digits-lt:{settings.seed}"
    console.notice(
        f"Ten classes of real handwriting, from 110 training images down to 4 ({data}). "
        "All models are embedded: no key, no network."
    )
    artifact = chain.run_all(stages(data, settings.k, settings.seed, cache_dir=folder)).artifact
    assert artifact
    with artifact.open("rb") as lines:
        rows = list(records.read(lines, str(artifact)))
    sheet = _write_sheet(settings.out, rows, Store(folder))
    show.totals(rows)
    show.accuracy(rows)
    write_report(rows, Store(folder), Report(output=settings.out / "report.html", title=_TITLE))
    console.notice(f"Contact sheet (real, accepted and rejected images): {sheet}")
    console.notice(f"Every record of the run: {artifact}")


def stages(data: str, k: int, seed: int, **values: Any) -> list[Config]:
    """Returns the settings of the seven stages, and of the two baselines, whatever variables and files say."""
    from ltgc_cli.pipeline import chain

    given = {"data": data, **values}
    # The baselines train on the real images alone; all three checkpoints ride the one stream to eval.
    trainings: list[dict[str, Any]] = [
        {"generated": False, "name": "fine-tuning"},
        {"generated": False, "loss": "la", "name": "fine-tuning + logit adjustment"},
        {"name": "LTGC"},
    ]
    return [
        *chain.configured(chain.GENERATING, {**given, "k": k, "plain": _PLAIN}, environment={}),
        *(configure("mix-train", {**given, "seed": seed, **one}, environment={}) for one in trainings),
        configure("eval", {**given, "zero_shot": True}, environment={}),
    ]


def _write_sheet(out: Path, rows: Sequence[Record], store: Store) -> Path:
    from ltgc_cli import records
    from ltgc_cli.files import write_atomically
    from ltgc_cli.pipeline.sheet import write_sheet

    path = out / "contact-sheet.png"
    write_atomically(out / "records.jsonl", "".join(records.dump(row) + "\n" for row in rows).encode())
    write_sheet(rows, store, path)
    return path
