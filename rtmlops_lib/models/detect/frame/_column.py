"""Columns of series, each on its own: block by block, learned from what lies before."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.models.detect.frame._blocks import FIRST, blocks
from rtmlops_lib.models.detect.frame._calibrate import calibrated
from rtmlops_lib.models.detect.frame._evidence import (
    LARGEST,
    PATTERNS,
    POINTWISE,
    UNITLESS,
    WEIGHTS,
    evidence,
    pattern_evidence,
)
from rtmlops_lib.models.detect.frame._period import find_periods
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
# In mere noise each of ten kinds now and then is one of a hundred, windows for rows on
# end, and their sum that of a spike. A sample that is rarer than one of a thousand is
# so against all of its past: each further power of ten counts so much more.
_CLEAR, _CLEAR_WEIGHT = 3.0, 2.0

_PLAIN = len(KINDS) - len(PATTERNS)
_GROWS = np.array([kind not in UNITLESS for kind in KINDS])[:, None, None]
_WEIGHT = np.array(list(WEIGHTS.values()))[:, None, None]
# Kinds stand in the order: samples, windows, the standstill, patterns.
_SAMPLES = len(POINTWISE)
_SPIKE = KINDS.index("spike")
_BENT = (
    slice(_SAMPLES, KINDS.index(_CERTAIN)),
    slice(KINDS.index(_CERTAIN) + 1, len(KINDS)),
)


def surprises(
    x: Array,
    lengths: NDArray[np.int64] | None = None,
    *,
    patterns: bool = True,
    progress: Callable[[int], None] | None = None,
) -> Array:
    """Return how surprising each row is, by each kind of evidence.

    Many columns are taken through a block at once, for a short one is done in less
    time than it takes to ask for it; yet none knows of another.

    Parameters
    ----------
    x : ndarray of float, shape (m, n)
        In order of time; NaN where absent.
    lengths : ndarray of int64, shape (m,), optional
        Rows that each column has, the longest first; what follows is no row.
    patterns : bool
        Whether windows are compared, which costs most.
    progress : callable, optional
        Told after each block how many values it had.

    Returns
    -------
    ndarray of float, shape (kinds, m, n)
        Weighted negative decimal logarithms of tail probabilities; 0 where nothing
        is known yet or the value is absent.
    """
    absent = ~np.isfinite(x)
    x = filled(x)
    if lengths is None:
        lengths = np.full(len(x), x.shape[1])
    kinds = len(KINDS) if patterns else _PLAIN
    result = np.zeros((len(KINDS), *x.shape))
    # Never read before a block has written them.
    earnest = np.empty((kinds, *x.shape))
    plain = np.empty(earnest.shape)
    for start, stop in blocks(x.shape[1]):
        active = int(np.count_nonzero(lengths > start))
        begin = max(0, start - _HISTORY)
        told = start - max(FIRST, start - _MEASURE)
        # Once enough was said in earnest, hindsight need not be bought.
        hindsight = told < _ENOUGH
        raw = _raw(x[:active, begin:stop], start - begin, hindsight, patterns)
        split = raw.shape[2] - (stop - start)
        past = earnest[:, :active, start - told : start]
        if hindsight:
            past = np.concatenate([raw[:, :, :split], past], axis=2)
        rare = calibrated(raw[:, :, split:], past)
        earnest[:, :active, start:stop] = raw[:, :, split:]
        plain[:, :active, start:stop] = rare
        clear = np.maximum(rare[_SPIKE] - _CLEAR, 0.0)
        rare *= _WEIGHT[:kinds]
        rare[_SPIKE] += _CLEAR_WEIGHT * clear
        longer = plain[_SAMPLES:, :active, max(FIRST, start - _HISTORY) : start]
        rare[_SAMPLES:] *= _trust(longer)
        for windows in _BENT:
            part = rare[windows]
            part /= _WINDOW_BEND
            part += 1
            np.log(part, out=part)
            part *= _WINDOW_BEND
        result[:kinds, :active, start:stop] = rare
        if progress is not None:
            progress(int(np.clip(lengths[:active] - start, 0, stop - start).sum()))
    if absent.any():
        result[:, absent] = 0
    return result


def _raw(x: Array, known: int, hindsight: bool, patterns: bool) -> Array:
    """Return evidence before it is held against its past, in units of the columns.

    Parameters
    ----------
    x : ndarray of float, shape (m, n)
    known : int
        The rows to learn from; the others are to be scored.
    hindsight : bool
        Whether windows of the past are compared too.
    patterns : bool

    Returns
    -------
    ndarray of float, shape (kinds, m, rows)
        The last rows are those to be scored, the others the past's.
    """
    since = max(0, known - (_MEASURE if hindsight else _SCALING))
    middle, scale = (part[:, None] for part in scale_of(x[:, :known]))
    z = (x - middle) / scale
    periods = find_periods(z[:, :known])
    np.clip(z, -LARGEST, LARGEST, out=z)
    found = evidence(z, known, since, periods)
    if patterns:
        own = pattern_evidence(z, known, since if hindsight else known, periods)
        missing = np.full((len(own), len(z), found.shape[2] - own.shape[2]), np.nan)
        found = np.concatenate([found, np.concatenate([missing, own], axis=2)])
    found *= np.where(_GROWS[: len(found)], scale, 1.0)
    return found


def _trust(past: Array) -> Array | float:
    """Return by how much kinds of evidence count that are often beside themselves.

    Levels and windows of a series that wanders find something new all the time: the
    80 % quantile of their surprise is far above the half that it should be.

    Parameters
    ----------
    past : ndarray of float, shape (kinds, m, n)

    Returns
    -------
    ndarray of float, shape (kinds, m, 1)
    """
    if past.shape[2] < _ENOUGH:
        return 1.0
    usual = quantiles(past[:, :, ::4], 0.8)[0][:, :, None]
    return 1 / np.maximum(1.0, usual / _USUAL_SURPRISE) ** 2


def filled(x: Array) -> Array:
    """Return ``x`` with the last value before in place of absent ones.

    Parameters
    ----------
    x : ndarray of float, shape (..., n)
    """
    present = np.isfinite(x)
    if present.all():
        return x
    place = np.where(present, np.arange(x.shape[-1]), -1)
    np.maximum.accumulate(place, axis=-1, out=place)
    found = np.take_along_axis(x, np.maximum(place, 0), axis=-1)
    # Before the first value there is nothing to say: the median of nothing is 0.
    return np.where(place < 0, 0.0, found)


def scale_of(x: Array) -> tuple[Array, Array]:
    """Return a robust middle and spread of columns, the spread never 0.

    Parameters
    ----------
    x : ndarray of float, shape (..., n)

    Returns
    -------
    middle, spread : ndarray of float, shape (...)
    """
    middle = median(x)
    away = x - middle[..., None]
    variance = np.einsum("...n,...n->...", away, away) / x.shape[-1]
    variance -= away.mean(axis=-1) ** 2
    spread = 1.4826 * median(np.abs(away))
    spread = np.maximum(spread, 0.1 * np.sqrt(np.maximum(variance, 0.0)))
    size = np.abs(middle)
    return middle, np.where(spread > 1e-12 * size, spread, 1e-3 * size + 1e-9)
