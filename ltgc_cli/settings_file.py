"""ltgc.toml: what it says for each command, and its text as `ltgc init` writes it."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ltgc_cli import toml_file
from ltgc_cli.config import FILE, command_settings, in_file, setting_names, value_of
from ltgc_cli.errors import InputError
from ltgc_cli.settings import COMMANDS, Adapt, Setting, Training, settings_of
from ltgc_cli.text import nearest, one_line

PATH = FILE

GONE = {
    "gate": "its probe of the head did not foresee the fine-tuned model, and it did harm",
    "syn-by-score": "it made no difference that the spread over seeds allows to call one",
    "syn-ratio": "it made no difference that the spread over seeds allows to call one",
    "syn-weight": "it made no difference that the spread over seeds allows to call one",
    "real-head-epochs": "it made no difference that the spread over seeds allows to call one",
}
"""Settings of the first version, and why they are gone."""

_TABLES = [name for name in COMMANDS if " " not in name]
_OWN = {
    "mix-train": {one.name for one in settings_of(Training)},
    "adapt": {one.name for one in settings_of(Adapt)},
}
"""What stands in a command's table alone: steps and batch of a training are others than render's."""


def load(path: Path = PATH) -> dict[str, dict[str, Any]] | None:
    """Returns the values that a settings file gives each command, by the settings' names; None where there is no file.

    A key at the top holds for every command that has such a setting; a table holds for the command of its name.
    Raises InputError for a name that no command has, and for what cannot be a setting's value, all at once.
    """
    try:
        given = toml_file.read(path, "`ltgc init` writes one")
    except FileNotFoundError:
        return None
    tables = {name: value for name, value in given.items() if isinstance(value, dict)}
    for name in tables:
        if name not in _TABLES:
            raise InputError(f"{path}: [{one_line(name)}] is no command{nearest(name, _TABLES)}")
    top = _by_key(path, {name: value for name, value in given.items() if name not in tables})
    _check_top(path, top)
    found, wrong = _typed_top(path, top)
    for command in _TABLES:
        names = setting_names(command)
        own = _by_key(path, tables.get(command, {}), f"[{command}] ")
        for key in own:
            if key not in names:
                raise _unknown(path, f"ltgc {command} has no flag", key, names)
        if len({names[key] for key in own}) < len(own):
            raise InputError(f"{path}: [{command}] has one setting by two names ({', '.join(own)}); take one out")
        for key, value in own.items():
            one = command_settings(command)[names[key]]
            try:
                found[command][one.name] = value_of(one, value, in_file(key, path, command), typed=True)
            except InputError as error:
                wrong.append(str(error))
    if wrong:
        raise InputError("; ".join(wrong))
    # eval alone, too, measures on the test images that a run names, and not on what was trained on.
    if "data" not in {_key(key) for key in tables.get("eval", {})} and (test := found["run"].get("test")):
        found["eval"]["data"] = test
    return found


def _typed_top(path: Path, top: Mapping[str, Any]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Returns what the keys at the top give each command, and what is wrong with those that no command can take.

    What one command takes and another does not (a `format`) stays as it is for the latter, which will say so.
    """
    found: dict[str, dict[str, Any]] = {command: {} for command in _TABLES}
    wrong = []
    for key, value in top.items():
        # At the top a key means the same for all: not describe's --llm, which is its vision model, nor its --batch.
        commands = [command for command in _TABLES if key in _shared(command)]
        errors = []
        for command in commands:
            found[command][key] = value
            try:
                found[command][key] = value_of(command_settings(command)[key], value, in_file(key, path), typed=True)
            except InputError as error:
                errors.append(str(error))
        wrong += errors[:1] if len(errors) == len(commands) else []
    return found, wrong


def tables(path: Path = PATH) -> set[str]:
    """Returns the commands that a settings file, which `load` has read, has a table for."""
    return {name for name, value in toml_file.read(path).items() if isinstance(value, dict)}


def _by_key(path: Path, written: Mapping[str, Any], table: str = "") -> dict[str, Any]:
    """Returns values by their keys as settings are called. Raises InputError for one that is written in two ways."""
    found = {_key(name): value for name, value in written.items()}
    if len(found) < len(written):
        twice = next(name for name in written if _key(name) != name and _key(name) in written)
        raise InputError(f"{path}: {table}{one_line(twice)} is there with - and with _; take one out")
    return found


def _key(name: str) -> str:
    return name.replace("-", "_")


@cache
def _shared(command: str) -> frozenset[str]:
    return frozenset(key for key, name in setting_names(command).items() if key == name) - _OWN.get(command, set())


