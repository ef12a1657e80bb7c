"""An isolation forest over deviations, as training makes it and services use it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from rtmlops_lib.models.forest_settings import ForestSettings

__all__ = ["AnomalyForest"]


@dataclass(frozen=True, slots=True)
class AnomalyForest:
    """Says how easily a row is told apart from the rows of training.

    It sees of each metric how far it lies from what its own series led to expect, in
    that series' usual deviations: no unit, no server's size, no time, no label. So
    what it knows is which deviations occur together.

    Parameters
    ----------
    estimator : scikit-learn IsolationForest
        Fitted on ``metrics``.
    metrics : tuple of str
        Whose deviations it reads, in order.

    References
    ----------
    F. T. Liu, K. M. Ting, Z.-H. Zhou, "Isolation forest", ICDM 2008.

    Notes
    -----
    Taught in chapter 07. Safe to use from several threads.

    Examples
    --------
    >>> from rtmlops_lib.models.forest_settings import ForestSettings
    >>> x = np.random.default_rng(0).standard_normal((2_000, 2)).astype(np.float32)
    >>> forest = AnomalyForest.fit(("cpu_usage", "power_kw"), x, ForestSettings())
    >>> scores = forest.score(np.array([[0, 0], [8, -8]], np.float32))
    >>> bool(scores[0] < 0.5 < scores[1])
    True
    """

    estimator: Any
    metrics: tuple[str, ...]
    _lengths: tuple[NDArray[np.float64], ...] = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        lengths = tuple(_path_lengths(e.tree_) for e in self.estimator.estimators_)
        object.__setattr__(self, "_lengths", lengths)

    @classmethod
    def fit(
        cls,
        metrics: tuple[str, ...],
        x: NDArray[np.float32],
        settings: ForestSettings,
    ) -> AnomalyForest:
        """Return a forest fitted on deviations, shape (n, metrics)."""
        from sklearn.ensemble import IsolationForest

        estimator = IsolationForest(
            n_estimators=settings.trees,
            max_samples=min(settings.max_samples, len(x)),
            random_state=settings.seed,
            n_jobs=1,
        )
        return cls(estimator.fit(x), metrics)

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        r"""Return :math:`2^{-E[h(x)] / c(\psi)}` of each row; higher is odder.

        The same as scikit-learn's ``-score_samples``, in a fifth of its time for a
        small batch: the path lengths are looked up, and no pool of threads is set up.

        Parameters
        ----------
        x : ndarray of float32, shape (n, metrics)
            In C order, finite.
        """
        total = np.zeros(len(x))
        if len(x):
            for tree, lengths in zip(
                self.estimator.estimators_, self._lengths, strict=True
            ):
                total += lengths[tree.tree_.apply(x)]
        usual = len(self._lengths) * _average_length(
            np.array([self.estimator.max_samples_])
        )
        result: NDArray[np.float64] = np.exp2(-total / usual)
        return result


def _path_lengths(tree: Any) -> NDArray[np.float64]:
    """Return of each leaf its depth, and the depth its rows would have added."""
    depth = np.zeros(tree.node_count)
    for node in range(tree.node_count):
        # A child always comes after its parent.
        for child in (tree.children_left[node], tree.children_right[node]):
            if child >= 0:
                depth[child] = depth[node] + 1
    return depth + _average_length(tree.n_node_samples)


def _average_length(rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean depth of an unsuccessful search in a tree of so many rows."""
    n = np.maximum(rows, 3).astype(np.float64)
    long = 2 * (np.log(n - 1) + np.euler_gamma) - 2 * (n - 1) / n
    return np.where(rows <= 1, 0.0, np.where(rows == 2, 1.0, long))
