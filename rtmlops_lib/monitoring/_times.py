"""Times as people write them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rtmlops_lib.errors import UsageError

__all__ = ["read_times", "time_like"]

_NAMES = ("time", "timestamp", "datetime", "date", "ts", "ds", "event_time")


def time_like(frame: pd.DataFrame) -> Any:
    """Return the only column of times, or one with a usual name; None without any."""
    clocks = [
        name
        for name in frame.columns
        if pd.api.types.is_datetime64_any_dtype(frame[name].dtype)
    ]
    if len(clocks) == 1:
        return clocks[0]
    named = {str(name).lower(): name for name in reversed(list(frame.columns))}
    return next((named[name] for name in _NAMES if name in named), None)


def read_times(column: pd.Series, name: str) -> tuple[NDArray[np.int64], list[str]]:
    """Return microseconds since 1970, and what had to be assumed.

    Raises
    ------
    UsageError
        With the first row that holds no time.
    """
    notes: list[str] = []
    if pd.api.types.is_numeric_dtype(column.dtype):
        numbers = column.to_numpy(np.float64, na_value=np.nan)
        bad = ~np.isfinite(numbers)
        _refuse(column, name, bad)
        return (numbers * _micros_of(numbers)).astype(np.int64), notes
    clock = column
    if not pd.api.types.is_datetime64_any_dtype(column.dtype):
        for form in ("ISO8601", "mixed"):
            clock = pd.to_datetime(column, utc=True, errors="coerce", format=form)
            if not clock.isna().any():
                break
        first = str(column.dropna().iloc[0]) if column.notna().any() else ""
        naive = not (first.endswith(("Z", "z")) or "+" in first or first.count("-") > 2)
    else:
        naive = column.dt.tz is None
        clock = clock.dt.tz_localize("UTC") if naive else clock.dt.tz_convert("UTC")
    _refuse(column, name, clock.isna().to_numpy(np.bool_))
    if naive:
        notes.append(f"times in {name!r} have no zone and are taken as UTC")
    stamps = clock.dt.tz_localize(None).astype("datetime64[us]").to_numpy()
    return stamps.view(np.int64).copy(), notes


def _refuse(column: pd.Series, name: str, bad: NDArray[np.bool_]) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise UsageError(
            f"column {name!r} has no time in {int(bad.sum())} of {len(bad)} rows, "
            f"first in row {row + 1}: {column.iloc[row]!r}",
            remedy="remove these rows, or write times as 2025-09-30T12:00:00Z",
        )


def _micros_of(numbers: NDArray[np.float64]) -> float:
    """Return how many microseconds the unit is: seconds, or finer if they are large.

    Seconds since 1970 have ten digits in our days, milliseconds thirteen, and so on.
    """
    size = float(np.median(np.abs(numbers))) if len(numbers) else 0.0
    return next((1e6 / unit for unit in (1e9, 1e6, 1e3) if size > 1e8 * unit), 1e6)
