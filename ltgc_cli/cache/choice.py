"""Which parts of a store a `ltgc cache` command means. Each field is a flag."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

if TYPE_CHECKING:
    from ltgc_cli.cache.walk import Stored

Stage = Literal["describe", "extend", "reflect", "render", "filter", "mix-train", "eval"]
DAY = 86_400.0
# fmt: off


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Which answers and artifacts are meant; what is None leaves it open."""

    stage: Annotated[Stage, Meta(description="Only what this stage asked for, or made.")] | None = None
    model: Annotated[str, Meta(
        description="Only the answers of this model, whatever follows an @ in its name.",
        extra={"metavar": "MODEL"})] | None = None
    class_: Annotated[str, Meta(
        description="Only the answers that name this class, in any case.",
        extra={"names": ("--class",), "metavar": "NAME"})] | None = None
    older_than: Annotated[float, Meta(
        ge=0, description="Only what is at least so old.", extra={"metavar": "DAYS"})] | None = None

    def fits(self, one: Stored) -> bool:
        """Returns whether it is meant: answers that can be read by all of this, the rest by stage and age."""
        if self.older_than is not None and time.time() - one.time < self.older_than * DAY:
            return False
        if one.part == "answers":
            named = self.class_ is None or mentions(one.subject, self.class_)
            model = self.model in (None, one.model, one.model.partition("@")[0])
            return named and model and self.stage in (None, one.stage) and not one.error
        return one.part != "artifacts" or self.stage in (None, one.stage)


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What `ltgc cache prune` deletes."""

    answers: Annotated[bool, Meta(description="Delete answers: what is meant unless something is named.")] = False
    artifacts: Annotated[bool, Meta(description="Delete the outputs of stages.")] = False
    checkpoints: Annotated[bool, Meta(
        description="Delete trained models, and mix-train's outputs that name them.")] = False
    unused: Annotated[bool, Meta(
        description="Delete images, older than a day, that no answer and no artifact names.")] = False
    damaged: Annotated[bool, Meta(description="Delete what `ltgc cache verify` finds damaged.")] = False


# fmt: on
def mentions(text: str, name: str) -> bool:
    """Returns whether a text names a class, as whole words.

    >>> mentions("Crane (bird)", "crane"), mentions("A photo of the class cranefly.", "crane")
    (True, False)
    """
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE) is not None
