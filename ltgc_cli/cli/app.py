"""The `ltgc` command: its commands by name, and what goes wrong as one line and an exit status."""

from __future__ import annotations

import gc
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from ltgc_cli import console
from ltgc_cli.cli import faults
from ltgc_cli.cli.interruption import interruptible, nothing_to_say
from ltgc_cli.errors import AGAIN, FULL, LtgcError, OutputError, place_error, too_many_files
from ltgc_cli.text import nearest

COMMANDS = {
    "The whole method": {
        "demo": ("demo", "Run all seven stages on handwritten digits, offline, in minutes."),
        "init": ("init", "Look at a data set, and write ltgc.toml for `ltgc run`."),
        "run": ("run", "Run all stages, describe to eval, by what ltgc.toml says."),
    },
    "Stage by stage": {
        "describe": ("stages", "Describe the original images of the tail classes (Prompt 1)."),
        "extend": ("stages", "List what the images of a class do not show (Prompt 2)."),
        "reflect": ("stages", "Drop repeats, and ask until there are enough (Prompt 3)."),
        "adapt": ("stages", "Train a LoRA, to generate in the look of your images."),
        "render": ("stages", "Generate one image per description."),
        "filter": ("stages", "Reject images unlike their class, regenerate them (Prompts 4, 5)."),
        "mix-train": ("stages", "Fine-tune CLIP on mixes of original and generated images."),
        "eval": ("stages", "Measure accuracy over many-, medium- and few-shot classes."),
    },
    "Results": {
        "report": ("report", "Show a run in one HTML file."),
        "sheet": ("sheet", "Show real and generated images side by side in one PNG."),
        "review": ("review", "Keep or reject generated images by hand, in the browser."),
        "predict": ("predict", "Classify images with a checkpoint."),
        "export": ("export", "Write the generated images to a new folder."),
        "cost": ("cost", "Sum up what the records of a stream cost."),
    },
    "Upkeep": {
        "cache": ("cache", "List the store of answers, check, share, prune it."),
        "doctor": ("doctor", "Check that everything is in place."),
    },
}
"""The commands as `ltgc --help` lists them, each with its module, which is imported when the command is wanted."""
TYPED = "ltgc_cli.typed"
"""Under this a context's `meta` has the arguments as they were typed."""


