"""Area under the precision-recall curve."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["average_precision", "precision_recall"]

Array = NDArray[np.float64]


def average_precision(
    truth: NDArray[np.bool_], score: NDArray[np.floating[Any]]
) -> float:
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
    precision, recall, _ = precision_recall(truth, score)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def precision_recall(
    truth: NDArray[np.bool_], score: NDArray[np.floating[Any]]
) -> tuple[Array, Array, Array]:
    """Return precision and recall of the rows at or above each threshold, falling.

    Parameters
    ----------
    truth : ndarray of bool, shape (n,)
    score : ndarray of float, shape (n,)

    Returns
    -------
    precision, recall, threshold : ndarray of float, shape (distinct scores,)
        Recall is NaN where ``truth`` holds nowhere.

    Examples
    --------
    >>> truth, score = np.array([False, True, True]), np.array([0.3, 0.2, 0.9])
    >>> [column.round(2).tolist() for column in precision_recall(truth, score)]
    [[1.0, 0.5, 0.67], [0.5, 0.5, 1.0], [0.9, 0.3, 0.2]]
    """
    positives = int(truth.sum())
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    last = np.flatnonzero(np.r_[ranked[1:] != ranked[:-1], True][: len(ranked)])
    hits = np.cumsum(truth[order])[last]
    recall = hits / positives if positives else np.full(len(last), np.nan)
    return hits / (last + 1), recall, ranked[last].astype(np.float64)
