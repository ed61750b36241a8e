"""The settings of one command, read and checked: what is given, else LTGC_* variables, else ltgc.toml, else defaults.

The command line gives flags, the Python API keywords, `ltgc run` what its file says; all of them come through here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, get_origin

import msgspec

from ltgc_cli.errors import InputError
from ltgc_cli.image_formats import MEGAPIXELS
from ltgc_cli.settings import COMMANDS, Chance, Setting, Settings, settings_of
from ltgc_cli.text import nearest, one_line

S = TypeVar("S", bound=Settings)

FILE = Path("ltgc.toml")
_SHOWN = 80  # characters of a wrong value
_WHOLE = range(-(2**63), 2**63)  # what TOML, JSON readers and torch's seeds have


class Config:
    """The settings of one command, by their subject: `config[Extend].n`."""

    def __init__(self, command: str, structs: Iterable[Settings], given: Mapping[str, Any]) -> None:
        self.command = command
        self.given = dict(given)
        """What was given by name, and not left to a variable, the settings file or a default."""
        self._structs: dict[type[Settings], Settings] = {type(one): one for one in structs}

    def __getitem__(self, kind: type[S]) -> S:
        return self._structs[kind]  # type: ignore[return-value]

    def get(self, name: str, default: Any = None) -> Any:
        """Returns the value of a setting by its name, the default where the command has none of that name."""
        found = (getattr(one, name) for one in self._structs.values() if name in one.__struct_fields__)
        return next(found, default)

    def named_paths(self) -> list[Path]:
        """Returns the files and folders that its settings name, those left out where it writes its results."""
        found = []
        for one in self._structs.values():
            for name in set(one.__struct_fields__) - {"output", "out"}:
                value = getattr(one, name)
                if isinstance(value, Path):
                    found.append(value)
                elif isinstance(value, str):  # a data set, a model's folder, replay:FILE
                    found += [Path(text) for text in (value, value.partition(":")[2]) if text and os.path.exists(text)]
        return found

    def changed(self, **values: Any) -> Config:
        """Returns the same settings but for some. Raises InputError for a value that cannot be."""
        settings = command_settings(self.command)
        known = {name: getattr(self[one.kind], name) for name, one in settings.items()}
        return _checked(self.command, known | values, self.given | values)

    def hashed(self, *kinds: type[Settings], **instead: Any) -> dict[str, Any]:
        """Returns what of some settings changes a stage's output, for the artifact's hash.

        instead -- what stands in the place of a setting: a model's identity for its spec, a text for its file
        What is None is left out, so that a new setting that is not used changes no hash. How large images may be goes
        for all stages: where it is not the default, what was too large before is read.
        """
        most = self.get("max_pixels")
        found: dict[str, Any] = {"max_pixels": most if most != MEGAPIXELS else None}
        found |= {
            one.name: getattr(self[kind], one.name)
            for kind in kinds
            for one in settings_of(kind)
            if one.known("hashed")
        }
        return {name: value for name, value in (found | instead).items() if value is not None}


def configure(
    command: str,
    given: Mapping[str, Any],
    defaults: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] = os.environ,
    file: Path = FILE,
) -> Config:
    """Returns a command's settings.

    given -- values by a setting's name or by its flag's; None is not given
    defaults -- what the settings file says for this command, by name
    file -- that settings file, as errors name it
    Raises InputError that names every value that cannot be, TypeError for a name that the command does not have.
    """
    settings = command_settings(command)
    names = {**setting_names(command), **{name: name for name in settings}}
    named: dict[str, Any] = {}
    for key, value in given.items():
        function = f"{command.replace('-', '_')}()"
        if key not in names:
            raise TypeError(f"{function} got an unexpected keyword argument {key!r}{nearest(key, settings)}")
        if value is not None and names[key] in named:
            raise TypeError(f"{function} got two values for {names[key]!r}")
        if value is not None:
            named[names[key]] = value
    variables = {
        name: environment[one.known("env")] for name, one in settings.items() if environment.get(one.known("env"))
    }
    written = {name: in_file(one.flag.lstrip("-"), file) for name, one in settings.items() if name in (defaults or {})}
    origins = written | {name: f"{settings[name].known('env')}," for name in variables}
    origins = {name: origin for name, origin in origins.items() if name not in named}
    return _checked(command, {**(defaults or {}), **variables, **named}, named, origins)


@cache
def setting_names(command: str) -> Mapping[str, str]:
    """Returns the setting behind each name that a keyword or a settings file may use: the flag's, else its own."""
    settings = command_settings(command)
    flags = {
        flag.partition("/")[0].lstrip("-").replace("-", "_"): name
        for name, one in settings.items()
        for flag in one.flags
    }
    return MappingProxyType({name: name for name in settings if name not in flags} | flags)


