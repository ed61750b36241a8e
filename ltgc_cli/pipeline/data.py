"""The data set of a command: opened in one place, where what was left out of it is said, and names that are none."""

from __future__ import annotations

from collections.abc import Sequence

from ltgc_cli import console, providers
from ltgc_cli.errors import InputError
from ltgc_cli.learn import datasets
from ltgc_cli.learn.datasets import Dataset, Source, Split, names, tree
from ltgc_cli.records import Class

_SHOWN = 5  # names that are spelled out


def open_data(source: Source, split: Split) -> Dataset:
    """Returns one split of a data set. Says what was left out of it, each thing once a command.

    Raises InputError for what is no data set, and where no image of a list is there.
    """
    dataset = datasets.open_data(source, split)
    datasets.check_found(dataset)
    new = [one for one in dataset.left_out if console.first((source.spec, one))]
    if said := tree.worded(new):
        of = f" ({split})" if split != "train" else ""
        console.notice(f"data: {source.spec}{of}: {said}")
    return dataset


def check_names(classes: Sequence[Class], model: str, *, given: bool) -> None:
    """Says once a command which tail classes have no name, but a number or a code, before a model is asked about them.

    given -- whether they were named before: by a person, or in a stream, whose classes are all known at its end alone
    Raises InputError where most have none, and the model is not one of ltgc's own: what it answers is worth nothing.
    """
    asked = [cls.class_ for cls in classes if cls.tail and not cls.sense]
    unnamed = names.codes(asked)
    if not unnamed or not providers.is_real(model):
        return
    text = f"{_some(unnamed)}: {model} knows nothing of a class called {unnamed[0]}; --classes FILE gives names"
    if 2 * len(unnamed) > len(asked) and not given:
        raise InputError(f"these are no names: {text}")
    if console.first(check_names):
        console.notice(f"data: these may be no names: {text}")


def _some(found: Sequence[str]) -> str:
    more = f" and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more
