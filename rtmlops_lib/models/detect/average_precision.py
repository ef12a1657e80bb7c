"""Area under the precision-recall curve."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["average_precision"]


def average_precision(truth: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    r"""Return :math:`\sum_i (R_i - R_{i-1}) P_i` over the thresholds, ties together.

    Parameters
    ----------
    truth : ndarray of bool, shape (n,)
    score : ndarray of float, shape (n,)

    Returns
    -------
    float
        NaN where ``truth`` holds nowhere.

    Examples
    --------
    >>> average_precision(np.array([False, True, True]), np.array([0.3, 0.2, 0.9]))
    0.8333333333333333
    """
    positives = int(truth.sum())
    if not positives:
        return float("nan")
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    last = np.flatnonzero(np.r_[ranked[1:] != ranked[:-1], True])
    hits = np.cumsum(truth[order])[last]
    recall = hits / positives
    return float(np.sum(np.diff(recall, prepend=0.0) * hits / (last + 1)))
