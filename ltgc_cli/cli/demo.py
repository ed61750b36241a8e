"""The demonstration: the seven stages on real handwriting, the baselines beside them, a table and a contact sheet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ltgc_cli import console
from ltgc_cli.cli import app
from ltgc_cli.cli import flags as f
from ltgc_cli.cli import options as o
from ltgc_cli.errors import InputError

if TYPE_CHECKING:
    from ltgc_cli.learn.datasets import Split
    from ltgc_cli.learn.settings import Settings
    from ltgc_cli.pipeline.session import Session
    from ltgc_cli.pipeline.stage import Plan
    from ltgc_cli.records import Record
    from ltgc_cli.stages.settings import Judging

    Step = Callable[[Session], Plan]

_TITLE = "Handwritten digits, cut to a long tail"


@app.command()
def demo(
    seed: Annotated[
        int, typer.Option(min=0, help="Which class gets how many images, and the seed of the training.")
    ] = 0,
    k: Annotated[int, typer.Option("-k", min=1, help="Descriptions per tail class.")] = 60,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where the report, the contact sheet and the records go.")
    ] = Path("ltgc-demo"),
    cache_dir: o.CacheDir = None,
    quiet: o.Quiet = False,
) -> None:
    """Run all seven stages on scikit-learn's handwritten digits cut to a long tail, offline, in a few minutes.

    Asks nobody and costs nothing: all models are embedded. Writes a report, a contact sheet and every record to --out.

    \b
    ltgc demo
    ltgc demo --seed 1 --out demo-1    # other classes are rare, and the training is seeded anew
    """
    from ltgc_cli import records
    from ltgc_cli.cli import show as view
    from ltgc_cli.learn.settings import Settings
    from ltgc_cli.pipeline.report import write_report
    from ltgc_cli.report.settings_draft import Report
    from ltgc_cli.stages.settings import Judging
    from ltgc_cli.store import Store

    console.configure(quiet=quiet)
    data = f"digits-lt:{seed}"
    console.notice(
        f"Ten classes of real handwriting, from 110 training images down to 4 ({data}). "
        "All models are embedded: no key, no network."
    )
    folder = cache_dir or f.default_folder()
    steps = [
        *generating(data, k, Judging(), plain=_PLAIN),
        # The baselines train on the real images alone; all three checkpoints ride the one stream to eval.
        trained(data, Settings(seed=seed), "fine-tuning", generated=False),
        trained(data, Settings(seed=seed, loss="la"), "fine-tuning + logit adjustment", generated=False),
        trained(data, Settings(seed=seed), "LTGC"),
        evaluated(data),
    ]
    artifact = walked(steps, folder)
    with artifact.open(encoding="utf-8") as lines:
        rows = list(records.read(lines, str(artifact)))
    sheet = _write_sheet(out, rows, folder)
    view.totals(rows)
    view.accuracy(rows)
    write_report(rows, Store(folder), Report(output=out / "report.html", title=_TITLE))
    console.notice(f"Contact sheet (real, accepted and rejected drawings): {sheet}")
    console.notice(f"Every record of the run: {artifact}")


_PLAIN = 4
"""Drawings of each bare class name that the report shows beside ours."""


def generating(data: str, k: int, judging: Judging, plain: int = 0) -> list[Step]:
    """Returns describe … filter over a data set with the embedded models and filter's settings."""
    from ltgc_cli.learn.datasets import Source
    from ltgc_cli.pipeline import generate as plans
    from ltgc_cli.pipeline.session import Asking
    from ltgc_cli.prompts import PAPER
    from ltgc_cli.stages.settings import Style

    style = Style()
    small = "embedded"
    return [
        lambda s: plans.describing(s, data=Source(data), tail="100", lmm=small, prompts=PAPER, asking=Asking()),
        lambda s: plans.extending(s, names=[], llm=small, want=20, prompts=PAPER, asking=Asking()),
        lambda s: plans.reflecting(s, llm=small, k=k, rounds=3, near=0.8, prompts=PAPER, asking=Asking()),
        lambda s: plans.rendering(s, t2i=small, style=style, batch=32, plain=plain),
        lambda s: plans.filtering(
            s,
            llm=small,
            t2i=small,
            clip=small,
            settings=judging,
            style=style,
            prompts=PAPER,
            asking=Asking(),
            batch=32,
        ),
    ]


def trained(data: str, settings: Settings, name: str = "", *, generated: bool = True) -> Step:
    """Returns one mix-train with the embedded CLIP."""
    from ltgc_cli.learn.datasets import Source
    from ltgc_cli.pipeline.training.stage import training

    return lambda s: training(s, data=Source(data), clip="embedded", settings=settings, generated=generated, name=name)


def evaluated(data: str, split: Split = "test") -> Step:
    """Returns eval over every checkpoint of the stream, with CLIP itself beside them."""
    from ltgc_cli.learn.datasets import Source
    from ltgc_cli.pipeline.evaluation.stage import evaluating

    return lambda s: evaluating(s, data=Source(data), split=split, clip="embedded", zero_shot=True)


def walked(steps: Iterable[Step], folder: Path, artifact: Path | None = None) -> Path:
    """Returns the artifact of the last of several stages, each of which read the one of the stage before."""
    from ltgc_cli.pipeline.session import Session
    from ltgc_cli.pipeline.stage import Streams, execute

    for step in steps:
        session = Session(folder)  # one each, so that each counts its own questions
        artifact = execute(step(session), Streams(input=artifact, silent=True), session).artifact
    assert artifact is not None
    return artifact


def _write_sheet(out: Path, rows: Sequence[Record], folder: Path) -> Path:
    from ltgc_cli import records
    from ltgc_cli.report.contact_sheet import contact_sheet
    from ltgc_cli.store import Store, write_atomically

    path = out / "contact-sheet.png"
    try:
        write_atomically(path, contact_sheet(rows, Store(folder).get_object))
        write_atomically(out / "records.jsonl", "".join(records.dump(row) + "\n" for row in rows).encode())
    except OSError as error:
        raise InputError(f"{out}: {error.strerror}; choose another place with --out") from None
    return path
