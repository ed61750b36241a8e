"""What `ltgc run` looks at before anything is asked, and of each of its files again before it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltgc_cli import console
from ltgc_cli.cli import flags as f
from ltgc_cli.errors import InputError

if TYPE_CHECKING:
    from ltgc_cli.learn.datasets import Source, Split
    from ltgc_cli.pipeline.run import Job, Ready


def check(job: Job, ready: Sequence[Ready]) -> None:
    """Raises InputError for what would stop a run late, or overwrite what a person made."""
    training = job.root.default_map["mix-train"]
    for number, one in enumerate(ready):
        own = training.get("out")
        if one.step.stage == "mix-train" and own and Path(own).exists() and not Path(own, "done.json").exists():
            raise InputError(f"{own} is there already, and no checkpoint; name a new folder under [mix-train], out")
        if one.step.stage == "eval":
            _check_test(one.params, training.get("data"))
        check_file(job, ready, number)
    stages = {one.step.stage: one.params for one in ready}
    _check_models(stages)
    _check_images(stages)


def check_file(job: Job, ready: Sequence[Ready], number: int) -> None:
    """Raises InputError where what a step writes would take the place of what a person made."""
    from ltgc_cli.pipeline.run_folder import is_theirs
    from ltgc_cli.report.page import check_output

    one = ready[number]
    path = job.out / one.step.file
    if one.step.stage == "report":
        if path.exists():  # its folder is made when the run begins
            check_output(path)
    elif is_theirs(path, store_folder(one.params) / "artifacts" / one.step.stage):
        following = next((other.step.stage for other in ready[number + 1 :]), "")
        there = path.is_file() and following not in ("", one.step.stage) and not one.step.args
        go_on = f"go on from it with {job.command('--from', following)}, or move it away" if there else "move it away"
        raise InputError(f"{path} is not as a stage left it, and would be overwritten: {go_on}")


def _check_test(params: Mapping[str, Any], trained_on: str | None) -> None:
    """Raises InputError where eval would measure on the images that are trained on."""
    from ltgc_cli.learn import datasets

    source = _source(params, "data")
    if params["data"] == trained_on and params["split"] not in datasets.splits(source):
        raise InputError(
            f"{source.spec} has no {params['split']} images beside those to train on: name others under [run], "
            'test = "birds-test/", or stop before: --until mix-train'
        )
    datasets.open_data(source, params["split"])


def _check_models(stages: Mapping[str, Mapping[str, Any]]) -> None:
    """Says what is wrong with the models of the stages: a name that nobody knows, a key that is not set.

    It is no error where a language model or an image API is meant: all of its answers may be in the store.
    Raises InputError for a CLIP model that does not exist, which training and eval need.

    stages -- each stage's parameters
    """
    from ltgc_cli.doctor.models import KINDS, Model, look

    found = {
        (kind, params[kind]): Model(kind, params[kind], params.get("t2i_api_base" if kind == "t2i" else "api_base"))
        for params in stages.values()
        for kind in KINDS
        if isinstance(params.get(kind), str) and params[kind] != "embedded"
    }
    for model in found.values():
        for check in look(model):
            if check.state != "problem":
                continue
            said = f"--{model.kind} {check.said}; {check.mend}"
            if model.kind == "clip" and not stages.keys().isdisjoint(("mix-train", "eval")):
                raise InputError(said)
            console.notice(f"run: {said}")


def _check_images(stages: Mapping[str, Mapping[str, Any]]) -> None:
    """Returns nothing where no image would stop training or eval. Raises InputError as `data_check.before_a_run`."""
    from ltgc_cli.pipeline.session import Session
    from ltgc_cli.pipeline.training.check import before_a_run

    # Where a run stops before the training, describe names the same data.
    trained, measured = stages.get("mix-train") or stages.get("describe"), stages.get("eval")
    if not trained:
        return
    others: list[tuple[Source, Split]] = []
    if trained.get("val"):
        others.append((_source(trained, "val"), "val"))
    if measured:
        others.append((_source(measured, "data"), measured["split"]))
    session = Session(store_folder(trained))
    before_a_run(session, _source(trained, "data"), others)


def _source(params: Mapping[str, Any], name: str) -> Source:
    root, classes = (Path(given) if given else None for given in (params.get("root"), params.get("classes")))
    return f.source(params[name], root, classes)


def store_folder(params: Mapping[str, Any]) -> Path:
    return Path(params.get("cache_dir") or f.default_folder())
