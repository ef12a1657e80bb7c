"""Times as people write them."""

from __future__ import annotations

import warnings
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
        _refuse_days(numbers, name)
        return (numbers * _micros_of(numbers)).astype(np.int64), notes
    clock = column
    if not pd.api.types.is_datetime64_any_dtype(column.dtype):
        clock = _parsed(column, name)
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


def _parsed(column: pd.Series, name: str) -> pd.Series:
    """Return instants, all written in one way; NaT where one is not.

    Raises
    ------
    UsageError
        Where days and months could be either.
    """
    clock = pd.to_datetime(column, utc=True, errors="coerce", format="ISO8601")
    if not clock.isna().any():
        return clock
    found = []
    for day_first in (False, True):
        with warnings.catch_warnings():
            # It says at length that it had to guess: we compare both guesses.
            warnings.simplefilter("ignore")
            guess = pd.to_datetime(
                column, utc=True, errors="coerce", dayfirst=day_first
            )
        if not guess.isna().any():
            found.append(guess)
    if not found:
        return clock
    if len(found) > 1 and (found[0] != found[1]).any():
        raise UsageError(
            f"days and months of {name!r} cannot be told apart: {column.iloc[0]!r}",
            remedy="write times as 2025-09-30T12:00:00Z",
        )
    return found[0]


def _refuse_days(numbers: NDArray[np.float64], name: str) -> None:
    """Refuse 20250930: as seconds since 1970 it would be a day in that year."""
    month, day = numbers // 100 % 100, numbers % 100
    if len(numbers) and bool(
        np.all((numbers >= 19_000_101) & (numbers <= 21_001_231))
        and np.all((month >= 1) & (month <= 12) & (day >= 1) & (day <= 31))
    ):
        raise UsageError(
            f"column {name!r} holds {numbers[0]:.0f}, a day written as a number",
            remedy="write times as 2025-09-30T12:00:00Z",
        )


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
