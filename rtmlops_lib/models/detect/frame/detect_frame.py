"""The detector on anyone's data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rtmlops_lib.models.detect.frame._column import KINDS
from rtmlops_lib.models.detect.frame._series import (
    alarm_surprise,
    score_series,
    together,
)
from rtmlops_lib.models.detect.frame._table import read_table
from rtmlops_lib.models.detect.scores import FLAG_THRESHOLD, severity_of, to_score

__all__ = ["detect_frame"]

_REASONS = {
    "forecast": "not where the samples before lead to",
    "spike": "a spike",
    "offset": "off the values before",
    "level": "the level has shifted",
    "long level": "the level has shifted",
    "change": "the level changes",
    "spread": "the variance has changed",
    "stillness": "stands still",
    "pattern": "a pattern not seen before",
    "shape": "a shape not seen before",
    "relation": "does not go with the other columns",
}
_REASON_OF = np.array([_REASONS[kind] for kind in (*KINDS, "relation")], object)


def detect_frame(
    frame: pd.DataFrame,
    *,
    time_column: str | None = None,
    value_columns: Sequence[str] | None = None,
    series_column: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Score each row of a table by how anomalous it is.

    Causal: a row's score uses no row of a later time. The sampling step, the length
    of a cycle, level and spread are learned from what lies before. Each series is on
    its own; the first 32 rows of a series are scored 0, and up to the 300th evidence
    counts in part: what is new cannot be told from what is odd.

    Parameters
    ----------
    frame : DataFrame
        In any order; absent values are bridged and scored 0.
    time_column : str, optional
        Times or numbers to sort by. By default the only column of times, one with a
        usual name (``time``, ``timestamp``, ...), or an index of times; without
        any, the rows' order is time's.
    value_columns : sequence of str, optional
        What to watch; by default all numeric columns but labels.
    series_column : str, optional
        Which series a row belongs to; by default there is one.
    progress : callable, optional
        Told again and again how many further values (rows times columns) are done,
        and how many there are.

    Returns
    -------
    DataFrame
        In the order and with the index of ``frame``: time and series, where there
        are, then ``score`` (0 to 1), ``flagged`` (score at least 0.5), ``severity``,
        ``metric`` (the column responsible) and ``reason``, both missing where not
        flagged. ``attrs["step_seconds"]`` is the sampling step found.

    Raises
    ------
    UsageError
        Without rows or numbers, for a column that is not there, for times or
        values that cannot be read.

    Notes
    -----
    Taught in chapter 07. Evidence of ten kinds (a robust forecast's error, shifts of
    level and variance, standstill, unlike windows) is turned into tail
    probabilities against its own past and added up as logarithms.

    Examples
    --------
    >>> values = np.sin(np.arange(600) / 8) + 0.01 * np.cos(np.arange(600) ** 2)
    >>> values[500] += 1
    >>> scores = detect_frame(pd.DataFrame({"load": values}))
    >>> int(scores.score.argmax()), scores.metric[500]
    (500, 'load')
    """
    table = read_table(frame, time_column, value_columns, series_column)
    values = np.stack(list(table.values.values()))
    n = len(frame)
    surprise = np.zeros(n)
    column = np.zeros(n, np.int64)
    kind = np.zeros(n, np.int64)
    tick = None if progress is None else partial(_tell, progress, values.size)
    series = sorted(table.order, key=len, reverse=True)
    for group in together([len(rows) for rows in series], len(values)):
        lengths = np.array([len(rows) for rows in series[group]])
        x = np.full((len(lengths), len(values), lengths[0]), np.nan)
        for own, rows in zip(x, series[group], strict=True):
            own[:, : len(rows)] = values[:, rows]
        found = score_series(x, lengths, tick)
        at = np.concatenate(series[group])
        real = np.arange(lengths[0]) < lengths[:, None]
        surprise[at] = found.surprise[real]
        column[at] = found.column[real]
        kind[at] = found.kind[real]
    score = to_score(surprise, alarm_surprise(len(values)))
    flagged = score >= FLAG_THRESHOLD
    names = np.empty(len(table.values), object)
    names[:] = list(table.values)
    kept = [name for name in (table.time_column, series_column) if name is not None]
    result = frame[kept].copy()
    added: dict[str, Any] = {
        "score": score,
        "flagged": flagged,
        "severity": severity_of(score),
        "metric": _only(flagged, names[column]),
        "reason": _only(flagged, _REASON_OF[kind]),
    }
    for name, data in added.items():
        result[name] = data
    result.attrs["step_seconds"] = table.step_seconds
    return result


def _tell(progress: Callable[[int, int], None], total: int, count: int) -> None:
    progress(count, total)


def _only(flagged: NDArray[np.bool_], told: NDArray[np.object_]) -> NDArray[np.object_]:
    result = np.full(len(told), None, object)
    result[flagged] = told[flagged]
    return result
