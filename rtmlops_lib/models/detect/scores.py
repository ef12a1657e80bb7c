"""What a detector says of each row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "FLAG_THRESHOLD",
    "ISOLATION_FOREST",
    "POWER_RESIDUAL",
    "SEVERITIES",
    "STATISTICAL",
    "Scores",
    "severity_of",
    "to_score",
]

# Who may speak: each metric's own past, the forest, the power model.
STATISTICAL = "statistical"
ISOLATION_FOREST = "isolation_forest"
POWER_RESIDUAL = "power_residual"

# The one meaning of a score: from here on a row is flagged.
FLAG_THRESHOLD = 0.5
SEVERITIES = ("low", "medium", "high", "critical")
_SEVERITY_EDGES = np.array([FLAG_THRESHOLD, 0.6, 0.75])


def to_score(surprise: NDArray[np.float64], alarm: float) -> NDArray[np.float64]:
    """Return ``surprise / (surprise + alarm)``: 0.5 at the alarm, 1 never reached.

    Examples
    --------
    >>> to_score(np.array([0.0, 5.0, 15.0]), 5.0).tolist()
    [0.0, 0.5, 0.75]
    """
    bounded = np.maximum(surprise, 0.0)
    result: NDArray[np.float64] = bounded / (bounded + alarm)
    return result


def severity_of(score: NDArray[np.float64]) -> NDArray[np.object_]:
    """Return ``low`` below the threshold, then ``medium``, ``high``, ``critical``.

    Examples
    --------
    >>> severity_of(np.array([0.1, 0.5, 0.7, 0.9])).tolist()
    ['low', 'medium', 'high', 'critical']
    """
    names = np.array(SEVERITIES, object)
    chosen: NDArray[np.object_] = names[
        np.searchsorted(_SEVERITY_EDGES, score, side="right")
    ]
    return chosen


@dataclass(slots=True)
class Scores:
    """One score a row, and the metric that gave it.

    Parameters
    ----------
    score : ndarray of float, shape (n,)
        From 0 to 1; ``FLAG_THRESHOLD`` and above is flagged.
    metric : ndarray of int64, shape (n,)
        Position in ``metrics`` of the metric that deviates most, -1 for none.
    observed, expected, spread : ndarray of float, shape (n,)
        That metric's value, what was expected, and the usual deviation.
    metrics : tuple of str
    witnesses : tuple of str
        Who took part.
    witness : ndarray of object, shape (n,), optional
        Whose word each score is; None where there is one witness only.
    """

    score: NDArray[np.float64]
    metric: NDArray[np.int64]
    observed: NDArray[np.float64]
    expected: NDArray[np.float64]
    spread: NDArray[np.float64]
    metrics: tuple[str, ...]
    witnesses: tuple[str, ...] = (STATISTICAL,)
    witness: NDArray[np.object_] | None = None

    def __len__(self) -> int:
        return len(self.score)

    @property
    def flagged(self) -> NDArray[np.bool_]:
        """Whether each row is flagged."""
        return self.score >= FLAG_THRESHOLD

    @property
    def severity(self) -> NDArray[np.object_]:
        """Each row's severity."""
        return severity_of(self.score)

    @property
    def metric_names(self) -> NDArray[np.object_]:
        """The responsible metric of each row, None where there is none."""
        names = np.array([*self.metrics, None], object)
        chosen: NDArray[np.object_] = names[self.metric]
        return chosen

    def explain(self, row: int) -> str:
        """Return a sentence on one row.

        Examples
        --------
        >>> one = np.ones(1)
        >>> scores = Scores(0.9 * one, np.zeros(1, int), 95.0 * one, 61.0 * one,
        ...     2.5 * one, ("cpu_usage",))
        >>> scores.explain(0)
        'cpu_usage is 95, 34 above the expected 61 (usual deviation 2.5)'
        """
        at = int(self.metric[row])
        if at < 0:
            return "nothing is known of this series yet"
        observed, expected = float(self.observed[row]), float(self.expected[row])
        side = "above" if observed >= expected else "below"
        witness = STATISTICAL if self.witness is None else self.witness[row]
        by_whom = "the expected"
        if witness == POWER_RESIDUAL:
            by_whom = "what the model expects of this row,"
        sentence = (
            f"{self.metrics[at]} is {observed:.4g}, {abs(observed - expected):.4g} "
            f"{side} {by_whom} {expected:.4g} "
            f"(usual deviation {float(self.spread[row]):.2g})"
        )
        if witness == ISOLATION_FOREST:
            return f"the metrics do not go together as usual; {sentence}"
        return sentence

    def take(self, rows: NDArray[Any] | slice) -> Scores:
        """Return the scores of ``rows`` (indices, a boolean mask, a slice)."""
        return replace(
            self,
            score=self.score[rows],
            metric=self.metric[rows],
            observed=self.observed[rows],
            expected=self.expected[rows],
            spread=self.spread[rows],
            witness=None if self.witness is None else self.witness[rows],
        )
