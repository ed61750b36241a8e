"""mix-train, between records and tensors. Imported only where something is really trained."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

import msgspec

from ltgc_cli import console, records
from ltgc_cli.files import copy_folder, read_regular
from ltgc_cli.learn import checkpoints, datasets, logs, processes, train, tuning
from ltgc_cli.learn.checkpoint_files import MERGED
from ltgc_cli.learn.datasets import Sample
from ltgc_cli.learn.settings import as_kept
from ltgc_cli.pipeline.session import Session
from ltgc_cli.pipeline.training.averaging import Averaged
from ltgc_cli.pipeline.training.check import Images, TrainingInputs
from ltgc_cli.providers.clip import open_clip
from ltgc_cli.records import Checkpoint
from ltgc_cli.settings import Training, TrainingRun
from ltgc_cli.tensor_files import STATE
from ltgc_cli.text import counted


@cache
def check_blocks(clip: str, settings: Training) -> None:
    """Raises InputError where a CLIP model has fewer blocks than are to be tuned. Loads it: no file says how many."""
    tuning.check_blocks(open_clip.load(clip).model.visual, settings)


def fit(
    session: Session,
    images: Images,
    inputs: TrainingInputs,
    settings: Training,
    folder: Path,
    *,
    how: TrainingRun,
    name: str,
) -> Training:
    """Trains a checkpoint into a folder; one that was begun there is gone on with. Returns what was really set.

    images -- those trained on, and those measured on; their hashes are kept, so that eval knows them again
    Of several processes the first one writes.
    """
    classes = inputs.classes
    real = datasets.samples(datasets.align(images.train.dataset, classes))
    validation = datasets.samples(datasets.align(images.val.dataset, classes)) if images.val else []
    stored = session.store.get_object
    generated = [Sample(image.label, partial(stored, image.sha256), image.id) for image in inputs.generated]
    loaded = open_clip.load(how.clip, processes.device(how.device), session.notice_once)
    with (
        logs.opened(None if processes.rank() else how.log, folder, name, as_kept(settings)) as log,
        console.progress(
            f"training on {len(real):,} real and {counted(len(generated), 'generated image')}"
        ) as progress,
    ):

        def on_resume(step: int, steps: int) -> None:
            console.notice(f"mix-train: went on at step {step:,} of {steps:,}")

        def on_report(row: train.Row, steps: int) -> None:
            if progress.total is None:
                progress.total = steps
                progress.go_on_from(row["step"])
            status = f"loss {row['loss']:.3f}" + (f", val {row['val']:.1f}%" if "val" in row else "")
            cells = {"step": f"{row['step']:,}", "loss": f"{row['loss']:.4f}", "lr": f"{row['lr']:.2e}"}
            cells |= {
                "images/s": f"{row['images_per_second']:,.0f}",
                "val": f"{row['val']:.1f}%" if "val" in row else "",
            }
            progress.advance(row["step"] - progress.done, status, cells)
            log(row["step"], {name: value for name, value in row.items() if name != "step"})

        trained = train.train(
            loaded,
            classes,
            real,
            generated,
            settings,
            texts=inputs.texts,
            val=validation,
            on_report=on_report,
            resume=folder,
            on_resume=on_resume,
            precision=how.precision,
            compile=how.compile,
        )
    if processes.rank() == 0:
        classifier, curve, prior, used = trained
        seen = frozenset(images.train.hashes), frozenset(images.val.hashes if images.val else ())
        checkpoints.save(folder, checkpoints.Saved(classifier, tuple(classes), used, curve, prior, *seen), loaded)
        (folder / STATE).unlink(missing_ok=True)
        last = trained.curve[-1]
        best = max((row["val"] for row in trained.curve if "val" in row), default=None)
        kept = "" if best is None else f", the best on validation ({best:.1f}%) is kept"
        console.notice(
            f"mix-train: loss {last['loss']:.3f} after {counted(last['step'], 'step')}{kept}; it is in {folder}"
        )
    return trained.settings


def average(session: Session, own: Path, others: Sequence[Averaged], folder: Path, how: TrainingRun) -> None:
    """Makes a checkpoint of the mean of the weights of one and of others. Of several processes the first one does."""
    if processes.rank():
        return
    loaded = open_clip.load(how.clip, processes.device(how.device), session.notice_once)
    named = [(f"{one.name}@{one.content[:12]}", one.folder) for one in others]
    checkpoints.save(folder, checkpoints.average(own, named, loaded), loaded)
    names = " and ".join(one.name for one in others)
    console.notice(f"mix-train: its weights, averaged with those of {names}, are in {folder}")


def folder_of(session: Session, checkpoint: Checkpoint) -> Path:
    """Returns a checkpoint's folder. Raises InputError for a name that is no sha256, so that none leads elsewhere."""
    session.store.object_path(checkpoint.sha256)
    return session.folder / "checkpoints" / checkpoint.sha256


def copy_out(store: Path, artifact: Path, out: Path | None, clip: str, merge: bool) -> None:
    """Copies the last checkpoint of an artifact to a folder, and adds one merged file that plain open_clip loads.

    out -- a new folder, or one with a copy of this checkpoint; None adds the merged file to the store's own folder
    """
    with artifact.open("rb") as lines:
        found = [row for row in records.read(lines, str(artifact)) if isinstance(row, Checkpoint) and row.classifies]
    source = store / "checkpoints" / found[-1].sha256
    where = out or source
    if out and not _is_copy(out, source):
        copy_folder(source, out)
    if merge and not (where / MERGED).exists():
        checkpoints.add_merged(where, open_clip.load(clip))
    merged = f" ({MERGED} is one file for open_clip)" if merge else ""
    console.notice(f"mix-train: checkpoint in {where}{merged}")


def _is_copy(out: Path, source: Path) -> bool:
    """Returns whether a folder holds a checkpoint, by the hashes that `done.json` has of its files."""
    try:
        theirs, ours = (msgspec.json.decode(read_regular(folder / "done.json"))["files"] for folder in (out, source))
    except (OSError, msgspec.DecodeError, LookupError, TypeError):
        return False
    return {**theirs, MERGED: ""} == {**ours, MERGED: ""}
