"""The recipes of `ltgc run`: what a run does besides its settings, which go before them.

`ltgc` is the paper's. `best` is what did best of all that was tried on validation images (docs/results.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ltgc_cli.settings import RecipeName

Settings = Mapping[str, Any]


class Recipe(NamedTuple):
    """A way to get from the images to a classifier."""

    adapts: bool = False
    """Whether the image model is adapted to the images before it generates."""
    training: Settings = MappingProxyType({})
    """mix-train's settings, where the settings file has none of them."""
    name: str = ""
    """What tables call the classifier, where the settings file does not say it [named after its settings]."""


REAL_ALONE = "logit adjustment + CutMix"
"""What tables call the strongest recipe on real images alone: generated images have to be better than that."""
STRONGEST: Settings = MappingProxyType({"loss": "la", "mix": "cutmix", "mix_prob": 0.5, "sampler": "instance"})
"""Its settings: half of the images are mixed, as chosen on validation sets."""

RECIPES: Mapping[RecipeName, Recipe] = {
    "ltgc": Recipe(),
    "best": Recipe(
        adapts=True,
        training={**STRONGEST, "syn_prob": "0.8:0", "syn_prior": True, "syn_head": True},
        name="best recipe",
    ),
}


def training(recipe: Recipe, own: Settings) -> Settings:
    """Returns what a recipe adds to the settings that a person has of mix-train: all of its own or nothing.

    A person's loss with the recipe's mixing would be a third recipe, which nobody measured.
    """
    return {} if own.keys() & {*recipe.training, "fixed_crops"} or own.get("generated") is False else recipe.training
