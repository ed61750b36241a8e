"""How a command becomes a function: its flags as keywords, records in and out, errors raised instead of printed."""

from __future__ import annotations

import inspect
import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import cache, cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, Protocol, overload

import typer

from ltgc_cli import cli, console, records
from ltgc_cli.cli import flags
from ltgc_cli.errors import InputError
from ltgc_cli.records import Record

if TYPE_CHECKING:
    from ltgc_cli.store import Store

P = ParamSpec("P")


class Records(Sequence[Record]):
    """What a stage returned: a sequence of records, read from its artifact when it is first looked at."""

    def __init__(
        self, rows: Iterable[Record] = (), artifact: Path | None = None, exit_code: int = 0, dollars: float = 0.0
    ) -> None:
        self.artifact = artifact
        """The file that holds them; None after a dry run."""
        self.exit_code = exit_code
        """0, or 1 where something fell short or failed: the `failure` records say what."""
        self.dollars = dollars
        """What this call paid; nothing for what was in the store."""
        self._given = tuple(rows)

    @cached_property
    def _rows(self) -> tuple[Record, ...]:
        if not self.artifact:
            return self._given
        with self.artifact.open("rb") as lines:
            return tuple(records.read(lines, str(self.artifact)))

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Record]: ...
    def __getitem__(self, place: int | slice) -> Record | Sequence[Record]:
        return self._rows[place]

    def of(self, kind: str) -> list[Record]:
        """Returns the records of one kind: class, description, template, image, rejected, failure, metric, …"""
        return [row for row in self._rows if records.kind_of(row) == kind]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Returns the path of a JSONL file, which has them now, for the commands to read."""
        from ltgc_cli.store import write_atomically

        try:
            write_atomically(Path(path), lines_of(self).encode())
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}") from None
        return Path(path)

    def __repr__(self) -> str:
        from ltgc_cli.report.format import counted

        kinds = [records.kind_of(row) for row in self._rows]
        said = ", ".join(counted(kinds.count(kind), kind) for kind in dict.fromkeys(kinds))
        return f"<Records: {said or 'none'}>"

    def _repr_html_(self) -> str:
        from ltgc_cli.report.notebook import table

        return table(self._rows)


Given = Records | Iterable[Record] | str | os.PathLike[str] | None
"""Records: what a stage returned, or some of it; or a JSONL file of them, by its path."""


class Stage(Protocol[P]):
    """A command as a function: records first, the flags as keywords."""

    def __call__(self, given: Given = None, /, *args: P.args, **flags: P.kwargs) -> Records: ...


def stage(command: Callable[P, object]) -> Stage[P]:
    """Returns a command as a function of records and of its flags."""

    @_like(command, takes_records=True)
    def run(given: Given = None, /, *args: Any, **given_flags: Any) -> Records:
        with _file(given) as path:
            called = _called(command, *args, **given_flags, **({"input": path} if path else {}))
        ran = called.ran
        if ran.artifact:
            return Records((), ran.artifact, ran.exit_code, ran.dollars)
        return Records(records.read(called.out.splitlines(), _name(command)))

    return run


def file_writer(command: Callable[P, object], flag: str) -> Callable[..., Path]:
    """Returns a command that writes a file or folder, named by a flag, as a function that returns its path."""

    @_like(command, takes_records=True)
    def run(given: Given, /, **given_flags: Any) -> Path:
        with _file(given) as path:
            if not path:
                raise InputError(f"{_name(command)} has nothing to read; give it records")
            return Path(_called(command, **given_flags, input=path).flags[flag])

    return run


def line_writer(command: Callable[P, object]) -> Callable[P, list[dict[str, Any]]]:
    """Returns a command that reads no records and writes JSON lines as a function that returns them."""

    @_like(command, takes_records=False)
    def run(*args: P.args, **given_flags: P.kwargs) -> list[dict[str, Any]]:
        return [json.loads(line) for line in _called(command, *args, **given_flags).out.splitlines()]

    return run


# ---- how a command is called


_one_at_a_time = threading.RLock()
"""A call takes the process's stdout for itself, and sets how much is said."""


class _Called(NamedTuple):
    ran: flags.Ran
    out: str
    """What it would have written to stdout."""
    flags: dict[str, Any]


def _called(command: Callable[..., object], *args: Any, **given: Any) -> _Called:
    """Returns what a command did that was given these flags. The others are those of the command line.

    Calls from several threads wait for each other. Raises InputError for a value that the command line would not take.
    """
    with (
        _one_at_a_time,
        tempfile.TemporaryFile("w+", encoding="utf-8") as out,
        redirect_stdout(out),
        flags.from_python(),
        _context(_name(command), _arguments(command, *args, **given)) as context,
    ):
        try:
            ran = context.command.invoke(context)
        except typer.Exit:  # predict ends so where an image could not be read; the image's line says why
            ran = None
        finally:
            console.configure(quiet=False)  # a call leaves nothing set
        out.seek(0)
        written = out.read()
    return _Called(ran if isinstance(ran, flags.Ran) else flags.Ran(None), written, dict(context.params))


