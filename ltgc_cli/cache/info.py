"""What is in the store: sums by stage and model."""

from __future__ import annotations

import msgspec

from ltgc_cli import console
from ltgc_cli.cache.walk import Part, files, walk
from ltgc_cli.store import Store


class Sum(msgspec.Struct, kw_only=True):
    """How much there is of something: a line of `ltgc cache info`."""

    kind: str
    stage: str = ""
    model: str = ""
    entries: int = 0
    bytes: int = 0
    tokens: int = 0
    dollars: float = 0.0  # as far as prices are known
    unpriced: int = 0  # answers whose price is not known


def sums(store: Store) -> list[Sum]:
    """Returns what is in the store: answers by stage and model, artifacts by stage, the rest, and last all of it."""
    found: dict[tuple[Part, str, str], Sum] = {}
    total = Sum(kind="total", bytes=sum(one.size for one in files(store.folder, "temporary")))
    with console.progress("cache info") as progress:
        for one in walk(store, "answers", "artifacts", "objects", "checkpoints", "batches", "checked"):
            progress.advance()
            if one.error:
                continue
            new = Sum(kind=one.part, stage=one.stage, model=one.model)
            part = found.setdefault((one.part, one.stage, one.model), new)
            part.bytes += one.size
            for each in (part, total):
                each.entries += 1
                each.tokens += one.usage.prompt_tokens + one.usage.completion_tokens
                each.dollars += one.usage.dollars or 0.0
                each.unpriced += one.usage.dollars is None
    return [*(found[group] for group in sorted(found)), total]


def megabytes(size: int) -> str:
    """Returns bytes in MB (10^6).

    >>> megabytes(12_345_678), megabytes(900)
    ('12.3', '0.001')
    """
    return f"{size / 1e6:,.1f}" if size >= 100_000 else f"{size / 1e6:.3f}"
