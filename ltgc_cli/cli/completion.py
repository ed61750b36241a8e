"""Completion for bash, zsh and fish: commands, flags, and what flags take, class names and model names among them.

A shell's script (completion_scripts.py) asks `ltgc` itself, with _LTGC_COMPLETE in the environment, and gets lines: how
to complete, then a word that fits on each, with a tab and a few words about it. Nobody is asked, nothing is written,
nothing goes wrong aloud, and what takes long is left out.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import redirect_stderr, suppress
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup

from ltgc_cli.cli import completion_values as values
from ltgc_cli.cli.help import shown
from ltgc_cli.cli.words import Line, quoted, split

VARIABLE = "_LTGC_COMPLETE"
_SECONDS = 0.4
"""Of the processor; then there is nothing to complete with."""
_LONGEST = 2.0
"""Seconds by the clock, for what waits and computes nothing: a pipe, a disk of the network."""
_ABOUT = 60
"""Letters about a word."""
VALUES: dict[str, Callable[[str, Mapping[str, Any]], Iterable[str]]] = {
    "--llm": values.language_models,
    "--lmm": values.vision_models,
    "--t2i": values.drawing_models,
    "--clip": values.clip_models,
    "--class": values.class_names,
    "--data": values.data_sets,
    "--val": values.data_sets,
    "--device": values.devices,
}
"""What a flag takes, by the flag: from what is typed so far, and from the command's other flags."""


class Found(NamedTuple):
    """What fits at the cursor."""

    words: dict[str, str]
    """Whole words, with what is said of each."""
    files: bool = False
    """Whether, where no word fits, a file's name may stand there."""


def answer(group: TyperGroup, defaults: Callable[[], Mapping[str, Any] | None]) -> None:
    """Prints what a shell's script asks for, and nothing where there is nothing or it takes too long.

    defaults -- by command what the settings file says
    """
    shell = os.environ.get(VARIABLE, "")
    if shell not in _SAID:
        return
    with suppress(Exception, _TooLong), open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):
        with _hurried():
            line = typed(shell, os.environ)
            lines = list(_SAID[shell](fitting(group, line, defaults), line))
        sys.stdout.write("".join(f"{text}\n" for text in lines))


def typed(shell: str, environment: Mapping[str, str]) -> Line:
    """Returns the command line up to the cursor, as the shell's script hands it over."""
    if shell == "bash":
        return split(environment["_LTGC_LINE"], environment.get("_LTGC_BREAKS", ""))
    given = environment["_LTGC_WORDS"]
    if shell == "fish":  # which ends it like a line, and does not take the quotes of the last word away
        *words, last = given.removesuffix("\n").split("\n")
        return Line(words, split(last).last)
    *words, last = given.split("\n")
    return Line(words, last)


def fitting(group: TyperGroup, line: Line, defaults: Callable[[], Mapping[str, Any] | None] = lambda: None) -> Found:
    """Returns what fits as the last word of a command line, whose first word is the program."""
    command, given = _reached(group, line.words[1:])
    context = typer.Context(command, info_name=command.name, resilient_parsing=True)
    flags = {opt: param for param in command.get_params(context) for opt in (*param.opts, *param.secondary_opts)}
    flag, equals, value = line.last.partition("=")
    if equals and _takes_value(flags.get(flag)):
        found = _values(flags[flag], value, command, given, defaults)
        return found._replace(words={f"{flag}={word}": about for word, about in found.words.items()})
    if given and _takes_value(flags.get(given[-1])):
        return _values(flags[given[-1]], line.last, command, given, defaults)
    if isinstance(command, TyperGroup) and not line.last.startswith("-"):
        about = {
            name: _about(command.commands[name].get_short_help_str(_ABOUT)) for name in command.list_commands(context)
        }
        return Found(_starting(about, line.last))
    if not line.last.startswith("-"):
        if any(param.param_type_name == "argument" for param in command.params):
            return Found({}, files=True)
        flags = {max(param.opts, key=len): param for param in shown(command)} if not line.last else {}
    elif line.last != "-":
        flags = {opt: param for opt, param in flags.items() if opt.startswith("--") or opt == line.last}
    new = {opt: param for opt, param in flags.items() if param.multiple or not set(param.opts) & set(given)}
    return Found(_starting({opt: _about(param.help or "") for opt, param in new.items()}, line.last))


