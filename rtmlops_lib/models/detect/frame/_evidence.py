"""What speaks for an anomaly in a column, each in a measure of its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.models.detect.frame._forecast import (
    autoregression_error,
    without_season,
)
from rtmlops_lib.models.detect.frame._neighbours import window_distances
from rtmlops_lib.models.detect.frame._quantiles import median
from rtmlops_lib.models.detect.frame._windows import (
    earlier,
    mean_of_last,
    median_of_last,
)

__all__ = [
    "LARGEST",
    "PATTERNS",
    "POINTWISE",
    "UNITLESS",
    "WEIGHTS",
    "evidence",
    "pattern_evidence",
]

Array = NDArray[np.float64]

# What is found by it, and how much it counts. Chosen on synthetic series.
WEIGHTS = {
    "forecast": 1.5,  # a sample that the samples before do not lead to
    "spike": 0.5,  # the same, and off its neighbourhood: not the way back from a spike
    "offset": 1.5,  # off the median of the last 24
    "level": 1.0,  # a shift of the level
    "long level": 0.7,
    "change": 1.0,  # the last few against the many before
    "spread": 0.5,  # a change of the variance
    "stillness": 1.5,  # a sensor that got stuck
    "pattern": 1.5,  # a window unlike all before
    "shape": 1.0,  # the same, whatever its level and size
}
# Those that look at a sample, not at a window.
POINTWISE = frozenset({"forecast", "spike", "offset"})
# Those that do not grow with the unit of the column.
UNITLESS = frozenset({"spread", "stillness", "shape"})
# Those that compare windows: the last ones.
PATTERNS = frozenset({"pattern", "shape"})
# A deviation beyond so many spreads says no more than that it is large.
LARGEST = 30.0
_CLIP = 6.0
_WIDTH, _WIDTHS = 40, (8, 160)
# The farthest that evidence but that of windows looks back: a mean of sixty, of ten
# samples before, of medians of three.
_NEIGHBOURHOOD = 80


def evidence(z: Array, known: int, since: int, periods: NDArray[np.int64]) -> Array:
    """Return each kind of evidence but windows', learned from ``z[:, :known]``.

    Parameters
    ----------
    z : ndarray of float, shape (m, n)
        Columns, centred, in spreads.
    known, since : int
        ``since <= known``: the rows between are the past's own evidence.
    periods : ndarray of int64, shape (m,)
        Samples a cycle, or 0.

    Returns
    -------
    ndarray of float, shape (kinds, m, n - since)
        In the order of ``WEIGHTS``.
    """
    rest = without_season(z, known, periods)
    error = np.abs(autoregression_error(z, known, periods, since))
    # From here on only the neighbourhood counts.
    origin = max(0, since - _NEIGHBOURHOOD)
    local, at = rest[:, origin:], slice(since - origin, None)
    own = slice(since - origin, known - origin)

    near = np.abs(local - earlier(median_of_last(local, 7), 1))
    far = np.abs(local - earlier(median_of_last(local, 25), 1))
    base = median(rest[:, max(0, known - 1_500) : known])[:, None]
    calm = median_of_last(local, 3)
    five = mean_of_last(calm, 5)
    sixty = mean_of_last(calm, 60)
    step = (local - earlier(local, 1)) ** 2
    usual = 9 * median(step[:, own])[:, None] + 1e-9
    usual = 9 * np.minimum(step[:, own], usual).mean(axis=1, keepdims=True)
    spread = np.log(mean_of_last(np.minimum(step, usual), 12) + 1e-7)
    moved = (z[:, origin:] - earlier(z[:, origin:], 1)) ** 2
    still = -np.log(mean_of_last(moved, 10) + 1e-7)

    error_scale = median(error[:, : known - since])[:, None] + 1e-6
    near_scale = median(near[:, own])[:, None] + 1e-6
    return np.stack(
        [
            error,
            np.minimum(error, near[:, at] * (error_scale / near_scale)),
            far[:, at],
            np.abs(median_of_last(local, 5) - base)[:, at],
            np.abs(sixty - base)[:, at],
            np.abs(five - earlier(sixty, 10))[:, at],
            (spread - median(spread[:, own])[:, None])[:, at],
            (still - median(still[:, own])[:, None])[:, at],
        ]
    )


def pattern_evidence(
    z: Array, known: int, since: int, periods: NDArray[np.int64]
) -> Array:
    """Return the evidence of windows, which costs most; see ``evidence``."""
    # Without outliers of a row or two, which are seen without windows.
    smooth = median_of_last(np.clip(z, -_CLIP, _CLIP), 5)
    widths = np.clip(np.where(periods > 0, periods, _WIDTH), *_WIDTHS)
    found = [
        window_distances(column, known, since, width)
        for column, width in zip(smooth, widths.tolist(), strict=True)
    ]
    return np.array(found).transpose(1, 0, 2)
