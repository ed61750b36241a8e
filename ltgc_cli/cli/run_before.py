"""What `ltgc run` looks at before anything is asked: what would stop a late stage, when the early ones are paid."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltgc_cli import console
from ltgc_cli.cli import flags as f
from ltgc_cli.errors import InputError

if TYPE_CHECKING:
    from ltgc_cli.learn.datasets import Source, Split


def models(stages: Mapping[str, Mapping[str, Any]]) -> None:
    """Says what is wrong with the models of the stages: a name that nobody knows, a key that is not set.

    It is no error where a language model or an image API is meant: all of its answers may be in the store.
    Raises InputError for a CLIP model that does not exist, which training and eval need.

    stages -- each stage's parameters
    """
    from ltgc_cli.cli.doctor_models import KINDS, Model, look

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


def images(stages: Mapping[str, Mapping[str, Any]]) -> None:
    """Returns nothing where no image would stop training or eval. Raises InputError as `data_check.before_a_run`."""
    from ltgc_cli.cli.data_check import before_a_run
    from ltgc_cli.cli.session import Session

    trained, measured = stages.get("mix-train"), stages.get("eval")
    if not trained:
        return
    others: list[tuple[Source, Split]] = []
    if trained.get("val"):
        others.append((_source(trained, "val"), "val"))
    if measured:
        others.append((_source(measured, "data"), measured["split"]))
    session = Session(Path(trained.get("cache_dir") or f.default_folder()))
    before_a_run(session, _source(trained, "data"), others)


def _source(params: Mapping[str, Any], name: str) -> Source:
    root, classes = (Path(given) if given else None for given in (params.get("root"), params.get("classes")))
    return f.source(params[name], root, classes)
