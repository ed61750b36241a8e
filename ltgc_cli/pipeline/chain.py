"""The stages by the names of their commands: one of them run, several one after another, or both as a dry run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from ltgc_cli import console, image_formats, providers, written
from ltgc_cli.config import Config, command_settings, configure
from ltgc_cli.errors import InputError
from ltgc_cli.files import check_room, is_straight
from ltgc_cli.learn import processes
from ltgc_cli.pipeline import ahead
from ltgc_cli.pipeline.machine import questions_at_once
from ltgc_cli.pipeline.session import Session
from ltgc_cli.pipeline.stage import ALONE, Ran, Stage, drain, dry_records, execute, follow
from ltgc_cli.pipeline.streams import Streams
from ltgc_cli.records import Record
from ltgc_cli.settings import Asking, Limits, Storage, Workers

if TYPE_CHECKING:
    from ltgc_cli.pipeline.dry_run import DrySession


def later(name: str) -> Callable[[Session, Config], Stage]:
    """Returns a function of this package, `module:name`; its module is imported when it is called."""
    return lambda session, config: resolve_name(f"ltgc_cli.pipeline.{name}")(session, config)


STAGES: Mapping[str, Callable[[Session, Config], Stage]] = {
    "describe": later("generate:describe"),
    "extend": later("generate:extend"),
    "reflect": later("generate:reflect"),
    "adapt": later("adapt:adapt"),
    "render": later("generate:render"),
    "filter": later("generate:filter"),
    "mix-train": later("training.stage:mix_train"),
    "eval": later("evaluation.stage:evaluate"),
}
"""Each stage by its command, in the order of the method: from a session and settings to a stage ready to run."""

_LOOKS = {
    "adapt": "adapt:look_ahead",
    "render": "adapter:look_ahead",
    "filter": "adapter:look_ahead",
    "mix-train": "training.stage:look_ahead",
}
"""What a stage looks at of its own, besides its models, before anything is paid."""

GENERATING = ("describe", "extend", "reflect", "render", "filter")
"""The stages that make the generated images."""
ADAPTING = ("describe", "extend", "reflect", "adapt", "render", "filter")
"""The same, by an image model that has learnt the look of the images first."""


def run(config: Config, streams: Streams, following: Sequence[Config] = ()) -> Ran:
    """Returns what a stage did: its lines are written, its artifact is in the store.

    following -- of stages behind it, whose models are looked at too before anything is paid
    """
    with console.quietly(True) if processes.rank() else nullcontext():  # the first of several speaks for all
        return _run(config, streams, following)


def _run(config: Config, streams: Streams, following: Sequence[Config]) -> Ran:
    image_formats.allow(config[Storage].max_pixels)
    _check(config, streams)
    wanted = config[Asking].concurrency if "concurrency" in command_settings(config.command) else 1
    config = config if (room := questions_at_once(wanted)) == wanted else config.changed(concurrency=room)
    engine = config[Workers] if "engine" in command_settings(config.command) else Workers()
    session = Session(config[Storage].folder, _limits(config), config.get("record"), engine=engine)
    with closing(session):
        session.look_first(partial(look_ahead, config))
        for one in following:
            session.look_first(partial(ahead.behind, look_ahead, one))
        stage = _built(session, config, streams)
        if processes.rank():
            follow(stage, streams, session)
            return Ran()
        ask_first = partial(_ask_in_batch, session, config) if config.get("half_price") else None
        return execute(stage, streams, session, ask_first)


def look_ahead(config: Config) -> None:
    """Raises LtgcError for what lies here and would stop a stage, its own run or one before it, when all is paid."""
    ahead.check_models(config)
    if look := _LOOKS.get(config.command):
        resolve_name(f"ltgc_cli.pipeline.{look}")(config)


def try_out(config: Config, streams: Streams) -> tuple[DrySession, Stage, Iterator[Record]]:
    """Returns a dry run: its session, which knows in the end what would be asked, the stage, and what it makes."""
    image_formats.allow(config[Storage].max_pixels)
    _check(config, streams)
    session = _dry_session(config)
    stage = _built(session, config, streams)
    return session, stage, dry_records(stage, streams, session)


def run_all(configs: Iterable[Config], given: Path | None = None) -> Ran:
    """Returns what the last of several stages did, each of which read the artifact of the one before."""
    ran = Ran(given)
    for config in configs:
        ran = run(config, Streams(input=ran.artifact, called=True))
    return ran


def try_out_all(configs: Iterable[Config], given: Iterable[Record] = ()) -> list[tuple[Config, DrySession]]:
    """Returns the session of each of several stages that were tried, each on what the one before would make."""
    from ltgc_cli.pipeline.dry_run import marked

    done = []
    for config in configs:
        _check_batch(config)
        session = _dry_session(config)
        stage = STAGES[config.command](session, config)
        given = list(marked(stage.run(session.watched(iter(given))), session))
        done.append((config, session))
    return done


def check(config: Config) -> None:
    """Raises InputError for settings that a stage would refuse when it begins. Nothing is asked, no image is read."""
    if config.command in STAGES:
        _check_batch(config)
        with console.quietly(True):  # what it has to say it says when it runs
            STAGES[config.command](_dry_session(config), config)


def without_limit() -> dict[str, str]:
    """Returns the environment but for LTGC_MAX_COST: a limit for all stages together is no stage's own."""
    return {name: value for name, value in os.environ.items() if name != "LTGC_MAX_COST"}


