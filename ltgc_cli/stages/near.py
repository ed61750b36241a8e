"""Finds near duplicates without a model, by the words that two descriptions share.

The rule is the plain one: each text in turn against all that were kept before it. In long lists MinHash with
locality-sensitive hashing (Broder 1997; Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", chapter 3) says
which are worth comparing; what it names is compared exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from ltgc_cli.answers.names import Words

_DIRECT = 200_000  # pairs that are compared faster than the library is imported
_MISSED = 1e-7  # the chance that a pair of exactly the wanted similarity is overlooked
_HASHES = 384


def jaccard(a: Words, b: Words) -> float:
    """Returns the share of the words of two sets that both have: 1 for equal sets, two empty ones too."""
    return len(a & b) / len(a | b) if a | b else 1.0


def closest(new: Sequence[Words], known: Sequence[Words], near: float) -> dict[int, float]:
    """Returns, by position, the new sets that are as similar as `near` to a known or an earlier kept one, and how much.

    A similarity is the Jaccard index, to the closest set. Takes time in proportion to the sets and to the pairs that
    come near `near`, not to all pairs.
    """
    same = set(known)
    candidates, keep = _index(known, len(new), near)
    found: dict[int, float] = {}
    for position, own in enumerate(new):
        similarity = 1.0 if own in same else max((jaccard(own, other) for other in candidates(own)), default=0.0)
        if similarity >= near:
            found[position] = similarity
        else:
            same.add(own)
            keep(own)
    return found


Index = tuple[Callable[[Words], Iterable[Words]], Callable[[Words], None]]


def _index(known: Sequence[Words], new: int, near: float) -> Index:
    """Returns two functions: which kept sets may be as similar as `near` to one, and to keep one."""
    if near >= 1.0:
        return (lambda _: ()), (lambda _: None)
    bands = _bands(near)
    if bands is None or new * (len(known) + new / 2) <= _DIRECT:
        kept = [*known]
        return (lambda _: kept), kept.append
    return _hashed(known, *bands)


def _bands(near: float) -> tuple[int, int] | None:
    """Returns into how many bands of how many hashes a signature is cut: as few false candidates as can be.

    A pair of similarity s meets in a band of r hashes with probability s**r, and is overlooked by b bands with
    (1 - s**r)**b. None where no number of bands is enough.
    """
    for rows in range(12, 0, -1):
        chance = near**rows
        if 0 < chance < 1:
            bands = math.ceil(math.log(_MISSED) / math.log1p(-chance))
            if bands * rows <= _HASHES:
                return max(bands, 2), rows
    return None


def _hashed(known: Sequence[Words], bands: int, rows: int) -> Index:
    from datasketch import MinHash, MinHashLSH  # type: ignore[import-untyped]

    blank = MinHash(num_perm=bands * rows)
    table = MinHashLSH(num_perm=bands * rows, params=(bands, rows))
    last: tuple[Words, MinHash] | None = None

    def signature(own: Words) -> MinHash:
        nonlocal last
        if last is None or last[0] is not own:
            hashed = blank.copy()
            hashed.update_batch([word.encode() for word in own])
            last = own, hashed
        return last[1]

    def candidates(own: Words) -> Iterable[Words]:
        return table.query(signature(own))

    def keep(own: Words) -> None:
        table.insert(own, signature(own), check_duplication=False)

    for own in dict.fromkeys(known):
        keep(own)
    return candidates, keep
