"""All columns of one series together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rtmlops_lib.models.detect.frame._column import KINDS, surprises
from rtmlops_lib.models.detect.frame._joint import relation_surprises

__all__ = ["SeriesScores", "alarm_surprise", "score_series"]

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


@dataclass(frozen=True, slots=True)
class SeriesScores:
    """Evidence on each row, and where it comes from.

    Parameters
    ----------
    surprise : ndarray of float, shape (n,)
    column, kind : ndarray of int64, shape (n,)
        The column that speaks loudest, and what it says, as a place in ``KINDS``
        (``len(KINDS)``: the relation between columns).
    """

    surprise: Array
    column: NDArray[np.int64]
    kind: NDArray[np.int64]


def score_series(
    columns: Array, progress: Callable[[int], None] | None = None
) -> SeriesScores:
    """Score one series.

    Parameters
    ----------
    columns : ndarray of float, shape (m, n)
        In order of time; NaN where absent.
    progress : callable, optional
        Told again and again how many further values are done.
    """
    count, n = columns.shape
    patterns = count <= _MOST_PATTERNS
    total = np.zeros((count, n))
    loudest = np.zeros((count, n), np.int64)
    relation = np.zeros((count, n))
    if count > 1:
        relation = _RELATION_WEIGHT * relation_surprises(columns)
    for number, column in enumerate(columns):
        kinds = surprises(column, patterns=patterns, progress=progress)
        total[number] = kinds.sum(axis=0) + relation[number]
        top = kinds.argmax(axis=0)
        told = np.take_along_axis(kinds, top[None], axis=0)[0]
        loudest[number] = np.where(relation[number] > told, len(KINDS), top)
    column_of = total.argmax(axis=0)
    pick = (column_of, np.arange(n))
    # Several columns at once say more than one alone.
    evidence = total[pick] + total.mean(axis=0) * (count > 1)
    evidence *= np.minimum(np.arange(n) / _RIPE, 1.0)
    bounded = pd.Series(np.minimum(evidence, _LINGER_CAP))
    lingering = bounded.ewm(alpha=_FADE, adjust=False).mean().to_numpy()
    return SeriesScores(evidence + _LINGER * lingering, column_of, loudest[pick])


def alarm_surprise(columns: int) -> float:
    """Return the surprise from which a row of so many columns is flagged.

    White and autocorrelated noise, cycles, counts, lognormal values and random walks
    exceed it on about one row in two thousand; of several columns the largest counts,
    and what the others say is added. Skewed values that move together do so somewhat
    more often.
    """
    return 16.0 if columns == 1 else 28.0
