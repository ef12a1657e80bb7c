"""How unlike all earlier windows the latest one is."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

__all__ = ["distance_to_past", "window_distances"]

Array = NDArray[np.float64]

# Windows of the past that are compared, and numbers that a window is cut down to.
_REFERENCES = 400
_NUMBERS = 24
# Rows at a time: their distances stay in the processor's cache, and the product is too
# small for threads, which on a busy machine wait for each other.
_TILE = 24
# Added to a window's spread, in spreads of the series: noise has no shape.
_SHAPELESS = 0.15


def window_distances(
    z: Array, known: int, since: int, width: int
) -> tuple[Array, Array]:
    """Return two distances of the window that ends at each of ``z[since:]``.

    Parameters
    ----------
    z : ndarray of float, shape (n,)
        In spreads of the series, smoothed.
    known : int
        Windows within ``z[:known]`` are the past.
    since, width : int

    Returns
    -------
    as_is, shape_only : ndarray of float, shape (n - since,)
        Between the windows as they are, and between windows of mean 0 and spread 1;
        NaN where there is too little past.

    References
    ----------
    C.-C. M. Yeh et al., "Matrix profile I", ICDM 2016: discords.
    """
    rows = np.arange(since, len(z))
    if known < 4 * width:
        nothing = np.full(len(rows), np.nan)
        return nothing, nothing
    # In full precision: a product of matrices rounds as their sizes have it, and no
    # score may depend on how many rows come after.
    windows = sliding_window_view(z, width)
    last = known - width
    past = np.arange(last + 1)
    if last >= _REFERENCES:
        # By chance: an even step that divides the period would miss phases.
        chance = np.random.default_rng(last)
        past = np.sort(chance.choice(last + 1, _REFERENCES, replace=False))
    begin = np.maximum(rows - width + 1, 0)
    mine, theirs = _shrunk(windows[begin]), _shrunk(windows[past])
    # Those that may overlap stand at the end.
    first = int(np.searchsorted(past, begin[0] - width, "right"))
    near = np.abs(begin[:, None] - past[first:]) < width
    return (
        distance_to_past(mine, theirs, near),
        distance_to_past(_shape(mine), _shape(theirs), near),
    )


def distance_to_past(mine: Array, theirs: Array, near: NDArray[np.bool_]) -> Array:
    """Return the distance of each row of ``mine`` to its second-nearest of ``theirs``.

    The nearest may be the same anomaly seen before. Pairs that are ``near`` in time
    do not count; it is of the last so many of ``theirs``.
    """
    twice, sizes = -2 * theirs.T, (theirs**2).sum(axis=1)
    last = len(theirs) - near.shape[1]
    second = np.empty(len(mine))
    for start in range(0, len(mine), _TILE):
        tile = slice(start, start + _TILE)
        squared = mine[tile] @ twice
        squared += sizes
        squared[:, last:][near[tile]] = np.inf
        squared[np.arange(len(squared)), squared.argmin(axis=1)] = np.inf
        second[tile] = squared.min(axis=1)
    second += (mine**2).sum(axis=1)
    result: Array = np.sqrt(np.maximum(second, 0.0))
    result[np.isinf(second)] = np.nan
    return result


def _shrunk(windows: Array) -> Array:
    """Return piecewise means (PAA)."""
    width = windows.shape[1]
    if width <= _NUMBERS:
        return windows
    edges = np.linspace(0, width, _NUMBERS + 1).astype(np.int64)
    pieces = np.add.reduceat(windows, edges[:-1], axis=1)
    result: Array = pieces / np.diff(edges)
    return result


def _shape(windows: Array) -> Array:
    centred = windows - windows.mean(axis=1, keepdims=True)
    result: Array = centred / (windows.std(axis=1, keepdims=True) + _SHAPELESS)
    return result
