"""Where a training curve goes besides the checkpoint: TensorBoard or Weights & Biases, both extras of the package.

What they get is the curve and the settings, nothing else: no arguments, no environment, no code.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast

from ltgc_cli.errors import InputError
from ltgc_cli.providers import extras
from ltgc_cli.settings import LogName

Log = Callable[[int, Mapping[str, float]], object]
"""Logs a report: its step, and its values by name."""


def opened(kind: LogName | None, folder: Path, name: str, settings: Mapping[str, Any]) -> AbstractContextManager[Log]:
    """Returns a context with the log of that kind, in a folder. Raises InputError where its package is missing."""
    return LOGS[kind](folder, name, settings) if kind else nullcontext(lambda step, values: None)


def check(kind: LogName | None) -> None:
    """Raises InputError where the package of a log is not installed."""
    if kind:
        extras.check(f"--log {kind}", kind, kind)


@contextmanager
def _tensorboard(folder: Path, name: str, settings: Mapping[str, Any]) -> Iterator[Log]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise extras.missing("--log tensorboard", "tensorboard") from None
    with SummaryWriter(str(folder / "tensorboard")) as writer:
        writer.add_text("settings", "\n".join(f"    {key} = {value}" for key, value in settings.items()))

        def log(step: int, values: Mapping[str, float]) -> None:
            for key, value in values.items():
                writer.add_scalar(key, value, step)

        yield log


@contextmanager
def _wandb(folder: Path, name: str, settings: Mapping[str, Any]) -> Iterator[Log]:
    try:
        import wandb
    except ImportError:
        raise extras.missing("--log wandb", "wandb") from None
    private = wandb.Settings(
        silent=True,
        console="off",
        disable_git=True,
        disable_code=True,
        x_disable_meta=True,
        x_disable_machine_info=True,
        x_disable_stats=True,
        x_save_requirements=False,
    )
    try:
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "ltgc"),
            name=name,
            dir=str(folder),
            id=folder.name[:32],  # a run that is gone on with is one run there too
            resume="allow",
            # Nothing leaves this machine unless the user's own environment says so.
            mode=cast(Any, os.environ.get("WANDB_MODE", "offline")),
            config=dict(settings),
            settings=private,
        )
    except wandb.errors.Error as error:
        raise InputError(f"--log wandb: {str(error).splitlines()[0]}; WANDB_MODE=offline needs no account") from None
    try:
        yield lambda step, values: run.log(dict(values), step=step)
    finally:
        run.finish()


LOGS: dict[LogName, Callable[[Path, str, Mapping[str, Any]], AbstractContextManager[Log]]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
}
