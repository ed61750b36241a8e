"""From a command's flags to what its plan needs, and the plan's run on the command's streams."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ltgc_cli import console
from ltgc_cli.errors import InputError
from ltgc_cli.ports import ImageFormat
from ltgc_cli.stages.settings import Style

if TYPE_CHECKING:
    from ltgc_cli.learn.datasets import Source
    from ltgc_cli.pipeline.session import Asking, Limits, Session
    from ltgc_cli.pipeline.stage import Plan, Streams
    from ltgc_cli.stages.verdicts import Verdicts
    from ltgc_cli.usage import UsageSum


class Ran(NamedTuple):
    """What a command did; `app` turns it into the exit status."""

    artifact: Path | None
    """The whole output; None after a dry run, and in a process that only helps another."""
    exit_code: int = 0
    dollars: float = 0.0
    """What this run paid."""
    would_ask: Mapping[tuple[str, str], UsageSum] = {}
    """What a dry run found that it would ask, by purpose and model."""


_from_python: ContextVar[bool] = ContextVar("from_python", default=False)


@contextmanager
def from_python() -> Iterator[None]:
    """Within it commands are called as functions: nobody pipes anything in, and nothing is written to stdout."""
    token = _from_python.set(True)
    try:
        yield
    finally:
        _from_python.reset(token)


def default_folder() -> Path:
    """Returns where the store lies unless --cache-dir, LTGC_CACHE_DIR or ltgc.toml says otherwise."""
    return Path(os.path.expanduser("~")) / ".ltgc"


def session(
    cache_dir: Path | None, record: Path | None, quiet: bool, limits: Limits | None = None, *, half_price: bool = False
) -> Session:
    from ltgc_cli.pipeline.session import NO_LIMITS, Session

    console.configure(quiet=quiet)
    return Session(cache_dir or default_folder(), record, limits or NO_LIMITS, half_price=half_price)


def limits(dry_run: bool, max_cost: float | None, max_calls: int | None, price: str | None) -> Limits:
    from ltgc_cli.pipeline.session import Limits

    if max_cost is not None and math.isnan(max_cost):  # typer's own check lets it pass
        raise InputError("--max-cost nan: a number of US dollars is wanted")
    return Limits(dry_run=dry_run, max_cost=max_cost, max_calls=max_calls, price=price)


def asking(
    workers: int, api_base: str | None, limit: float, max_tokens: int | None, image_size: int | None = None
) -> Asking:
    from ltgc_cli.pipeline.session import Asking

    return Asking(workers=workers, api_base=api_base, limit=limit, max_tokens=max_tokens, image_size=image_size)


def drawing(
    lora: str | None, device: str | None, dtype: str | None, compile: bool, slicing: bool, api_base: str | None
) -> dict[str, Any]:
    """Returns how a text-to-image model is loaded."""
    return {
        "lora": lora,
        "device": device,
        "dtype": dtype,
        "compile": compile,
        "slicing": slicing,
        "api_base": api_base,
    }


def style(
    width: int | None,
    height: int | None,
    steps: int | None,
    guidance: float | None,
    negative: str,
    seed: int,
    scheduler: str | None,
    from_original: float | None,
    format: ImageFormat,
) -> Style:
    """Returns how pictures are drawn."""
    return Style(
        width=width,
        height=height,
        steps=steps,
        guidance=guidance,
        negative=negative,
        seed=seed,
        scheduler=scheduler,
        strength=from_original,
        format=format,
    )


def streams(input: Path | None, output: Path | None, json: bool, *, own: bool = False) -> Streams:
    """Returns where lines come from and go to. `own`: the command makes its first records itself."""
    from ltgc_cli.pipeline.stage import Streams

    if own and input:
        raise InputError("give either -i FILE or the flag that names the classes or the data, not both")
    return Streams(input, output, json, silent=_from_python.get())


def prompts(path: Path | None):  # type: ignore[no-untyped-def]  # prompts imports msgspec; loaded when asked
    from ltgc_cli import prompts

    return prompts.load(path)


def verdicts(path: Path | None) -> Verdicts | None:
    """Returns what a person said of drawings, None where no file is named."""
    if path is None:
        return None
    from ltgc_cli.review import verdict_file

    return verdict_file.load(path)


def source(data: str, root: Path | None, classes: Path | None) -> Source:
    """Returns the data set that a command's flags name."""
    from ltgc_cli.learn.datasets import Source

    return Source(data, root, classes)


def nothing_piped() -> bool:
    """Returns whether there is no stream to read: a person sits there, or a program calls."""
    import sys

    return _from_python.get() or sys.stdin.isatty()


def finish(plan: Plan, streams: Streams, session: Session, then: Callable[[Path], None] | None = None) -> Ran:
    """Returns what the run did, once its plan ran, its lines are written and a person has seen a table.

    then -- what is done with the artifact at the end
    """
    from ltgc_cli.cli import show as view
    from ltgc_cli.learn import processes
    from ltgc_cli.pipeline import stage as runner

    if session.rehearsal:
        runner.rehearse(plan, streams, session)
        return Ran(None, would_ask=session.rehearsal.lines)
    if processes.rank():
        runner.follow(plan, streams, session)
        return Ran(None)
    result = runner.execute(plan, streams, session)
    if console.is_terminal() and not (streams.output or streams.json or streams.silent):
        view.show(result.artifact, plan.stage)
        console.notice(f"{plan.stage}: all of it is in {result.artifact}")
    if then:
        then(result.artifact)
    return Ran(result.artifact, result.done.exit_code, session.meter.dollars)
