"""A fitted model of a stream's target, as training makes it and services use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.models.estimators import new_estimator, predict_fast
from rtmlops_lib.models.features import Features
from rtmlops_lib.models.settings import PowerSettings
from rtmlops_lib.streams import ColumnBatch

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PowerModel"]


@dataclass(frozen=True, slots=True)
class PowerModel:
    """An estimator, the features it reads, and what stands in for absent fields.

    Parameters
    ----------
    estimator : scikit-learn regressor
        Fitted on ``features``.
    features : Features
    fill : ndarray of float32, shape (features,)
        Median of each feature in training, in place of an absent optional field.

    Notes
    -----
    Taught in chapter 05. Safe to use from several threads.

    Examples
    --------
    >>> x = np.linspace(0, 100, 200, dtype=np.float32)[:, None]
    >>> features = Features(inputs=("cpu_usage",), increasing=("cpu_usage",))
    >>> settings = PowerSettings(trees=5, min_samples_leaf=2)
    >>> model = PowerModel.fit(features, x, 1 + x[:, 0] / 50, settings)
    >>> float(model.predict(np.array([[50.0]], np.float32))[0].round(1))
    2.0
    """

    estimator: Any
    features: Features
    fill: NDArray[np.float32]

    @classmethod
    def fit(
        cls,
        features: Features,
        x: NDArray[np.float32],
        y: NDArray[np.float64],
        settings: PowerSettings,
    ) -> PowerModel:
        """Return a model fitted on the rows of ``x``."""
        known = np.isfinite(x)
        fill = np.array(
            [
                np.median(x[known[:, at], at]) if known[:, at].any() else 0.0
                for at in range(x.shape[1])
            ],
            np.float32,
        )
        estimator = new_estimator(features, settings)
        estimator.fit(_filled(x, fill), y)
        return cls(estimator, features, fill)

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return one prediction a row of features, always a finite number."""
        if not len(x):
            return np.empty(0, np.float64)
        return predict_fast(self.estimator, _filled(x, self.fill))

    def predict_batch(self, batch: ColumnBatch) -> NDArray[np.float64]:
        """Return one prediction an event."""
        return self.predict(self.features.of_batch(batch))

    def predict_frame(
        self, frame: pd.DataFrame, time_field: str = "time"
    ) -> NDArray[np.float64]:
        """Return one prediction a stored event."""
        return self.predict(self.features.of_frame(frame, time_field))


def _filled(x: NDArray[np.float32], fill: NDArray[np.float32]) -> NDArray[np.float32]:
    known = np.isfinite(x)
    x = x if known.all() else np.where(known, x, fill)
    return np.ascontiguousarray(x, np.float32)
