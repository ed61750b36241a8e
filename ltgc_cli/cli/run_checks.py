"""What `ltgc run` looks at before anything is asked, and of each of its files again before it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltgc_cli.cli import flags as f
from ltgc_cli.cli import run_before
from ltgc_cli.errors import InputError

if TYPE_CHECKING:
    from ltgc_cli.cli.running import Job, Ready


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
    run_before.models(stages)
    run_before.images(stages)


def check_file(job: Job, ready: Sequence[Ready], number: int) -> None:
    """Raises InputError where what a step writes would take the place of what a person made."""
    from ltgc_cli.cli.reporting import check_ours
    from ltgc_cli.cli.run_folder import is_theirs

    one = ready[number]
    path = job.out / one.step.file
    if one.step.stage == "report":
        if path.exists():  # its folder is made when the run begins
            check_ours(path)
    elif is_theirs(path, store_folder(one.params) / "artifacts" / one.step.stage):
        following = next((other.step.stage for other in ready[number + 1 :]), "")
        there = path.is_file() and following not in ("", one.step.stage) and not one.step.args
        go_on = f"go on from it with {job.command('--from', following)}, or move it away" if there else "move it away"
        raise InputError(f"{path} is not as a stage left it, and would be overwritten: {go_on}")


def _check_test(params: Mapping[str, Any], trained_on: str | None) -> None:
    """Raises InputError where eval would measure on the images that are trained on."""
    from ltgc_cli.learn import datasets

    root, classes = (Path(given) if given else None for given in (params["root"], params["classes"]))
    source = f.source(params["data"], root, classes)
    if params["data"] == trained_on and params["split"] not in datasets.splits(source):
        raise InputError(
            f"{source.spec} has no {params['split']} images beside those to train on: name others under [run], "
            'test = "birds-test/", or stop before: --until mix-train'
        )
    datasets.open_data(source, params["split"])


def store_folder(params: Mapping[str, Any]) -> Path:
    return Path(params.get("cache_dir") or f.default_folder())
