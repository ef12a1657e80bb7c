"""Columns that usually move together, and a row in which they do not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.models.detect.frame._blocks import blocks
from rtmlops_lib.models.detect.frame._calibrate import calibrated
from rtmlops_lib.models.detect.frame._column import filled, scale_of
from rtmlops_lib.models.detect.frame._windows import mean_of_last

__all__ = ["relation_surprises"]

Array = NDArray[np.float64]

_HISTORY, _MEASURE = 3_000, 1_500
_CLIP = 8.0
# Ridge on the correlation: what two columns share by chance is not believed.
_SHRINK = 0.05
_LAST = 5
# The others must explain at least a third of a column.
_TIED = 1.5


def relation_surprises(columns: Array) -> Array:
    """Return how surprising each column is, given the others in the same row.

    Each column's residual on all the others comes from the inverse of their
    correlation; the mean of the last few counts.

    Parameters
    ----------
    columns : ndarray of float, shape (m, n)

    Returns
    -------
    ndarray of float, shape (m, n)
    """
    x = np.stack([filled(column) for column in columns])
    result = np.zeros(x.shape)
    for start, stop in blocks(x.shape[1]):
        begin = max(0, start - _HISTORY)
        known = start - begin
        since = max(0, known - _MEASURE)
        fits = [scale_of(column[begin:start]) for column in x]
        middle, scale = np.array(fits).T[:, :, None]
        z = np.clip((x[:, begin:stop] - middle) / scale, -_CLIP, _CLIP)
        covariance = z[:, :known] @ z[:, :known].T / known
        size = np.sqrt(np.diag(covariance)) + 1e-9
        correlation = covariance / np.outer(size, size) + _SHRINK * np.eye(len(z))
        precision = np.linalg.inv(correlation)
        own = np.diag(precision)[:, None]
        tied = precision @ (z[:, since:] / size[:, None]) / own
        # A column on its own has no relation that could break.
        alone = own[:, 0] * (1 + _SHRINK) < _TIED
        for number in np.flatnonzero(~alone):
            error = mean_of_last(np.abs(tied[number]), _LAST)
            split = known - since
            result[number, start:stop] = calibrated(error[split:], error[:split])
    return result
