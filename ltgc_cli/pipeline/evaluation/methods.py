"""What eval measures, and on what: shared by the stage and by what measures. Loads neither numpy nor torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from ltgc_cli.errors import InputError
from ltgc_cli.learn.datasets import ClassInfo
from ltgc_cli.records import Checkpoint

_SEED = "seed"  # the setting by which several runs of one method differ
_SETTINGS_NAMED = 3  # settings that a name lists at the most


class ClassTable(NamedTuple):
    """The classes that predictions are of."""

    classes: tuple[ClassInfo, ...]
    counts: dict[int, int] | None  # real training images by label, None where they are not known


class NamedCheckpoint(NamedTuple):
    """A checkpoint under a name that no other one of the stream has."""

    checkpoint: Checkpoint
    method: str
    run_of: str = ""  # the method of which it is one run of several, which differ by their seed alone


def distinct_names(checkpoints: Sequence[Checkpoint]) -> list[NamedCheckpoint]:
    """Returns the checkpoints under names that distinguish them by what differs in their settings, and their runs.

    Those of one method whose settings are the same but for the seed are runs of it.

    >>> pair = [Checkpoint(id=str(n), sha256=f"{n}" * 64, method="LTGC", settings={"seed": n}) for n in (1, 2)]
    >>> [(one.method, one.run_of) for one in distinct_names(pair)]
    [('LTGC (seed 1)', 'LTGC'), ('LTGC (seed 2)', 'LTGC')]
    """
    found = []
    for one in checkpoints:
        same = [other for other in checkpoints if other.method == one.method]
        runs = [other for other in same if _without_seed(other) == _without_seed(one)]
        seeds = {other.settings.get(_SEED) for other in runs}
        method = f"{one.method} ({_difference(one, same)})" if len(same) > 1 else one.method
        run_of = ""
        if len(runs) > 1 and len(seeds) == len(runs):
            alone = len(runs) == len(same)
            run_of = one.method if alone else f"{one.method} ({_difference(one, same, besides={_SEED})})"
        found.append(NamedCheckpoint(one, method, run_of))
    return found


def _difference(one: Checkpoint, same: Sequence[Checkpoint], besides: Iterable[str] = ()) -> str:
    """Returns the settings by which a checkpoint differs from others of its name; its hash where these do not do."""
    keys = sorted({key for other in same for key in other.settings} - set(besides))
    differing = [key for key in keys if len({repr(other.settings.get(key)) for other in same}) > 1]
    values = {tuple(repr(other.settings.get(key)) for key in differing) for other in same}
    unique = len(values) == len(same) or bool(besides)
    if not differing or len(differing) > _SETTINGS_NAMED or not unique:
        return one.sha256[:8]
    return ", ".join(f"{key} {one.settings.get(key)}" for key in differing)


def _without_seed(one: Checkpoint) -> dict[str, object]:
    return {key: value for key, value in one.settings.items() if key != _SEED}


@contextmanager
def about_validation() -> Iterator[None]:
    """Within it an InputError says that it is about the validation images: they are missing, or are no images."""
    try:
        yield
    except InputError as error:
        raise InputError(f"--posthoc chooses τ on validation images: {error}; name them with --val") from None
