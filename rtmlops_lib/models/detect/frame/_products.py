"""Products with matrices of few rows and many columns, cut so that they stay small."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["applied", "moments"]

Array = NDArray[np.float64]

# Multiplications beyond which a library of linear algebra calls in threads, which on a
# busy machine wait for each other: of two matrices, and of a matrix with a vector.
_MATRICES, _VECTOR = 250_000, 9_000
_FEWEST = 64


def moments(a: Array, b: Array) -> Array:
    """Return ``a @ b.T``.

    Parameters
    ----------
    a : ndarray of float, shape (s, k, n)
    b : ndarray of float, shape (s, l, n)

    Returns
    -------
    ndarray of float, shape (s, k, l)
    """
    rows = a.shape[1] * b.shape[1]
    size = max(
        (_VECTOR if 1 in (a.shape[1], b.shape[1]) else _MATRICES) // rows, _FEWEST
    )
    result = np.zeros((len(a), a.shape[1], b.shape[1]))
    for start in range(0, a.shape[2], size):
        at = slice(start, start + size)
        result += a[:, :, at] @ b[:, :, at].transpose(0, 2, 1)
    return result


def applied(weights: Array, a: Array) -> Array:
    """Return ``weights @ a``.

    Parameters
    ----------
    weights : ndarray of float, shape (s, l, k)
    a : ndarray of float, shape (s, k, n)

    Returns
    -------
    ndarray of float, shape (s, l, n)
    """
    rows = weights.shape[1] * weights.shape[2]
    size = max((_VECTOR if weights.shape[1] == 1 else _MATRICES) // rows, _FEWEST)
    result = np.empty((len(a), weights.shape[1], a.shape[2]))
    for start in range(0, a.shape[2], size):
        at = slice(start, start + size)
        np.matmul(weights, a[:, :, at], out=result[:, :, at])
    return result
