"""What a table of anyone's holds: times, values, series; or why it cannot be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rtmlops_lib.errors import UsageError

__all__ = ["Table", "read_table"]

_TIME_NAMES = ("time", "timestamp", "datetime", "date", "ts", "ds", "event_time")
# Somebody's truth must not be mistaken for a measurement.
_LABEL_NAMES = frozenset(
    "label labels is_anomaly anomaly anomalies anomaly_label ground_truth".split()
)
# Squares of values must stay finite.
_LARGEST = 1e150


@dataclass(frozen=True, slots=True)
class Table:
    """A frame that was understood.

    Parameters
    ----------
    time_column : str or None
        None: the order of the rows is the order of time.
    values : dict of str to ndarray of float, shape (n,)
    order : list of ndarray of int64
        The rows of each series, in order of time.
    step_seconds : float
        Median step of time, NaN where there is no clock.
    """

    time_column: Any
    values: dict[Any, NDArray[np.float64]]
    order: list[NDArray[np.int64]]
    step_seconds: float


def read_table(
    frame: pd.DataFrame,
    time_column: Any = None,
    value_columns: Sequence[Any] | None = None,
    series_column: Any = None,
) -> Table:
    """Find time, values and series in a frame.

    Raises
    ------
    UsageError
        With the column, and where it helps the row, that cannot be used.
    """
    if len(frame) == 0:
        raise UsageError(
            "there are no rows to score", remedy="give a file with at least one row"
        )
    if isinstance(value_columns, str):
        value_columns = [value_columns]
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise UsageError(
            f"the column {twice[0]!r} stands twice", remedy="rename one of them"
        )
    for name in (time_column, series_column, *(value_columns or ())):
        if name is not None and name not in frame.columns:
            raise UsageError(
                f"there is no column {name!r}",
                remedy=f"give one of {', '.join(map(str, frame.columns))}",
            )
    if time_column is None:
        time_column = _time_like(frame)
    times = None if time_column is None else _times(frame[time_column], time_column)
    if time_column is None and isinstance(frame.index, pd.DatetimeIndex):
        times = _times(frame.index.to_series(), "index")
    names = _value_names(frame, value_columns, {time_column, series_column})
    values = {name: _numbers(frame[name], name) for name in names}
    if not any(np.isfinite(column).any() for column in values.values()):
        raise UsageError(
            f"there is no number in {', '.join(map(str, names))}",
            remedy="name the columns to watch with --value-columns",
        )
    order, step = _ordered(frame, times, series_column)
    return Table(time_column, values, order, step)


def _time_like(frame: pd.DataFrame) -> Any:
    clocks = [
        name
        for name in frame.columns
        if pd.api.types.is_datetime64_any_dtype(frame[name].dtype)
    ]
    if len(clocks) == 1:
        return clocks[0]
    named = {str(name).lower(): name for name in reversed(list(frame.columns))}
    for name in _TIME_NAMES:
        if name in named:
            return named[name]
    return None


def _times(column: pd.Series, name: Any) -> NDArray[np.float64]:
    """Return sortable times: seconds where there is a clock, else the numbers."""
    if pd.api.types.is_timedelta64_dtype(column.dtype):
        times = column.dt.total_seconds().to_numpy(np.float64)
        bad = ~np.isfinite(times)
    elif pd.api.types.is_numeric_dtype(column.dtype):
        times = column.to_numpy(np.float64, na_value=np.nan)
        bad = ~np.isfinite(times)
        times = times / _unit_of(times[~bad])
    else:
        clock = _clock(column)
        bad = clock.isna().to_numpy()
        times = clock.astype("datetime64[us, UTC]").astype("int64").to_numpy() / 1e6
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise UsageError(
            f"column {name!r} has no time in {int(bad.sum())} of {len(bad)} rows, "
            f"first in row {row + 1}: {column.iloc[row]!r}",
            remedy="remove these rows, or write times as 2025-09-30T12:00:00Z",
        )
    return np.asarray(times, np.float64)


def _unit_of(times: NDArray[np.float64]) -> float:
    """Return how many units of these numbers are a second.

    Seconds since 1970 have ten digits in our days, milliseconds thirteen, and so on;
    smaller numbers are taken for seconds.
    """
    size = float(np.median(np.abs(times))) if len(times) else 0.0
    return next((unit for unit in (1e9, 1e6, 1e3) if size > 1e8 * unit), 1.0)


def _clock(column: pd.Series) -> pd.Series:
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        aware = column.dt.tz is not None
        return column.dt.tz_convert("UTC") if aware else column.dt.tz_localize("UTC")
    for form in ("ISO8601", "mixed"):
        clock = pd.to_datetime(column, utc=True, errors="coerce", format=form)
        if not clock.isna().any():
            break
    return clock


def _value_names(
    frame: pd.DataFrame, wanted: Sequence[Any] | None, taken: set[Any]
) -> list[Any]:
    if wanted:
        both = [name for name in wanted if name in taken]
        if both or len(set(wanted)) < len(wanted):
            raise UsageError(
                f"{', '.join(map(str, both or wanted))} cannot be a value as well"
                if both
                else f"a value column stands twice: {', '.join(map(str, wanted))}",
                remedy="name each column once",
            )
        return list(wanted)
    found = [
        name
        for name in frame.columns
        if name not in taken
        and pd.api.types.is_numeric_dtype(frame[name].dtype)
        and not pd.api.types.is_bool_dtype(frame[name].dtype)
        and str(name).lower() not in _LABEL_NAMES
    ]
    if not found:
        raise UsageError(
            "no column holds numbers: "
            + ", ".join(f"{name} ({frame[name].dtype})" for name in frame.columns),
            remedy="name the columns to watch with --value-columns",
        )
    return found


def _numbers(column: pd.Series, name: Any) -> NDArray[np.float64]:
    if not pd.api.types.is_numeric_dtype(column.dtype):
        numbers = pd.to_numeric(column, errors="coerce")
        wrong = (numbers.isna() & column.notna()).to_numpy()
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise UsageError(
                f"column {name!r} is not numeric: row {row + 1} holds "
                f"{column.iloc[row]!r}",
                remedy="leave it out of --value-columns, or correct the file",
            )
        column = numbers
    values = column.to_numpy(np.float64, na_value=np.nan)
    values = np.where(np.isfinite(values), values, np.nan)
    return np.clip(values, -_LARGEST, _LARGEST)


def _ordered(
    frame: pd.DataFrame, times: NDArray[np.float64] | None, series_column: Any
) -> tuple[list[NDArray[np.int64]], float]:
    n = len(frame)
    series = np.zeros(n, np.int64)
    if series_column is not None:
        series = pd.factorize(frame[series_column], use_na_sentinel=False)[0]
    if times is None:
        order = np.argsort(series, kind="stable")
        step = float("nan")
    else:
        order = np.lexsort((times, series))
    groups = np.split(order, np.flatnonzero(np.diff(series[order])) + 1)
    if times is not None:
        steps = np.concatenate([np.diff(times[rows]) for rows in groups])
        steps = steps[steps > 0]
        step = float(np.median(steps)) if len(steps) else float("nan")
    return groups, step