class Commands(TyperGroup):
    """The commands in groups, each imported when it is wanted; what goes wrong ends in one line and an exit status."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for group in COMMANDS.values() for name in group]

    def get_command(self, ctx: Any, name: str) -> Any:
        modules = {name: module for group in COMMANDS.values() for name, (module, _) in group.items()}
        if name not in modules:
            return None
        import_module(f"ltgc_cli.cli.{modules[name]}")
        for group in app.registered_groups:
            if group.name == name and group.typer_instance:
                found = typer.main.get_group(group.typer_instance)
                found.name = name
                return found
        command = next(command for command in app.registered_commands if command.name == name)
        if sign := getattr(command.callback, "sign", None):
            sign()
        return typer.main.get_command_from_info(command, pretty_exceptions_short=True, rich_markup_mode=None)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        width = max(map(len, self.list_commands(ctx)))
        for heading, commands in COMMANDS.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), line) for name, (_, line) in commands.items()])

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        typed = tuple(args)  # reading them uses them up
        with interruptible(info_name or "ltgc", typed), _in_one_line():
            ctx = super().make_context(info_name, args, parent, **extra)
        ctx.meta[TYPED] = typed
        return ctx

    def invoke(self, ctx: Any) -> Any:
        with interruptible(ctx.command_path, ctx.meta[TYPED]), _in_one_line():
            ran = super().invoke(ctx)
            sys.stdout.flush()  # here, where what goes wrong is said
            if code := getattr(ran, "exit_code", 0):
                raise typer.Exit(code)
            return ran


@contextmanager
def _in_one_line() -> Iterator[None]:
    """Within it whatever goes wrong ends in one line: by a person, a provider, this machine, or ltgc itself."""
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except LtgcError as error:
        _let_go_of_stdout()
        console.error(str(error))
        raise typer.Exit(error.exit_code) from None
    except TyperException as error:  # a command line that typer does not take
        if "\n" in error.format_message():  # the help of a command that was given nothing
            raise
        console.error(_usage(error))
        raise typer.Exit(error.exit_code) from None
    except BrokenPipeError:
        _let_go_of_stdout()  # the reader has had enough (| head)
        raise typer.Exit(0) from None
    except Exception as error:
        if told := _of_this_machine(error):
            _let_go_of_stdout()
            console.error(str(told))
            raise typer.Exit(told.exit_code) from None
        raise typer.Exit(faults.report(error)) from None


def _of_this_machine(error: BaseException) -> LtgcError | None:
    """Returns what this machine could not do, and what helps; None for an error that is not for want of anything."""
    if isinstance(error, OSError) and error.errno is not None:
        if error.filename or error.errno in FULL:
            return place_error(error.filename or f"a temporary file in {tempfile.gettempdir()} (TMPDIR)", error)
        return too_many_files(error) or OutputError(f"{error.strerror}; {AGAIN}")
    if isinstance(error, MemoryError):
        memory = "the memory of this machine is used up (a smaller --concurrency or --batch needs less)"
        return OutputError(f"{memory}; {AGAIN}")
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        threads = (
            "this machine starts no more threads (ulimit -u allows more of them, a smaller --concurrency needs less)"
        )
        return OutputError(f"{threads}; {AGAIN}")
    return None


def _let_go_of_stdout() -> None:
    """Sends what cannot be written to stdout to nowhere: Python would complain once more while it closes it."""
    try:
        sys.stdout.flush()
    except (LtgcError, OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _usage(error: Any) -> str:
    """Returns typer's usage error in one line, with the nearest name that exists and the page to read on."""
    context, flag = getattr(error, "ctx", None), getattr(error, "option_name", None)
    if context is None:
        return str(error.format_message())
    params = context.command.get_params(context)
    known = [opt for param in params for opt in (*param.opts, *param.secondary_opts)]
    page = "--help-all" if flag and "--help-all" in known else "--help"
    wrong = error.format_message().rstrip(".")
    if flag and hasattr(error, "possibilities"):
        wrong = f"{context.info_name} has no flag {flag}{nearest(flag, known)}"
    elif found := re.match("No such command '(.*?)'", wrong):
        wrong = f"there is no command {found[1]!r}{nearest(found[1], context.command.list_commands(context))}"
    return f"{wrong[:1].lower()}{wrong[1:]} ({context.command_path} {page})"


app = typer.Typer(
    name="ltgc",
    cls=Commands,
    rich_markup_mode=None,  # rich help costs 150 ms at every start
    pretty_exceptions_enable=False,  # its traceback shows local variables, keys among them
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    help="""Long-tail recognition with generated images: the LTGC method (CVPR 2024).

    Each command reads records (JSON lines), adds its own and writes them, so that commands chain:

    \b
    ltgc describe --data birds | ltgc extend | ltgc reflect -k 100 | ltgc render | ltgc filter \\
      | ltgc mix-train --data birds | ltgc eval --data birds-test

    Without a model named, small embedded ones are used: no key, no network, no GPU. Start with: ltgc demo
    """,
    epilog="Exit status: 0 done; 1 done, but something fell short; 2 bad usage or input; 3 a provider cannot be "
    "used, or a disk is full; 4 the budget was reached; 130 interrupted (129, 143: by a hangup, by SIGTERM).",
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"ltgc {version('ltgc')}")
        raise typer.Exit


@app.callback()
def _main(
    version: bool = typer.Option(False, "--version", is_eager=True, callback=_version, help="Show the version."),
) -> None:
    pass


def main() -> None:
    """Runs the command line."""
    # Records and questions are many small objects without cycles: looking for those less often gains a few percent.
    gc.set_threshold(50_000, 20, 20)
    faults.watch()
    console.prepare_streams()
    try:
        app()
    finally:
        nothing_to_say()
