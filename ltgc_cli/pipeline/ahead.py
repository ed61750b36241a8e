"""What is looked at before the first question of a command is paid: all that lies here and could stop it behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from ltgc_cli.config import Config
from ltgc_cli.errors import InputError, LtgcError
from ltgc_cli.records import Group, Image

if TYPE_CHECKING:
    from ltgc_cli.store import Store

Shown = Callable[[Group], Sequence[Image]]
"""The images of a class that a stage shows to its models."""


def check_models(config: Config) -> None:
    """Raises InputError or ProviderError for models that run here and cannot be loaded, and for no device."""
    from ltgc_cli.doctor import models

    for kind in models.KINDS:
        if isinstance(spec := config.get(kind), str):
            models.check_loadable(kind, spec)
    if device := config.get("device"):
        from ltgc_cli.providers import torch_setup

        torch_setup.device(device)


def behind(look: Callable[[Config], object], config: Config) -> None:
    """Raises what a look does, for a stage behind the one that runs."""
    try:
        look(config)
    except LtgcError as error:
        raise type(error)(f"{config.command}, behind it: {error}") from None


def check_images(groups: Iterable[Group], shown: Shown, store: Store) -> None:
    """Raises InputError for an image of a stream that is shown to a model and is not in the store."""
    for group in groups:
        for image in shown(group):
            if not store.object_path(image.sha256).is_file():
                _named(image, store)


def _named(image: Image, store: Store) -> None:
    try:
        store.get_object(image.sha256)
    except InputError as error:
        raise InputError(f"{image.class_}: {error}") from None


def tail_originals(group: Group) -> Sequence[Image]:
    """Returns the original images of a tail class, which describe shows."""
    return group.originals if group.cls.tail else ()


def all_images(group: Group) -> Sequence[Image]:
    """Returns all images of a class, which filter scores."""
    return [row for row in group.rows if isinstance(row, Image)]
