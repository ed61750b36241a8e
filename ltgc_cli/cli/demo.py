"""The demonstration: the eight stages on real handwriting, the baselines beside them, a table and a contact sheet."""

from __future__ import annotations

from typing import Any

from ltgc_cli import console
from ltgc_cli.cli.app import app
from ltgc_cli.cli.flags import command
from ltgc_cli.config import Config, configure
from ltgc_cli.settings import Demo, Report, Storage

_TITLE = "Handwritten digits, cut to a long tail"
_PLAIN = 4
"""Images from each bare class name that the report shows beside the others."""
_UNADAPTED = 8
"""Images of each class by the image model as it comes, shown beside those of the adapted one."""


@command(app)
def demo(config: Config) -> None:
    """Run all eight stages on scikit-learn's handwritten digits cut to a long tail, offline, in a few minutes.

    Asks nobody and costs nothing: all models are embedded. Writes a report, a contact sheet and every record to --out.

    \b
    ltgc demo
    ltgc demo --seed 1 --out demo-1    # other classes are rare, and the training is seeded anew
    ltgc demo --imbalance 10           # the rarest class has 11 images, not 1
    """
    from ltgc_cli import records, written
    from ltgc_cli.cli import show
    from ltgc_cli.files import named_errors
    from ltgc_cli.learn.datasets.digits import digit_counts
    from ltgc_cli.pipeline import chain
    from ltgc_cli.pipeline.report import write_report
    from ltgc_cli.pipeline.sheet import write_sheet

    settings = config[Demo]
    folder = config[Storage].folder
    sheet, lines, report = (
        written.Target(settings.out / name, folder, remedy="move it away, or name another folder: --out")
        for name in ("contact-sheet.png", "records.jsonl", "report.html")
    )
    with named_errors(settings.out):
        settings.out.mkdir(parents=True, exist_ok=True)
    for target in (sheet, lines, report):
        written.check(target)
    data = f"digits-lt:{settings.seed}:{settings.imbalance:g}"
    counts = digit_counts(settings.seed, settings.imbalance)
    console.notice(
        f"Ten classes of real handwriting, from {max(counts)} training images down to {min(counts)} ({data}). "
        "All models are embedded: no key, no network."
    )
    artifact = chain.run_all(stages(data, settings.k, settings.seed, cache_dir=folder)).artifact
    assert artifact
    with artifact.open("rb") as stream:
        rows = list(records.read(stream, str(artifact)))
    written.write(lines, "".join(records.dump(row) + "\n" for row in rows).encode())
    write_sheet(rows, sheet)
    show.totals(rows)
    show.accuracy(rows)
    write_report(rows, report, Report(title=_TITLE))
    console.notice(f"Contact sheet (real, accepted and rejected images): {sheet.path}")
    console.notice(f"Every record of the run: {artifact}")


def stages(data: str, k: int, seed: int, **values: Any) -> list[Config]:
    """Returns the settings of the stages, and of the baselines, whatever variables and files say."""
    from ltgc_cli.pipeline import chain
    from ltgc_cli.pipeline.recipes import REAL_ALONE, RECIPES, STRONGEST

    given, best = {"data": data, **values}, RECIPES["best"]
    # The baselines train on the real images alone; all checkpoints ride the one stream to eval.
    trainings: list[dict[str, Any]] = [
        {"generated": False, "name": "fine-tuning"},
        {"generated": False, "loss": "la", "name": "fine-tuning + logit adjustment"},
        {"generated": False, **STRONGEST, "name": REAL_ALONE},
        {"name": "LTGC, adapted"},
        {**best.training, "name": best.name},
    ]
    looks = {"plain": _PLAIN, "unadapted": _UNADAPTED}
    return [
        *chain.configured(chain.ADAPTING, {**given, "k": k, **looks}, environment={}),
        *(configure("mix-train", {**given, "seed": seed, **one}, environment={}) for one in trainings),
        configure("eval", {**given, "zero_shot": True}, environment={}),
    ]
