"""mix-train, between records and tensors. Imported only where something is really trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import msgspec

from ltgc_cli import console, records
from ltgc_cli.files import copy_folder
from ltgc_cli.learn import checkpoints, datasets, logs, processes, train
from ltgc_cli.learn.datasets import ClassInfo, Sample, Source
from ltgc_cli.learn.settings import Settings
from ltgc_cli.pipeline.session import Session
from ltgc_cli.pipeline.training.check import Hashes
from ltgc_cli.pipeline.training.stage import How
from ltgc_cli.providers.clip import open_clip
from ltgc_cli.records import Checkpoint, Image


def fit(
    session: Session,
    data: Source,
    classes: Sequence[ClassInfo],
    drawn: Sequence[Image],
    clip: str,
    settings: Settings,
    folder: Path,
    *,
    texts: Mapping[int, Sequence[str]],
    val: Source | None,
    how: How,
    name: str,
    seen: Hashes,
) -> Settings:
    """Trains a checkpoint into a folder; one that was begun there is gone on with. Returns what was really set.

    seen -- content hashes of the images trained on, and of those looked at, so that eval knows them again
    Of several processes the first one writes.
    """
    real = datasets.samples(datasets.align(datasets.open_data(data, "train"), classes))
    looked_at = datasets.samples(datasets.align(datasets.open_data(val, "val"), classes)) if val else []
    generated = [
        Sample(image.label, partial(session.store.get_object, image.sha256), image.id, image.score) for image in drawn
    ]
    names = {info.label: info.name for info in classes}
    loaded = open_clip.load(clip, processes.device(how.device))
    with (
        _log(how, folder, name, settings) as log,
        console.progress(f"training on {len(real):,} real and {len(drawn):,} drawn images") as progress,
    ):

        def on_step(state: train.Progress) -> None:
            if progress.total is None:
                progress.total = state.steps
                progress.go_on_from(state.step)
            status = f"loss {state.loss:.3f}" + ("" if state.val is None else f", val {state.val:.1f}%")
            progress.advance(state.step - progress.done, status, _cells(state))
            log(state.step, _values(state))

        trained = train.train(
            loaded,
            classes,
            real,
            generated,
            settings,
            texts=texts,
            val=looked_at,
            on_step=on_step,
            on_gate=lambda harmful: _tell_harmful(harmful, names),
            resume=folder,
            precision=how.precision,
            compile=how.compile,
        )
    if processes.rank() == 0:
        checkpoints.save(
            folder,
            trained.classifier,
            classes,
            trained.settings,
            loaded,
            trained.curve,
            prior=trained.prior,
            images=seen.train,
            looked_at=seen.val,
        )
        (folder / train.STATE).unlink(missing_ok=True)
        last = trained.curve[-1]
        best = max((row["val"] for row in trained.curve if "val" in row), default=None)
        kept = "" if best is None else f", the best on validation ({best:.1f}%) is kept"
        console.notice(f"mix-train: loss {last['loss']:.3f} after {last['step']:,} steps{kept}; it is in {folder}")
    return trained.settings


def folder_of(session: Session, checkpoint: Checkpoint) -> Path:
    """Returns a checkpoint's folder. Raises InputError for a name that is no sha256, so that none leads elsewhere."""
    session.store.object_path(checkpoint.sha256)
    return session.store.folder / "checkpoints" / checkpoint.sha256


def export(session: Session, artifact: Path, out: Path | None, clip: str, merge: bool) -> None:
    """Copies the last checkpoint of an artifact to a folder, and adds one merged file that plain open_clip loads.

    out -- a new folder, or one with a copy of this checkpoint; None leaves the copy out: the merged file is added to
        the store's own folder
    """
    with artifact.open(encoding="utf-8") as lines:
        found = [row for row in records.read(lines, str(artifact)) if isinstance(row, Checkpoint)]
    source = folder_of(session, found[-1])
    where = out or source
    if out and not _is_copy(out, source):
        copy_folder(source, out)
    if merge and not (where / checkpoints.MERGED).exists():
        checkpoints.add_merged(where, open_clip.load(clip))
    said = f" ({checkpoints.MERGED} is one file for open_clip)" if merge else ""
    console.notice(f"mix-train: checkpoint in {where}{said}")


def _is_copy(out: Path, source: Path) -> bool:
    """Returns whether a folder holds a checkpoint, by the hashes that `done.json` has of its files."""
    try:
        theirs, ours = (msgspec.json.decode((folder / "done.json").read_bytes())["files"] for folder in (out, source))
    except (OSError, msgspec.DecodeError, LookupError, TypeError):
        return False
    return {**theirs, checkpoints.MERGED: ""} == {**ours, checkpoints.MERGED: ""}


def _log(how: How, folder: Path, name: str, settings: Settings):  # type: ignore[no-untyped-def]
    """Returns a context with what is told of each report; of several processes the first one's."""
    if how.log is None or processes.rank():
        return nullcontext(lambda step, values: None)
    return logs.opened(how.log, folder, name, msgspec.to_builtins(settings))


def _values(state: train.Progress) -> dict[str, float]:
    values = {"loss": state.loss, "lr": state.lr, "images_per_second": state.images_per_second}
    return values | ({} if state.val is None else {"val": state.val})


def _cells(state: train.Progress) -> dict[str, str]:
    return {
        "stage": state.stage,
        "step": f"{state.step:,}",
        "loss": f"{state.loss:.4f}",
        "lr": f"{state.lr:.2e}",
        "images/s": f"{state.images_per_second:,.0f}",
        "val": "" if state.val is None else f"{state.val:.1f}%",
    }


def _tell_harmful(harmful: train.Harmful, names: Mapping[int, str]) -> None:
    for label, (with_them, without) in harmful.items():
        console.notice(
            f"mix-train: the generated images of {names[label]} are left out: "
            f"with them {with_them:.1f}% of its validation images are recognised, without {without:.1f}%"
        )
