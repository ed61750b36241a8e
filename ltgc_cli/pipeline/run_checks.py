"""What `ltgc run` looks at before anything is asked: data, models, and what it would write over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

from ltgc_cli import console
from ltgc_cli.config import Config
from ltgc_cli.errors import InputError
from ltgc_cli.files import check_new_folder
from ltgc_cli.learn import datasets
from ltgc_cli.learn.datasets import Dataset, Source, Split
from ltgc_cli.pipeline import adapt, adapter
from ltgc_cli.pipeline.class_table import agreed, class_record
from ltgc_cli.pipeline.data import check_names, open_data
from ltgc_cli.pipeline.dry_run import DrySession
from ltgc_cli.pipeline.evaluation.methods import about_validation
from ltgc_cli.pipeline.generate import source_of, tail_below
from ltgc_cli.pipeline.session import Session
from ltgc_cli.pipeline.training import averaging
from ltgc_cli.pipeline.training.check import NOTHING, Dropped, before_a_run
from ltgc_cli.providers.t2i import diffusers
from ltgc_cli.settings import (
    Adapt,
    AdaptedModel,
    AdaptRun,
    Describe,
    Evaluation,
    Judging,
    Storage,
    TextToImage,
    Training,
    TrainingRun,
)

Opened = Callable[[Source, Split], Dataset]
"""Opens data, each split once."""


def check(
    stages: Mapping[str, Config],
    trained_on: str | None,
    out: Path | None,
    *,
    dry: bool = False,
    drop: Dropped = NOTHING,
) -> None:
    """Raises InputError for what would stop a run late.

    stages -- the settings of each stage that runs, by its command
    trained_on -- the data that mix-train trains on; out -- where its checkpoint is copied to
    dry -- whether nothing is kept of it: what an image was found to be is read again by the run
    drop -- which images are left out, and so stop nothing
    """
    if "mix-train" in stages and out and not out.exists():
        check_new_folder(out)
    elif "mix-train" in stages and out and not (out / "done.json").exists():
        raise InputError(f"{out} is there already, and no checkpoint; name a new folder under [mix-train], out")
    opened = cache(open_data)
    if "eval" in stages:
        _check_test(stages["eval"], trained_on, opened)
    _check_models(stages)
    _check_names(stages, opened)
    _check_tables(stages, opened)
    if "adapt" in stages:
        _check_enough(stages["adapt"], opened)
    _check_adapter(stages)
    _check_images(stages, DrySession if dry else Session, drop)


def _check_test(config: Config, trained_on: str | None, opened: Opened) -> None:
    """Raises InputError where eval would measure on the images that are trained on."""
    source, split = source_of(config), config[Evaluation].split
    if source and source.spec == trained_on and split not in datasets.splits(source):
        raise InputError(
            f"{source.spec} has no {split} images beside those to train on: name others under [run], "
            'test = "birds-test/", or stop before: --until mix-train'
        )
    if source:
        opened(source, split)


def _check_models(stages: Mapping[str, Config]) -> None:
    """Says what is wrong with the models of the stages: a name that nobody knows, a key that is not set.

    It is no error where a language model or an image API is meant: all of its answers may be in the store.
    Raises InputError for a CLIP model that does not exist, which training and eval need.
    """
    from ltgc_cli.doctor.models import KINDS, Model, look

    found = {
        (kind, spec): Model(kind, spec, config.get("t2i_api_base" if kind == "t2i" else "api_base"))
        for config in stages.values()
        for kind in KINDS
        if isinstance(spec := config.get(kind), str) and spec != "embedded"
    }
    for model in found.values():
        for check in look(model):
            if check.state != "problem":
                continue
            problem = f"--{model.kind} {check.found}; {check.fix}"
            if model.kind == "clip" and not stages.keys().isdisjoint(("mix-train", "eval")):
                raise InputError(problem)
            console.notice(f"run: {problem}")


def _check_names(stages: Mapping[str, Config], opened: Opened) -> None:
    """Raises InputError where the data has no class names and a language model of a later stage would be paid too."""
    config = stages.get("describe")
    source = source_of(config) if config else None
    if not config or not source:
        return
    below = tail_below(config[Describe].tail)
    classes = [class_record(info, below) for info in opened(source, "train").classes]
    given = bool(source.classes or config[Describe].senses)
    for spec in dict.fromkeys(
        spec for stage in stages.values() for kind in ("lmm", "llm") if (spec := stage.get(kind))
    ):
        check_names(classes, spec, given=given)


def _check_tables(stages: Mapping[str, Config], opened: Opened) -> None:
    """Raises InputError where a stage has data whose classes are not those of the data that it goes with.

    What adapt and mix-train learn from goes with the stream's, what is measured on with what is trained on.
    """
    first, trained, measured = stages.get("describe"), stages.get("mix-train"), stages.get("eval")
    streams = source_of(first) if first else None
    for config in (stages.get("adapt"), trained):
        if streams and config and (its := source_of(config)) and its != streams:
            table = {info.label: info for info in opened(its, "train").classes}
            for info in opened(streams, "train").classes:
                agreed(table, class_record(info, 0))
    if not trained or not (source := source_of(trained)):
        return
    classes, how = opened(source, "train").classes, trained[TrainingRun]
    if how.val and trained[Training].val_every and (val := source_of(trained, how.val)):
        datasets.labels_under(opened(val, "val"), classes)
    if not measured or not (test := source_of(measured)):
        return
    datasets.labels_under(opened(test, measured[Evaluation].split), classes)
    if measured[Evaluation].posthoc and (chosen_on := source_of(measured, measured[Evaluation].val)):
        with about_validation():
            datasets.labels_under(opened(chosen_on, "val"), classes)


def _check_enough(config: Config, opened: Opened) -> None:
    """Raises InputError where no class has so many images as adapt learns from."""
    if source := source_of(config):
        largest = max((info.count or 0 for info in opened(source, "train").classes), default=0)
        adapt.check_enough(largest, config[Adapt].from_classes, data=True)


def _check_adapter(stages: Mapping[str, Config]) -> None:
    """Raises InputError where what generates would not go with what adapt leaves, or with there being no adapter."""
    if "describe" not in stages:  # the file that is read first may have one
        return
    own = None
    if "adapt" in stages:
        taught = stages["adapt"][AdaptedModel]
        adapt.check(taught, stages["adapt"][AdaptRun])
        own = adapter.Own("what adapt leaves", diffusers.identity(taught.t2i, config=taught.t2i_config))
    for config in (stages.get("render"), stages.get("filter")):
        if config and (config.command == "render" or config[Judging].mode == "refine"):
            name = adapter.opened(DrySession(config[Storage].folder), config, None).model
            adapter.check(config[TextToImage], name, own)


def check_average(trainings: Sequence[Config], *, known: bool) -> None:
    """Raises InputError where mix-train is to average with what no training before it makes, or what does not fit it.

    known -- whether all checkpoints of the stream are those of the trainings: none comes with a file
    """
    if not trainings or not (wanted := trainings[-1][TrainingRun].average):
        return
    *before, last = trainings
    if known:
        for text in wanted:
            averaging.check_name(text, [str(one.get("name")) for one in before])
    if source := source_of(last):
        clip = DrySession(last[Storage].folder).score(last[TrainingRun].clip).model
        averaging.check_folders(wanted, last[Training], open_data(source, "train").classes, clip)


def _check_images(stages: Mapping[str, Config], session: type[Session], drop: Dropped) -> None:
    """Raises InputError for images that would stop training or eval, as `before_a_run` does."""
    # Where a run stops before the training, describe names the same data.
    trained, measured = stages.get("mix-train") or stages.get("describe"), stages.get("eval")
    source = source_of(trained) if trained else None
    if not trained or not source:
        return
    others: list[tuple[Source, Split]] = []
    val = trained[TrainingRun].val if trained.command == "mix-train" else None
    if val and (other := source_of(trained, val)):
        others.append((other, "val"))
    if measured and (test := source_of(measured)):
        others.append((test, measured[Evaluation].split))
    before_a_run(session(trained[Storage].folder), source, others, drop)