def _reached(group: TyperGroup, words: list[str]) -> tuple[Any, list[str]]:
    """Returns the command that words lead to, and those after its name."""
    command: Any = group
    while isinstance(command, TyperGroup):
        name = next((word for word in words if not word.startswith("-")), "")
        if name not in command.commands:
            break
        command, words = command.commands[name], words[words.index(name) + 1 :]
    return command, words


def _takes_value(param: Any) -> bool:
    return param is not None and not param.is_flag


def _values(
    param: Any, start: str, command: Any, given: list[str], defaults: Callable[[], Mapping[str, Any] | None]
) -> Found:
    named = next((VALUES[opt] for opt in param.opts if opt in VALUES), None)
    if named:
        others: Mapping[str, Any] = {}
        if named is values.class_names:
            typed = command.make_context(command.name, list(given), resilient_parsing=True).params
            others = {
                **_data_of(defaults() or {}),
                **{name: value for name, value in typed.items() if value is not None},
            }
        return Found(_starting(dict.fromkeys(named(start, others), ""), start), files=named is not values.class_names)
    choices = getattr(param.type, "choices", None) or (param.metavar or "").split("|")
    number = param.type.name.startswith(("int", "float"))
    return Found(_starting(dict.fromkeys(choices if len(choices) > 1 else (), ""), start), files=not number)


def _data_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a settings file says of the data, for whichever command."""
    found: dict[str, Any] = {}
    for flags in settings.values():
        found = {**{name: flags[name] for name in ("data", "root", "classes") if name in flags}, **found}
    return found


def _starting(words: Mapping[str, str], start: str) -> dict[str, str]:
    return {word: about for word, about in words.items() if word.startswith(start) and word.isprintable()}


def _about(text: str) -> str:
    first = " ".join(text.split())
    return first if len(first) <= _ABOUT else first[: _ABOUT - 1].rsplit(" ", 1)[0] + "…"


def _bash(found: Found, line: Line) -> Iterator[str]:
    """Returns options for compopt, then words: of one that bash breaks at a colon, what is after the colon."""
    if not found.words:
        if not found.files:
            yield "+o default +o bashdefault"
        return
    yield "-o nospace" if _open_ended(found) else ""
    for word in found.words:
        yield quoted(word[line.broken :], line.quote)


def _others(found: Found, line: Line) -> Iterator[str]:
    """Returns `words`, `nospace` or `files`, then words with what is said of them."""
    yield "nospace" if _open_ended(found) else "words" if found.words or not found.files else "files"
    for word, about in found.words.items():
        yield f"{word}\t{about}"


def _open_ended(found: Found) -> bool:
    return bool(found.words) and all(word.endswith((":", "/", "=")) for word in found.words)


_SAID = {"bash": _bash, "zsh": _others, "fish": _others}


class _TooLong(BaseException):
    """Not an Exception, so that no library takes it for a file that cannot be read."""


class _hurried:
    """Within it what takes more than its share of the processor, or of a person's patience, is given up."""

    def __enter__(self) -> None:
        def give_up(signum: int, frame: Any) -> None:
            raise _TooLong

        signal.signal(signal.SIGPROF, give_up)
        signal.signal(signal.SIGALRM, give_up)
        signal.setitimer(signal.ITIMER_PROF, _SECONDS)
        signal.setitimer(signal.ITIMER_REAL, _LONGEST)

    def __exit__(self, *_: Any) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
