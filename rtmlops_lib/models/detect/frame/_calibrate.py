"""Raw evidence to surprise, by what that evidence has usually been."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.models.detect.frame._quantiles import quantiles
from rtmlops_lib.models.detect.tail import surprise

__all__ = ["calibrated"]

Array = NDArray[np.float64]

_SHARE, _SHAPE = 0.02, 0.1
# The tail's mean excess before it has been seen, in units of where it starts, and
# how many exceedances that is worth.
_PRIOR_EXCESS, _PRIOR_WEIGHT = 0.25, 10.0


def calibrated(evidence: Array, past: Array) -> Array:
    """Return how rarely evidence so large occurs, as a negative power of ten.

    Parameters
    ----------
    evidence : ndarray of float, shape (n,)
        NaN where there is none: its surprise is 0.
    past : ndarray of float, shape (m,)
    """
    past = past[np.isfinite(past)]
    if len(past) < 20:
        return np.zeros(len(evidence))
    middle, edge = quantiles(past, 0.5, 1 - _SHARE)
    start = max(edge - middle, 0.05 * abs(middle), 1e-9)
    over = past - middle - start
    over = np.minimum(over[over > 0], 5 * start)
    excess = (over.sum() + _PRIOR_WEIGHT * _PRIOR_EXCESS * start) / (
        len(over) + _PRIOR_WEIGHT
    )
    size = np.nan_to_num(np.maximum(evidence - middle, 0.0), nan=0.0, posinf=1e12)
    return surprise(
        size, np.asarray(start), np.asarray(excess), share=_SHARE, shape=_SHAPE
    )
