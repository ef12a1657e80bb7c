"""Interleaved rows to rounds in which every series occurs at most once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["rounds"]


def rounds(series: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield row positions: first each series' first row, then its second, and so on.

    Parameters
    ----------
    series : ndarray of int64, shape (n,)
        Which series each row belongs to.

    Examples
    --------
    >>> [at.tolist() for at in rounds(np.array([7, 3, 7, 7, 3]))]
    [[0, 1], [2, 4], [3]]
    """
    n = len(series)
    order = np.argsort(series, kind="stable")
    grouped = series[order]
    first = np.flatnonzero(np.r_[True, grouped[1:] != grouped[:-1]]) if n else order
    counts = np.diff(np.r_[first, n])
    turn = np.empty(n, np.int64)
    turn[order] = np.arange(n) - np.repeat(first, counts)
    by_turn = np.argsort(turn, kind="stable")
    edges = np.cumsum(np.bincount(turn)) if n else np.empty(0, np.int64)
    start = 0
    for stop in edges.tolist():
        yield by_turn[start:stop]
        start = stop
