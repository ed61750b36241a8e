"""From settings to flags: a command takes a `Config`, and its flags are the settings that `settings.COMMANDS` lists."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_origin

import click
import typer
from typer.core import TyperCommand, TyperOption

from ltgc_cli import console, image_formats, settings_file
from ltgc_cli.cli import completion, faults
from ltgc_cli.cli.app import app as main_app
from ltgc_cli.config import Config, command_settings, configure
from ltgc_cli.errors import InputError
from ltgc_cli.settings import Setting, Storage

_ALL = "ltgc.help_all"
"""Said of a context whose help shows everything."""


def command(app: typer.Typer, name: str = "", *, settings: str = "") -> Callable[[Callable[..., Any]], Any]:
    """Returns a decorator that registers a function of a Config, and of what Typer parameters it has besides.

    settings -- the entry of COMMANDS, where it is not called as the command is (`cache`)
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        named = name or function.__name__.strip("_").replace("_", "-")
        listed = command_settings(settings or named)

        def run(ctx: typer.Context, **values: Any) -> Any:
            typed = {one: values.pop(one) for one in listed}
            given = {one: value for one, value in typed.items() if _is_typed(ctx, one)}
            config = _configured(settings or named, given)
            console.configure(quiet=bool(config.get("quiet")))
            image_formats.allow(config[Storage].max_pixels)
            faults.know(ctx.command_path, config[Storage].folder)
            return function(config, **({"ctx": ctx} if "ctx" in own() else {}), **values)

        @cache
        def own() -> dict[str, inspect.Parameter]:
            _, *params = map(_evaluated(function), inspect.signature(function).parameters.values())
            return {param.name: param for param in params}

        def sign() -> None:
            context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
            others = [param.replace(kind=param.KEYWORD_ONLY) for name, param in own().items() if name != "ctx"]
            run.__signature__ = inspect.Signature([context, *others, *map(flag, listed.values())])  # type: ignore[attr-defined]

        run.__annotations__, run.__doc__, run.__name__ = {}, function.__doc__, function.__name__
        if app is main_app:
            run.sign = sign  # type: ignore[attr-defined]  # its flags are made when it is wanted: a module has seven
        else:
            sign()
        app.command(named, cls=Command)(run)
        return function

    return register


def _evaluated(function: Callable[..., Any]) -> Callable[[inspect.Parameter], inspect.Parameter]:
    """Returns what gives a parameter its type for the text of it; the Config's is for type checkers."""

    def evaluated(param: inspect.Parameter) -> inspect.Parameter:
        text = param.annotation
        typed = isinstance(text, str) and text != "Config"
        return param.replace(annotation=eval(text, function.__globals__)) if typed else param

    return evaluated


def _is_typed(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _configured(command: str, given: dict[str, Any]) -> Config:
    """Returns the settings; `run` reads the settings file itself, for it may be another one."""
    return configure(command, given, {} if command == "run" else (settings_file.load() or {}).get(command.split()[0]))


def flag(one: Setting) -> inspect.Parameter:
    """Returns a setting as a Typer parameter. What is typed stays text: `configure` reads it, as it does ltgc.toml."""
    several = get_origin(one.base) is tuple
    kind: Any = list[str] if several else bool if one.base is bool else str
    shown = "|".join(one.choices) or {int: "N", float: "NUMBER"}.get(one.base, "TEXT")
    path: Any = click.Path() if one.base is Path else None  # as text: a Path would forget "", and the end of new/
    option = typer.Option(
        *_names(one),
        help=one.help,
        metavar=None if one.base is bool else one.known("metavar") or shown,
        envvar=one.known("env") or None,
        show_envvar=False,
        rich_help_panel=one.kind.GROUP,
        autocompletion=completion.values_of(one),
        click_type=path,
    )
    default = None if several or one.default is None else one.default if one.base is bool else str(one.default)
    return inspect.Parameter(
        one.name, inspect.Parameter.KEYWORD_ONLY, default=default or None, annotation=Annotated[kind | None, option]
    )


class NamedPath(click.Path):
    """A path as an argument, as it was typed: "" would be the current folder, and new/ a file called new."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            raise InputError("'': a path is wanted")
        if str(value).endswith("/") and not os.path.isdir(value):
            raise InputError(f"{value} names a folder that is not there")
        return super().convert(value, param, ctx)


def _names(one: Setting) -> list[str]:
    """Returns the flags as typer wants them: one that is on by default can be turned off, no other one has a --no-…"""
    if one.base is bool and one.default:
        return [name if "/" in name else f"{name}/--no-{name.lstrip('-')}" for name in one.flags]
    return list(one.flags)


class Command(TyperCommand):
    """A command whose help has its flags in groups, and shows what few people need with --help-all only."""

    def get_params(self, ctx: Any) -> list[Any]:
        return [*super().get_params(ctx), _HELP_ALL]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        advanced = set() if ctx.meta.get(_ALL) else _advanced(self)
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            if param.name not in advanced and (record := param.get_help_record(ctx)):
                argument = param.param_type_name == "argument"
                heading = "Arguments" if argument else getattr(param, "rich_help_panel", None) or "Options"
                groups.setdefault(heading, []).append(record)
        for heading, rows in groups.items():
            with formatter.section(heading):
                formatter.write_dl(rows)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        hidden = 0 if ctx.meta.get(_ALL) else len(_advanced(self))
        more = f"{hidden} more options: {ctx.command_path} --help-all. " if hidden else ""
        formatter.write_paragraph()
        formatter.write_text(f"{more}Exit status: {ctx.find_root().command_path} --help.")


def _advanced(command: Any) -> set[str]:
    try:
        settings = command_settings(command.name)
    except KeyError:  # a command of a group
        return set()
    return {name for name, one in settings.items() if one.known("advanced")}


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
