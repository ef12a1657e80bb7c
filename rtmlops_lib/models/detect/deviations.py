"""How far each metric of each row lies from what was expected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Deviations"]

Array = NDArray[np.float64]

# Beyond, a deviation says no more than that it is large.
_LARGEST_INPUT = 10.0


@dataclass(frozen=True, slots=True)
class Deviations:
    """What n rows of m metrics were held against, at K horizons.

    Parameters
    ----------
    metrics : tuple of str
    order : ndarray of int64, shape (n,)
        Which of the rows given each of these is: they stand round by round.
    observed : ndarray of float, shape (m, n)
    z, expected, spread : ndarray of float, shape (K, m, n)
        The deviation in spreads, 0 where the metric is absent or too little is known;
        what was expected; the spread.
    rarity : ndarray of float, shape (K, m, n)
        Negative decimal logarithm of the probability of so large a deviation.
    """

    metrics: tuple[str, ...]
    order: NDArray[np.int64]
    observed: Array
    z: Array
    expected: Array
    spread: Array
    rarity: Array

    def inputs(self, metrics: int) -> NDArray[np.float32]:
        """Return what a forest sees of the first so many metrics, shape (n, metrics).

        The deviations at the middle horizon: long enough that an anomaly does not at
        once become the usual, short enough to follow the day.
        """
        z = self.z[len(self.z) // 2, :metrics]
        bounded = np.clip(z, -_LARGEST_INPUT, _LARGEST_INPUT)
        return np.ascontiguousarray(bounded.T, np.float32)

    def joined(self, other: Deviations) -> Deviations:
        """Return the metrics of both; ``other`` was given the same rows."""
        at = other.order.argsort()[self.order]

        def both(mine: NDArray[Any], theirs: NDArray[Any]) -> NDArray[Any]:
            return np.concatenate([mine, theirs[..., at]], axis=-2)

        return Deviations(
            metrics=(*self.metrics, *other.metrics),
            order=self.order,
            observed=both(self.observed, other.observed),
            z=both(self.z, other.z),
            expected=both(self.expected, other.expected),
            spread=both(self.spread, other.spread),
            rarity=both(self.rarity, other.rarity),
        )
