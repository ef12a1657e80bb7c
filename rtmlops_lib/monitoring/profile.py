"""What a stream does every week, taken away before anything is compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["CYCLES", "Profile", "cells", "cycle_of"]

Array = NDArray[np.float64]
Places = NDArray[np.int64]

HOUR_US = 3_600_000_000
_DAY_US = 24 * HOUR_US
# Finest first; each with its number of cells. What one cannot say, the next does.
CYCLES = {
    "hour of week": 168,
    "hour of day, weekends apart": 48,
    "hour of day": 24,
    "none": 1,
}
# A series that stands still in the reference must not make every tick a sensation.
_LEAST_SCALE = 0.1


def cycle_of(span_us: int) -> str:
    """Return the finest cycle that a reference of this length has seen repeated.

    Examples
    --------
    >>> [cycle_of(days * 24 * HOUR_US) for days in (1, 3, 7, 21)][::3]
    ['none', 'hour of week']
    """
    days = span_us / _DAY_US
    # Each hour of the week three times: seen but twice, it is compared with a single
    # other, and what that one had by chance is most of the difference. (An hour short
    # of three weeks is three weeks that were sampled every hour.)
    if days >= 20.9:
        return "hour of week"
    if days >= 6.9:
        return "hour of day, weekends apart"
    return "hour of day" if days >= 1.9 else "none"


def cells(time: Places, cycle: str) -> Places:
    """Return each instant's place in the cycle; weeks begin on Monday, UTC.

    Examples
    --------
    >>> monday_one_am = np.array([4 * 86_400_000_000 + HOUR_US])
    >>> [int(cells(monday_one_am, cycle)[0]) for cycle in CYCLES]
    [1, 1, 1, 0]
    """
    hour = time // HOUR_US
    of_day, of_week = hour % 24, (time // _DAY_US + 3) % 7
    if cycle == "hour of week":
        return of_week * 24 + of_day
    if cycle == "hour of day, weekends apart":
        return np.where(of_week >= 5, 24, 0) + of_day
    return of_day if cycle == "hour of day" else np.zeros(len(time), np.int64)


@dataclass(frozen=True, slots=True)
class Profile:
    """One number's usual course, a row a series; the last row is the fleet's.

    Parameters
    ----------
    cycle : str
        One of ``CYCLES``.
    mean : ndarray of float, shape (series + 1, cells)
    scale : ndarray of float, shape (series + 1,)
        Standard deviation about it. The fleet's has the spread between series in it:
        it is what a series never seen before is measured by.
    """

    cycle: str
    mean: Array
    scale: Array

    @classmethod
    def learn(
        cls, time: Places, series: Places, x: Array, cycle: str, occasion: Places
    ) -> tuple[Profile, Array]:
        """Return the profile, and each row's deviation from it, in its scale.

        The deviations are those of rows not yet seen: each is taken from a profile
        without the row's own occasion. Otherwise the reference would look calmer
        than any later week.

        Parameters
        ----------
        time : ndarray of int64, shape (n,)
            Microseconds since 1970, or row numbers if the cycle is ``none``.
        series : ndarray of int64, shape (n,)
            From 0.
        x : ndarray of float, shape (n,)
            NaN where absent.
        occasion : ndarray of int64, shape (n,)
            The hour, or the chunk, that a row belongs to.
        """
        count = int(series.max()) + 1
        known = np.isfinite(x)
        value = np.where(known, x, 0.0)
        names = list(CYCLES)
        expected = np.full(len(x), np.nan)
        mean = np.full((count, CYCLES[cycle]), np.nan)
        for name in names[names.index(cycle) :]:
            width = CYCLES[name]
            cell = series * width + cells(time, name)
            total = np.bincount(cell, value, count * width)
            rows = np.bincount(cell, known, count * width)
            own, place = _once(series, occasion)
            own_total = np.bincount(place, value, own)[place]
            own_rows = np.bincount(place, known, own)[place]
            others = rows[cell] - own_rows
            with np.errstate(invalid="ignore", divide="ignore"):
                without = (total[cell] - own_total) / others
                level = (total / rows).reshape(count, width)
            without[others <= 0] = np.nan
            expected = np.where(np.isfinite(expected), expected, without)
            mean = np.where(np.isfinite(mean), mean, _spread(level, name, cycle))
        overall = float(value.sum() / max(1, known.sum()))
        expected = np.where(np.isfinite(expected), expected, overall)
        mean = np.where(np.isfinite(mean), mean, overall)
        rest = np.where(known, x - expected, np.nan)
        profile = cls._scaled(cycle, mean, rest, x, series)
        return profile, rest / profile.scale[series]

    @classmethod
    def _scaled(
        cls, cycle: str, mean: Array, rest: Array, x: Array, series: Places
    ) -> Profile:
        count = len(mean)
        square = np.where(np.isfinite(rest), rest, 0.0) ** 2
        rows = np.maximum(1, np.bincount(series, np.isfinite(rest), count))
        variance = np.bincount(series, square, count) / rows
        pooled = float(square.sum() / max(1, np.isfinite(rest).sum()))
        spread = float(np.nanvar(x)) if np.isfinite(x).any() else 0.0
        size = float(np.nanmax(np.abs(x))) if np.isfinite(x).any() else 0.0
        least = max(_LEAST_SCALE**2 * pooled, 1e-6 * spread, (1e-9 * size) ** 2, 1e-30)
        scale = np.sqrt(np.maximum(variance, least))
        between = float(np.mean(np.var(mean, axis=0)))
        fleet = np.sqrt(max(pooled + between, least))
        return cls(cycle, np.vstack([mean, mean.mean(axis=0)]), np.append(scale, fleet))

    def deviations(self, time: Places, series: Places, x: Array) -> Array:
        """Return later rows' deviations, in scales; series -1 was never seen."""
        row = np.where(series < 0, len(self.mean) - 1, series)
        result: Array = (x - self.mean[row, cells(time, self.cycle)]) / self.scale[row]
        return result


def _once(series: Places, occasion: Places) -> tuple[int, Places]:
    """Return how many pairs there are, and each row's."""
    low = int(occasion.min())
    pair = series * (int(occasion.max()) - low + 1) + (occasion - low)
    found, place = np.unique(pair, return_inverse=True)
    return len(found), place


def _spread(level: Array, name: str, cycle: str) -> Array:
    """Return a coarser cycle's levels in the cells of a finer one."""
    if name == cycle:
        return level
    hour = np.arange(CYCLES[cycle], dtype=np.int64)
    # Any week does: its instants stand for the cells. This one begins on a Monday.
    monday = 4 * _DAY_US
    if cycle == "hour of day, weekends apart":
        hour = np.where(hour >= 24, 5 * 24 + hour - 24, hour)
    time = monday + hour * HOUR_US
    result: Array = level[:, cells(time, name)]
    return result
