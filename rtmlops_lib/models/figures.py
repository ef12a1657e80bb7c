"""What one looks at before trusting a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from rtmlops_lib.models.training import Trained

__all__ = ["training_figures"]

_POINTS = 5_000
_IMPORTANCE_ROWS = 2_000


def training_figures(trained: Trained, unit: str = "") -> dict[str, Any]:
    """Return figures by file name: residuals, predicted on actual, importance.

    Drawn on ``matplotlib.figure.Figure`` itself: no window system, no global state.
    """
    holdout = trained.dataset.holdout
    step = max(1, len(holdout) // _POINTS)
    y, predicted = holdout.y[::step], trained.predicted[::step]
    label = f" ({unit})" if unit else ""

    residuals, axes = _new_figure()
    axes.hist(trained.predicted - holdout.y, bins=80)
    axes.set(xlabel=f"predicted - actual{label}", ylabel="held-out rows")

    against, axes = _new_figure()
    axes.scatter(y, predicted, s=3, alpha=0.3)
    ends = [float(min(y.min(), predicted.min())), float(max(y.max(), predicted.max()))]
    axes.plot(ends, ends, linewidth=1, color="black")
    axes.set(xlabel=f"actual{label}", ylabel=f"predicted{label}")

    importance, axes = _new_figure()
    scores = permutation_importance(trained)
    order = sorted(scores, key=lambda name: scores[name])
    axes.barh(order, [scores[name] for name in order])
    axes.set(xlabel=f"mean absolute error added when shuffled{label}")

    return {
        "residuals.png": residuals,
        "predicted_vs_actual.png": against,
        "importance.png": importance,
    }


def permutation_importance(trained: Trained) -> dict[str, float]:
    """Return how much worse the model gets when one feature is shuffled.

    Unlike a forest's own importance it does not favour features of many values, and
    it is measured on rows the model has not seen.

    References
    ----------
    L. Breiman, "Random forests", Machine Learning 45 (2001).
    """
    holdout, random = trained.dataset.holdout, np.random.default_rng(0)
    rows = np.linspace(0, len(holdout) - 1, _IMPORTANCE_ROWS).astype(np.int64)
    x, y = holdout.x[rows], holdout.y[rows]
    before = np.abs(trained.model.predict(x) - y).mean()
    scores = {}
    for at, name in enumerate(trained.model.features.names):
        shuffled = x.copy()
        shuffled[:, at] = random.permutation(shuffled[:, at])
        after = np.abs(trained.model.predict(shuffled) - y).mean()
        scores[name] = float(after - before)
    return scores


def _new_figure() -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    return figure, figure.subplots()
