"""The ways to train that are compared on digits-lt, each once, by name, and how one of them is measured.

`digits_table.py` and `search.py` both read them. A recipe is what mix-train is told, on which stream of generated
images, and with which other recipe's weights its own are averaged. It is measured through the commands' own stages and
store, so what was measured once, or was being measured, is not done again, whatever else a table holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ltgc_cli import records
from ltgc_cli.config import Config
from ltgc_cli.pipeline import chain
from ltgc_cli.pipeline.recipes import REAL_ALONE, STRONGEST
from ltgc_cli.pipeline.recipes import RECIPES as OF_RUNS
from ltgc_cli.records import GROUPS, Metric

Settings = Mapping[str, Any]
"""Settings of one command by their names in Python, as in `{"loss": "la", "mix_prob": 0.5}`."""


class Recipe(NamedTuple):
    """A way to train."""

    training: Settings = {}  # of mix-train
    stream: str = ""  # the generated images: a name of STREAMS; empty for real images alone
    average: str = ""  # the recipe whose weights are averaged with these; it has real images alone or the same stream
    run: int = 0  # another number is another training seed, for a control of two models


class Setup(NamedTuple):
    """The data of one seed, and where everything is kept.

    The seed says which digit gets how many training images, which images those are, and seeds the training.
    """

    seed: int
    folder: Path  # of the store
    split: Literal["test", "val"] = "test"
    imbalance: float = 100.0
    k: int = 60  # descriptions, and so generated images, for each tail class

    @property
    def data(self) -> str:
        return f"digits-lt:{self.seed}:{self.imbalance:g}"

    def stage(self, command: str, settings: Settings) -> Config:
        """Returns a stage on this data, whatever variables and files say."""
        known = {"data": self.data, "k": self.k, "cache_dir": self.folder}
        (own,) = chain.configured([command], known | dict(settings), environment={})
        return own


STREAMS: dict[str, dict[str, Settings]] = {
    "plain": {command: {} for command in chain.GENERATING},
    "adapted": {command: {} for command in chain.ADAPTING},
    "not judged": {command: {} for command in chain.GENERATING} | {"filter": {"mode": "score"}},
    "excluded": {command: {} for command in chain.GENERATING} | {"filter": {"mode": "exclude"}},
}
"""Streams of generated images by name: the stages in their order, each with what it is told besides its defaults."""

_CUTMIX = dict(STRONGEST)

REAL: dict[str, Recipe] = {
    "fine-tuning": Recipe(),
    "logit adjustment": Recipe({"loss": "la"}),
    # The same loss as logit adjustment where the stream is the real images as they are: a row that checks the other.
    "balanced softmax": Recipe({"loss": "balanced-softmax"}),
    # LIFT (Shi et al., ICML 2024) by our training: its loss, head, adapter and rule of the adapter's width. The head is
    # a cosine one from the texts of class names by default.
    "LIFT's way": Recipe({"loss": "la", "tune": "adaptformer", "rank": 0}),
    REAL_ALONE: Recipe(_CUTMIX),
}
"""Real images alone: what generated images are to be better than."""

GENERATED: dict[str, Recipe] = {
    "LTGC": Recipe({}, "plain"),
    "LTGC, adapted": Recipe({}, "adapted"),
    "logit adjustment + CutMix, 15% generated": Recipe({**_CUTMIX, "syn_prob": 0.15}, "plain"),
}
"""With generated images."""

BEST: dict[str, Recipe] = {"best recipe": Recipe(OF_RUNS["best"].training, "adapted")}
"""The best with generated images, as chosen on validation sets (search.py): what `ltgc run` does."""

RECIPES: dict[str, Recipe] = REAL | GENERATED | BEST
BASELINE = "fine-tuning"
ZERO_SHOT = "zero-shot CLIP"

Accuracies = dict[str, float]
"""Percent by group of classes (many, medium, few, all, at most 5), each the mean over its classes.

The test set of digits-lt has as many images of each class as of any other, so that this is the accuracy over its images
too. Its validation set has not.
"""


def is_real(name: str, recipes: Mapping[str, Recipe] = RECIPES) -> bool:
    """Returns whether a recipe, and what it is averaged with, trains on real images alone."""
    recipe = recipes[name]
    return not recipe.stream and (not recipe.average or is_real(recipe.average, recipes))


def stages(name: str, setup: Setup, recipes: Mapping[str, Recipe] = RECIPES) -> list[Config]:
    """Returns the stages that measure a recipe: those of its generated images, its trainings, eval."""
    recipe = recipes[name]
    stream = STREAMS[recipe.stream] if recipe.stream else {}
    generating = [setup.stage(command, settings) for command, settings in stream.items()]
    return [*generating, *_trainings(name, setup, recipes), setup.stage("eval", {"split": setup.split})]


def _trainings(name: str, setup: Setup, recipes: Mapping[str, Recipe]) -> list[Config]:
    recipe = recipes[name]
    with_which = _trainings(recipe.average, setup, recipes) if recipe.average else []
    seed = setup.seed + 1000 * recipe.run  # far from the seeds of other data
    settings = {"name": name, "seed": seed, "generated": bool(recipe.stream), **recipe.training}
    settings |= {"average": (recipe.average,)} if recipe.average else {}
    return [*with_which, setup.stage("mix-train", settings)]


def measure(name: str, setup: Setup, recipes: Mapping[str, Recipe] = RECIPES) -> Accuracies:
    """Returns the accuracies of a recipe on the data of one seed."""
    return measured(stages(name, setup, recipes), name)


def zero_shot(setup: Setup) -> Accuracies:
    """Returns the accuracies of CLIP itself, untrained."""
    return measured([setup.stage("eval", {"split": setup.split, "zero_shot": True})], ZERO_SHOT)


def measured(steps: Sequence[Config], method: str, given: Path | None = None) -> Accuracies:
    """Returns the accuracies of a method in what the last of several stages, eval, writes."""
    artifact = chain.run_all(steps, given).artifact
    assert artifact
    with artifact.open(encoding="utf-8") as lines:
        found = [row for row in records.read(lines, str(artifact)) if isinstance(row, Metric) and row.method == method]
    return {
        row.group: row.value
        for row in found
        if row.name == "class_mean" and row.group in GROUPS and row.value is not None
    }
