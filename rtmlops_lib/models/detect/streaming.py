"""The streaming detector: one robust, adaptive model per series and metric."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.models.detect import _snapshot
from rtmlops_lib.models.detect._recursion import Recursion
from rtmlops_lib.models.detect._rounds import rounds
from rtmlops_lib.models.detect.scores import Scores, to_score
from rtmlops_lib.models.detect.settings import DetectorSettings
from rtmlops_lib.models.detect.tail import surprise

__all__ = ["StreamingDetector"]

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
        self._recursion = Recursion(len(self.metrics), self.settings)
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
        n = len(series)
        if n == 0:
            return _nothing(self.metrics)
        number = self._numbers(series)
        x = np.stack([np.asarray(values[m], np.float64) for m in self.metrics])
        turns = list(rounds(number))
        moments = [
            self._recursion.advance(number[rows], time[rows], x[:, rows])
            for rows in turns
        ]
        order = np.concatenate(turns)
        joined = [
            np.concatenate(parts, axis=-1).reshape(-1, n)
            for parts in zip(*(m.parts() for m in moments), strict=True)
        ]
        result = self._judge(x[:, order], *joined)
        back = np.empty(n, np.int64)
        back[order] = np.arange(n)
        return result.take(back)

    def _judge(
        self,
        x: Array,
        z: Array,
        level: Array,
        spread: Array,
        start: Array,
        excess: Array,
    ) -> Scores:
        """Turn deviations, each (horizons * metrics, n), into scores of n rows."""
        s = self.settings
        rarity = surprise(
            np.abs(z), start, excess, share=s.tail_share, shape=s.tail_shape
        )
        widest = rarity.argmax(axis=0)
        pick = (widest, np.arange(z.shape[1]))
        # The largest of so many is this much less rare than one of them.
        among = rarity[pick] - math.log10(len(rarity))
        metric = widest % len(self.metrics)
        known = z.any(axis=0)
        return Scores(
            score=to_score(among, -math.log10(s.alarm_p)),
            metric=np.where(known, metric, -1),
            observed=x[metric, pick[1]],
            expected=level[pick],
            spread=spread[pick],
            metrics=self.metrics,
        )

    def _numbers(self, series: NDArray[np.object_]) -> NDArray[np.int64]:
        index = self._index
        numbers = np.fromiter(
            (index.setdefault(name, len(index)) for name in series.tolist()),
            np.int64,
            len(series),
        )
        self._recursion.grow(len(index))
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
            self._recursion.arrays(),
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
        detector._recursion.load(arrays)
        return detector


def _nothing(metrics: tuple[str, ...]) -> Scores:
    none = np.empty(0)
    return Scores(none, np.empty(0, np.int64), none, none, none, metrics)
