"""All columns of a series together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rtmlops_lib.models.detect.frame._column import KINDS, surprises
from rtmlops_lib.models.detect.frame._joint import relation_surprises

__all__ = ["SeriesScores", "alarm_surprise", "score_series", "together"]

Array = NDArray[np.float64]

# Windows are compared in so many columns at most: more would take too long.
_MOST_PATTERNS = 3
_RELATION_WEIGHT = 2.0
# An anomaly seldom is one row: what was just seen lingers, to this share, and no
# outlier lingers longer than one of this surprise.
_LINGER, _FADE, _LINGER_CAP = 0.5, 0.1, 15.0
# Rows until evidence counts in full: of a cycle that has not come round yet, every
# turn is a surprise.
_RIPE = 300


# Values of columns' histories that are worked on at once: more would leave the cache,
# fewer are done sooner than asked for.
_AT_ONCE, _LOOKED_BACK = 40_000, 7_000


@dataclass(frozen=True, slots=True)
class SeriesScores:
    """Evidence on each row of s series, and where it comes from.

    Parameters
    ----------
    surprise : ndarray of float, shape (s, n)
    column, kind : ndarray of int64, shape (s, n)
        The column that speaks loudest, and what it says, as a place in ``KINDS``
        (``len(KINDS)``: the relation between columns).
    """

    surprise: Array
    column: NDArray[np.int64]
    kind: NDArray[np.int64]


def together(lengths: Sequence[int], columns: int) -> Iterator[slice]:
    """Yield how many series, longest first, are best scored at once.

    Parameters
    ----------
    lengths : sequence of int
        In falling order.
    columns : int

    Examples
    --------
    >>> [(s.start, s.stop) for s in together([90_000, 9_000, 200, 200, 10], 2)]
    [(0, 2), (2, 5)]
    """
    start = 0
    while start < len(lengths):
        stop = start + max(1, _at_once(lengths[start]) // columns)
        yield slice(start, min(stop, len(lengths)))
        start = stop


def _at_once(rows: int) -> int:
    return max(1, _AT_ONCE // min(max(rows, 1), _LOOKED_BACK))


def score_series(
    x: Array,
    lengths: NDArray[np.int64] | None = None,
    progress: Callable[[int], None] | None = None,
) -> SeriesScores:
    """Score series of the same columns.

    Parameters
    ----------
    x : ndarray of float, shape (s, m, n)
        In order of time; NaN where absent.
    lengths : ndarray of int64, shape (s,), optional
        Rows that each series has, the longest first; what follows is no row.
    progress : callable, optional
        Told again and again how many further values are done.
    """
    series, count, n = x.shape
    if lengths is None:
        lengths = np.full(series, n)
    flat = x.reshape(-1, n)
    rows = np.repeat(lengths, count)
    relation = np.zeros(flat.shape)
    if count > 1:
        relation = _RELATION_WEIGHT * relation_surprises(x, lengths).reshape(-1, n)
    total = np.empty(flat.shape)
    loudest = np.empty(flat.shape, np.int64)
    size = _at_once(n)
    for start in range(0, len(flat), size):
        at = slice(start, start + size)
        kinds = surprises(
            flat[at], rows[at], patterns=count <= _MOST_PATTERNS, progress=progress
        )
        total[at] = kinds.sum(axis=0) + relation[at]
        told = kinds.max(axis=0)
        loudest[at] = np.where(relation[at] > told, len(KINDS), kinds.argmax(axis=0))
    column = total.reshape(x.shape).argmax(axis=1)
    # The same places in the flattened arrays.
    place = (column + count * np.arange(series)[:, None], np.arange(n))
    evidence = total[place]
    if count > 1:
        # Several columns at once say more than one alone.
        evidence += total.reshape(x.shape).mean(axis=1)
    evidence *= np.minimum(np.arange(n) / _RIPE, 1.0)
    bounded = pd.DataFrame(np.minimum(evidence, _LINGER_CAP).T)
    lingering = bounded.ewm(alpha=_FADE, adjust=False).mean().to_numpy().T
    return SeriesScores(evidence + _LINGER * lingering, column, loudest[place])


def alarm_surprise(columns: int) -> float:
    """Return the surprise from which a row of so many columns is flagged.

    White and autocorrelated noise, cycles, counts, lognormal values and random walks
    exceed it on about one row in two thousand; of several columns the largest counts,
    and what the others say is added. Skewed values that move together do so somewhat
    more often.
    """
    return 16.0 if columns == 1 else 28.0
