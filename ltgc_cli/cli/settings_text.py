"""An ltgc.toml for a person to read: what was chosen, and beside it what the rest is unless one says otherwise.

Names, defaults and explanations are those of the commands' flags: nothing of a flag is written here a second time.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ltgc_cli.console import printable
from ltgc_cli.errors import InputError
from ltgc_cli.learn.settings import Settings, resolved
from ltgc_cli.stages.settings import THRESHOLDS, Judging

Flag = tuple[str, str]
"""A command and the name of its parameter: ("reflect", "k")."""
_WIDTH = 100


class Part(NamedTuple):
    """A part of the file: the table it belongs to ("": what holds for all commands), what it is about, its keys."""

    table: str
    about: str
    flags: tuple[Flag, ...]


def _of(command: str, *names: str) -> tuple[Flag, ...]:
    return tuple((command, name) for name in names)


PARTS = (
    Part("", "What is trained on.", _of("describe", "data", "root", "classes", "tail")),
    Part(
        "",
        "The models.",
        (
            ("describe", "lmm"),
            ("extend", "llm"),
            ("render", "t2i"),
            ("filter", "clip"),
            *_of("extend", "api_base", "price"),
        ),
    ),
    Part(
        "",
        "How pictures are drawn, by render and again by filter.",
        _of("render", "width", "height", "steps", "guidance", "negative", "seed", "device", "batch"),
    ),
    Part("", "Where answers and pictures are kept.", _of("describe", "cache_dir")),
    Part("", "What a person decided, with ltgc review.", _of("filter", "verdicts")),
    Part("run", "The run as a whole, and what it may cost.", _of("run", "test", "out", "baselines", "max_cost")),
    Part("describe", "", _of("describe", "senses", "disambiguate", "image_size")),
    Part("extend", "", _of("extend", "n")),
    Part("reflect", "", _of("reflect", "k", "rounds", "near")),
    Part("render", "", _of("render", "plain")),
    Part("filter", "", _of("filter", "scale", "threshold", "mode", "rounds", "never_pass", "margin")),
    Part("mix-train", "The loss.", _of("mix-train", "mix", "sampler", "loss", "tau")),
    Part("mix-train", "The classifier.", _of("mix-train", "head", "head_init", "tune", "rank")),
    Part(
        "mix-train",
        "The training.",
        _of("mix-train", "epochs", "min_steps", "batch", "lr", "weight_decay", "crop", "flip", "seed", "val"),
    ),
    Part("mix-train", "The checkpoint, as a folder of your own.", _of("mix-train", "out", "merge")),
    Part("eval", "", _of("eval", "zero_shot", "tte", "posthoc", "compare")),
)

_LTGC = resolved(Settings(), generated=1, classes=1)
_EXAMPLES: Mapping[str, Any] = {
    "root": "images/",
    "classes": "classes.csv",
    "api_base": "http://localhost:8000/v1",
    "price": "2.5,10",
    "width": 512,
    "height": 512,
    "steps": 20,
    "guidance": 7.5,
    "device": "cuda",
    "cache_dir": "~/.ltgc",
    "test": "birds-test/",
    "max_cost": 20.0,
    "senses": "senses.toml",
    "verdicts": "verdicts.jsonl",
    "threshold": THRESHOLDS[Judging().scale],
    "margin": 0.0,
    "mix": _LTGC.mix,
    "sampler": _LTGC.sampler,
    "val": "birds-val/",
    "out": "checkpoint/",
    "compare": "imagenet-lt",
}
"""What stands there where a flag's default is none: what it then comes to, or what one might write."""


def text(commands: Mapping[str, Any], chosen: Mapping[Flag, Any], about: Sequence[str]) -> str:
    """Returns the file.

    commands -- the command line's, by name; chosen -- values by flag; about -- what is said at the top
    Raises InputError for a value that no TOML file can hold.
    """
    lines = [f"# {line}".rstrip() for one in about for line in textwrap.wrap(printable(one), _WIDTH)]
    lines += [
        "#",
        "# A line that begins with # and no space is a default, or an example; take the # away to change it.",
    ]
    table = ""
    for part in PARTS:
        flags = [(command, param) for command, name in part.flags if (param := _param(commands[command], name))]
        if not flags:
            continue
        lines += ["", *([f"# ---- {part.about}"] if part.about else [])]
        if part.table != table:
            table = part.table
            lines[len(lines) - bool(part.about) :] = [f"[{table}]", *lines[len(lines) - bool(part.about) :]]
        for command, param in flags:
            lines += ["", *(f"# {line}" for line in textwrap.wrap(param.help or "", _WIDTH))]
            lines += [_line(param, chosen.get((command, param.name)))]
    return "\n".join(lines) + "\n"


def key(param: Any) -> str:
    """Returns what a flag is called in the file: `never-pass`, `k`."""
    long = [opt for opt in param.opts if opt.startswith("--")]
    return str((long or param.opts)[0]).lstrip("-")


def _param(command: Any, name: str) -> Any:
    return next((param for param in command.params if param.name == name), None)


def _line(param: Any, chosen: Any) -> str:
    if chosen is not None and chosen != param.default:
        return f"{key(param)} = {value(chosen)}"
    usual = _EXAMPLES[param.name] if param.default is None or param.required else param.default
    return f"#{key(param)} = {value(usual)}"


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
