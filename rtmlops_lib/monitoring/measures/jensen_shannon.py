"""Jensen–Shannon: a bounded distance of two distributions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.monitoring.measures._shares import (
    category_counts,
    cut_points,
    shares_of_numbers,
    with_unseen,
)
from rtmlops_lib.monitoring.measures.drift_test import DriftTest, Measured, numbers

__all__ = ["JensenShannon", "shannon_distance"]

Array = NDArray[np.float64]


class JensenShannon(DriftTest):
    r"""Jensen–Shannon distance, from 0 (the same) to 1 (nothing in common).

    .. math:: D = \sqrt{\tfrac12 \mathrm{KL}(r \| m) + \tfrac12 \mathrm{KL}(c \| m)},
        \quad m = (r + c) / 2

    with logarithms to base 2. Numbers are put into quantile bins of the reference;
    categories, unseen ones included, are taken as they are.

    Parameters
    ----------
    bins : int
        For numbers.
    categories : bool
        Whether the samples hold categories.

    References
    ----------
    D. M. Endres, J. E. Schindelin, "A new metric for probability distributions",
    IEEE Transactions on Information Theory 49 (2003).

    Examples
    --------
    >>> test = JensenShannon(categories=True)
    >>> test.compare(["a", "b"], ["c", "d"]).effect
    1.0
    """

    name = "Jensen–Shannon"

    def __init__(self, bins: int = 20, *, categories: bool = False) -> None:
        self.bins = bins
        self.categories = categories

    def compare(
        self,
        reference: Any,
        current: Any,
        *,
        effective: tuple[float, float] | None = None,
    ) -> Measured:
        """Return the distance; there is no p-value."""
        if self.categories:
            _, r, c = with_unseen(
                category_counts(reference, "reference"),
                category_counts(current, "current"),
            )
            return Measured(shannon_distance(r, c))
        known = numbers(reference, "reference")
        cuts = cut_points(known, self.bins)
        return Measured(
            shannon_distance(
                shares_of_numbers(known, cuts),
                shares_of_numbers(numbers(current, "current"), cuts),
            )
        )


def shannon_distance(reference: Array, current: Array) -> float:
    """Return the distance of two arrays of counts or shares.

    Examples
    --------
    >>> round(shannon_distance(np.array([1.0, 1.0]), np.array([3.0, 1.0])), 3)
    0.221
    """
    r, c = reference / reference.sum(), current / current.sum()
    m = (r + c) / 2
    divergence = 0.0
    for p in (r, c):
        some = p > 0
        divergence += 0.5 * float(np.sum(p[some] * np.log2(p[some] / m[some])))
    return float(np.sqrt(max(divergence, 0.0)))
