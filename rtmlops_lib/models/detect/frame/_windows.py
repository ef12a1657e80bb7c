"""Sums and medians over the last so many samples."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

__all__ = ["earlier", "mean_of_last", "median_of_last"]

Array = NDArray[np.float64]


def mean_of_last(x: Array, k: int) -> Array:
    """Return at each place the mean of the last ``k`` values, fewer at the start.

    Examples
    --------
    >>> mean_of_last(np.array([1.0, 3.0, 5.0]), 2).tolist()
    [1.0, 2.0, 4.0]
    """
    total = np.concatenate([[0.0], np.cumsum(x)])
    stop = np.arange(1, len(x) + 1)
    start = np.maximum(stop - k, 0)
    result: Array = (total[stop] - total[start]) / (stop - start)
    return result


def median_of_last(x: Array, k: int) -> Array:
    """Return at each place the median of the last ``k`` values.

    What lacks at the start is taken to be like the first value.

    Examples
    --------
    >>> median_of_last(np.array([1.0, 9.0, 2.0, 3.0]), 3).tolist()
    [1.0, 1.0, 2.0, 3.0]
    """
    padded = np.concatenate([np.full(k - 1, x[0]), x])
    result: Array = np.median(sliding_window_view(padded, k), axis=1)
    return result


def earlier(x: Array, k: int) -> Array:
    """Return the values of ``k`` samples before, the first one where there is none.

    Examples
    --------
    >>> earlier(np.array([1.0, 2.0, 3.0]), 1).tolist()
    [1.0, 1.0, 2.0]
    """
    result: Array = x[np.maximum(np.arange(len(x)) - k, 0)]
    return result
