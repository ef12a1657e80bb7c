"""Sums and medians over the last so many samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.models.detect.frame._median_network import sliding_median

__all__ = ["earlier", "mean_of_last", "median_of_last"]

Array = NDArray[np.float64]


def mean_of_last(x: Array, k: int) -> Array:
    """Return at each place the mean of the last ``k`` values, fewer at the start.

    Parameters
    ----------
    x : ndarray of float, shape (..., n)
    k : int

    Examples
    --------
    >>> mean_of_last(np.array([1.0, 3.0, 5.0]), 2).tolist()
    [1.0, 2.0, 4.0]
    """
    total = np.cumsum(x, axis=-1)
    n = x.shape[-1]
    result: Array = np.empty(x.shape)
    np.divide(total[..., :k], np.arange(1, min(k, n) + 1), out=result[..., :k])
    np.subtract(total[..., k:], total[..., : max(n - k, 0)], out=result[..., k:])
    result[..., k:] /= k
    return result


def median_of_last(x: Array, k: int) -> Array:
    """Return at each place the median of the last ``k`` values, ``k`` odd.

    What lacks at the start is taken to be like the first value.

    Parameters
    ----------
    x : ndarray of float, shape (..., n)
    k : int

    Examples
    --------
    >>> median_of_last(np.array([1.0, 9.0, 2.0, 3.0]), 3).tolist()
    [1.0, 1.0, 2.0, 3.0]
    """
    return sliding_median(_with_more_of_the_first(x, k - 1), k)


def earlier(x: Array, k: int) -> Array:
    """Return the values of ``k`` samples before, the first one where there is none.

    Parameters
    ----------
    x : ndarray of float, shape (..., n)
    k : int

    Examples
    --------
    >>> earlier(np.array([1.0, 2.0, 3.0]), 1).tolist()
    [1.0, 1.0, 2.0]
    """
    return _with_more_of_the_first(x, k)[..., : x.shape[-1]]


def _with_more_of_the_first(x: Array, count: int) -> Array:
    first = np.broadcast_to(x[..., :1], (*x.shape[:-1], count))
    return np.concatenate([first, x], axis=-1)
