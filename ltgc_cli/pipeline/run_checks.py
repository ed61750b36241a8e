"""What `ltgc run` looks at before anything is asked: data, models, and what it would write over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ltgc_cli import console
from ltgc_cli.config import Config
from ltgc_cli.errors import InputError
from ltgc_cli.learn import datasets
from ltgc_cli.learn.datasets import Source, Split
from ltgc_cli.pipeline.class_table import class_record
from ltgc_cli.pipeline.data import check_names, open_data
from ltgc_cli.pipeline.dry_run import DrySession
from ltgc_cli.pipeline.generate import source_of, tail_below
from ltgc_cli.pipeline.session import Session
from ltgc_cli.pipeline.training.check import NOTHING, Dropped, before_a_run
from ltgc_cli.settings import Describe, Evaluation, Storage, TrainingRun


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
    if "mix-train" in stages and out and out.exists() and not (out / "done.json").exists():
        raise InputError(f"{out} is there already, and no checkpoint; name a new folder under [mix-train], out")
    if "eval" in stages:
        _check_test(stages["eval"], trained_on)
    _check_models(stages)
    _check_names(stages)
    _check_images(stages, DrySession if dry else Session, drop)


def _check_test(config: Config, trained_on: str | None) -> None:
    """Raises InputError where eval would measure on the images that are trained on."""
    source, split = source_of(config), config[Evaluation].split
    if source and source.spec == trained_on and split not in datasets.splits(source):
        raise InputError(
            f"{source.spec} has no {split} images beside those to train on: name others under [run], "
            'test = "birds-test/", or stop before: --until mix-train'
        )
    if source:
        open_data(source, split)


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


def _check_names(stages: Mapping[str, Config]) -> None:
    """Raises InputError where the data has no class names and a language model of a later stage would be paid too."""
    config = stages.get("describe")
    source = source_of(config) if config else None
    if not config or not source:
        return
    below = tail_below(config[Describe].tail)
    classes = [class_record(info, below) for info in open_data(source, "train").classes]
    given = bool(source.classes or config[Describe].senses)
    for spec in dict.fromkeys(
        spec for stage in stages.values() for kind in ("lmm", "llm") if (spec := stage.get(kind))
    ):
        check_names(classes, spec, given=given)


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
