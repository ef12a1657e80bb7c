"""The day's course of each metric, learned hour by hour."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["DailyProfile"]

Array = NDArray[np.float64]

_HOUR_US = 3_600_000_000
_HOURS = 24
# A day counts this much against all before it, once there are that many.
_FORGET = 0.15
# Hours that the weight of evidence looks back.
_SKILL_MEMORY = 72.0


class DailyProfile:
    r"""How much each metric usually moves from one hour of the day to the next.

    The profile :math:`h` of hourly means carries the levels along:
    :math:`L \leftarrow L + g\,(h(t) - h(t'))` from one sample to the next, linear
    between the hours' centres. The gain :math:`g` in [0, 1] is the regression of
    what an hour brought on what the profile had said it would, so that a series
    without a daily course is left alone.

    Parameters
    ----------
    metrics : int
    """

    ARRAYS = ("hourly", "days", "total", "count", "hour", "before", "agree", "power")

    def __init__(self, metrics: int) -> None:
        self.metrics = metrics
        self._reset()

    def _reset(self) -> None:
        m = self.metrics
        self.hourly = np.zeros((m, _HOURS, 0))
        self.days = np.zeros((m, _HOURS, 0))
        self.total = np.zeros((m, 0))
        self.count = np.zeros((m, 0))
        self.hour = np.zeros(0, np.int64)
        self.before = np.zeros((m, 0))  # the mean of the hour before this one
        self.agree = np.zeros((m, 0))
        self.power = np.zeros((m, 0))

    def grow(self, more: int) -> None:
        """Make room for ``more`` series."""
        for name in self.ARRAYS:
            old = getattr(self, name)
            blank = np.zeros((*old.shape[:-1], more), old.dtype)
            setattr(self, name, np.concatenate([old, blank], axis=-1))

    def shift(self, since: NDArray[np.int64], time: NDArray[np.int64]) -> Array | None:
        """Return the move to expect between two times (µs), shape (m, b).

        Of the first b series, as all that follows; None where no move is expected.
        """
        b = len(time)
        gain = np.clip(self.agree[:, :b] / (self.power[:, :b] + 1e-300), 0.0, 1.0)
        if not gain.any():
            return None
        before, now = self._values(np.stack([since, time])).transpose(1, 0, 2)
        gain *= now - before
        return gain

    def _values(self, time: NDArray[np.int64]) -> Array:
        """Return the profile, shape (m, k, b), at k times a series, shape (k, b)."""
        at = np.arange(time.shape[1])
        place = time / _HOUR_US - 0.5
        low = np.floor(place)
        part = place - low
        first = low.astype(np.int64) % _HOURS
        second = (first + 1) % _HOURS
        a, b = self.hourly[:, first, at], self.hourly[:, second, at]
        # An hour not seen twice yet is held to be like its neighbour.
        known_a, known_b = self.days[:, first, at] > 0, self.days[:, second, at] > 0
        a, b = np.where(known_a, a, b), np.where(known_b, b, a)
        result: Array = a + part * (b - a)
        return result

    def learn(
        self, time: NDArray[np.int64], level: Array, usual: NDArray[np.bool_]
    ) -> None:
        """Take in one smoothed value of each of b series where ``usual``, (m, b)."""
        b = len(time)
        hour = time // _HOUR_US
        ended = np.flatnonzero(hour > self.hour[:b])
        if len(ended):
            self._end_hour(ended, hour[ended])
        self.total[:, :b] += level * usual
        self.count[:, :b] += usual

    def _end_hour(self, at: NDArray[np.int64], hour: NDArray[np.int64]) -> None:
        count = self.count[:, at]
        have = count > 0
        mean = self.total[:, at] / np.maximum(count, 1)
        this = self.hour[at] % _HOURS
        last = (this - 1) % _HOURS
        days = self.days[:, this, at]
        old = self.hourly[:, this, at]
        # Judged before it learns: had the profile known this hour's move?
        judged = have & (days > 0) & (self.days[:, last, at] > 0)
        said = (old - self.hourly[:, last, at]) * judged
        was = (mean - self.before[:, at]) * judged
        fade = 1 - judged / _SKILL_MEMORY
        self.agree[:, at] = fade * self.agree[:, at] + said * was
        self.power[:, at] = fade * self.power[:, at] + said * said
        pace = np.maximum(1 / (days + 1), _FORGET) * have
        self.hourly[:, this, at] = old + pace * (mean - old)
        self.days[:, this, at] = days + have
        self.before[:, at] = np.where(have, mean, self.before[:, at])
        self.total[:, at] = 0
        self.count[:, at] = 0
        self.hour[at] = hour
