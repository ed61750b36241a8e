"""Finds near duplicates without a model, by the words that two descriptions share.

The rule is the plain one: each text in turn against all that were kept before it. Filters leave out what need not be
compared, and are exact, so that the result is the rule's always: two sets that are alike enough are about as large, and
share one of the rarest few words of each (the prefix filter: Chaudhuri, Ganti, Kaushik, ICDE 2006; Bayardo, Ma,
Srikant, WWW 2007).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import chain

from ltgc_cli.answers.names import Words


def jaccard(a: Words, b: Words) -> float:
    """Returns the share of the words of two sets that both have: 1 for equal sets, two empty ones too."""
    both = len(a & b)
    return both / (len(a) + len(b) - both) if a or b else 1.0


def closest(new: Sequence[Words], known: Sequence[Words], near: float) -> dict[int, float]:
    """Returns, by position, the new sets that are as similar as `near` to a known or an earlier kept one, and how much.

    A similarity is the Jaccard index, to the closest set. Takes time in proportion to the sets and to the pairs that
    share a rare word, not to all pairs.
    """
    counts = Counter(chain.from_iterable(chain(known, new)))
    rarity = {word: place for place, word in enumerate(sorted(counts, key=counts.__getitem__))}
    same: set[Words] = set()
    having: defaultdict[str, set[Words]] = defaultdict(set)  # the kept sets that have a word among their rarest

    @cache
    def rarest(size: int) -> int:
        return size - least_shared(size, near) + 1  # the other one can lack all the words but these

    def prefix(own: Words) -> list[str]:
        return sorted(own, key=rarity.__getitem__)[: rarest(len(own))]

    def keep(own: Words, words: Sequence[str]) -> None:
        same.add(own)
        for word in words:
            having[word].add(own)

    for own in known:
        keep(own, prefix(own))
    found: dict[int, float] = {}
    for position, own in enumerate(new):
        words = prefix(own)
        similarity = 1.0 if own in same else _highest(own, set().union(*(having[word] for word in words)), near)
        if similarity >= near:
            found[position] = similarity
        else:
            keep(own, words)
    return found


def least_shared(size: int, near: float) -> int:
    """Returns how many words of a set of a size another one must have to be as similar as `near`, as floats compare.

    The union is as large as the set at least, and a division rounds upwards never less for more.

    >>> least_shared(5, 0.8), least_shared(10, 0.75), least_shared(3, 1.0)
    (4, 8, 3)
    """
    return next((shared for shared in range(size + 1) if size and shared / size >= near), size + 1)


def _highest(own: Words, others: Iterable[Words], near: float) -> float:
    """Returns the similarity to the closest of others; those whose sizes alone keep them from `near` count as 0."""
    size, highest = len(own), 0.0
    for other in others:
        of = len(other)
        if (size / of if size < of else of / size) >= near:
            both = len(own & other)
            similarity = both / (size + of - both)
            if similarity > highest:
                highest = similarity
    return highest