def chances(value: float | str) -> tuple[float, float]:
    """Returns the first and the last chance of a schedule; of a single number it is both. Raises ValueError.

    >>> chances("0.5:0"), chances(0.15)
    ((0.5, 0.0), (0.15, 0.15))
    """
    first, *last = (float(part) for part in str(value).split(":"))
    if len(last) > 1:
        raise ValueError(value)
    return first, last[0] if last else first


def in_file(key: str, file: Path, table: str = "") -> str:
    """Returns how errors call a value of a settings file.

    >>> in_file("image_size", FILE, "describe")
    'ltgc.toml: [describe] image-size ='
    """
    return f"{file}: {f'[{table}] ' if table else ''}{key.replace('_', '-')} ="


def command_settings(command: str) -> dict[str, Setting]:
    """Returns the settings of a command by name, in the order of its flags."""
    return {one.name: one for kind in COMMANDS[command] for one in settings_of(kind)}


def check(settings: Settings) -> None:
    """Raises InputError that names every value outside of its type and bounds."""
    wrong = [text for one in settings_of(type(settings)) if (text := _wrong(one, getattr(settings, one.name)))]
    if wrong:
        raise InputError("; ".join(wrong))


def _checked(
    command: str, values: Mapping[str, Any], given: Mapping[str, Any], origins: Mapping[str, str] = MappingProxyType({})
) -> Config:
    """Returns the settings of a command. Raises InputError that says of each wrong value where it came from.

    origins -- what a value is called that was not given as a flag, by the setting's name
    """
    wrong: list[str] = []
    structs = []
    for kind in COMMANDS[command]:
        fields = {}
        for one in settings_of(kind):
            if one.name not in values:
                continue
            called = origins.get(one.name, one.flag)
            try:
                fields[one.name] = value_of(one, values[one.name], called)
            except InputError as error:
                wrong.append(str(error))
                continue
            path = fields[one.name] if one.known("must_exist") else None
            if path is not None and not os.path.exists(path):
                wrong.append(f"{called} {_shown(path)}: no such file or folder")
        structs.append(kind(**fields))
    if wrong:
        raise InputError("; ".join(wrong))
    return Config(command, structs, given)


def value_of(one: Setting, value: Any, called: str, *, typed: bool = False) -> Any:
    """Returns a value as the setting's type has it, within its bounds.

    called -- how errors name it
    typed -- whether it has a type already, as in TOML, where "3" is no number; flags and variables are text
    Raises InputError in one line.
    """
    try:
        found = _converted(one, value, typed)
    except (ValueError, TypeError, ArithmeticError, RuntimeError):  # the last for the home of nobody: ~nobody/x
        shown = repr(value) if typed and isinstance(value, str) else value  # "3", where 3 is wanted
        raise InputError(f"{called} {_shown(shown)}: {_wanted(one)} is wanted") from None
    if one.known("metavar") == "FILE" and isinstance(value, str) and value.endswith("/") and not found.is_dir():
        raise InputError(f"{called} {_shown(value)} names a folder that is not there; name a file")
    if wrong := _wrong(one, found, called):
        raise InputError(wrong)
    return found


def _shown(value: Any) -> str:
    try:
        return one_line(value, _SHOWN) if not isinstance(value, str) or value.strip() else repr(value)
    except (ValueError, RecursionError):  # an integer of more digits than Python writes
        return f"(a {type(value).__name__})"


