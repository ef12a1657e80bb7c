"""Chi-squared: whether categories occur as often as before."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from rtmlops_lib.monitoring.measures._shares import category_counts, with_unseen
from rtmlops_lib.monitoring.measures.drift_test import DriftTest, Measured

__all__ = ["ChiSquared", "homogeneity"]

Array = NDArray[np.float64]


class ChiSquared(DriftTest):
    r"""Chi-squared test of homogeneity over categories; Cramér's V is the effect.

    .. math:: \chi^2 = \sum_{ij} \frac{(O_{ij} - E_{ij})^2}{E_{ij}}, \quad
        V = \sqrt{\chi^2 / N}

    over the table of two samples and k categories. Given effective numbers of rows,
    counts are scaled down to them first.

    References
    ----------
    J. N. K. Rao, A. J. Scott, "The analysis of categorical data from complex sample
    surveys", Journal of the American Statistical Association 76 (1981).

    Examples
    --------
    >>> found = ChiSquared().compare(["a"] * 50 + ["b"] * 50, ["a"] * 75 + ["b"] * 25)
    >>> round(found.effect, 2), round(found.p_value, 4)
    (0.26, 0.0003)
    """

    name = "chi²"

    def compare(
        self,
        reference: Any,
        current: Any,
        *,
        effective: tuple[float, float] | None = None,
    ) -> Measured:
        """Return Cramér's V and the p-value, without Yates's correction."""
        _, r, c = with_unseen(
            category_counts(reference, "reference"),
            category_counts(current, "current"),
        )
        return homogeneity(r, c, effective)


def homogeneity(
    reference: Array, current: Array, effective: tuple[float, float] | None = None
) -> Measured:
    """Test two arrays of counts of the same categories."""
    n, m = effective or (reference.sum(), current.sum())
    observed = np.stack([reference / reference.sum() * n, current / current.sum() * m])
    some = observed.sum(axis=0) > 0
    observed = observed[:, some]
    total = observed.sum()
    expected = observed.sum(axis=1)[:, None] * observed.sum(axis=0) / total
    statistic = float(np.sum((observed - expected) ** 2 / expected))
    freedom = observed.shape[1] - 1
    p = float(stats.chi2.sf(statistic, freedom)) if freedom else 1.0
    return Measured(float(np.sqrt(statistic / total)), p)
