"""The recursion behind the streaming detector, one sample of many series at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.models.detect._seasonal import DailyProfile
from rtmlops_lib.models.detect.settings import DetectorSettings

__all__ = ["Moment", "Recursion"]

Array = NDArray[np.float64]

# Values beyond are taken as this: their squares must stay finite.
_LARGEST = 1e100
_LARGEST_Z = 1e6
# A tail before anything is known: where a normal variable's upper 2 % begin, and
# its mean excess; worth so many exceedances.
_PRIOR_START, _PRIOR_EXCESS, _PRIOR_WEIGHT = 2.4, 0.45, 50.0
_TAIL_MEMORY = 500.0
_TAIL_RATE = 0.004
_EXCURSION = 10.0
# Beyond so many mean excesses a sample is taken for an anomaly; it teaches the
# tail a tenth, once the tail has learned from so many samples.
_HOT, _HOT_WEIGHT, _TAUGHT = 8.0, 0.1, 600.0


@dataclass(slots=True)
class Moment:
    """What one sample of b series was held against; (K, m, b) each.

    ``z`` is 0 where the metric is absent or its history too short.
    """

    z: Array
    level: Array
    spread: Array
    tail_start: Array
    tail_excess: Array

    def parts(self) -> tuple[Array, ...]:
        """Return the fields in their order."""
        return self.z, self.level, self.spread, self.tail_start, self.tail_excess


class Recursion:
    r"""Levels :math:`L_k`, spreads :math:`\sigma_k` and tails of m metrics, K horizons.

    With :math:`z = (x - L_k) / \sigma_k` and Huber's :math:`\psi_c`,

    .. math::
        L_k \leftarrow L_k + \alpha_k \sigma_k \psi_c(z), \qquad
        \sigma_k^2 \leftarrow \sigma_k^2 (1 + \beta_k (\min(z^2, c^2) - 1)).

    The tail of :math:`|z|` begins at a tracked quantile and has a tracked mean excess.

    Parameters
    ----------
    metrics : int
    settings : DetectorSettings

    References
    ----------
    P. J. Huber, "Robust estimation of a location parameter", 1964.
    A. Siffer et al., "Anomaly detection in streams with extreme value theory",
    KDD 2017.
    """

    def __init__(self, metrics: int, settings: DetectorSettings) -> None:
        self.metrics = metrics
        self.settings = settings
        self._reset()

    def _reset(self) -> None:
        shape = (len(self.settings.horizons), self.metrics, 0)
        self.level = np.zeros(shape)
        self.variance = np.zeros(shape)
        self.tail_start = np.zeros(shape)
        self.tail_excess = np.zeros(shape)
        self.tail_count = np.zeros(shape)
        self.tail_run = np.zeros(shape)
        self.seen = np.zeros(shape[1:])
        self.hot_run = np.zeros(shape[1:])
        self.last_time = np.zeros(0, np.int64)
        self.step = np.zeros(0)
        self.daily = DailyProfile(self.metrics)

    ARRAYS = (
        "level",
        "variance",
        "tail_start",
        "tail_excess",
        "tail_count",
        "tail_run",
        "seen",
        "hot_run",
        "last_time",
        "step",
    )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the whole state by name."""
        daily = {f"daily_{n}": getattr(self.daily, n) for n in self.daily.ARRAYS}
        return {**{name: getattr(self, name) for name in self.ARRAYS}, **daily}

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over a state that ``arrays`` gave."""
        for name in self.arrays():
            mine = name.removeprefix("daily_")
            setattr(self if mine == name else self.daily, mine, arrays[name])

    def __len__(self) -> int:
        return len(self.last_time)

    def grow(self, series: int) -> None:
        """Make room for ``series`` series in all."""
        more = series - len(self)
        if more <= 0:
            return
        for name in self.ARRAYS:
            old = getattr(self, name)
            blank = np.zeros((*old.shape[:-1], more), old.dtype)
            if name == "tail_start":
                blank += _PRIOR_START
            elif name == "tail_excess":
                blank += _PRIOR_EXCESS
            setattr(self, name, np.concatenate([old, blank], axis=-1))
        self.daily.grow(more)

    def advance(
        self, at: NDArray[np.int64], time: NDArray[np.int64], x: Array
    ) -> Moment:
        """Hold one sample of each of b series against the past, then learn from it.

        Parameters
        ----------
        at : ndarray of int64, shape (b,)
            Which series; none twice.
        time : ndarray of int64, shape (b,)
            Microseconds.
        x : ndarray of float, shape (m, b)
            NaN where a metric is absent.
        """
        s = self.settings
        horizon = np.asarray(s.horizons)[:, None, None]
        present = np.isfinite(x)
        x = np.clip(np.where(present, x, 0.0), -_LARGEST, _LARGEST)
        level = self.level[:, :, at]
        variance = self.variance[:, :, at]
        seen = self.seen[:, at]
        hot_run = self.hot_run[:, at]
        since = self.last_time[at]
        stale = self._gap(at, time) > 3 * horizon
        level += self.daily.shift(at, since, np.maximum(since, time))
        fresh = (seen == 0) | stale
        level = np.where(fresh & present, x, level)

        error = x - level
        spread = np.sqrt(variance) + (1e-9 * np.abs(level) + 1e-100)
        z = np.clip(error / spread, -_LARGEST_Z, _LARGEST_Z)
        z *= present
        start = self.tail_start[:, :, at]
        excess = self.tail_excess[:, :, at]
        known = z * (seen >= s.warm_up)
        moment = Moment(known, level, spread, start, excess)

        size = np.abs(z)
        hot = size > start + _HOT * excess
        self._learn_tail(at, size, start, excess, hot & (seen > _TAUGHT), present)
        hot_run = np.where(present, (hot_run + 1) * hot.any(axis=0), hot_run)

        free = (seen < s.warm_up) | (hot_run > s.adapt_after)
        recent = 1 / (seen + 1)
        alpha = np.maximum(1 / horizon, recent) * present
        beta = np.maximum(1 / (s.scale_memory * horizon), recent) * present
        bounded = np.where(free, error, spread * np.clip(z, -s.clip, s.clip))
        level = level + alpha * bounded
        self.level[:, :, at] = level
        # The middle level: smooth, yet faster than the day's course.
        self.daily.learn(at, time, level[len(level) // 2], present & ~hot.any(axis=0))
        self.variance[:, :, at] = variance + beta * (bounded**2 - variance)
        self.seen[:, at] = seen + present
        self.hot_run[:, at] = hot_run
        return moment

    def _gap(self, at: NDArray[np.int64], time: NDArray[np.int64]) -> Array:
        """Return how many usual steps passed since the series' last sample."""
        step, last = self.step[at], self.last_time[at]
        passed = np.where(last == 0, 0.0, time - last).clip(0.0)
        # Follows the shorter of two steps at once, a longer one slowly.
        slower = np.minimum(passed, 1.05 * step)
        unknown = step == 0
        step = np.where(unknown, passed, np.where(passed == 0, step, slower))
        self.step[at] = step
        self.last_time[at] = np.maximum(last, time)
        gap: Array = passed / np.maximum(step, 1e-300)
        return gap

    def _learn_tail(
        self,
        at: NDArray[np.int64],
        size: Array,
        start: Array,
        excess: Array,
        suspect: NDArray[np.bool_],
        present: NDArray[np.bool_],
    ) -> None:
        share = self.settings.tail_share
        weight = np.where(suspect, _HOT_WEIGHT, 1.0) * present
        hit = size > start
        # Each further sample of one excursion says less that is new.
        run = (self.tail_run[:, :, at] + 1) * hit
        self.tail_run[:, :, at] = run
        weight = weight / (1 + run / _EXCURSION)
        count = self.tail_count[:, :, at] + hit * weight
        rate = _TAIL_RATE * weight * (1 + 10 / (1 + self.seen[:, at] / 100))
        self.tail_start[:, :, at] = start * (1 + rate * (hit - share))
        over = np.minimum(size - start, 5 * excess) - excess
        pace = weight * hit / np.minimum(count + _PRIOR_WEIGHT, _TAIL_MEMORY)
        self.tail_excess[:, :, at] = np.maximum(excess + pace * over, 0.02 * start)
        self.tail_count[:, :, at] = count
