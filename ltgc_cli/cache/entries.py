"""The store's answers as a person thinks of them: of which stage, by which model, about what, at what price."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ltgc_cli import store
from ltgc_cli.errors import InputError
from ltgc_cli.ports import Comparison, ImageRequest, Match, Question, Usage, unpriced
from ltgc_cli.records import Made
from ltgc_cli.store import Store
from ltgc_cli.usage import stage as stage_of

DAY = 86_400.0


class Kept(NamedTuple):
    """An answer in the store."""

    row: store.Row
    request: Question | ImageRequest | Match | Comparison
    answer: Any

    @property
    def stage(self) -> str:
        """The stage that asked; a drawing counts as render, also where filter had it made again."""
        request = self.request
        if isinstance(request, (Match, Comparison)):
            return "filter"
        if isinstance(request, ImageRequest):
            return "render"
        return stage_of(Made(model=request.model, prompt=request.task, attempt=request.attempt))

    @property
    def subject(self) -> str:
        """What it is about: the class of a question, the text of a drawing or a score."""
        request = self.request
        if isinstance(request, Question):
            return request.subject
        return request.own if isinstance(request, Comparison) else request.text

    @property
    def usage(self) -> Usage:
        """What it used. What runs on one's own machine costs nothing, so that only `None` is an unknown price."""
        usage: Usage = getattr(self.answer, "usage", None) or Usage(dollars=0.0)
        if usage.dollars is None and not unpriced(self.request.model, usage):
            return msgspec.structs.replace(usage, dollars=0.0)
        return usage


class Choice(NamedTuple):
    """Which answers are meant; what is None leaves it open."""

    stage: str | None = None
    model: str | None = None
    class_: str | None = None
    older_than: float | None = None
    """Days."""

    def fits(self, kept: Kept, now: float) -> bool:
        """Returns whether an answer is one of them."""
        return (
            self.stage in (None, kept.stage)
            and self.model in (None, kept.request.model, kept.request.model.partition("@")[0])
            and (self.class_ is None or about(self.class_, kept.subject))
            and self.is_old(kept.row.stored, now)
        )

    def is_old(self, then: float, now: float) -> bool:
        """Returns whether a time, in seconds, is long enough ago."""
        return self.older_than is None or now - then >= self.older_than * DAY


ALL = Choice()


def about(name: str, subject: str) -> bool:
    """Returns whether a text names the class, as whole words.

    >>> about("crane", "Crane (bird)"), about("crane", "A photo of the class cranefly.")
    (True, False)
    """
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", subject, re.IGNORECASE) is not None


def opened(folder: Path) -> Store:
    """Returns the store of a folder. Raises InputError where there is none: looking at it makes none."""
    if not (folder / "answers").is_dir():
        raise InputError(f"{folder}: no store is here yet; any stage makes one, and --cache-dir names another")
    return Store(folder)


def answers(store_: Store, choice: Choice = ALL, told: Callable[[int], object] = lambda _: None) -> Iterator[Kept]:
    """Returns the answers that are meant, in the order stored.

    Rows that ltgc did not write are left out; `ltgc cache verify` finds them.
    """
    now = time.time()
    for row in store_.rows():
        told(1)
        kept = read(row)
        if kept and choice.fits(kept, now):
            yield kept


def read(row: store.Row) -> Kept | None:
    """Returns a row as an answer, None for one that ltgc did not write."""
    try:
        return Kept(row, *store.entry(row.key, row.text)) if row.text is not None else None
    except ValueError:
        return None