def _check_top(path: Path, top: Mapping[str, Any]) -> None:
    known: set[str] = set().union(*map(_shared, _TABLES))
    for key in top:
        if key in known:
            continue
        for command, own in _OWN.items():
            if key in own:
                raise InputError(f"{path}: {key} is how {command} trains; put it under [{command}]")
        raise _unknown(path, "no command has a flag", key, known)


def _unknown(path: Path, where: str, key: str, known: Any) -> InputError:
    flag = one_line(key).replace("_", "-")
    if flag in GONE:
        return InputError(f"{path}: --{flag} is gone: {GONE[flag]}; take the line out")
    homes = [command for command in _TABLES if key in setting_names(command)]
    meant = nearest(flag, (name.replace("_", "-") for name in known))
    return InputError(f"{path}: {where} --{flag}{meant or (f'; [{homes[0]}] has one' if homes else '')}")


# ---- its text

_WIDTH = 100
_STAGES = ("describe", "extend", "reflect", "adapt", "render", "filter", "mix-train", "eval")
_TURNED_ON = {
    "adapt": "Generate in the look of your own images: a LoRA of the text-to-image model is trained on them before "
    'anything is generated. recipe = "best" does it by itself; the next line turns it on with "ltgc", too.'
}
"""Stages that a run always has where the file has their table, and what they do: their heading is a comment."""


def text(chosen: Mapping[tuple[str, str], Any], about: Sequence[str]) -> str:
    """Returns a settings file for a person to read: what was chosen, and beside it what the rest is by default.

    chosen -- values by command and setting; about -- lines at the top
    Raises InputError for a value that no TOML file can hold.
    """
    from ltgc_cli.console import printable

    lines = [f"# {line}".rstrip() for one in about for line in textwrap.wrap(printable(one), _WIDTH)]
    lines += [
        "#",
        "# A line that begins with # and no space is a default, or an example; take the # away to change it.",
    ]
    lines += ["", "# ---- What holds for all stages."]
    lines += _part([(one, _chosen(one, chosen)) for one in _common().values()])
    common = {(one.name, one.type) for one in _common().values()}
    for command in ("run", *_STAGES):
        own = [one for one in _offered(command) if (one.name, one.type) not in common]
        hint = [f"# {line}" for line in textwrap.wrap(_TURNED_ON.get(command, ""), _WIDTH)]
        heading = f"#[{command}]" if hint else f"[{command}]"
        lines += ["", *hint, heading, *_part([(one, chosen.get((command, one.name))) for one in own])]
    return "\n".join(lines) + "\n"


def _offered(command: str) -> list[Setting]:
    settings = command_settings(command).values()
    return [one for one in settings if one.known("offered")]


def _common() -> dict[str, Setting]:
    """Returns by name the settings that several stages share: the data, the models, how images are generated."""
    every = [(command, one) for command in _STAGES for one in _offered(command)]
    found = [one for command, one in every if _key(one.flag[2:]) == one.name and one.name in _shared(command)]
    twice = [one for one in found if sum((one.name, one.type) == (other.name, other.type) for other in found) > 1]
    return {one.name: one for one in twice}


def _chosen(one: Setting, chosen: Mapping[tuple[str, str], Any]) -> Any:
    return next((value for (_, name), value in chosen.items() if name == one.name), None)


def _part(settings: Sequence[tuple[Setting, Any]]) -> list[str]:
    lines = []
    for one, chosen in settings:
        lines += ["", *(f"# {line}" for line in textwrap.wrap(one.help, _WIDTH)), _line(one, chosen)]
    return lines


def _line(one: Setting, chosen: Any) -> str:
    key = one.flag.lstrip("-")
    if chosen is not None and chosen != one.default:
        return f"{key} = {value(chosen)}"
    return f"#{key} = {value(one.known('example') if one.default is None else one.default)}"


def value(given: Any) -> str:
    r"""Returns a value as TOML has it.

    >>> print(value('birds\\"rare"'), value(True), value(0.5), value(1e-05))
    "birds\\\"rare\"" true 0.5 1e-05
    """
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, (int, float)):
        return repr(given)
    try:
        str(given).encode()
    except UnicodeEncodeError:
        raise InputError(f"{ascii(str(given))} is not UTF-8 and cannot stand in a settings file; rename it") from None
    # JSON escapes what TOML wants escaped, but for one control character.
    return json.dumps(str(given), ensure_ascii=False).replace("\x7f", "\\u007f")
