"""What a data set is made of. Loads nothing heavy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from ltgc_cli.learn.datasets.tree import LeftOut

Split = Literal["train", "val", "test"]
Shot = Literal["many", "medium", "few"]

SPLIT_WORDS: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "validation", "valid", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""What people call the splits, in folder names, file names and tables."""


class ClassInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the class table. `count` is the number of its real *training* images, whatever split is open."""

    label: int
    name: str
    sense: str = ""
    synonyms: tuple[str, ...] = ()
    count: int = 0

    @property
    def subject(self) -> str:
        """The name as prompts and text features use it: `seal (marine mammal)`."""
        return f"{self.name} ({self.sense})" if self.sense else self.name


class Item(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One image. `name` is its path relative to the data set, or `digits/0123`, `train/17`, which have no file."""

    label: int
    name: str
    path: str | None = None
    line: int = 0  # where a list names it; 0: no list does. Of a table that holds its images itself, their row


class Source(msgspec.Struct, frozen=True):
    """What `--data` names: a spec, the folder that a list's paths start from, and a class table of its own.

    `image_column`, `label_column`: the columns of a table that are meant, where its own names do not say it.
    """

    spec: str
    root: Path | None = None
    classes: Path | None = None
    image_column: str | None = None
    label_column: str | None = None
    follow_links: bool = False  # whether its images may lie outside of its folder


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """One split: its class table (by label) and its images, those of one class together.

    `named`: whether the classes have names. Where neither the data nor a table has any, a name is the label as text.
    `left_out`: what lies among the images, or beside them, and is none.
    """

    spec: str
    split: Split
    classes: tuple[ClassInfo, ...]
    items: tuple[Item, ...]
    named: bool = True
    file: str = ""  # the list that the images come from, for messages; empty where there is none
    left_out: tuple[LeftOut, ...] = ()
    column: str = ""  # the column of the images, in a table that holds them itself
    bounds: str = ""  # the folder that its images must lie in, by its real path; empty where it may be any
    format: int = -1  # its place among the formats, so that no image asks anew what the data set is


class Sample(NamedTuple):
    """An image to train on or to classify: its label, how to get its bytes, and a name for messages."""

    label: int
    read: Callable[[], bytes]
    name: str = ""
    change: Callable[[Any], Any] | None = None  # what is done to its frame, uint8 [3, height, width], once it is cut


class Format(NamedTuple):
    """One kind of data set."""

    takes: Callable[[str], bool]  # whether a spec names a data set of this kind
    open: Callable[[Source, Split], Dataset]
    read: Callable[[Dataset, Item], bytes]  # one image's encoded bytes
    fingerprint: Callable[[Source, Split], str]  # what tells a split's contents apart, without a look at a pixel
    splits: Callable[[Source], tuple[Split, ...]]  # those of different images; ("train",) where all are the same
    columns: bool = False  # whether it is a table, of which a person may name columns
    files: bool = False  # whether each image is a file of its own, at its item's path
    root: bool = False  # whether it names images that may lie elsewhere, below a folder that a person names
