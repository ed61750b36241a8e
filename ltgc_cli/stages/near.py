"""Finds near duplicates without a model, by the words that two descriptions share."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ltgc_cli.stages.spelling import features

_COMMON = frozenset(
    ["a", "an", "and", "as", "at", "by", "for", "from", "in", "is", "its", "of", "on", "or", "the", "to", "with"]
)


def words(text: str, name: str) -> frozenset[str]:
    """Returns the words that carry a description's features, without order or case.

    >>> sorted(words("A photo of the class crane, standing in a marsh.", "crane"))
    ['marsh', 'standing']
    """
    return frozenset(re.findall(r"\w+", features(text, name).lower())) - _COMMON


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    """Returns the share of the words of two sets that both have: 1 for equal sets, two empty ones too."""
    return len(a & b) / len(a | b) if a | b else 1.0
