"""What a person mistyped, in one line: what was wrong, what was meant, where to read on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ltgc_cli.text import nearest

_NOT_ONE_OF = re.compile(r"'(.*)' is not one of ")
_NO_NUMBER = re.compile(r"is not a valid (int|float)( range)?")


def said(error: Any) -> str:
    """Returns typer's usage error in one line, with the nearest name that exists."""
    context = getattr(error, "ctx", None)
    wrong = _wrong(error, context)
    return f"{wrong} ({context.command_path} {_help(error, context)})" if context else wrong


def no_command(name: str, commands: Iterable[str], path: str) -> str:
    """Returns that there is no such command, and which was meant."""
    return f"there is no command {name!r}{nearest(name, commands)} ({path} --help)"


def _wrong(error: Any, context: Any) -> str:
    flag = getattr(error, "option_name", None)
    if flag and hasattr(error, "possibilities"):
        return f"{context.info_name} has no flag {flag}{nearest(flag, _flags(context))}"
    if flag:
        return f"{flag} needs a value"
    message = _NO_NUMBER.sub(_no_number, error.message.rstrip("."))
    message = message[:1].lower() + message[1:]
    param = getattr(error, "param", None)
    if param is None:
        return message
    flag = param.human_readable_name if param.param_type_name == "argument" else max(param.opts, key=len)
    if hasattr(error, "param_type"):  # it is missing
        return f"{context.info_name} needs {flag}"
    mistyped = _NOT_ONE_OF.match(message)
    return f"{flag}: {message}{nearest(mistyped[1], getattr(param.type, 'choices', ())) if mistyped else ''}"


def _flags(context: Any) -> list[str]:
    return [opt for param in context.command.get_params(context) for opt in (*param.opts, *param.secondary_opts)]


def _help(error: Any, context: Any) -> str:
    """Returns the page that has what was wrong: a flag that was mistyped may be on the long one alone."""
    return "--help-all" if hasattr(error, "possibilities") and "--help-all" in _flags(context) else "--help"


def _no_number(found: re.Match[str]) -> str:
    return "is no whole number" if found[1] == "int" else "is no number"
