"""How far predictions are from the truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["percentage_errors", "regression_scores"]

Array = NDArray[np.float64]


def percentage_errors(y: Array, predicted: Array) -> Array:
    r"""Return :math:`|y - \hat y| / |y|` of each row.

    Values nearer to zero than a hundredth of the median count as that much: one
    reading of a server that was off must not outweigh all others.
    """
    size = np.abs(y)
    floor = 0.01 * float(np.median(size)) if len(size) else 0.0
    errors: Array = np.abs(y - predicted) / np.maximum(size, max(floor, 1e-12))
    return errors


def regression_scores(y: Array, predicted: Array) -> dict[str, float]:
    """Return MAPE (a share, not per cent), MAE, RMSE and R².

    Examples
    --------
    >>> y = np.array([1.0, 2.0, 4.0])
    >>> scores = regression_scores(y, np.array([1.1, 2.0, 3.6]))
    >>> {name: round(value, 3) for name, value in scores.items()}
    {'mape': 0.067, 'mae': 0.167, 'rmse': 0.238, 'r2': 0.964}
    """
    error = y - predicted
    spread = float(np.square(y - y.mean()).sum())
    return {
        "mape": float(percentage_errors(y, predicted).mean()),
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt(np.square(error).mean())),
        "r2": 1 - float(np.square(error).sum()) / spread if spread else 0.0,
    }
