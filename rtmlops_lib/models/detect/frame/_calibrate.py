"""Raw evidence to surprise, by what that evidence has usually been."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.models.detect.frame._quantiles import quantile, ranked
from rtmlops_lib.models.detect.tail import surprise

__all__ = ["calibrated"]

Array = NDArray[np.float64]

_SHARE, _SHAPE = 0.02, 0.1
# The tail's mean excess before it has been seen, in units of where it starts, and
# how many exceedances that is worth.
_PRIOR_EXCESS, _PRIOR_WEIGHT = 0.25, 10.0
_ENOUGH = 20


def calibrated(evidence: Array, past: Array) -> Array:
    """Return how rarely evidence so large occurs, as a negative power of ten.

    Parameters
    ----------
    evidence : ndarray of float, shape (..., n)
        NaN where there is none: its surprise is 0.
    past : ndarray of float, shape (..., m)
        NaN where there was none.
    """
    seen = np.isfinite(past)
    whole = seen.all(axis=-1)
    if whole.all():
        return _calibrated(evidence, past)
    result = np.zeros(evidence.shape)
    result[whole] = _calibrated(evidence[whole], past[whole])
    for at in np.argwhere(~whole & seen.any(axis=-1)):
        one = tuple(at)
        result[one] = _calibrated(evidence[one], past[one][seen[one]])
    return result


def _calibrated(evidence: Array, past: Array) -> Array:
    size = past.shape[-1]
    if size < _ENOUGH:
        return np.zeros(evidence.shape)
    order = ranked(past, 0.5, 1 - _SHARE)
    middle = quantile(order, 0.5)[..., None]
    edge = quantile(order, 1 - _SHARE)[..., None]
    start = np.maximum(np.maximum(edge - middle, 0.05 * np.abs(middle)), 1e-9)
    largest = order[..., math.floor((1 - _SHARE) * (size - 1)) :]
    over = largest - middle - start
    # Counts are often equal to the edge: rounding must not decide on which side.
    beyond = over > 1e-9 * start
    over = np.minimum(over, 5 * start) * beyond
    excess = over.sum(axis=-1, keepdims=True) + _PRIOR_WEIGHT * _PRIOR_EXCESS * start
    excess /= beyond.sum(axis=-1, keepdims=True) + _PRIOR_WEIGHT
    above = np.fmax(evidence - middle, 0.0)
    return surprise(above, start, excess, share=_SHARE, shape=_SHAPE)
