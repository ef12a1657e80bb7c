"""The recursion behind the streaming detector, one sample of many series at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.models.detect._seasonal import DailyProfile
from rtmlops_lib.models.detect.settings import DetectorSettings

__all__ = ["Moments", "Recursion", "bounded"]

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
class Moments:
    """What n samples were held against; (K, m, n) each.

    ``z`` is 0 where the metric is absent or its history too short.
    """

    z: Array
    level: Array
    spread: Array
    tail_start: Array
    tail_excess: Array

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> Moments:
        """Return room for so many."""
        return cls(*(np.empty(shape) for _ in range(5)))


def bounded(x: Array) -> tuple[Array, NDArray[np.bool_] | None]:
    """Return values that can be reckoned with, and which are there; None for all."""
    present = np.isfinite(x)
    everything = bool(present.all())
    x = np.clip(x if everything else np.where(present, x, 0.0), -_LARGEST, _LARGEST)
    return x, None if everything else present


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
        horizon = np.asarray(self.settings.horizons)[:, None, None]
        self._far = 3 * horizon
        self._slowest = 1 / horizon
        self._slowest_spread = 1 / (self.settings.scale_memory * horizon)

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

    def forget(self, metric: int) -> None:
        """Know nothing any more of one metric, of any series."""
        blank = Recursion(self.metrics, self.settings)
        blank.grow(len(self))
        for name, mine in self.arrays().items():
            if mine.ndim > 1:
                axis = 1 if mine.ndim == 3 and not name.startswith("daily") else 0
                at = (slice(None), metric) if axis else metric
                mine[at] = blank.arrays()[name][at]

    def only(self, series: NDArray[np.int64]) -> Recursion:
        """Return the state of some series, to be worked on and ``put`` back."""
        part = Recursion(self.metrics, self.settings)
        part.load(
            {n: np.take(mine, series, axis=-1) for n, mine in self.arrays().items()}
        )
        return part

    def put(self, series: NDArray[np.int64], part: Recursion) -> None:
        """Take back what ``only`` gave."""
        theirs = part.arrays()
        for name, mine in self.arrays().items():
            mine[..., series] = theirs[name]

    @classmethod
    def joined(
        cls,
        shares: Sequence[tuple[Recursion, NDArray[np.int64], NDArray[np.int64]]],
    ) -> Recursion:
        """Return the state of some series of several recursions of one kind.

        Parameters
        ----------
        shares : sequence of (Recursion, ndarray of int64, ndarray of int64)
            Whose, which of its series, and at which places they shall stand.
        """
        first = shares[0][0]
        whole = cls(first.metrics, first.settings)
        whole.grow(sum(len(places) for _, _, places in shares))
        for recursion, series, places in shares:
            whole.put(places, recursion.only(series))
        return whole

    def advance(
        self,
        time: NDArray[np.int64],
        x: Array,
        present: NDArray[np.bool_] | None,
        said: Moments,
        at: slice,
    ) -> None:
        """Hold one sample of each of the first b series against the past, and learn.

        Parameters
        ----------
        time : ndarray of int64, shape (b,)
            Microseconds.
        x : ndarray of float, shape (m, b)
            As ``bounded`` gave it.
        present : ndarray of bool, shape (m, b), optional
            Whether each is there; None where all are.
        said : Moments
            Takes what is found, at ``at``.
        """
        s, b = self.settings, len(time)
        level, variance = self.level[:, :, :b], self.variance[:, :, :b]
        seen, hot_run = self.seen[:, :b], self.hot_run[:, :b]
        start, excess = self.tail_start[:, :, :b], self.tail_excess[:, :, :b]
        since = self.last_time[:b].copy()
        gap = self._gap(time)
        # It now holds the later of the two.
        shift = self.daily.shift(since, self.last_time[:b])
        if shift is not None:
            level += shift
        fresh = (seen == 0) | (gap > self._far)
        if fresh.any():
            known = fresh if present is None else fresh & present
            np.copyto(level, x, where=known)

        error = x - level
        spread = np.sqrt(variance)
        spread += 1e-9 * np.abs(level)
        spread += 1e-100
        z = error / spread
        np.clip(z, -_LARGEST_Z, _LARGEST_Z, out=z)
        if present is not None:
            z *= present
        np.multiply(z, seen >= s.warm_up, out=said.z[:, :, at])
        said.level[:, :, at] = level
        said.spread[:, :, at] = spread
        said.tail_start[:, :, at] = start
        said.tail_excess[:, :, at] = excess

        size = np.abs(z)
        hot = size > start + _HOT * excess
        self._learn_tail(size, start, excess, hot & (seen > _TAUGHT), present)
        any_hot = np.any(hot, axis=0)
        if present is None:
            hot_run += 1
            hot_run *= any_hot
        else:
            hot_run[:] = np.where(present, (hot_run + 1) * any_hot, hot_run)

        free = (seen < s.warm_up) | (hot_run > s.adapt_after)
        recent = 1 / (seen + 1)
        alpha = np.maximum(self._slowest, recent)
        beta = np.maximum(self._slowest_spread, recent)
        if present is not None:
            alpha *= present
            beta *= present
        pull = np.clip(z, -s.clip, s.clip, out=z)
        pull *= spread
        if free.any():
            np.copyto(pull, error, where=free)
        level += alpha * pull
        usual: NDArray[np.bool_] = np.logical_not(any_hot)
        if present is not None:
            usual &= present
        # The middle level: smooth, yet faster than the day's course.
        self.daily.learn(time, level[len(level) // 2], usual)
        pull *= pull
        pull -= variance
        pull *= beta
        variance += pull
        seen += 1 if present is None else present

    def _gap(self, time: NDArray[np.int64]) -> Array:
        """Return how many usual steps passed since the series' last sample."""
        b = len(time)
        step, last = self.step[:b], self.last_time[:b]
        passed = np.where(last == 0, 0.0, time - last).clip(0.0)
        # Follows the shorter of two steps at once, a longer one slowly.
        slower = np.minimum(passed, 1.05 * step)
        step[:] = np.where(step == 0, passed, np.where(passed == 0, step, slower))
        np.maximum(last, time, out=last)
        gap: Array = passed / np.maximum(step, 1e-300)
        return gap

    def _learn_tail(
        self,
        size: Array,
        start: Array,
        excess: Array,
        suspect: NDArray[np.bool_],
        present: NDArray[np.bool_] | None,
    ) -> None:
        b = size.shape[-1]
        share = self.settings.tail_share
        weight = np.where(suspect, _HOT_WEIGHT, 1.0)
        if present is not None:
            weight *= present
        hit = size > start
        # Each further sample of one excursion says less that is new.
        run = self.tail_run[:, :, :b]
        run += 1
        run *= hit
        weight /= 1 + run / _EXCURSION
        count = self.tail_count[:, :, :b]
        gained = hit * weight
        count += gained
        over = np.minimum(size - start, 5 * excess) - excess
        pace = gained / np.minimum(count + _PRIOR_WEIGHT, _TAIL_MEMORY)
        np.maximum(excess + pace * over, 0.02 * start, out=excess)
        rate = weight * (_TAIL_RATE * (1 + 10 / (1 + self.seen[:, :b] / 100)))
        start *= 1 + rate * (hit - share)
