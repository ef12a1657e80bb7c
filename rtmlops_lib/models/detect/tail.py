"""From a deviation to how rarely one that large occurs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["surprise"]


def surprise(
    size: NDArray[np.float64],
    start: NDArray[np.float64],
    excess: NDArray[np.float64],
    *,
    share: float,
    shape: float,
) -> NDArray[np.float64]:
    r"""Return :math:`-\log_{10} P(|Z| \ge z)` under a generalized Pareto tail.

    Above its start :math:`u`, :math:`P = q (1 + \xi (z - u) / s)^{-1/\xi}` with
    :math:`s = (1 - \xi) \bar e`; below, :math:`P = q^{(z / u)^2}`.

    Parameters
    ----------
    size : ndarray of float
        :math:`z`, not negative.
    start, excess : ndarray of float
        :math:`u`, and the mean excess :math:`\bar e` over it.
    share : float
        :math:`q`, the probability of the tail.
    shape : float
        :math:`\xi > 0`.

    References
    ----------
    J. Pickands, "Statistical inference using extreme order statistics", 1975.

    Examples
    --------
    >>> u, e = np.array(2.0), np.array(0.5)
    >>> surprise(np.array([0.0, 2.0, 6.0]), u, e, share=0.01, shape=0.1).round(1)
    array([0. , 2. , 4.8])
    """
    result = np.minimum(size / start, 1.0)
    result *= result
    result *= -np.log10(share)
    # Few are in the tail, and logarithms are slow.
    tail = size > start
    over = size[tail] - np.broadcast_to(start, size.shape)[tail]
    over /= (1 - shape) * np.broadcast_to(excess, size.shape)[tail]
    result[tail] += np.log1p(shape * over) / (shape * np.log(10))
    return result
