"""What every drift test answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtmlops_lib.errors import UsageError

__all__ = ["DriftTest", "Measured", "numbers"]


@dataclass(frozen=True, slots=True)
class Measured:
    """The answer of a drift test.

    Parameters
    ----------
    effect : float
        How large the change is, 0 for none. Each test states its unit. Effects
        decide; they do not grow with the number of rows.
    p_value : float, optional
        How probable so large an effect is without a change; None where the test has
        none. It informs: with rows enough, a p-value finds any change significant.
    """

    effect: float
    p_value: float | None = None


class DriftTest(ABC):
    """Compares a current sample with a reference sample.

    A test has no state: ``compare`` may be called from any thread, in any order.
    """

    name: str

    @abstractmethod
    def compare(
        self,
        reference: Any,
        current: Any,
        *,
        effective: tuple[float, float] | None = None,
    ) -> Measured:
        """Measure how far ``current`` is from ``reference``.

        Parameters
        ----------
        reference, current : array_like, shapes (n,) and (m,)
            Absent values are left out.
        effective : tuple of float, optional
            Effective numbers of rows of the two, which p-values are based on: rows of
            telemetry repeat each other. By default the numbers of rows.

        Raises
        ------
        UsageError
            When a sample holds no value.
        """


def numbers(sample: ArrayLike, which: str) -> NDArray[np.float64]:
    """Return the finite numbers of a sample, in their order."""
    values = np.asarray(sample, np.float64).ravel()
    values = values[np.isfinite(values)]
    if not len(values):
        raise UsageError(
            f"the {which} sample holds no number", remedy="leave this column out"
        )
    return values
