"""Domain classifier: whether one can tell from which sample a row comes."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.errors import UsageError
from rtmlops_lib.monitoring.measures.drift_test import DriftTest, Measured

__all__ = ["DomainClassifier", "chance_of", "separation"]

Array = NDArray[np.float64]

_LEAST_ROWS = 20
_RIDGE = 0.03


class DomainClassifier(DriftTest):
    r"""A classifier that must tell current rows from reference rows.

    It sees many features at once, and so what none shows alone: that two of them no
    longer go together. The effect is Somers' D of its scores on rows it has not
    learned from,

    .. math:: D = 2\,\mathrm{AUC} - 1

    0 where both samples look the same, 1 where each row gives itself away. Folds are
    contiguous in the order of the rows: neighbours in time resemble each other, and
    shuffled folds would let it recognise them.

    Parameters
    ----------
    folds : int
    max_rows : int
        Of each sample, evenly thinned beyond: trees need no more.
    seed : int
    learner : {"trees", "products"}
        Boosted trees; or a linear discriminant of the columns, their products and
        those with squares: it sees less, and takes a hundredth of the time.

    References
    ----------
    S. Rabanser, S. Günnemann, Z. C. Lipton, "Failing loudly: an empirical study of
    methods for detecting dataset shift", NeurIPS 2019.

    J. A. Hanley, B. J. McNeil, "The meaning and use of the area under a receiver
    operating characteristic (ROC) curve", Radiology 143 (1982): the standard error.

    Examples
    --------
    >>> random = np.random.default_rng(1)
    >>> x = random.normal(size=(2_000, 2))
    >>> y = random.normal(size=(2_000, 1)) + np.zeros((1, 2))
    >>> DomainClassifier().compare(x[:1_000], x[1_000:]).effect < 0.1
    True
    >>> DomainClassifier().compare(x, y + 0.1 * x).effect > 0.5
    True
    """

    name = "domain classifier"

    def __init__(
        self,
        folds: int = 4,
        max_rows: int = 4_000,
        seed: int = 0,
        learner: Literal["trees", "products"] = "trees",
    ) -> None:
        self.folds = folds
        self.max_rows = max_rows
        self.seed = seed
        self.learner = learner

    def compare(
        self,
        reference: Any,
        current: Any,
        *,
        effective: tuple[float, float] | None = None,
    ) -> Measured:
        """Return Somers' D and a one-sided p-value.

        Parameters
        ----------
        reference, current : array_like of float, shapes (n, k) and (m, k)
            In the order of time; NaN where absent.
        effective : tuple of float, optional
            See ``DriftTest``.
        """
        r, c = self.scores(reference, current)
        area = _area(r, c)
        n, m = effective or (len(r), len(c))
        return Measured(max(0.0, 2 * area - 1), chance_of(area, n, m))

    def scores(self, reference: Any, current: Any) -> tuple[Array, Array]:
        """Return, from 0 to 1, how much each row looks like the current ones.

        Each by a classifier that has not learned from it; as ``compare`` takes them.
        """
        r, c = self._rows(reference, "reference"), self._rows(current, "current")
        if r.shape[1] != c.shape[1]:
            raise UsageError(
                f"the samples have {r.shape[1]} and {c.shape[1]} columns",
                remedy="give the same features of both",
            )
        found = self._scores(r, c)
        return found[: len(r)], found[len(r) :]

    def _rows(self, sample: Any, which: str) -> Array:
        rows = np.asarray(sample, np.float64)
        rows = rows[:, None] if rows.ndim == 1 else rows
        if len(rows) < _LEAST_ROWS:
            raise UsageError(
                f"the {which} sample has {len(rows)} rows, {_LEAST_ROWS} are needed",
                remedy="give more rows",
            )
        return rows[:: -(-len(rows) // self.max_rows)]

    def _scores(self, r: Array, c: Array) -> Array:
        from scipy import stats

        x = np.concatenate([r, c])
        y = np.concatenate([np.zeros(len(r)), np.ones(len(c))])
        fold = np.concatenate(
            [np.arange(len(part)) * self.folds // len(part) for part in (r, c)]
        )
        # So that the larger sample does not decide by its size alone.
        weight = np.where(y > 0, len(r) / len(c), 1.0)
        scores = np.zeros(len(x))
        x = _products(x) if self.learner == "products" else x
        for k in range(self.folds):
            rest = fold != k
            learned = (x[rest], y[rest], weight[rest])
            # Each fold has a scale of its own: only ranks within it are compared.
            if self.learner == "products":
                found = x[~rest] @ _discriminant(*learned)
            else:
                found = self._trees(*learned).decision_function(x[~rest])
            # Equal scores are equal: by their order they would tell the samples apart.
            scores[~rest] = (stats.rankdata(found) - 0.5) / len(found)
        return scores

    def _trees(self, x: Array, y: Array, weight: Array) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier

        model = HistGradientBoostingClassifier(
            max_iter=40, max_leaf_nodes=8, learning_rate=0.15, random_state=self.seed
        )
        return model.fit(x, y, sample_weight=weight)


def _products(x: Array) -> Array:
    """Return columns, squares, products of two, and of one with another's square."""
    z = np.nan_to_num((x - np.nanmean(x, axis=0)) / (np.nanstd(x, axis=0) + 1e-12))
    square = z**2 - 1
    i, j = np.triu_indices(z.shape[1], 1)
    parts = [z, square, z[:, i] * z[:, j], z[:, i] * square[:, j]]
    found = np.concatenate([*parts, square[:, i] * z[:, j]], axis=1)
    return np.asarray(found / (found.std(axis=0) + 1e-12), np.float64)


def _discriminant(x: Array, y: Array, weight: Array) -> Array:
    """Return the ridge regression of which sample a row is of."""
    total = weight.sum()
    centre = weight @ x / total
    rest, side = x - centre, y - float(weight @ y / total)
    gram = (rest * weight[:, None]).T @ rest
    gram[np.diag_indices_from(gram)] += _RIDGE * total
    return np.asarray(np.linalg.solve(gram, rest.T @ (weight * side)), np.float64)


def _area(reference: Array, current: Array) -> float:
    """Return the area under the ROC curve, ties counted half."""
    r = np.sort(reference)
    below = np.searchsorted(r, current, "left")
    upto = np.searchsorted(r, current, "right")
    return float(np.mean((below + upto) / 2) / len(r))


def separation(reference: Array, current: Array) -> float:
    """Return Somers' D of scores that are known by their shares in bins.

    Examples
    --------
    >>> separation(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    1.0
    >>> separation(np.array([0.5, 0.5]), np.array([0.5, 0.5]))
    0.0
    """
    below = np.cumsum(reference) - reference / 2
    return max(0.0, float(2 * np.sum(current * below) - 1))


def chance_of(area: float, n: float, m: float) -> float:
    """Return how probable so large an area under the curve is by chance alone."""
    from scipy import stats

    # Hanley and McNeil's variance at an area of one half.
    deviation = np.sqrt((n + m + 1) / (12 * n * m))
    return float(stats.norm.sf((area - 0.5) / deviation))
