"""The `ltgc` command: flags in, one library call, records out. Nothing heavy is imported until a command runs."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from ltgc_cli import console
from ltgc_cli.cli import usage
from ltgc_cli.cli.help import App, Group
from ltgc_cli.cli.interruption import interruptible
from ltgc_cli.errors import InputError, LtgcError, nearest

COMMANDS = {
    "All of it": {
        "demo": ("cli.demo", "Run all seven stages on handwritten digits, offline, in minutes."),
        "init": ("cli.init", "Look at a data set, and write ltgc.toml for `ltgc run`."),
        "run": ("pipeline.run", "Go the whole road, describe to eval, by what ltgc.toml says."),
    },
    "Stage by stage": {
        "describe": ("cli.language", "Describe the original images of the tail classes (Prompt 1)."),
        "extend": ("cli.language", "List what the images of a class do not show (Prompt 2)."),
        "reflect": ("cli.language", "Drop repeats, and ask until there are enough (Prompt 3)."),
        "render": ("cli.pictures", "Draw one image per description."),
        "filter": ("cli.pictures", "Reject drawings unlike their class, redraw them (Prompts 4, 5)."),
        "mix-train": ("cli.learning", "Fine-tune CLIP on originals and drawings, mixed (BalanceMix)."),
        "eval": ("cli.evaluating", "Measure accuracy over many-, medium- and few-shot classes."),
    },
    "What came of it": {
        "report": ("cli.report", "Show a run in one HTML file."),
        "review": ("cli.review", "Keep or reject drawings by hand, in the browser."),
        "predict": ("cli.predict", "Classify images with a checkpoint."),
        "export": ("cli.export", "Write the generated images to a new folder."),
        "cost": ("cli.cost", "Sum up what the records of a stream cost."),
    },
    "Upkeep": {
        "cache": ("cli.cache", "Look into the store of answers, check, share, prune it."),
        "doctor": ("cli.doctor", "Look whether everything is in place."),
    },
}
"""The commands as `ltgc --help` lists them, each with its module, which is imported when the command is wanted."""
SETTINGS_FILE = Path("ltgc.toml")
TYPED = "ltgc_cli.typed"
"""Under this a context's `meta` has the arguments as they were typed."""


class _Imported(Mapping[str, Any]):
    """The commands by name. Importing them all, and reading their flags, takes longer than typer itself."""

    def __init__(self) -> None:
        self._modules = {name: module for names in COMMANDS.values() for name, (module, _) in names.items()}
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            import_module(f"ltgc_cli.{self._modules[name]}")
            self._made[name] = _registered(name)
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)


def _registered(name: str) -> Any:
    for group in app.registered_groups:
        if group.name == name and group.typer_instance:
            found = typer.main.get_group(group.typer_instance)
            found.name = name
            return found
    command = next(command for command in app.registered_commands if command.name == name)
    return typer.main.get_command_from_info(command, pretty_exceptions_short=True, rich_markup_mode=None)


