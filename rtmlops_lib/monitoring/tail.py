"""How large a statistic gets by chance, beyond what has been seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

__all__ = ["Tail"]

_SHARE = 0.25
_HEAVIEST = 0.3
_CONFIDENCE = 0.9


@dataclass(frozen=True, slots=True)
class Tail:
    r"""The upper tail of a statistic: a generalised Pareto distribution.

    .. math:: P(X > u + y) = \zeta \left(1 + \xi y / \sigma\right)^{-1/\xi}

    Fitted to the largest quarter of the reference chunks by probability-weighted
    moments. The shape :math:`\xi` is held between 0 (exponential) and 0.3: few values
    do not tell more. For :math:`\sigma` the upper end of its 90 % confidence interval
    is taken, so that few chunks give a high threshold and not a false alarm.

    Parameters
    ----------
    start : float
        The u: where the tail begins.
    scale, shape : float
        The σ and ξ.
    share : float
        The ζ: which share of the values lies in the tail.
    count : int
        How many values there were in all.

    Notes
    -----
    Taught in chapter 09.

    References
    ----------
    J. R. M. Hosking, J. R. Wallis, "Parameter and quantile estimation for the
    generalized Pareto distribution", Technometrics 29 (1987).

    Examples
    --------
    >>> values = np.random.default_rng(1).exponential(size=2_000)
    >>> tail = Tail.of_values(values)
    >>> bool(6.5 < tail.level(0.001) < 8.0)  # truth: ln 1000 = 6.9
    True
    """

    start: float
    scale: float
    shape: float
    share: float
    count: int

    @classmethod
    def of_values(cls, values: NDArray[np.float64]) -> Tail:
        """Fit the tail of some values; there must be at least one."""
        start = float(np.quantile(values, 1 - _SHARE))
        excess = np.sort(values[values > start]) - start
        k = len(excess)
        if not k:
            return cls(start, 0.0, 0.0, _SHARE, len(values))
        mean = float(excess.mean())
        weight = 1 - (np.arange(1, k + 1) - 0.35) / k
        weighted = float(np.mean(weight * excess))
        shape = 2 - mean / (mean - 2 * weighted) if mean > 2 * weighted else _HEAVIEST
        shape = float(np.clip(shape, 0.0, _HEAVIEST))
        scale = mean * (1 - shape)
        scale *= 2 * k / float(stats.chi2.ppf(1 - _CONFIDENCE, 2 * k))
        return cls(start, scale, shape, k / len(values), len(values))

    def level(self, probability: float) -> float:
        """Return what is exceeded with this probability."""
        odds = max(1.0, self.share / probability)
        if self.shape < 1e-9:
            return self.start + self.scale * float(np.log(odds))
        return float(self.start + self.scale / self.shape * (odds**self.shape - 1))
