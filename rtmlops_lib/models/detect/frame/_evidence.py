"""What speaks for an anomaly in one column, each in a measure of its own."""

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

__all__ = ["POINTWISE", "UNITLESS", "WEIGHTS", "evidence"]

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
_LARGEST = 30.0
_CLIP = 6.0
_WIDTH, _WIDTHS = 40, (8, 160)


def evidence(
    z: Array,
    known: int,
    since: int,
    period: int,
    *,
    patterns: bool = True,
    hindsight: bool = True,
) -> dict[str, Array]:
    """Return each kind of evidence for ``z[since:]``, learned from ``z[:known]``.

    Parameters
    ----------
    z : ndarray of float, shape (n,)
        One column, centred, in spreads.
    known, since : int
        ``since <= known``: the rows between are the past's own evidence.
    period : int
        Samples a cycle, or 0.
    patterns : bool
        Whether windows are compared, which costs most.
    hindsight : bool
        Whether windows of the past are compared too.
    """
    z = np.clip(z, -_LARGEST, _LARGEST)
    rest = without_season(z, known, period)
    error = np.abs(autoregression_error(z, known, period, since))
    # From here on only the neighbourhood counts: the longest window is 160.
    origin = max(0, since - 2 * _WIDTHS[1])
    local, at = rest[origin:], slice(since - origin, None)
    own = slice(since - origin, known - origin)

    near = np.abs(local - earlier(median_of_last(local, 7), 1))
    far = np.abs(local - earlier(median_of_last(local, 25), 1))
    calm = median_of_last(local, 3)
    base = median(rest[max(0, known - 1_500) : known])
    five = mean_of_last(calm, 5)
    sixty = mean_of_last(calm, 60)
    step = np.diff(local, prepend=local[0]) ** 2
    usual = 9 * median(step[own]) + 1e-9
    step = np.minimum(step, 9 * np.mean(np.minimum(step[own], usual)))
    spread = np.log(mean_of_last(step, 12) + 1e-7)
    moved = np.diff(z[origin:], prepend=z[origin]) ** 2
    still = -np.log(mean_of_last(moved, 10) + 1e-7)

    error_scale = median(error[: known - since]) + 1e-6
    near_scale = median(near[own]) + 1e-6
    found = {
        "forecast": error,
        "spike": np.minimum(error, near[at] * (error_scale / near_scale)),
        "offset": far[at],
        "level": np.abs(median_of_last(local, 5) - base)[at],
        "long level": np.abs(sixty - base)[at],
        "change": np.abs(five - earlier(sixty, 10))[at],
        "spread": (spread - median(spread[own]))[at],
        "stillness": (still - median(still[own]))[at],
    }
    if patterns:
        width = int(np.clip(period or _WIDTH, *_WIDTHS))
        # Without outliers of a row or two, which are seen without windows.
        smooth = median_of_last(np.clip(z, -_CLIP, _CLIP), 5)
        found["pattern"], found["shape"] = window_distances(
            smooth, known, since if hindsight else known, width
        )
    return found
