"""Kolmogorov–Smirnov: the largest gap of two distribution functions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from rtmlops_lib.monitoring.measures.drift_test import DriftTest, Measured, numbers

__all__ = ["KolmogorovSmirnov", "gap_probability", "largest_gap"]

Array = NDArray[np.float64]


class KolmogorovSmirnov(DriftTest):
    r"""Two-sample Kolmogorov–Smirnov test.

    .. math:: D = \max_x |F_r(x) - F_c(x)|, \quad
        p = Q\!\left(\sqrt{\tfrac{n m}{n + m}}\, D\right)

    with Q the limiting distribution's tail, and n, m the *effective* numbers of rows
    where they are given. With plain row counts p is far too small for telemetry: it
    takes rows that repeat each other for new evidence.

    Notes
    -----
    Taught in chapter 09.

    References
    ----------
    F. J. Massey, "The Kolmogorov–Smirnov test for goodness of fit", Journal of the
    American Statistical Association 46 (1951).

    Examples
    --------
    >>> x = np.random.default_rng(1).normal(size=1_000)
    >>> test = KolmogorovSmirnov()
    >>> plain = test.compare(x, x + 0.2)
    >>> honest = test.compare(x, x + 0.2, effective=(50, 50))
    >>> round(plain.effect, 2), plain.p_value < 0.001, round(honest.p_value, 1)
    (0.09, True, 1.0)
    """

    name = "KS"

    def compare(
        self,
        reference: Any,
        current: Any,
        *,
        effective: tuple[float, float] | None = None,
    ) -> Measured:
        """Return D and its p-value."""
        r = np.sort(numbers(reference, "reference"))
        c = np.sort(numbers(current, "current"))
        gap = largest_gap(r, c)
        n, m = effective or (len(r), len(c))
        return Measured(gap, gap_probability(gap, n, m))


def largest_gap(reference: Array, current: Array) -> float:
    """Return D of two sorted samples."""
    # Between two values of one sample the other's share only grows: the largest gap
    # is at a value, or right before it. So the smaller sample's values suffice.
    points = min(reference, current, key=len)
    before = np.searchsorted(reference, points) / len(reference)
    before -= np.searchsorted(current, points) / len(current)
    upto = np.searchsorted(reference, points, "right") / len(reference)
    upto -= np.searchsorted(current, points, "right") / len(current)
    return float(max(np.abs(before).max(), np.abs(upto).max()))


def gap_probability(gap: float, n: float, m: float) -> float:
    """Return how probable so large a gap is by chance, n and m rows being independent.

    Examples
    --------
    >>> round(gap_probability(0.2, 100, 100), 3)
    0.037
    """
    return float(special.kolmogorov(np.sqrt(n * m / (n + m)) * gap))
