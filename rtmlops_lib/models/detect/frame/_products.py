"""Products with matrices of few rows and many columns, cut so that they stay small."""

from __future__ import annotations

from collections.abc import Iterator

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
    k, rows = a.shape[1], b.shape[1]
    result = np.zeros((len(a), k, rows))
    for at in _pieces(a.shape[2], k * rows, vector=1 in (k, rows)):
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
    rows, k = weights.shape[1:]
    result = np.empty((len(a), rows, a.shape[2]))
    for at in _pieces(a.shape[2], rows * k, vector=rows == 1):
        np.matmul(weights, a[:, :, at], out=result[:, :, at])
    return result


def _pieces(columns: int, multiplications: int, *, vector: bool) -> Iterator[slice]:
    """Cut columns that cost so many multiplications each."""
    size = max((_VECTOR if vector else _MATRICES) // multiplications, _FEWEST)
    for start in range(0, columns, size):
        yield slice(start, start + size)
