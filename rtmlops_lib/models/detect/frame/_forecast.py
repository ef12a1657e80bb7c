"""One step ahead: a template of earlier cycles, and a robust autoregression."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.models.detect.frame._quantiles import median

__all__ = ["autoregression_error", "without_season"]

Array = NDArray[np.float64]

_ORDER = 12
_CYCLES = 4
_MOST_ROWS = 3_000
_CLIP = 6.0
# A template must explain at least this share of the variance.
_WORTH = 0.1


def without_season(z: Array, known: int, period: int) -> Array:
    """Return ``z`` less the median of earlier cycles at the same phase.

    Parameters
    ----------
    z : ndarray of float, shape (n,)
    known : int
        Only ``z[:known]`` decides by how much the template counts.
    period : int
        0 for none: then the median is taken away.
    """
    cycles = min(_CYCLES, known // period - 1) if period else 0
    start = cycles * period
    if cycles < 1 or known - start <= 20:
        return z - median(z[:known])
    place = np.arange(len(z))
    earlier = np.stack(
        [z[np.maximum(place - j * period, 0)] for j in range(1, cycles + 1)]
    )
    template = np.median(earlier, axis=0)
    seen, said = z[start:known], template[start:known]
    centred = said - said.mean()
    gain = centred @ (seen - seen.mean()) / (centred @ centred + 1e-9)
    fitted = seen.mean() + np.clip(gain, 0.0, 1.0) * (template - said.mean())
    if np.var(seen - fitted[start:known]) > (1 - _WORTH) * np.var(seen):
        return z - median(z[:known])
    # Before there were cycles enough the template is its own copy of the start.
    fitted[:start] = median(z[:known])
    result: Array = z - fitted
    return result


def autoregression_error(z: Array, known: int, period: int, since: int) -> Array:
    """Return what a ridge regression on lags misses, for ``z[since:]``.

    Fitted on ``z[:known]`` with Huber weights; the lags of one and two periods take
    part where there is one.
    """
    order = min(_ORDER, known // 6)
    lags = np.arange(1, order + 1)
    if order + 1 < period < known // 3:
        lags = np.concatenate([lags, [period - 1, period, period + 1, 2 * period]])
    lags = lags[lags < known // 2]
    clipped = np.clip(z, -_CLIP, _CLIP)
    first = min(int(lags.max()), known // 2)
    rows = np.arange(first, known)[-_MOST_ROWS:]
    weights = _huber_ridge(_design(clipped, rows, lags), clipped[rows])
    at = np.arange(since, len(z))
    result: Array = z[at] - _design(clipped, at, lags) @ weights
    return result


def _design(z: Array, rows: NDArray[np.int64], lags: NDArray[np.int64]) -> Array:
    design = np.ones((len(rows), len(lags) + 1))
    design[:, :-1] = z[np.maximum(rows[:, None] - lags, 0)]
    return design


def _huber_ridge(a: Array, y: Array, rounds: int = 3) -> Array:
    penalty = 1e-4 * len(y) * np.eye(a.shape[1])
    penalty[-1, -1] = 1e-9
    weight: Array = np.ones(len(y))
    beta: Array = np.zeros(a.shape[1])
    for _ in range(rounds):
        weighted = a * weight[:, None]
        solved = np.linalg.solve(a.T @ weighted + penalty, weighted.T @ y)
        beta = np.asarray(solved, np.float64)
        error = np.abs(y - a @ beta)
        usual = 2.5 * 1.4826 * median(error) + 1e-9
        weight = 1 / np.maximum(1.0, error / usual)
    return beta
