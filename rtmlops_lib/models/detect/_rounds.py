"""Interleaved rows to rounds in which every series occurs at most once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Rounds"]


@dataclass(frozen=True, slots=True)
class Rounds:
    """First each series' first row, then its second, and so on.

    The series with most rows come first, so that each round is of the first so many:
    whoever works through them needs slices, not indices.

    Parameters
    ----------
    series : ndarray of int64, shape (s,)
        The series met, those with most rows first.
    order : ndarray of int64, shape (n,)
        The rows, round by round; within one in the order of ``series``.
    sizes : list of int
        Rows a round.

    Examples
    --------
    >>> rounds = Rounds.of(np.array([3, 7, 7, 7, 3, 5]))
    >>> rounds.series.tolist(), rounds.order.tolist(), rounds.sizes
    ([7, 3, 5], [1, 0, 5, 2, 4, 3], [3, 2, 1])
    """

    series: NDArray[np.int64]
    order: NDArray[np.int64]
    sizes: list[int]

    @classmethod
    def of(cls, series: NDArray[np.int64]) -> Rounds:
        """Return the rounds of rows whose series, shape (n,), these are."""
        found, place, counts = np.unique(
            series, return_inverse=True, return_counts=True
        )
        by_count = np.argsort(-counts, kind="stable")
        rank = np.empty(len(found), np.int64)
        rank[by_count] = np.arange(len(found))
        place = rank[place]
        grouped = np.argsort(place, kind="stable")
        sizes = counts[by_count]
        start = np.cumsum(sizes) - sizes
        turn = np.empty(len(series), np.int64)
        turn[grouped] = np.arange(len(series)) - np.repeat(start, sizes)
        return cls(
            series=found[by_count],
            order=np.lexsort((place, turn)),
            sizes=np.bincount(turn).tolist(),
        )

    def slices(self) -> Iterator[slice]:
        """Yield where each round stands in ``order``."""
        start = 0
        for size in self.sizes:
            yield slice(start, start + size)
            start += size
