"""Columns that usually move together, and a row in which they do not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.models.detect.frame._blocks import blocks
from rtmlops_lib.models.detect.frame._calibrate import calibrated
from rtmlops_lib.models.detect.frame._column import filled, scale_of
from rtmlops_lib.models.detect.frame._products import applied, moments
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


def relation_surprises(x: Array, lengths: NDArray[np.int64]) -> Array:
    """Return how surprising each column is, given the others in the same row.

    Each column's residual on all the others comes from the inverse of their
    correlation; the mean of the last few counts.

    Parameters
    ----------
    x : ndarray of float, shape (s, m, n)
        Series of m columns, in order of time; NaN where absent.
    lengths : ndarray of int64, shape (s,)
        Rows that each series has, the longest first; what follows is no row.

    Returns
    -------
    ndarray of float, shape (s, m, n)
    """
    count = x.shape[1]
    x = filled(x)
    result = np.zeros(x.shape)
    for start, stop in blocks(x.shape[2]):
        active = int(np.count_nonzero(lengths > start))
        begin = max(0, start - _HISTORY)
        known = start - begin
        since = max(0, known - _MEASURE)
        here = x[:active, :, begin:stop]
        middle, scale = (part[..., None] for part in scale_of(here[..., :known]))
        z = np.clip((here - middle) / scale, -_CLIP, _CLIP)
        past = z[..., :known]
        covariance = moments(past, past) / known
        size = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2)) + 1e-9
        correlation = covariance / (size[:, :, None] * size[:, None])
        precision = np.linalg.inv(correlation + _SHRINK * np.eye(count))
        own = np.diagonal(precision, axis1=1, axis2=2)
        # A column on its own has no relation that could break.
        tied = own * (1 + _SHRINK) >= _TIED
        if not tied.any():
            continue
        rest = applied(precision / own[..., None] / size[:, None], z[..., since:])
        error = mean_of_last(np.abs(rest[tied]), _LAST)
        split = known - since
        rare = calibrated(error[:, split:], error[:, :split])
        result[:active, :, start:stop][tied] = rare
    return result