class Commands(Group):
    """The commands in groups; turns what a person can cause into one line and an exit status."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: Any = _Imported()

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        width = max(map(len, self.commands))
        for heading, commands in COMMANDS.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), line) for name, (_, line) in commands.items()])

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        typed = tuple(args)  # reading them uses them up
        with _told():
            ctx = super().make_context(info_name, args, parent, **extra)
        ctx.meta[TYPED] = typed
        return ctx

    def invoke(self, ctx: Any) -> Any:
        with interruptible(ctx.command_path, ctx.meta[TYPED]), _told():
            ctx.default_map = settings(SETTINGS_FILE, self, ctx)
            ran = super().invoke(ctx)
            if code := getattr(ran, "exit_code", 0):
                raise typer.Exit(code)
            return ran


@contextmanager
def _told() -> Iterator[None]:
    """Within it what a person can cause ends in one line."""
    try:
        yield
    except LtgcError as error:
        console.error(str(error))
        raise typer.Exit(error.exit_code) from None
    except TyperException as error:  # a command line that typer does not take
        if "\n" in error.format_message():  # the help of a command that was given nothing
            raise
        console.error(usage.said(error))
        raise typer.Exit(error.exit_code) from None
    except BrokenPipeError:
        # The reader has had enough (| head). Python would complain once more while it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None


app = App(
    name="ltgc",
    cls=Commands,
    rich_markup_mode=None,  # rich help costs 150 ms at every start
    pretty_exceptions_enable=False,  # its traceback shows local variables, keys among them
    no_args_is_help=True,
    add_completion=False,  # typer's own breaks names with spaces and models with colons
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    help="""Long-tail recognition with generated images: the LTGC method (CVPR 2024).

    Each command reads records (JSON lines), adds its own and writes them, so that commands chain:

    \b
    ltgc describe --data birds | ltgc extend | ltgc reflect -k 100 | ltgc render | ltgc filter \\
      | ltgc mix-train --data birds | ltgc eval --data birds-test

    Without a model named, small embedded ones are used: no key, no network, no GPU. Start with: ltgc demo
    """,
    epilog="Exit status: 0 done; 1 done, but something fell short; 2 bad usage or input; 3 a provider cannot be "
    "used; 4 the budget was reached; 130 interrupted.",
)


def settings(path: Path, group: TyperGroup, ctx: Any) -> dict[str, Any] | None:
    """Returns the defaults that a settings file gives each command. Raises InputError for a name no command has.

    A key at the top holds for every command that has such a flag; a table holds for the command of its name. What
    mix-train is trained with stands in its table alone: its --steps and --batch are others than render's.
    """
    import tomllib

    from ltgc_cli.learn.settings import Settings

    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no settings file that can be read: {error}; `ltgc init` writes one") from None
    known = {name: _flags(command) for name, command in group.commands.items()}
    own_only = {"mix-train": set(Settings.__struct_fields__)}
    shared = {name: flags.keys() - own_only.get(name, set()) for name, flags in known.items()}
    tables = {name: value for name, value in given.items() if isinstance(value, dict)}
    common = {name.replace("-", "_"): value for name, value in given.items() if name not in tables}
    for name in tables:
        if name not in known:
            raise InputError(f"{path}: [{name}] is no command{_nearest(name, known)}")
    own = {name: {key.replace("-", "_"): value for key, value in table.items()} for name, table in tables.items()}
    for name, table in [("", common), *own.items()]:
        allowed = known[name].keys() if name else set().union(*shared.values())
        for key in table:
            if key not in allowed and not name and key in known["mix-train"]:
                raise InputError(f"{path}: {key} is how mix-train trains; put it under [mix-train]")
            if key not in allowed:
                where = f"ltgc {name} has no flag" if name else "no command has a flag"
                raise InputError(f"{path}: {where} --{key.replace('_', '-')}{_nearest(key, allowed)}")
    # At the top a flag means the same for all: not describe's --llm, which is its vision model, nor its --batch.
    defaults = {
        name: {key: value for key, value in common.items() if flags.get(key) == key and key in shared[name]}
        | {flags[key]: value for key, value in own.get(name, {}).items()}
        for name, flags in known.items()
    }
    # eval alone, too, measures on the test images that a run names, and not on what was trained on.
    if "data" not in own.get("eval", {}) and (test := defaults["run"].get("test")):
        defaults["eval"]["data"] = test
    return {name: _handed_on(group.commands[name], values) for name, values in defaults.items()}


def _flags(command: Any) -> dict[str, str]:
    """Returns the parameter behind each flag of a command: {"batch": "half_price", …}; of a group what all have."""
    if inner := getattr(command, "commands", None):
        first, *others = (_flags(one) for one in inner.values())
        return {flag: name for flag, name in first.items() if all(other.get(flag) == name for other in others)}
    named = {opt.lstrip("-").replace("-", "_"): param.name for param in command.params for opt in param.opts}
    return named | {param.name: param.name for param in command.params if param.name not in named}


def _handed_on(command: Any, defaults: dict[str, Any]) -> dict[str, Any]:
    """Returns the defaults of a command; of a group (`ltgc cache info`) for each of its commands."""
    return {name: defaults for name in command.commands} if hasattr(command, "commands") else defaults


def _nearest(name: str, names: Any) -> str:
    return nearest(name, (known.replace("_", "-") for known in names))


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"ltgc {version('ltgc')}")
        raise typer.Exit


def _install_completion(shell: str | None) -> None:
    if shell:
        from ltgc_cli.cli import completion_scripts

        script, sourced_by = completion_scripts.install(completion_scripts.named(shell))
        typer.echo(f"{script}: completion of ltgc in {shell}{f', sourced by {sourced_by}' if sourced_by else ''}")
        typer.echo("It works in every shell that is started from now on.")
        raise typer.Exit


def _show_completion(shell: str | None) -> None:
    if shell:
        from ltgc_cli.cli import completion_scripts

        typer.echo(completion_scripts.SCRIPTS[completion_scripts.named(shell)], nl=False)
        raise typer.Exit


_SHELLS = "bash|zsh|fish"


@app.callback()
def _main(
    version: bool = typer.Option(False, "--version", is_eager=True, callback=_version, help="Show the version."),
    install_completion: str | None = typer.Option(
        None,
        "--install-completion",
        is_eager=True,
        callback=_install_completion,
        metavar=_SHELLS,
        help="Install completion for a shell: commands, flags, models, class names.",
    ),
    show_completion: str | None = typer.Option(
        None,
        "--show-completion",
        is_eager=True,
        callback=_show_completion,
        metavar=_SHELLS,
        help="Show the script that --install-completion installs.",
    ),
) -> None:
    pass


def main() -> None:
    """Runs the command line."""
    if "_LTGC_COMPLETE" in os.environ:
        _complete()
        return
    # Records and questions are many small objects without cycles: looking for those less often gains a few percent.
    gc.set_threshold(50_000, 20, 20)
    app()


def _complete() -> None:
    from ltgc_cli.cli import completion as completing

    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    completing.answer(group, lambda: settings(SETTINGS_FILE, group, None))
