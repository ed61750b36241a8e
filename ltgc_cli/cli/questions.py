"""What a command asks a person for on a terminal: settings that nothing says yet, each answer checked at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ltgc_cli import console
from ltgc_cli.config import Config, command_settings
from ltgc_cli.settings import Setting


class AskedSetting(NamedTuple):
    """How a setting is asked for; what it is about is its own help."""

    check: Callable[[Config], object] = lambda config: None
    """Raises InputError for an answer that cannot be."""
    default: Callable[[Config], str | None] = lambda config: None
    """What an empty answer means, where it is not the setting's own default."""
    unset: str = ""
    """What is shown where an empty answer leaves the setting open."""
    wanted: Callable[[Config], bool] = lambda config: True
    """Whether it is asked for at all, as the answers before it are."""


def ask(config: Config, questions: Mapping[str, AskedSetting]) -> Config:
    """Returns the settings with a person's answers to what neither a flag nor a variable says, in order."""
    for name, question in questions.items():
        one = command_settings(config.command)[name]
        if name not in config.given and config.get(name) == one.default and question.wanted(config):
            config = _answered(config, one, question)
    return config


def _answered(config: Config, one: Setting, question: AskedSetting) -> Config:
    default = question.default(config) or one.default

    def read(typed: str) -> Config:
        text = os.path.expanduser(typed.strip("'\"")) or default  # a folder dragged into the terminal comes in quotes
        changed = config if text is None else config.changed(**{one.name: text})
        question.check(changed)
        return changed

    return console.answered(one.help, f"{one.flag} [{question.unset if default is None else default}]: ", read)
