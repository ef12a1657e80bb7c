"""PSI: the drift measure of credit scoring."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.monitoring.measures._shares import cut_points, shares_of_numbers
from rtmlops_lib.monitoring.measures.drift_test import DriftTest, Measured, numbers

__all__ = ["PopulationStability", "stability_index"]

Array = NDArray[np.float64]

# An empty bin counts as a ten-thousandth: the logarithm must stay finite.
_LEAST = 1e-4


class PopulationStability(DriftTest):
    r"""Population stability index over quantile bins of the reference.

    .. math:: \mathrm{PSI} = \sum_i (c_i - r_i) \ln (c_i / r_i)

    with :math:`r_i, c_i` the shares of reference and current in bin i. Its usual
    limits, 0.1 and 0.2, know neither the number of rows nor that rows depend on each
    other: between two weeks of the same telemetry they are crossed all the time.

    Parameters
    ----------
    bins : int
        Of equal share in the reference.

    Notes
    -----
    Taught in chapter 09.

    References
    ----------
    B. Yurdakul, J. Naranjo, "Statistical properties of the population stability
    index", Journal of Risk Model Validation 14 (2020).

    Examples
    --------
    >>> x = np.random.default_rng(1).normal(size=10_000)
    >>> psi = PopulationStability()
    >>> round(psi.compare(x, x + 0.5).effect, 2), psi.compare(x, x).effect
    (0.24, 0.0)
    """

    name = "PSI"

    def __init__(self, bins: int = 10) -> None:
        self.bins = bins

    def compare(
        self,
        reference: Any,
        current: Any,
        *,
        effective: tuple[float, float] | None = None,
    ) -> Measured:
        """Return the index; there is no p-value."""
        known = numbers(reference, "reference")
        cuts = cut_points(known, self.bins)
        return Measured(
            stability_index(
                shares_of_numbers(known, cuts),
                shares_of_numbers(numbers(current, "current"), cuts),
            )
        )


def stability_index(reference: Array, current: Array) -> float:
    """Return the PSI of two arrays of shares.

    Examples
    --------
    >>> round(stability_index(np.array([0.5, 0.5]), np.array([0.75, 0.25])), 4)
    0.2747
    """
    r, c = np.maximum(reference, _LEAST), np.maximum(current, _LEAST)
    return float(np.sum((c - r) * np.log(c / r)))
