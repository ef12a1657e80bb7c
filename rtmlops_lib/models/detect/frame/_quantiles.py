"""Quantiles, as numpy's, in a fraction of its overhead for short arrays."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["median", "quantile", "quantiles", "ranked"]

Array = NDArray[np.float64]


def quantiles(x: Array, *shares: float) -> list[Array]:
    """Return quantiles over the last axis, linear between neighbours.

    Parameters
    ----------
    x : ndarray of float, shape (..., n)
        Finite.
    *shares : float

    Returns
    -------
    list of ndarray of float, shape (...)

    Examples
    --------
    >>> [float(q) for q in quantiles(np.array([4.0, 1.0, 3.0, 2.0]), 0.5, 1.0)]
    [2.5, 4.0]
    """
    order = ranked(x, *shares)
    return [quantile(order, share) for share in shares]


def ranked(x: Array, *shares: float) -> Array:
    """Return ``x`` in an order in which these quantiles can be read.

    What stands behind a quantile's place is not smaller.
    """
    places = [share * (x.shape[-1] - 1) for share in shares]
    ranks = {round_(place) for place in places for round_ in (math.floor, math.ceil)}
    result: Array = np.partition(x, sorted(ranks), axis=-1)
    return result


def quantile(order: Array, share: float) -> Array:
    """Return a quantile that ``ranked`` was told of."""
    place = share * (order.shape[-1] - 1)
    low, high = order[..., math.floor(place)], order[..., math.ceil(place)]
    result: Array = low + (place - math.floor(place)) * (high - low)
    return result


def median(x: Array) -> Array:
    """Return medians over the last axis.

    Examples
    --------
    >>> median(np.array([[3.0, 1.0, 2.0, 9.0], [1.0, 1.0, 1.0, 5.0]])).tolist()
    [2.5, 1.0]
    """
    return quantiles(x, 0.5)[0]