def _arguments(command: Callable[..., object], *args: Any, **given: Any) -> dict[str, Any]:
    """Returns arguments by the names of the command's parameters; a keyword may be the flag's name too (lmm of eval).

    Raises TypeError, as for any function, for a keyword that is neither.
    """
    params = _commands().commands[_name(command)].params
    names = {param.name for param in params}
    flag = {opt.lstrip("-").replace("-", "_"): param.name for param in params for opt in param.opts}
    own = {key if key in names else flag.get(key, key): value for key, value in given.items()}
    try:
        return inspect.signature(command).bind_partial(*args, **own).arguments
    except TypeError as error:
        raise TypeError(f"{_python_name(command)}() {error}") from None


def _context(name: str, given: Mapping[str, Any]) -> Any:
    """Returns a command ready to run: what is not given comes from LTGC_* variables, ltgc.toml or its defaults."""
    group = _commands()
    command = group.commands[name]
    defaults = cli.settings(cli.SETTINGS_FILE, group, None) or {}
    context = command.context_class(command, info_name=name, default_map=defaults.get(name))
    for param in command.params:
        value = given.get(param.name)
        if isinstance(value, str | os.PathLike) and (param.nargs == -1 or getattr(param, "multiple", False)):
            value = [value]  # one of several that there could be
        try:
            param.handle_parse_result(context, {param.name: value}, [])
        except typer.BadParameter as error:
            raise InputError(f"{name}: {' '.join(error.format_message().split())}") from None
    return context


@cache
def _commands() -> Any:
    return typer.main.get_command(cli.app)


def _name(command: Callable[..., object]) -> str:
    return command.__name__.strip("_").replace("_", "-")


def _python_name(command: Callable[..., object]) -> str:
    return _name(command).replace("-", "_")


def _like(command: Callable[..., object], *, takes_records: bool) -> Callable[[Callable[..., Any]], Any]:
    """Returns a decorator that gives a function the help and the signature of a command."""
    known = inspect.signature(command).parameters.values()
    own = [param.replace(annotation=param.empty) for param in known if param.name != "input" or not takes_records]
    if takes_records:
        own = [param.replace(kind=param.KEYWORD_ONLY) for param in own]
        own.insert(0, inspect.Parameter("given", inspect.Parameter.POSITIONAL_ONLY, default=None))

    def dressed(function: Callable[..., Any]) -> Callable[..., Any]:
        run = wraps(command)(function)
        run.__name__ = run.__qualname__ = _python_name(command)
        run.__module__ = "ltgc_cli"
        run.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]
        del run.__wrapped__
        run.__doc__ = _help(command, [param.name for param in own])
        return run

    return dressed


def _help(command: Callable[..., object], keywords: Sequence[str]) -> str:
    params = {param.name: param for param in _commands().commands[_name(command)].params}
    listed = [f"{name} -- {params[name].help}" for name in keywords if name in params]
    return "\n".join([inspect.cleandoc(command.__doc__ or "").replace("\b\n", ""), "", *listed])


# ---- records in


@contextmanager
def _file(given: Given) -> Iterator[Path | None]:
    """The records as a file that a command reads. Raises InputError for what is none."""
    if given is None:
        yield None
    elif isinstance(given, Records) and given.artifact:
        yield given.artifact
    elif isinstance(given, str | os.PathLike):
        if not Path(given).exists():
            raise InputError(f"{given}: no such file of records; a data set is named by data=")
        yield Path(given)
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "records.jsonl"
            path.write_text(lines_of(given), encoding="utf-8")
            yield path


def rows_of(given: Given) -> Sequence[Record]:
    """Returns the records. Raises InputError for what is none."""
    if isinstance(given, Records):
        return given
    with _file(given) as path:
        if not path:
            raise InputError("no records were given")
        with path.open("rb") as lines:
            return list(records.read(lines, str(path)))


def lines_of(given: Iterable[Record]) -> str:
    """Returns the records as JSON lines. Raises InputError for what is none."""
    try:
        return "".join(records.dump(row) + "\n" for row in given)
    except (AttributeError, KeyError, TypeError):
        raise InputError("records are wanted: what a stage returned, some of it, or the path of a file") from None


def store_of(given: Given, cache_dir: Path | None) -> Store:
    """Returns the store that is named, or that the records lie in, or that the commands use."""
    from ltgc_cli.cli.flags import default_folder
    from ltgc_cli.store import Store

    if not cache_dir and isinstance(given, Records) and given.artifact:
        return Store(given.artifact.parents[2])
    named = cache_dir or _context("describe", {}).params["cache_dir"]
    return Store(Path(named) if named else default_folder())
