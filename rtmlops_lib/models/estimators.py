"""The regressors: the book's forest, a baseline, and one for comparison."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.models.features import Features
from rtmlops_lib.models.settings import PowerSettings

__all__ = ["new_estimator", "predict_fast"]


def new_estimator(features: Features, settings: PowerSettings) -> Any:
    """Return an unfitted regressor of the kind that the settings name."""
    constraints = features.monotonic if any(features.monotonic) else None
    if settings.kind == "linear":
        from sklearn.linear_model import LinearRegression

        return LinearRegression()
    if settings.kind == "boosting":
        from sklearn.ensemble import HistGradientBoostingRegressor

        return HistGradientBoostingRegressor(
            max_iter=settings.iterations,
            learning_rate=settings.learning_rate,
            max_depth=settings.max_depth,
            min_samples_leaf=settings.min_samples_leaf,
            monotonic_cst=constraints,
            random_state=settings.seed,
        )
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(
        n_estimators=settings.trees,
        max_depth=settings.max_depth,
        min_samples_leaf=settings.min_samples_leaf,
        max_features=settings.max_features,
        max_samples=settings.max_samples,
        monotonic_cst=constraints,
        random_state=settings.seed,
        n_jobs=1,
    )


def predict_fast(estimator: Any, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the estimator's own prediction, sooner where it is a forest.

    A forest's ``predict`` sets up a pool of threads at each call, 10 ms for a batch
    of one row; its trees, asked in the same order and summed as it does, give the
    same bits. ``x`` must be finite, float32 and in C order.
    """
    trees = getattr(estimator, "estimators_", None)
    if trees is None or not hasattr(trees[0], "tree_"):
        result: NDArray[np.float64] = estimator.predict(x)
        return result
    total = np.zeros(len(x), np.float64)
    for tree in trees:
        total += tree.tree_.predict(x).reshape(-1)
    total /= len(trees)
    return total
