"""The streaming detector: one robust, adaptive model per series and metric."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.models.detect import _snapshot
from rtmlops_lib.models.detect._recursion import Moments, Recursion, bounded
from rtmlops_lib.models.detect._rounds import Rounds
from rtmlops_lib.models.detect.deviations import Deviations
from rtmlops_lib.models.detect.scores import Scores, to_score
from rtmlops_lib.models.detect.settings import DetectorSettings
from rtmlops_lib.models.detect.tail import surprise

__all__ = ["StreamingDetector", "deviate_together", "judged"]

Array = NDArray[np.float64]

_KIND = "streaming-detector"


class StreamingDetector:
    """Scores each row by the tail probability of its largest deviation.

    A row is held against what was known before it; the score depends on the rows of
    its own series alone, in their order, not on how they were cut into batches.
    Late rows are scored as they come.

    Parameters
    ----------
    metrics : sequence of str
    settings : DetectorSettings, optional

    Notes
    -----
    Taught in chapter 07.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> values = random.normal(50, 2, 500)
    >>> values[400] = 80
    >>> detector = StreamingDetector(["cpu_usage"])
    >>> time = np.arange(1, 501) * 10_000_000
    >>> scores = detector.score(np.full(500, "srv-01", object), time,
    ...     {"cpu_usage": values})
    >>> int(scores.score.argmax()), np.flatnonzero(scores.flagged).tolist()
    (400, [400])
    """

    def __init__(
        self, metrics: Sequence[str], settings: DetectorSettings | None = None
    ) -> None:
        self.metrics = tuple(metrics)
        self.settings = settings or DetectorSettings()
        self._reset()

    def _reset(self) -> None:
        self.recursion = Recursion(len(self.metrics), self.settings)
        self._index: dict[Any, int] = {}

    @property
    def series(self) -> tuple[Any, ...]:
        """The series met so far."""
        return tuple(self._index)

    def score(
        self,
        series: NDArray[np.object_],
        time: NDArray[np.int64],
        values: Mapping[str, NDArray[np.float64]],
    ) -> Scores:
        """Score rows in their order, and learn from them.

        Parameters
        ----------
        series : ndarray of object, shape (n,)
            Each row's series; any hashable name.
        time : ndarray of int64, shape (n,)
            Microseconds since 1970.
        values : mapping of str to ndarray of float, shape (n,)
            The metrics; NaN where absent.
        """
        return judged(self.deviate(series, time, values), self.settings)

    def deviate(
        self,
        series: NDArray[np.object_],
        time: NDArray[np.int64],
        values: Mapping[str, NDArray[np.float64]],
    ) -> Deviations:
        """Hold rows against the past, as ``score`` does, and learn from them."""
        return deviate_together([self], [series], time, values)

    def forget(self, metric: str) -> None:
        """Know nothing any more of one metric: what it measures has changed."""
        self.recursion.forget(self.metrics.index(metric))

    def numbers_of(self, series: NDArray[np.object_]) -> NDArray[np.int64]:
        """Return the places of series in the state; those never met get one."""
        index = self._index
        numbers = np.fromiter(
            (index.setdefault(name, len(index)) for name in series.tolist()),
            np.int64,
            len(series),
        )
        self.recursion.grow(len(index))
        return numbers

    def snapshot(self) -> bytes:
        """Return the whole state; ``restore`` continues from it to the last digit."""
        return _snapshot.pack(
            _KIND,
            {
                "metrics": list(self.metrics),
                "settings": asdict(self.settings),
                "series": [list(s) if isinstance(s, tuple) else s for s in self._index],
            },
            self.recursion.arrays(),
        )

    @classmethod
    def restore(cls, data: bytes) -> StreamingDetector:
        """Return the detector that ``snapshot`` described.

        Raises
        ------
        UsageError
            For bytes that are damaged, of another kind or of another version.
        """
        about, arrays = _snapshot.unpack(_KIND, data)
        settings = dict(
            about["settings"], horizons=tuple(about["settings"]["horizons"])
        )
        detector = cls(about["metrics"], DetectorSettings(**settings))
        names = [tuple(s) if isinstance(s, list) else s for s in about["series"]]
        detector._index = {name: number for number, name in enumerate(names)}
        detector.recursion.load(arrays)
        return detector


def deviate_together(
    detectors: Sequence[StreamingDetector],
    series: Sequence[NDArray[np.object_]],
    time: NDArray[np.int64],
    values: Mapping[str, NDArray[np.float64]],
) -> Deviations:
    """Hold rows against the pasts of several detectors, which learn from them.

    What is said of each row is what its own detector would have said alone, to the
    last digit; that all go through a round together saves most of its time.

    Parameters
    ----------
    detectors : sequence of StreamingDetector
        Of the same metrics and settings, each once.
    series : sequence of ndarray of object
        The series of each detector's rows.
    time : ndarray of int64, shape (n,)
        Of all rows, one detector's after the other's.
    values : mapping of str to ndarray of float, shape (n,)
    """
    first, n = detectors[0], len(time)
    numbers, bounds = [], [0]
    for detector, names in zip(detectors, series, strict=True):
        numbers.append(detector.numbers_of(names) + bounds[-1])
        bounds.append(bounds[-1] + len(detector.recursion))
    rounds = Rounds.of(np.concatenate(numbers))
    shares = []
    for detector, start, stop in zip(detectors, bounds, bounds[1:], strict=False):
        places = np.flatnonzero((rounds.series >= start) & (rounds.series < stop))
        mine = rounds.series[places] - start
        shares.append((detector.recursion, mine, places))
    order = rounds.order
    x = np.stack([np.asarray(values[name], np.float64) for name in first.metrics])
    x, time = x[:, order], time[order]
    settings = first.settings
    said = Moments.empty((len(settings.horizons), len(first.metrics), n))
    whole = Recursion.joined(shares)
    clean, present = bounded(x)
    for at in rounds.slices():
        there = None if present is None else present[:, at]
        whole.advance(time[at], clean[:, at], there, said, at)
    for recursion, mine, places in shares:
        recursion.put(mine, whole.only(places))
    rarity = surprise(
        np.abs(said.z),
        said.tail_start,
        said.tail_excess,
        share=settings.tail_share,
        shape=settings.tail_shape,
    )
    return Deviations(first.metrics, order, x, said.z, said.level, said.spread, rarity)


def judged(deviations: Deviations, settings: DetectorSettings) -> Scores:
    """Return what the largest deviation of each row says, in the rows' own order."""
    metrics = len(deviations.metrics)
    n = len(deviations.order)
    channels = len(deviations.z) * metrics
    rarity, z, expected, spread = (
        part.reshape(channels, n)
        for part in (
            deviations.rarity,
            deviations.z,
            deviations.expected,
            deviations.spread,
        )
    )
    widest = rarity.argmax(axis=0)
    pick = (widest, np.arange(n))
    known = np.count_nonzero(z, axis=0)
    # The largest of so many is this much less rare than one of them.
    among = rarity[pick] - np.log10(np.maximum(known, 1))
    metric = widest % metrics
    scores = Scores(
        score=to_score(among, -math.log10(settings.alarm_p)),
        metric=np.where(known > 0, metric, -1),
        observed=deviations.observed[metric, pick[1]],
        expected=expected[pick],
        spread=spread[pick],
        metrics=deviations.metrics,
    )
    return scores.take(deviations.order.argsort())
