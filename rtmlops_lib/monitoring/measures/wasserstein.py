"""Wasserstein: by how much values would have to move."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.monitoring.measures.drift_test import DriftTest, Measured, numbers

__all__ = ["LEVELS", "Wasserstein", "quantile_distance", "quantile_grid"]

Array = NDArray[np.float64]

# The middles of a hundred equal shares.
LEVELS: Array = (np.arange(100) + 0.5) / 100


class Wasserstein(DriftTest):
    r"""First Wasserstein distance in standard deviations of the reference.

    .. math:: W = \frac{1}{s_r} \int |F_r(x) - F_c(x)|\,dx
        = \frac{1}{s_r} \int_0^1 |F_r^{-1}(p) - F_c^{-1}(p)|\,dp

    A shift of all values by half a standard deviation is 0.5. Wider spread, a second
    mode, a longer tail count as well.

    Notes
    -----
    Taught in chapter 09.

    References
    ----------
    A. Ramdas, N. García Trillos, M. Cuturi, "On Wasserstein two-sample testing and
    related families of nonparametric tests", Entropy 19 (2017).

    Examples
    --------
    >>> x = np.random.default_rng(1).normal(3.0, 2.0, size=10_000)
    >>> round(Wasserstein().compare(x, x + 1).effect, 2)
    0.5
    """

    name = "Wasserstein/sd"

    def compare(
        self,
        reference: Any,
        current: Any,
        *,
        effective: tuple[float, float] | None = None,
    ) -> Measured:
        """Return the distance; there is no p-value.

        Where the reference is constant, the unit is that constant's size, or 1.
        """
        r = np.sort(numbers(reference, "reference"))
        c = np.sort(numbers(current, "current"))
        everything = np.sort(np.concatenate([r, c]))
        widths = np.diff(everything)
        below_r = np.searchsorted(r, everything[:-1], "right") / len(r)
        below_c = np.searchsorted(c, everything[:-1], "right") / len(c)
        distance = float(np.sum(np.abs(below_r - below_c) * widths))
        unit = float(np.std(r)) or abs(float(r[0])) or 1.0
        return Measured(distance / unit)


def quantile_grid(sample: Array) -> Array:
    """Return the sample's quantiles at ``LEVELS``: small enough to be kept."""
    grid: Array = np.quantile(sample, LEVELS)
    return grid


def quantile_distance(reference: Array, current: Array) -> float:
    """Return the Wasserstein distance of two quantile grids, in their unit.

    Examples
    --------
    >>> x = np.random.default_rng(1).normal(size=5_000)
    >>> round(quantile_distance(quantile_grid(x), quantile_grid(x + 0.25)), 2)
    0.25
    """
    return float(np.mean(np.abs(reference - current)))
