"""p-values of several tests at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.models.gate import holm

__all__ = ["benjamini_hochberg", "holm"]

Array = NDArray[np.float64]


def benjamini_hochberg(p: Array) -> Array:
    """Return p-values adjusted for the false discovery rate.

    Of the tests that are called significant at q, a share of q is expected to be
    wrong; ``holm`` bounds the chance that any is.

    References
    ----------
    Y. Benjamini, Y. Hochberg, "Controlling the false discovery rate", Journal of the
    Royal Statistical Society B 57 (1995).

    Examples
    --------
    >>> benjamini_hochberg(np.array([0.01, 0.04, 0.03])).round(3).tolist()
    [0.03, 0.04, 0.04]
    """
    order = np.argsort(p)[::-1]
    rank = np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.minimum.accumulate(p[order] * len(p) / rank), 1.0)
    return adjusted
