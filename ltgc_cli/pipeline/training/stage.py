"""mix-train as a plan: what is trained on, and the checkpoint's record. Loads no torch until something is trained."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

import msgspec

from ltgc_cli import console, records
from ltgc_cli.config import Config
from ltgc_cli.errors import InputError
from ltgc_cli.files import check_new_folder
from ltgc_cli.learn import checkpoint_files, datasets, logs, processes
from ltgc_cli.learn.datasets import Source
from ltgc_cli.learn.datasets.names import codes
from ltgc_cli.learn.settings import HARMONISED, as_kept, can_merge, checked, resolved, without_effect
from ltgc_cli.pipeline.data import open_data
from ltgc_cli.pipeline.generate import source_of
from ltgc_cli.pipeline.session import Session
from ltgc_cli.pipeline.stage import Stage
from ltgc_cli.pipeline.training import averaging, check
from ltgc_cli.pipeline.training.averaging import Averaged
from ltgc_cli.pipeline.training.check import TrainingInputs
from ltgc_cli.records import Checkpoint, Record, identify
from ltgc_cli.review import verdict_file
from ltgc_cli.settings import Input, Training, TrainingRun
from ltgc_cli.stages import verdicts as by_hand

VERSION = 1  # part of what a checkpoint is told apart by: raise it when the same settings train to other weights
# Settings that there were once, as they were by default. They stay part of a checkpoint's hash and of an artifact's,
# so that nobody who never set them trains again what is there.
_GONE = {"syn_weight": 1.0, "syn_ratio": 0.0, "syn_by_score": False, "real_head_epochs": 0.0, "gate": False}
# Settings by which a run is not called: the first four have a place of their own in its name, the others say how much
# of something there is, not what is done.
_UNNAMED = (
    "mix", "sampler", "tune", "loss", "mix_alpha", "tau", "gamma", "margin", "lade_weight", "scale", "rank",
    "lora_alpha", "dropout", "epochs", "min_steps", "steps", "batch", "accumulate", "optimizer", "lr", "warmup",
    "weight_decay", "momentum", "clip_norm", "crop", "rotate", "flip", "seed",
)  # fmt: skip
_HIGH_LR = 5e-4  # above it tuning the whole tower goes wrong, as it does at the default


def mix_train(session: Session, config: Config) -> Stage:
    """Returns mix-train: one more record, the checkpoint, behind the lines of the stream.

    Verdicts are heeded whatever filter found: images that a person rejected are not trained on, those kept are.
    Raises InputError for settings that cannot be, and where there is nothing to measure on.
    """
    settings, how = checked(config[Training]), config[TrainingRun]
    data = source_of(config)
    if data is None:
        raise InputError("mix-train needs --data")
    _check_run(settings, how, config[Input].input)
    verdicts = verdict_file.load(how.verdicts) if how.verdicts else None
    identity = session.score(how.clip).model
    val = _validation(data, source_of(config, how.val) if how.val else None, settings)
    test = source_of(config, how.test) if how.test else None
    drop = check.Dropped(how.drop_broken, how.drop_duplicates)
    look = cache(lambda: check.images(session, data, val, test, drop))
    flags: dict[str, Any] = {"data": datasets.fingerprint(data, "train"), "clip": identity}
    flags |= {"generated": how.generated, "name": how.name, **_GONE, **as_kept(settings)}
    flags |= {"harmonise": HARMONISED} if settings.harmonise else {}
    flags |= {"val": datasets.fingerprint(val, "val")} if val else {}
    flags |= {"pixels": version} if (version := datasets.pixels_version(data, val)) else {}
    if any(drop) and (left_out := look().left_out):
        flags["left_out"] = left_out
    flags |= {"precision": how.precision} if how.precision != "auto" else {}
    flags |= {"verdicts": by_hand.fingerprint(verdicts)} if verdicts is not None else {}
    flags |= {"average": averaging.flags(how.average)} if how.average else {}
    for idle in without_effect(settings, generated=how.generated):
        console.notice(f"mix-train: {idle}")

    def finish(artifact: Path) -> None:
        from ltgc_cli.pipeline.training.fit import copy_out

        copy_out(session.folder, artifact, how.out, how.clip, how.merge)

    def run(lines: Iterator[Record]) -> Iterator[Record]:
        classes = look().train.dataset.classes if any(drop) else open_data(data, "train").classes
        inputs = TrainingInputs({info.label: info for info in classes})
        there: set[by_hand.ImageKey] = set()
        trained_before: list[Checkpoint] = []
        for group in records.by_class(lines):
            inputs.add(group, verdicts or {}, texts=settings.head_init == "descriptions")
            there |= by_hand.image_keys(group.rows) & verdicts.keys() if verdicts else set()
            trained_before += (
                (row for row in group.rows if isinstance(row, Checkpoint) and row.classifies) if how.average else ()
            )
            yield from group.rows
        if not how.generated:
            inputs.generated.clear()
        elif verdicts is not None:
            console.notice(f"mix-train: {by_hand.summary(verdicts, there)}")
        _notify(settings, inputs, how.generated)
        sha256 = _identity(flags, inputs)
        used = resolved(settings, generated=len(inputs.generated), classes=len(inputs.table))
        name, count = how.name or method(used, len(inputs.generated)), len(inputs.generated)
        others = averaging.found(session, how.average, trained_before)
        averaging.check(others, used, inputs.classes, identity)
        # An average is made of a checkpoint of its own, which a run without --average shares.
        own = session.folder / "checkpoints" / sha256
        kept = _settings_in(own)
        if kept is None:
            from ltgc_cli.pipeline.training.fit import fit

            check.before_training(session, inputs.stream, inputs.generated, look())
            kept = as_kept(fit(session, look(), inputs, settings, own, how=how, name=name))
        about = {"clip": identity, "data": flags["data"][:12], "images": count, **kept}
        made = Checkpoint(sha256=sha256, method=name, settings=about)
        made = _averaged(session, made, others, how) if others else made
        yield identify(made, made.sha256, how.name)

    ends = finish if how.out or how.merge else None
    return Stage("mix-train", flags, run, whole=True, optional=not how.generated, finish=ends)


def look_ahead(config: Config) -> None:
    """Raises InputError for what would stop the training and depends on no stream: a package, a number of blocks."""
    settings, how = config[Training], config[TrainingRun]
    logs.check(how.log)
    if settings.tune_blocks:
        from ltgc_cli.pipeline.training.fit import check_blocks

        check_blocks(how.clip, settings)


def _averaged(session: Session, own: Checkpoint, others: Sequence[Averaged], how: TrainingRun) -> Checkpoint:
    """Returns the checkpoint that is the average of one with others, which is made where it is not there."""
    checkpoints, sha256 = session.folder / "checkpoints", averaging.identity(own.sha256, others)
    if _settings_in(checkpoints / sha256) is None:
        from ltgc_cli.pipeline.training.fit import average

        average(session, checkpoints / own.sha256, others, checkpoints / sha256, how)
    images = max([own.settings["images"], *(one.images for one in others)])
    about = {**own.settings, "images": images, "averaged": [one.name for one in others]}
    parents = tuple(one.record.id for one in others if one.record)
    method = how.name or averaging.name(own.method, others)
    return Checkpoint(sha256=sha256, method=method, settings=about, parents=parents)


def _settings_in(folder: Path) -> dict[str, Any] | None:
    """Returns the settings of a checkpoint that is whole, None for none. Raises InputError for a broken one."""
    if not (folder / "done.json").is_file():
        return None
    return cast(dict[str, Any], checkpoint_files.read(folder / "settings.json", dict[str, Any]))


def _check_run(settings: Training, how: TrainingRun, input: Path | None) -> None:
    """Raises InputError for what would stop the run at its end, and for what several processes cannot share."""
    for flag in ("merge", "average"):
        if getattr(how, flag) and (reason := can_merge(settings)):
            raise InputError(f"--{flag}: {reason}")
    if how.out and not processes.rank():  # to the others it may be there because the first is done
        check_new_folder(how.out)
    if processes.count() == 1:
        return
    if how.generated and not (input and input.is_file()):
        raise InputError(
            f"{processes.count()} processes cannot share one stdin; give the stream as -i FILE (or --no-generated)"
        )
    processes.check(settings.batch, settings.accumulate)


def method(settings: Training, generated: int) -> str:
    """Returns what a table calls a run: what it is, and in what it differs from the defaults of that.

    >>> method(Training(mix="balancemix", sampler="balanced"), 480), method(Training(mix="none", loss="la"), 0)
    ('LTGC', 'fine-tune + la')
    >>> method(Training(mix="balancemix", sampler="sqrt", tune="adaptformer", ema=0.99), 480)
    'LTGC, sqrt, adaptformer, ema 0.99'
    """
    ltgc = bool(generated) and settings.mix == "balancemix"
    kind = "LTGC" if ltgc else "real + generated" if generated else "fine-tune"
    usual = {"mix": "balancemix", "sampler": "balanced"} if ltgc else {"mix": "none", "sampler": "instance"}
    usual |= {"tune": "lora"}
    other = [value for key in usual if (value := getattr(settings, key)) not in (None, usual[key])]
    default = Training()
    for key in Training.__struct_fields__:
        value = getattr(settings, key)
        if key not in _UNNAMED and value != getattr(default, key):
            flag = key.replace("_", "-")
            other.append(flag if value is True else f"{flag} {value}")
    loss = "" if settings.loss == "ce" else f" + {settings.loss}"
    return ", ".join([kind, *other]) + loss


def _notify(settings: Training, inputs: TrainingInputs, generated: bool) -> None:
    """Says what trains, but otherwise or worse than a person expects."""
    if generated and not inputs.generated:
        console.notice("mix-train: no generated images in the stream: a plain fine-tune")
    if settings.head_init == "descriptions" and not inputs.texts:
        console.notice("mix-train: no descriptions in the stream: the head starts from the classes' names")
    unnamed = codes(info.subject for info in inputs.classes)
    if settings.head_init == "name" and len(unnamed) == len(inputs.classes):
        texts = f"the data has no class names, so the head starts from texts such as 'A photo of {unnamed[0]}.'"
        console.notice(f"mix-train: {texts}; --classes FILE gives the names, or start it with --head-init means")
    if settings.tune == "full" and settings.lr > _HIGH_LR:
        console.notice(f"mix-train: --lr {settings.lr:g} is for few weights; with --tune full try --lr 1e-5 to 1e-4")


def _validation(data: Source, val: Source | None, settings: Training) -> Source | None:
    """Returns the data with the validation images, None where nothing is measured on them."""
    if not settings.val_every:
        if val:
            raise InputError("--val is what --val-every N measures on; add it, or leave --val out")
        return None
    if not val and "val" not in datasets.splits(data):
        raise InputError(f"{data.spec} has no validation images of its own: --val-every needs --val DATA")
    return val or data


def _identity(flags: dict[str, Any], inputs: TrainingInputs) -> str:
    """Returns the sha256 (hex) of all that a checkpoint is made from; what it is called is no part of it.

    Neither are verdicts themselves: what is trained on for their sake is.
    """
    made_from = {key: value for key, value in flags.items() if key not in ("name", "generated", "verdicts", "average")}
    images = [[image.label, image.sha256] for image in inputs.generated]
    texts = [[label, inputs.texts[label]] for label in sorted(inputs.texts)]
    content = [VERSION, made_from, images, msgspec.to_builtins(inputs.classes), texts]
    return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()
