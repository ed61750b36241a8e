"""Packages that only some settings need: ltgc's extras."""

from __future__ import annotations

import importlib.util

from ltgc_cli.errors import InputError


def installed(package: str) -> bool:
    """Returns whether a package is installed whole; it is not imported."""
    try:
        found = importlib.util.find_spec(package)
    except (ImportError, ValueError):  # of one that is there in part
        return False
    return found is not None


def check(flag: str, package: str, extra: str) -> None:
    """Raises InputError where the package that a flag needs is not installed."""
    if not installed(package):
        raise missing(flag, extra)


def missing(flag: str, extra: str) -> InputError:
    """Returns the error of a flag whose package cannot be imported.

    >>> print(missing("--log wandb", "wandb"))
    --log wandb needs a package that is not here: in the checkout: pip install '.[wandb]'
    """
    return InputError(f"{flag} needs a package that is not here: in the checkout: pip install '.[{extra}]'")
