"""What is kept of each class of a stream that is read more than once: all that a judge of its images needs, no image.

A stream may be of a million images; of a class that is some names, a few texts, and the hashes of its original images.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ltgc_cli.records import Class, Description, Group, Record, evolve
from ltgc_cli.stages.class_template import given_template, shown


class ClassOverview(NamedTuple):
    """A class of the stream."""

    group: Group
    """Its C_y where the stream has one, else the descriptions that a language model is asked for it with."""
    originals: Sequence[str]
    """The sha256 of each original image of a tail class."""
    generated: int
    """How many generated images it has."""

    @property
    def cls(self) -> Class:
        """The class."""
        return self.group.cls


def overview(groups: Iterable[Group]) -> list[ClassOverview]:
    """Returns what is kept of each class, in order."""
    return [_known(group) for group in groups]


def _known(group: Group) -> ClassOverview:
    cls, generated = evolve(group.cls), len(group.generated)
    rows: list[Record] = []
    if given := given_template(group):
        rows = [evolve(given)]
    elif cls.tail and generated:
        rows = [_bare(row, cls) for row in shown(group)]
    return ClassOverview(Group(cls, rows), [image.sha256 for image in group.originals] if cls.tail else (), generated)


def _bare(row: Description, cls: Class) -> Description:
    return Description(id=row.id, label=cls.label, class_=cls.class_, text=row.text, origin=row.origin)
