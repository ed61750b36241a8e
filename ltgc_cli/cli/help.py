"""What `--help` shows: a command's flags in groups; the few that most people need at first, all with `--help-all`.

A flag's group is its `rich_help_panel` (rich itself is not used: it costs 150 ms at every start), or else the heading
that begins above it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from ltgc_cli.cli import usage
from ltgc_cli.errors import InputError

F = TypeVar("F", bound=Callable[..., Any])

MOST = 12
"""Flags shown at first."""

FIRST = {
    "describe": "--data --root --classes --tail --lmm --disambiguate --dry-run --max-cost -i -o",
    "extend": "--class -n --llm --senses --dry-run --max-cost --batch -i -o --json",
    "reflect": "-k --rounds --near --llm --dry-run --max-cost -i -o --json",
    "render": "--t2i --plain --width --height --steps --seed --device --batch --dry-run -i -o",
    "filter": "--scale --threshold --mode --rounds --preview --clip --llm --t2i --dry-run --max-cost -i -o",
    "mix-train": "--data --classes --generated --mix --loss --tune --epochs --name --out --clip -i -o",
    "eval": "--data --classes --zero-shot --tte --posthoc --compare --lmm --clip --dry-run -i -o",
}
"""Of a command with more flags than MOST, those that are shown at first. A command not named here shows its first."""

HEADINGS = {
    "describe": {"--data": "The data", "--tail": "What to describe"},
    "extend": {"--class": "What to make"},
    "reflect": {"-k": "What to make"},
    "filter": {"--scale": "The bar"},
    "mix-train": {
        "--data": "The data",
        "--mix": "The stream",
        "--loss": "The loss",
        "--head": "The classifier",
        "--epochs": "The loop",
        "--crop": "The images",
        "--name": "The run",
    },
    "eval": {"--split": "What to measure"},
}
"""Where a heading begins: it holds for that flag and for those after it that name no group of their own."""

_METAVAR = re.compile(r"<(int|float|str)(?: range)?>")
_PLAIN = {"int": "N", "float": "NUMBER", "str": "TEXT"}
_OWN = "Options"
_HELP = "Help"
_ALL = "ltgc.help_all"
"""Said of a context whose help shows everything."""


class Command(TyperCommand):
    """A command whose help has groups, and hides what few people need behind `--help-all`.

    Its flags are read from its function's signature when they are first wanted: that takes 5 ms a command, and a
    start wants those of one command at most.
    """

    def __init__(self, *, function: Callable[..., Any], **settings: Any) -> None:
        self._function = function
        super().__init__(**settings)

    @functools.cached_property
    def _read(self) -> Any:
        alone = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
        alone.command(self.name)(self._function)
        return typer.main.get_command(alone)

    @property
    def params(self) -> list[Any]:
        return self._read.params

    @params.setter
    def params(self, none: list[Any]) -> None:
        """Typer read them from a stand-in without any."""

    def invoke(self, ctx: Any) -> Any:
        return self._read.invoke(ctx)

    def get_params(self, ctx: Any) -> list[Any]:
        params: list[Any] = super().get_params(ctx)
        *own, short = params
        short.help = "Show the options that most people need."
        return [*own, short, _HELP_ALL]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        everything = ctx.meta.get(_ALL, False)
        headings = headings_of(self)
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.params if everything else shown(self):
            if record := param.get_help_record(ctx):
                name, text = record
                groups.setdefault(headings[param.name], []).append((_METAVAR.sub(_plain, name), text))
        if everything:
            groups[_HELP] = [param.get_help_record(ctx) for param in self.get_params(ctx)[-2:]]
        width = min(30, max(len(name) for rows in groups.values() for name, _ in rows))
        for heading, rows in groups.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), text) for name, text in rows])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        super().format_epilog(ctx, formatter)
        hidden = 0 if ctx.meta.get(_ALL) else len(_visible(self)) - len(shown(self))
        more = f"{hidden} more options: {ctx.command_path} --help-all. " if hidden else ""
        formatter.write_paragraph()
        formatter.write_text(f"{more}Exit status: {ctx.find_root().command_path} --help.")


class Group(TyperGroup):
    """Commands under one name; of a name that none has it says which was meant."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if name not in self.commands and not name.startswith("-") and not ctx.resilient_parsing:
            raise InputError(usage.no_command(name, self.commands, ctx.command_path))
        return super().resolve_command(ctx, args)


class App(typer.Typer):
    """Typer, with every command as above."""

    def command(self, name: str | None = None, **settings: Any) -> Callable[[F], F]:
        def register(function: F) -> F:
            def stand_in() -> None: ...

            stand_in.__name__, stand_in.__doc__ = function.__name__, function.__doc__
            cls: Any = functools.partial(Command, function=function)
            named = name or function.__name__.replace("_", "-")
            super(App, self).command(named, cls=cls, **settings)(stand_in)
            return function

        return register


def shown(command: Any) -> list[Any]:
    """Returns the parameters that a command's help shows at first: MOST at the most, more only where required."""
    visible = _visible(command)
    if len(visible) <= MOST:
        return visible
    first = FIRST.get(command.name, "").split()
    if not first:
        return [param for place, param in enumerate(visible) if place < MOST or param.required]
    return [param for param in visible if param.required or not set(first).isdisjoint(param.opts)]


def headings_of(command: Any) -> dict[str, str]:
    """Returns by name the heading that each parameter of a command stands under."""
    begins = HEADINGS.get(command.name, {})
    found, current = {}, _OWN
    for param in command.params:
        current = next((begins[opt] for opt in param.opts if opt in begins), current)
        argument = param.param_type_name == "argument"
        found[param.name] = "Arguments" if argument else param.rich_help_panel or current
    return found


def _plain(metavar: re.Match[str]) -> str:
    return _PLAIN[metavar[1]]


def _visible(command: Any) -> list[Any]:
    return [param for param in command.params if not param.hidden]


def _show_all(ctx: Any, param: Any, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        ctx.meta[_ALL] = True
        typer.echo(ctx.get_help())
        ctx.exit()


_HELP_ALL = TyperOption(
    param_decls=["--help-all"],
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_all,
    help="Show all options.",
)
