"""How unlike all earlier windows the latest one is."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

__all__ = ["distance_to_past", "window_distances"]

Array = NDArray[np.float64]
Single = NDArray[np.float32]

# Windows of the past that are compared, and numbers that a window is cut down to.
_REFERENCES = 400
_NUMBERS = 24
# Added to a window's spread, in spreads of the series: noise has no shape.
_SHAPELESS = np.float32(0.15)


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
    # Half the precision, twice the speed: distances need no more.
    windows = sliding_window_view(z.astype(np.float32), width)
    last = known - width
    past = np.unique(np.linspace(0, last, _REFERENCES).astype(np.int64))
    if last > _REFERENCES:
        # Off the grid: an even step that divides the period would miss phases.
        past = np.unique(past + (past * 7919) % (last // _REFERENCES + 1))
        past = past[past <= last]
    begin = np.maximum(rows - width + 1, 0)
    mine, theirs = _shrunk(windows[begin]), _shrunk(windows[past])
    near = np.abs(begin[:, None] - past) < width
    return (
        distance_to_past(mine, theirs, near),
        distance_to_past(_shape(mine), _shape(theirs), near),
    )


def distance_to_past(mine: Single, theirs: Single, near: NDArray[np.bool_]) -> Array:
    """Return the distance of each row of ``mine`` to its second-nearest of ``theirs``.

    The nearest may be the same anomaly seen before. Pairs that are ``near`` in time
    do not count.
    """
    squared = (mine**2).sum(axis=1)[:, None] + (theirs**2).sum(axis=1)
    squared -= 2 * mine @ theirs.T
    squared[near] = np.inf
    rows = np.arange(len(squared))
    squared[rows, squared.argmin(axis=1)] = np.inf
    second = squared.min(axis=1)
    second = np.where(np.isinf(second), np.nan, second).astype(np.float64)
    result: Array = np.sqrt(np.maximum(second, 0.0))
    return result


def _shrunk(windows: Single) -> Single:
    """Return piecewise means (PAA)."""
    width = windows.shape[1]
    if width <= _NUMBERS:
        return windows
    edges = np.linspace(0, width, _NUMBERS + 1).astype(np.int64)
    pieces = np.add.reduceat(windows, edges[:-1], axis=1)
    return np.asarray(pieces / np.diff(edges), np.float32)


def _shape(windows: Single) -> Single:
    centred = windows - windows.mean(axis=1, keepdims=True)
    result: Single = centred / (windows.std(axis=1, keepdims=True) + _SHAPELESS)
    return result