def _converted(one: Setting, value: Any, typed: bool = False) -> Any:
    """Returns a value as the setting's type has it. Raises ValueError (msgspec's ValidationError is one)."""
    base = one.base
    value = value.item() if hasattr(value, "item") else value  # numpy's numbers
    texts = value if isinstance(value, list | tuple) else (value,)
    if any(isinstance(text, str | os.PathLike) and "\0" in str(text) for text in texts):
        raise ValueError("no file, no name and no model has a NUL in it")
    if value is None or (one.choices and isinstance(value, str)):
        return (value,) if get_origin(base) is tuple and isinstance(value, str) else value
    if value == "" and one.known("metavar") == "DATA":  # it would be as if none was named
        raise ValueError(value)
    if base is str and isinstance(value, os.PathLike):
        return os.fspath(value)
    if base is str and one.known("number") and type(value) in (int, float) and math.isfinite(value):
        return str(value)
    if base == Chance:
        first, last = chances(value)
        steady = first == last or ":" not in str(value)
        return first if steady else f"{first:.15g}:{last:.15g}"  # one text for one schedule, and so one hash
    if base is Path:
        if value == "":  # it would be the current folder
            raise ValueError(value)
        return Path(os.fspath(value)).expanduser() if isinstance(value, str) else Path(os.fspath(value))
    if get_origin(base) is tuple:
        if isinstance(value, str | os.PathLike):
            return (os.fspath(value),)
        if isinstance(value, Mapping):
            raise TypeError(value)
        return msgspec.convert(list(value), tuple[str, ...])  # what is no choice is said with what is near
    found = msgspec.convert(value, base, strict=typed or (isinstance(value, float) and base is int))
    return found + 0.0 if isinstance(found, float) else found  # -0.0 is 0.0: one value has one hash


def _wanted(one: Setting) -> str:
    if one.choices:
        return f"one of {', '.join(one.choices)}"
    if one.base == Chance:
        return _CHANCE
    if one.known("metavar") == "DATA":
        return "a data set"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", Path: "a path"}
    return words.get(one.base, "a list of texts")


_CHANCE = "a number, or FIRST:LAST such as 0.5:0,"


def _wrong(one: Setting, value: Any, called: str = "") -> str:
    """Returns what is wrong with a value of the right type, "" where nothing is."""
    called = called or one.flag
    if value is None and (one.default is None or not one.choices):
        return ""
    if one.choices:
        chosen = value if isinstance(value, tuple) else (value,)
        bad = [word for word in chosen if word not in one.choices]
        return (
            f"{called} {_shown(bad[0])}: one of {', '.join(one.choices)} is wanted{nearest(str(bad[0]), one.choices)}"
            if bad
            else ""
        )
    if isinstance(value, float) and not math.isfinite(value):
        return f"{called} {value}: a finite number is wanted"
    if one.base is int and value not in _WHOLE:
        return f"{called} {_shown(value)}: a number of at most 63 bits is wanted"
    if one.base == Chance:
        return _wrong_chance(value, called)
    meta = one.meta
    low, above, high, below = meta.ge, meta.gt, meta.le, meta.lt
    if not isinstance(value, int | float) or (
        (low is None or value >= low)
        and (above is None or value > above)
        and (high is None or value <= high)
        and (below is None or value < below)
    ):
        return ""
    return f"{called} {value}: {_range(low, above, high, below)} is wanted"


def _wrong_chance(value: float | str, called: str) -> str:
    try:
        within = all(0 <= chance <= 1 for chance in chances(value))
    except ValueError:
        return f"{called} {_shown(value)}: {_CHANCE} is wanted"
    return "" if within else f"{called} {value}: {_range(0, None, 1, None)} is wanted"


def _range(low: float | None, above: float | None, high: float | None, below: float | None) -> str:
    """Returns bounds in words.

    >>> _range(1, None, None, None), _range(None, 0, None, 1), _range(0, None, 1, None)
    ('1 or more', 'above 0 and below 1', 'from 0 to 1')
    """
    if low is not None and high is not None:
        return f"from {low:g} to {high:g}"
    parts = [f"{low:g} or more"] if low is not None else []
    parts += [f"above {above:g}"] if above is not None else []
    parts += [f"at most {high:g}"] if high is not None else []
    parts += [f"below {below:g}"] if below is not None else []
    return " and ".join(parts)
