"""Quantiles, as numpy's, in a fraction of its overhead for a short array."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["median", "quantiles"]


def quantiles(x: NDArray[np.float64], *shares: float) -> list[float]:
    """Return quantiles of finite values, linear between neighbours.

    Examples
    --------
    >>> quantiles(np.array([4.0, 1.0, 3.0, 2.0]), 0.5, 1.0)
    [2.5, 4.0]
    """
    places = [share * (len(x) - 1) for share in shares]
    below = [math.floor(place) for place in places]
    above = [math.ceil(place) for place in places]
    ranked = np.partition(x, sorted({*below, *above}))
    return [
        float(ranked[low] + (place - low) * (ranked[high] - ranked[low]))
        for place, low, high in zip(places, below, above, strict=True)
    ]


def median(x: NDArray[np.float64]) -> float:
    """Return the median of finite values.

    Examples
    --------
    >>> median(np.array([3.0, 1.0, 2.0, 9.0]))
    2.5
    """
    return quantiles(x, 0.5)[0]