def configured(
    commands: Sequence[str], values: Mapping[str, Any], environment: Mapping[str, str] = os.environ
) -> list[Config]:
    """Returns the settings of several stages: each takes those of the values that it has a setting for, by name."""
    return [
        configure(
            command,
            {name: value for name, value in values.items() if name in command_settings(command)},
            environment=environment,
        )
        for command in commands
    ]


def _built(session: Session, config: Config, streams: Streams) -> Stage:
    """Returns a stage that reads the streams, or that needs none. Raises InputError where it is to read both."""
    stage = STAGES[config.command](session, config)
    if stage.source and streams.input:
        raise InputError("give either -i FILE or the flag that names the classes or the data, not both")
    alone = not streams.input and not (streams.piped and processes.count() == 1)
    return stage._replace(source=ALONE) if stage.optional and alone else stage


def _check(config: Config, streams: Streams) -> None:
    """Raises InputError for what would stop a stage in the end: a file that it may not write over, a wrong model."""
    if streams.output and not is_straight(path := written.check(streams.output)):
        check_room(path.parent, streams.output.path)
    _check_batch(config)


def _limits(config: Config) -> Limits:
    return config[Limits] if "max_cost" in command_settings(config.command) else Limits()


def _dry_session(config: Config, *, for_batch: Session | None = None) -> DrySession:
    from ltgc_cli.pipeline.dry_run import DrySession

    half_price = bool(config.get("half_price"))
    return DrySession(config[Storage].folder, _limits(config), half_price=half_price, for_batch=for_batch)


def _check_batch(config: Config) -> None:
    """Raises InputError for a model that has no batch API, where its answers are there already too."""
    if config.get("half_price") and not providers.is_real(spec := _asked(config)):
        raise InputError(f"--batch: {spec} has no batch API; leave it out")


def _asked(config: Config) -> str:
    return str(config.get("lmm") or config.get("llm"))


def _ask_in_batch(session: Session, config: Config, path: Path | None) -> None:
    """Asks a provider's batch API what a stage will ask, which a dry run of it finds out."""
    dry = _dry_session(config, for_batch=session)
    drain(STAGES[config.command](dry, config), path)
    session.meter.refused = 0  # the run asks these again, and is whole where they are answered then
    session.ask_in_batch(_asked(config), config[Asking].api_base, dry.questions)
