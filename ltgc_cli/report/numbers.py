"""The arithmetic of the plots: what keeps a curve of any length small, and what is compared with what."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def binned(values: ArrayLike, most: int) -> tuple[Floats, Floats]:
    """Returns values as at most so many steps: [steps + 1] edges, as places in the sequence, and [steps] means.

    Steps hold as many values as each other, give or take one; with few values each has a step of its own.

    >>> binned([8, 6, 4, 2, 0], 2)
    (array([0., 2., 5.]), array([7., 2.]))
    """
    given = np.asarray(values, dtype=np.float64)
    steps = min(most, len(given))
    starts = np.arange(steps, dtype=np.int64) * len(given) // max(steps, 1)
    edges = np.append(starts, len(given))
    return edges.astype(np.float64), np.add.reduceat(given, starts) / np.diff(edges)


def moving_mean(values: ArrayLike, width: int) -> Floats:
    """Returns the mean of the `width` values around each, of those that there are at either end. `width` is odd.

    >>> moving_mean([0, 3, 6, 0], 3)
    array([1.5, 3. , 3. , 3. ])
    """
    given = np.asarray(values, dtype=np.float64)
    around = width // 2
    sums = np.concatenate([[0.0], np.cumsum(given)])
    places = np.arange(len(given))
    first, last = np.maximum(places - around, 0), np.minimum(places + around + 1, len(given))
    return (sums[last] - sums[first]) / (last - first)


def bins(low: float, high: float, count: int, at: float | None = None) -> Floats:
    """Returns the edges of equal bins that cover low to high, so many or a few more; one edge lies at `at`.

    >>> bins(0.0, 1.0, 4, 0.6).round(2).tolist()
    [-0.15, 0.1, 0.35, 0.6, 0.85, 1.1]
    """
    step = (high - low) / count or 0.01
    start = low if at is None else at - np.ceil((at - low) / step) * step
    steps = np.floor((high - start) / step) + 1
    return np.asarray(start + step * np.arange(steps + 1), dtype=np.float64)


def shares(values: Sequence[float], edges: ArrayLike) -> Floats:
    """Returns what share of the values lies in each bin; one at or past the last edge counts in the last bin.

    >>> shares([1, 1, 2, 9], [0, 2, 4])
    array([0.5, 0.5])
    """
    bounds = np.asarray(edges, dtype=np.float64)
    places = np.clip(np.searchsorted(bounds, np.asarray(values, dtype=np.float64), side="right") - 1, 0, None)
    counts = np.bincount(np.minimum(places, len(bounds) - 2), minlength=len(bounds) - 1)
    return counts / max(len(values), 1)


def runs(marked: Sequence[bool]) -> list[tuple[int, int]]:
    """Returns where marked stretches begin and end, the end not included.

    >>> runs([False, True, True, False, True])
    [(1, 3), (4, 5)]
    """
    steps = np.diff(np.concatenate([[0], np.asarray(marked, dtype=np.int64), [0]]))
    starts, stops = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    return list(zip(starts.tolist(), stops.tolist(), strict=True))
