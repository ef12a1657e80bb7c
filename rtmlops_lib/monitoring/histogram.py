"""Small histograms that explain a verdict."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["bin_edges", "bin_shares"]

Array = NDArray[np.float64]

_BINS = 40


def bin_edges(x: Array) -> tuple[float, ...]:
    """Return edges over the values' range and half of it on either side.

    Examples
    --------
    >>> edges = bin_edges(np.linspace(0.0, 10.0, 1_001))
    >>> len(edges), edges[0] < -4, edges[-1] > 14
    (41, True, True)
    """
    x = x[np.isfinite(x)]
    if not len(x):
        return ()
    low, high = np.quantile(x, [0.005, 0.995])
    width = float(high - low) or abs(float(low)) or 1.0
    edges = np.linspace(low - width / 2, high + width / 2, _BINS + 1)
    # Digits that tell the edges apart, also far from zero.
    digits = 4 - int(np.floor(np.log10(width)))
    return tuple(edges.round(min(digits, 300)).tolist())


def bin_shares(x: Array, edges: tuple[float, ...]) -> tuple[float, ...]:
    """Return the share of values in each bin; the outer bins take what is beyond.

    Examples
    --------
    >>> bin_shares(np.array([-9.0, 0.5, 1.5, 99.0]), (0.0, 1.0, 2.0))
    (0.5, 0.5)
    """
    x = x[np.isfinite(x)]
    if not edges or not len(x):
        return ()
    place = np.searchsorted(np.array(edges[1:-1]), x, side="right")
    counts = np.bincount(place, minlength=len(edges) - 1)
    return tuple((counts / len(x)).round(6).tolist())
