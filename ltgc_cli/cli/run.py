"""`ltgc run`: all stages one after another, by the settings of one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ltgc_cli import console, image_formats, settings_file
from ltgc_cli.cli.app import TYPED, app
from ltgc_cli.cli.flags import NamedPath, command
from ltgc_cli.cli.interruption import typed
from ltgc_cli.config import Config, configure
from ltgc_cli.errors import InputError
from ltgc_cli.settings import Run, Storage

if TYPE_CHECKING:
    from ltgc_cli.pipeline.stage import Ran

_NO_SETTINGS = """\
ltgc run runs all stages, from images to a trained classifier, by the settings in ltgc.toml; there is none here
  ltgc init --data birds/    looks at your images and writes one: what is rare, which models, what it will cost
  ltgc run --dry-run         says what would be asked, and at what price; then: ltgc run
                             (stopped or killed at any point, it goes on when you start it again)
  ltgc demo                  shows all of it first, on handwritten digits: offline, in a few minutes"""


@command(app)
def run(
    config: Config,
    ctx: typer.Context,
    path: Annotated[
        Path | None,
        typer.Argument(
            click_type=NamedPath(),
            metavar="[FILE]",
            help="Settings [ltgc.toml]. Paths in it start from the current folder, as those of flags do.",
        ),
    ] = None,
) -> Ran:
    """Run all stages, describe to eval, by the settings in ltgc.toml. Killed at any point, it goes on.

    Each stage is the command of its name: a key at the top of ltgc.toml holds for all of them, a table for one.
    `ltgc init` writes such a file.

    \b
    ltgc run --dry-run
    ltgc run
    ltgc run --until render
    ltgc run --from filter                 # with ltgc-run/render.jsonl as it is, changed by hand too
    """
    from ltgc_cli.cli import show
    from ltgc_cli.learn import processes
    from ltgc_cli.pipeline import dry_run
    from ltgc_cli.pipeline import run as running

    file = path or settings_file.PATH
    settings = settings_file.load(file)
    if settings is None:
        raise _no_settings(path)
    if processes.count() > 1:
        raise InputError("ltgc run is one process; to train with several: ltgc run --until filter, then mix-train")
    config = configure("run", config.given, settings["run"], file=file)
    console.configure(quiet=bool(config.get("quiet")))
    image_formats.allow(config[Storage].max_pixels)
    words = [word for word in ctx.meta[TYPED] if word != "--dry-run"]
    program = ctx.find_root().command_path

    def again(*more: str, without: Any = ()) -> str:
        return " ".join([typed(program, words, without={*more[:1], *without}), *more])

    kept = {"cache_dir": config.get("cache_dir"), "quiet": config.get("quiet") or None}
    kept |= {"max_pixels": config.given.get("max_pixels")}
    adapts = "adapt" in settings_file.tables(file)
    job = running.Job(settings, config[Run], kept, again, adapts, file)
    ran = running.run(job)
    if config[Run].dry_run:
        if ran.would_ask:
            console.table("what the run would ask", dry_run.COLUMNS, dry_run.rows(ran.would_ask))
        else:
            console.notice("run: nothing would be asked")
        return ran._replace(would_ask={})
    last = running.last_file(job)
    if last.name == "eval.jsonl":
        show.show(last, "run")
    console.notice(running.outcome(job, ran.dollars))
    _notify_end(config[Run], again)
    if ran.problem:
        raise InputError(ran.problem)
    return ran


def _notify_end(run: Run, again: Any) -> None:
    if run.until in (None, "report"):
        console.notice(f"run: the report is {run.out / 'report.html'}, with contact-sheet.png beside it")
    elif run.until != "eval":
        console.notice(f"run: {again(without=['--until'])} goes on after {run.until}")


def _no_settings(path: Path | None) -> Exception:
    if path:
        return InputError(f"{path}: no such file; ltgc init --data birds/ -o {path} writes one")
    head, *lines = _NO_SETTINGS.splitlines()
    console.error(head)
    for line in lines:
        console.notice(line)
    return typer.Exit(InputError.exit_code)
