"""One column of one series: block after block, learned from what lies before."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.models.detect.frame._blocks import FIRST, blocks
from rtmlops_lib.models.detect.frame._calibrate import calibrated
from rtmlops_lib.models.detect.frame._evidence import (
    POINTWISE,
    UNITLESS,
    WEIGHTS,
    evidence,
)
from rtmlops_lib.models.detect.frame._period import find_period
from rtmlops_lib.models.detect.frame._quantiles import median, quantiles

__all__ = ["KINDS", "filled", "scale_of", "surprises"]

Array = NDArray[np.float64]

KINDS = tuple(WEIGHTS)
# How far back a block looks, and how much of that it is measured against.
_HISTORY, _MEASURE = 6_000, 1_500
# Samples that scale one kind of evidence against another.
_SCALING = 500
# Evidence given in earnest, not in retrospect, that suffices to measure against.
_ENOUGH = 150
_USUAL_SURPRISE = 0.5
# Windows overlap: their surprise must not drown that of a sample. A sensor that got
# stuck is beyond doubt after a few rows.
_WINDOW_BEND = 6.0
_CERTAIN = "stillness"


def surprises(
    x: Array, *, patterns: bool = True, progress: Callable[[int], None] | None = None
) -> Array:
    """Return how surprising each row is, by each kind of evidence.

    Parameters
    ----------
    x : ndarray of float, shape (n,)
        In order of time; NaN where absent.
    patterns : bool
        Whether windows are compared, which costs most.
    progress : callable, optional
        Told after each block how many rows it had.

    Returns
    -------
    ndarray of float, shape (kinds, n)
        Weighted negative decimal logarithms of tail probabilities; 0 where nothing
        is known yet or the value is absent.
    """
    present = np.isfinite(x)
    x = filled(x)
    result = np.zeros((len(KINDS), len(x)))
    earnest = np.full(result.shape, np.nan)
    plain = np.zeros(result.shape)
    for start, stop in blocks(len(x)):
        begin = max(0, start - _HISTORY)
        known = start - begin
        told = start - max(FIRST, start - _MEASURE)
        # Once enough was said in earnest, hindsight need not be bought.
        hindsight = told < _ENOUGH
        since = max(0, known - (_MEASURE if hindsight else _SCALING))
        middle, scale = scale_of(x[begin:start])
        z = (x[begin:stop] - middle) / scale
        period = find_period(z[:known])
        found = evidence(
            z, known, since, period, patterns=patterns, hindsight=hindsight
        )
        for number, kind in enumerate(KINDS):
            if kind not in found:
                continue
            raw = found[kind] if kind in UNITLESS else found[kind] * scale
            split = len(raw) - (stop - start)
            past = earnest[number, start - told : start]
            if hindsight:
                past = np.concatenate([raw[:split], past])
            now = raw[split:]
            rare = calibrated(now, past)
            plain[number, start:stop] = rare
            if kind not in POINTWISE:
                longer = plain[number, max(FIRST, start - _HISTORY) : start]
                rare = WEIGHTS[kind] * rare * _trust(longer)
                if kind != _CERTAIN:
                    rare = _WINDOW_BEND * np.log1p(rare / _WINDOW_BEND)
            else:
                rare = WEIGHTS[kind] * rare
            result[number, start:stop] = rare
            earnest[number, start:stop] = now
        if progress is not None:
            progress(stop - start)
    result[:, ~present] = 0
    return result


def _trust(past: Array) -> float:
    """Return by how much a kind of evidence counts that is often beside itself.

    Levels and windows of a series that wanders find something new all the time: the
    80 % quantile of their surprise is far above the half that it should be.
    """
    if len(past) < _ENOUGH:
        return 1.0
    return 1 / max(1.0, quantiles(past[::4], 0.8)[0] / _USUAL_SURPRISE) ** 2


def filled(x: Array) -> Array:
    """Return ``x`` with the last value before in place of absent ones."""
    present = np.isfinite(x)
    if present.all():
        return x
    if not present.any():
        return np.zeros(len(x))
    place = np.maximum.accumulate(np.where(present, np.arange(len(x)), -1))
    # Before the first value there is nothing to say: the median of nothing is 0.
    return np.where(place < 0, 0.0, x[np.maximum(place, 0)])


def scale_of(x: Array) -> tuple[float, float]:
    """Return a robust middle and spread, the spread never 0."""
    middle = median(x)
    spread = 1.4826 * median(np.abs(x - middle))
    spread = max(spread, 0.1 * float(np.std(x)))
    return middle, spread if spread > 1e-12 * abs(middle) else 1e-3 * abs(middle) + 1e-9
