"""One step ahead: a template of earlier cycles, and a robust autoregression."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.models.detect.frame._products import applied, moments
from rtmlops_lib.models.detect.frame._quantiles import median

__all__ = ["autoregression_error", "without_season"]

Array = NDArray[np.float64]

_ORDER = 12
_CYCLES = 4
_MOST_ROWS = 3_000
_CLIP = 6.0
# A template must explain at least this share of the variance.
_WORTH = 0.1
_ROUNDS = 3


def without_season(z: Array, known: int, periods: NDArray[np.int64]) -> Array:
    """Return ``z`` less the median of earlier cycles at the same phase.

    Parameters
    ----------
    z : ndarray of float, shape (m, n)
        The median of what is known is 0.
    known : int
        Only ``z[:, :known]`` decides by how much the template counts.
    periods : ndarray of int64, shape (m,)
        0 for none: then nothing is taken away.
    """
    result = z.copy()
    for number in np.flatnonzero(periods):
        fitted = _template(z[number], known, int(periods[number]))
        if fitted is not None:
            # Before there were cycles enough there is nothing to take away.
            start = len(z[number]) - len(fitted)
            result[number, start:] = z[number, start:] - fitted
    return result


def _template(z: Array, known: int, period: int) -> Array | None:
    """Return what earlier cycles lead to expect, for as many of the last samples."""
    cycles = min(_CYCLES, known // period - 1)
    start = cycles * period
    if cycles < 1 or known - start <= 20:
        return None
    n = len(z)
    template = _median_of_few(
        [z[start - back : n - back] for back in range(period, start + 1, period)]
    )
    seen, said = z[start:known], template[: known - start]
    middle, offset = seen.mean(), said.mean()
    wanted, centred = seen - middle, said - offset
    power, total = centred @ centred, wanted @ wanted
    together = centred @ wanted
    gain = np.clip(together / (power + 1e-9), 0.0, 1.0)
    # What is left of the squares when the template is taken away.
    if total - 2 * gain * together + gain**2 * power > (1 - _WORTH) * total:
        return None
    fitted: Array = template - offset
    fitted *= gain
    fitted += middle
    return fitted


def _median_of_few(parts: list[Array]) -> Array:
    """Return the elementwise median of one to four arrays."""
    if len(parts) == 1:
        return parts[0]
    a, b = parts[:2]
    low, high = np.minimum(a, b), np.maximum(a, b)
    if len(parts) == 3:
        middle: Array = np.maximum(low, np.minimum(high, parts[2]))
        return middle
    if len(parts) == 4:
        c, d = parts[2:]
        low = np.maximum(low, np.minimum(c, d))
        high = np.minimum(high, np.maximum(c, d))
    return (low + high) / 2


def autoregression_error(
    z: Array, known: int, periods: NDArray[np.int64], since: int
) -> Array:
    """Return what a ridge regression on lags misses, for ``z[:, since:]``.

    Fitted on ``z[:, :known]`` with Huber weights; the lags of one and two periods take
    part where there is one.

    Parameters
    ----------
    z : ndarray of float, shape (m, n)
    known, since : int
    periods : ndarray of int64, shape (m,)
    """
    order = min(_ORDER, known // 6)
    used = np.where((order + 1 < periods) & (periods < known // 3), periods, 0)
    clipped = np.clip(z, -_CLIP, _CLIP)
    result = np.empty((len(z), z.shape[1] - since))
    for period in np.unique(used).tolist():
        more = [period - 1, period, period + 1, 2 * period] if period else []
        lags = [lag for lag in (*range(1, order + 1), *more) if lag < known // 2]
        alike = used == period
        said = _predicted(clipped[alike], known, lags, since)
        result[alike] = z[alike, since:] - said
    return result


def _predicted(z: Array, known: int, lags: list[int], since: int) -> Array:
    """Return what is predicted of ``z[:, since:]``, learned from ``z[:, :known]``."""
    columns, n = z.shape
    first = max(max(lags), known - _MOST_ROWS)
    begin = min(first, since)
    # Before the first sample all were like it.
    more = max(0, max(lags) - begin)
    padded = np.concatenate([np.repeat(z[:, :1], more, axis=1), z], axis=1)
    # The last two rows are the constant and what is to be predicted.
    design = np.empty((columns, len(lags) + 2, n - begin))
    for place, lag in enumerate(lags):
        at = begin + more - lag
        design[:, place] = padded[:, at : at + n - begin]
    design[:, -2] = 1
    design[:, -1] = z[:, begin:]
    weights = _huber_ridge(design[:, :, first - begin : known - begin])
    return applied(weights, design[:, :-1, since - begin :])[:, 0]


def _huber_ridge(design: Array) -> Array:
    """Return what to weigh each row with to get the last one.

    Parameters
    ----------
    design : ndarray of float, shape (m, lags + 2, n)

    Returns
    -------
    ndarray of float, shape (m, 1, lags + 1)
    """
    a = design[:, :-1]
    lags, rows = a.shape[1:]
    penalty = 1e-4 * rows * np.eye(lags)
    penalty[-1, -1] = 1e-9
    plain = moments(a, design)
    weights = _solved(plain, penalty)
    minus_one = np.full((len(a), 1, 1), -1.0)
    for _ in range(_ROUNDS - 1):
        error = np.abs(applied(np.concatenate([weights, minus_one], axis=2), design))
        usual = 2.5 * 1.4826 * median(error) + 1e-9
        weights = _solved(plain - _overstated(design, error, usual), penalty)
    return weights


def _overstated(design: Array, error: Array, usual: Array) -> Array:
    """Return by how much moments shrink when outliers weigh less.

    They are few: the moments of all rows need to be formed but once.
    """
    columns, lags = design.shape[:2]
    result = np.empty((columns, lags - 1, lags))
    for number in range(columns):
        far = np.flatnonzero(error[number, 0] > usual[number, 0])
        rows = design[number][:, far]
        less = 1 - usual[number, 0] / error[number, 0, far]
        result[number] = (rows[:-1] * less) @ rows.T
    return result


def _solved(found: Array, penalty: Array) -> Array:
    solved = np.linalg.solve(found[:, :, :-1] + penalty, found[:, :, -1:])
    return np.asarray(solved, np.float64).transpose(0, 2, 1)
