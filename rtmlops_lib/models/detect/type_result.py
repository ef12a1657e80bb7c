"""How anomalies of one type were found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["TypeResult"]


@dataclass(frozen=True, slots=True)
class TypeResult:
    """One line of the evaluation.

    Parameters
    ----------
    events : int
        How many there were.
    found : int
        How many an episode was told of, in time.
    delays : tuple of int
        Samples from the onset to the telling, of those found by an episode of
        their own.
    average_precision : float
        Area under the precision-recall curve over rows; NaN where not asked for.

    Examples
    --------
    >>> result = TypeResult(10, 9, (0, 1, 1, 4))
    >>> result.recall, result.median_delay
    (0.9, 1.0)
    """

    events: int
    found: int
    delays: tuple[int, ...]
    average_precision: float = float("nan")

    @property
    def recall(self) -> float:
        """Share of the events found; NaN without events."""
        return self.found / self.events if self.events else float("nan")

    @property
    def median_delay(self) -> float:
        """Median delay in samples; NaN where none was found."""
        return float(np.median(self.delays)) if self.delays else float("nan")
