"""--shard 3/16: the third of sixteen runs over the same input, each of which does its part of the classes.

A part is a run of neighbouring classes, so that what the runs write, put behind one another, is what one run writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

from ltgc_cli import console, records
from ltgc_cli.config import Config
from ltgc_cli.errors import InputError
from ltgc_cli.records import Group, Record
from ltgc_cli.settings import Sharding
from ltgc_cli.text import counted

Item = TypeVar("Item")


class Shard(NamedTuple):
    """Which of how many runs this one is; the first is 1."""

    number: int
    of: int

    def places(self, total: int) -> range:
        """Returns the places of this run's classes among all.

        >>> [[*Shard(number, 3).places(5)] for number in (1, 2, 3)]
        [[0], [1, 2], [3, 4]]
        """
        return range((self.number - 1) * total // self.of, self.number * total // self.of)


def shard_of(config: Config) -> Shard | None:
    """Returns which part of the classes a run does, None for all. Raises InputError for what is no part."""
    text = config[Sharding].shard
    if text is None:
        return None
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    shard = Shard(int(found[1]), int(found[2])) if found else Shard(0, 0)
    if not 1 <= shard.number <= shard.of:
        last = f"{shard.of}/{shard.of}" if shard.of else "16/16"
        raise InputError(f"--shard {text}: one of the runs is wanted, 1/{shard.of or 16} to {last}")
    return shard


def part(every: Sequence[Item], shard: Shard | None) -> Sequence[Item]:
    """Returns this run's part of all classes; all of them where it is not one of several."""
    places = shard.places(len(every)) if shard else range(len(every))
    return every[places.start : places.stop]


def say_if_empty(stage: str, shard: Shard, total: int) -> None:
    """Says that a run has nothing to do: more runs than classes are no error, so that an array of jobs goes through."""
    if not shard.places(total):
        console.notice(f"{stage}: none of {counted(total, 'class')} is in shard {shard.number}/{shard.of}")


def places(stage: str, shard: Shard | None, total: int) -> range:
    """Returns the places of a run's classes among all, for a stage that looks at all of them and does its own."""
    if not shard:
        return range(total)
    say_if_empty(stage, shard, total)
    return shard.places(total)


def without_others_lines(every: Iterable[Group], shard: Shard | None) -> list[Group]:
    """Returns all classes, those of other runs with their class record alone: what they are called may matter."""
    groups = list(every)
    own = shard.places(len(groups)) if shard else range(len(groups))
    return [group if place in own else Group(group.cls, [group.cls]) for place, group in enumerate(groups)]


def lines(given: Iterable[Record], places: range) -> Iterator[Record]:
    """Returns the records of the classes at some places in a stream."""
    for group in islice(records.by_class(given), places.start, places.stop):
        yield from group.rows
